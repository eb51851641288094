"""Write docs/methods.md: every method by its class, with its formulas, its curves, and what of it is a derivative.

    python docs/list_methods.py
"""

from __future__ import annotations

from pathlib import Path

from minilq.files import write_text
from minilq.quantize.methods import QUANTIZERS
from minilq.report.methods import HEAD, NOTES, described, instance, one_method

TARGET = Path(__file__).with_name("methods.md")

TOP = """\
# Methods

Everything that minilq can put in the place of a weight or an input, as the classes tell it; `minilq methods NAME`
prints the same for any flags. Curves are drawn with few bits and one scale for all numbers. This page is written by
[`list_methods.py`](list_methods.py); a method of one's own is [a class of some fifteen lines](building.md).
"""


def text() -> str:
    """The page."""
    every = [(described(kind), one_method(instance(kind), set())[0]) for _, kind in sorted(QUANTIZERS.items())
             if kind.__module__.startswith("minilq.")]           # not those of a notebook
    rows = [HEAD, ("---",) * len(HEAD)] + [
        (f"[{one.name}](#{one.name})", one.learns, one.remembers, one.grid, one.gradients) for one, _ in every]
    parts = [TOP, "\n".join(f"| {' | '.join(row)} |" for row in rows),
             "\n".join(f"- {line}" for line in NOTES.split("\n"))]
    parts += [f"## {one.name}\n\n```text\n{formulas}\n```\n\nFlags: `{one.flags}`" for one, formulas in every]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


if __name__ == "__main__":
    write_text(TARGET, text())
