"""Measure how long the networks of running.csv trained, and write it there: CPU seconds of one processor.

    python tutorials/seconds.py 06 07          the rows of these notebooks
    python tutorials/seconds.py                all of them

What a row has under `trained_by` says which statements of its notebook trained its network: a part of their text, and
how many networks they train if it is more than one, such as "floats = [ / 5; trained = { / 10". They are run, and what
they use. A network that was only rounded has the seconds of its floats.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import dis
import io
import os
import sys
import time
from pathlib import Path
from types import CodeType
from typing import Any

from run import FOLDER, cells_of, execute, notebooks

from minilq.files import write_text

TABLE = FOLDER / "running.csv"
SETTLED = (ast.Assign, ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
"""Statements after which a name is what they make it, whatever it was before."""


def timed(path: Path, wanted: list[str]) -> dict[str, float]:
    """CPU seconds of the statements of a notebook that have a wanted text in them, by their text."""
    names: dict[str, Any] = {"__name__": "__main__"}
    seconds: dict[str, float] = {}
    for place, text in needed(statements_of(path), wanted):
        begin = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            execute(text, place, names)
        if any(part in text for part in wanted):
            seconds[text] = time.process_time() - begin
    return seconds


def needed(statements: list[tuple[str, str]], wanted: list[str]) -> list[tuple[str, str]]:
    """The wanted ones of some statements, and those that make what they use.

    >>> [text for _, text in needed([("", "a = 1"), ("", "b = 2"), ("", "c = a + 1"), ("", "print(c)")], ["c ="])]
    ['a = 1', 'c = a + 1']
    """
    kept, used = [], set[str]()
    for place, text in reversed(statements):
        code = compile(text, place, "exec")
        if used & names_of(code, "STORE") or any(part in text for part in wanted):
            kept.append((place, text))
            if isinstance(ast.parse(text).body[0], SETTLED):
                used -= names_of(code, "STORE")
            used |= names_of(code, "LOAD")
    return kept[::-1]


def names_of(code: CodeType, how: str) -> set[str]:
    """Names that a program stores or loads, those of its functions among what it loads, their locals not."""
    found = {str(step.argval) for step in dis.get_instructions(code) if step.opname in (f"{how}_NAME", f"{how}_GLOBAL")}
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)] if how == "LOAD" else []
    return found.union(*(names_of(part, how) for part in inner))


def statements_of(path: Path) -> list[tuple[str, str]]:
    """(place, text) of every statement of a notebook that is not inside another one."""
    found = []
    for number, cell in enumerate(cells_of(path)):
        lines = cell["source"].splitlines()
        for statement in ast.parse(cell["source"]).body if cell["cell_type"] == "code" else []:
            first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", []))])
            text = "\n".join(lines[first - 1:statement.end_lineno])
            found.append((f"{path.name}, cell {number}, line {first}", text))
    return found


def parts(trained_by: str) -> list[tuple[str, int]]:
    """(a part of a statement's text, how many networks it trains) for each statement of a row.

    >>> parts("floats = [ / 5; trained(")
    [('floats = [', 5), ('trained(', 1)]
    """
    split = (part.partition(" / ") for part in trained_by.split("; "))
    return [(text, int(count or 1)) for text, _, count in split]


def of_row(trained_by: str, seconds: dict[str, float]) -> float:
    """Seconds of the statements that a row names, for one network.

    >>> of_row("floats = [ / 5; trained(", {"floats = [f() for _ in range(5)]": 10.0, "x = trained(1)": 3.0})
    5.0
    """
    return sum(time / count for text, count in parts(trained_by) for statement, time in seconds.items()
               if text in statement)


def main() -> int:
    os.chdir(FOLDER)
    os.environ["MPLBACKEND"] = "agg"
    for path in notebooks(sys.argv[1:]):
        own = [row for row in table() if row["notebook"] == path.name[:2]]
        seconds = timed(path, [text for row in own for text, _ in parts(row["trained_by"])]) if own else {}
        rows = table()
        for row in rows:
            if row["notebook"] == path.name[:2]:
                row["seconds"] = f"{of_row(row['trained_by'], seconds):.1f}"
                print(f"{row['notebook']}  {row['network']:50}{row['seconds']:>6} s", flush=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(TABLE, text.getvalue())
    return 0


def table() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
