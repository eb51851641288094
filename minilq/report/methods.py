"""What `minilq methods` prints: every method, or one, told by its class and by a call of it on a few numbers."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np

from minilq.autodiff.entry import Primitive
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Node
from minilq.autodiff.tensor import Tensor
from minilq.errors import MinilqError
from minilq.quantize import Even, Quantizer
from minilq.quantize.flags import words_of
from minilq.quantize.methods import QUANTIZERS
from minilq.quantize.scale_rule import ScaleRule, rule_text
from minilq.report.curves import Curves, curves_of, formulas, shown, text
from minilq.report.table import aligned

WIDTH = 100
HEAD = ("method", "learns", "remembers", "grid", "gradients")
NOTES = """\
learns: numbers that are trained with the network. remembers: arrays beside them.
grid even: value = scale * (code - zero) + offset; table: value = levels[code].
gradients: a surrogate is the derivative of a smooth program that stands under it; one that is defined is derived from \
nothing; a heuristic is the derivative of nothing. The rest is exact. `minilq check` proves it.
Flags are written flag=value: minilq train --weights lsq bits=4 --inputs lsq bits=4 signed=false. What comes out of a \
relu is not negative: signed=false gives it all codes. Images of floats and what comes out of batch normalisation \
without a relu is signed: signed=true."""


UNFINISHED = (MinilqError, TypeError, ValueError, NotImplementedError)
"""What a user's class that is half done may raise."""


@dataclass(frozen=True)
class Described:
    """A method in words; "-" for nothing, "?" for what could not be found out by calling it."""

    name: str
    line: str
    learns: str
    remembers: str
    grid: str
    gradients: str
    flags: str
    source: str


def methods() -> str:
    """All methods: a table, then what each is, its flags with their defaults and its paper. At most WIDTH wide."""
    every = [described(kind) for _, kind in sorted(QUANTIZERS.items())]
    rows = [tuple(textwrap.wrap(text, width) or ["-"] for text, width in zip(
        (one.name, one.learns, one.remembers, one.grid, one.gradients), (19, 14, 19, 14, 26), strict=True))
        for one in every]
    cells = [tuple(column[i] if i < len(column) else "" for column in row)
             for row in rows for i in range(max(map(len, row)))]
    table = "\n".join(line.rstrip() for line in aligned([HEAD, *cells], left=len(HEAD)).split("\n"))
    notes = "\n".join(textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in NOTES.split("\n"))
    return "\n\n".join([table, *map(_paragraph, every), notes])


def _paragraph(one: Described) -> str:
    lines = [one.line, f"flags: {one.flags}", *([f"source: {one.source}"] if one.source else [])]
    text = [textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
            for line in lines]
    return "\n".join([one.name, *text])


def described(kind: type[Quantizer]) -> Described:
    """What a class says of itself, and what it does with a few numbers."""
    document = inspect.getdoc(kind) or ""
    learns, remembers, grid, gradients, source = _tried(kind)
    return Described(kind.name, document.split("\n\n")[0].replace("\n", " ") or "-", learns, remembers, grid, gradients,
                     _flags(kind), _source_in(document) or source)


def one_method(method: Quantizer, said: set[str]) -> tuple[str, Curves | None]:
    """The formulas of a method, forward and pretended derivative by cases, as its docstring and those of its operations
    have them; and its curves, None where it cannot be called.

    said        the flags that somebody has said something about
    """
    parts = [f"{method.name}: {formulas(type(method).__doc__ or '')}"]
    x = Tensor(np.random.default_rng(0).standard_normal((8, 4)), requires_grad=True)
    try:
        y = method(x, method.start(x.array), training=True)
        curves = curves_of(shown(method, said))
    except UNFINISHED as error:
        return "\n\n".join([*parts, f"It cannot be drawn: {error}"]), None
    for name, node in _pretended(y).items():
        parts.append(f"{name}, {_kinds(node)}: {formulas(_document(node.primitive))}")
    return "\n\n".join([*parts, text(curves)]), curves


def _pretended(y: Tensor) -> dict[str, Node]:
    """The operations behind a tensor whose derivatives are not exact."""
    return {node.primitive.name: node for node in _nodes(y) if node.primitive.kind != "exact"}


def _tried(kind: type[Quantizer]) -> tuple[str, str, str, str, str]:
    """What the method learns and remembers, its grid, its gradients and its source."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((8, 4)), requires_grad=True)
    try:
        method = instance(kind)
        held = method.start(x.array)
        y = method(x, held, training=True)
        grid = method.coded(x.array, held).grid
    except UNFINISHED:
        return "?", "?", "?", "?", ""
    learned = [name for name, value in held.items() if isinstance(value, Parameter)]
    words = [type(grid).__name__.lower()]
    if isinstance(grid, Even):
        words += [name for name in ("zero", "offset") if getattr(grid, name) is not None]
    found = _pretended(y)
    gradients = [f"{name}: {_kinds(node)}" for name, node in found.items()]
    sources = [source for node in found.values() if node.primitive.forward.__module__ == kind.__module__
               and (source := _source_in(_document(node.primitive)))]
    return (", ".join(learned) or "-", ", ".join(name for name in held if name not in learned) or "-",
            words[0] + (f", {' and '.join(words[1:])}" if words[1:] else ""),
            "; ".join(gradients) or "exact", "; ".join(dict.fromkeys(sources)))


def instance(kind: type[Quantizer]) -> Quantizer:
    """The method with its defaults, or with the first flags that its class says to try."""
    try:
        return kind()
    except TypeError:
        return kind(**kind.variants[0])


def _nodes(y: Tensor) -> Iterator[Node]:
    """Every operation that a tensor was made with, each once, the last first."""
    waiting, seen = [y.node], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node.number not in seen:
            seen.add(node.number)
            yield node
            waiting += [tensor.node for tensor in node.inputs if tensor is not None]


def _kinds(node: Node) -> str:
    """The kind of a derivative, and the arguments whose gradients are heuristics."""
    heuristics = node.primitive.heuristics(*(node.args or ()), **node.options)
    return f"{node.primitive.kind}" + (f", {' and '.join(heuristics)} heuristic" if heuristics else "")


def _document(entry: Primitive) -> str:
    return inspect.getdoc(entry.forward) or ""


def _source_in(document: str) -> str:
    """The Source line of a docstring with the lines that continue it."""
    found = re.search(r"^ *Source:? +(.*(?:\n {8,}\S.*)*)", document, re.MULTILINE)
    return re.sub(r"\s+", " ", found[1]).strip() if found else ""


def _flags(kind: type[Quantizer]) -> str:
    """Flags as the command line takes them, with their defaults."""
    words = []
    for field in fields(kind):  # type: ignore[arg-type]
        if field.default is MISSING:
            words.append(f"{field.name}=?")
        else:
            words += words_of({"method": kind.name, field.name: _text(field.default)})[1:]
    return " ".join(words) or "none"


def _text(value: Any) -> Any:
    """A default as text where it is a scale rule."""
    return rule_text(value) if isinstance(value, ScaleRule) else value
