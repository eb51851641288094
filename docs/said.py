"""What classes, functions and constants say of themselves, for the pages that are written from it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]


def constants(module: ModuleType) -> dict[str, str]:
    """Name -> the docstring below it, of the constants of a module."""
    body = ast.parse(inspect.getsource(module)).body
    said = {}
    for node, below in pairwise(body):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(below, ast.Expr) and isinstance(
                below.value, ast.Constant) and isinstance(below.value.value, str):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            said[ast.unparse(target)] = inspect.cleandoc(below.value.value)
    return said


def document(place: str) -> str:
    """The docstring of a place: "minilq.nn.site", or "minilq.nn.site:Site" of something in it."""
    module = importlib.import_module(place.partition(":")[0])
    thing: Any = module
    for name in filter(None, place.partition(":")[2].split(".")):
        if thing is module and name in constants(module):
            return constants(module)[name]
        thing = getattr(thing, name)
    return inspect.getdoc(thing) or ""


def first(text: str) -> str:
    """The first paragraph in one line."""
    return re.sub(r"\s+", " ", text.split("\n\n")[0])


def entries(text: str) -> dict[str, str]:
    """Of the tables of a docstring, lines of `word   what it is` with what is indented below them: word -> the rest."""
    found: dict[str, str] = {}
    last, depth = "", 0
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        row = re.match(r" *([\w, ]*?\w)  +(?=\S)", line)
        if last and indent > depth and line.strip():
            found[last] += f" {line.strip()}"
        elif row:
            last, depth = row[1], indent
            found[last] = line[row.end():]
        else:
            last = ""
    return found


def cell(text: str) -> str:
    """A text as a cell of a Markdown table, in which only what stands between ` ` is code."""
    parts = re.sub(r"\s+", " ", text).split("`")
    return "`".join(re.sub(r"\|" if code else r"[|*_<\\\[\]]", r"\\\g<0>", part)
                    for part, code in zip(parts, [False, True] * len(parts), strict=False))


def table(*rows: tuple[str, ...]) -> str:
    """A Markdown table; the first row is its head."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rest))


def source(place: str) -> str:
    """The file of a place as a link from docs/, called by the module's name."""
    module = importlib.import_module(place.partition(":")[0])
    path = Path(inspect.getsourcefile(module) or "").relative_to(ROOT).as_posix()
    return f"[`{path.removeprefix('minilq/')}`](../{path})"
