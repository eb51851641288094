"""Write docs/methods.md: every method by its class, with its formulas, its curves, what of it is a derivative, and how
it did in the league.

    python docs/list_methods.py
"""

from __future__ import annotations

import csv
from pathlib import Path

from minilq.experiments.league import LEFT_OUT
from minilq.files import write_text
from minilq.quantize.methods import QUANTIZERS
from minilq.report.methods import HEAD, NOTES, described, instance, one_method

TARGET = Path(__file__).with_name("methods.md")
LEAGUE = Path(__file__).parents[1] / "benchmarks/league/methods.csv"
HEADS = ("weights", "inputs", "from scratch %", "from the float network %", "recipe of its own %", "kB",
         "rounded, as small %")

TOP = """\
# Methods

Everything that minilq can put in the place of a weight or an input, as the classes tell it; `minilq methods NAME`
prints the same for any flags. Curves are drawn with few bits and one scale for all numbers. This page is written by
[`list_methods.py`](list_methods.py); a method of one's own is [a class of some fifteen lines](building.md).

Below each method stands how it did in [the league](results.md#the-league), every method on one network: test images of
MNIST, mean and standard error over the seeds; size and rounded network belong to the most accurate of a row. "Rounded,
as small" is the best float network, merely rounded and entropy-coded, that is no larger; its inputs stay floats.
"""


def text() -> str:
    """The page."""
    every = [(described(kind), one_method(instance(kind), set())[0]) for _, kind in sorted(QUANTIZERS.items())
             if kind.__module__.startswith("minilq.")]           # not those of a notebook
    rows = [HEAD, ("---",) * len(HEAD)] + [
        (f"[{one.name}](#{one.name})", one.learns, one.remembers, one.grid, one.gradients) for one, _ in every]
    parts = [TOP, "\n".join(f"| {' | '.join(row)} |" for row in rows),
             "\n".join(f"- {line}" for line in NOTES.split("\n"))]
    league = list(csv.DictReader(LEAGUE.read_text().splitlines()))
    parts += [f"## {one.name}\n\n```text\n{formulas}\n```\n\nFlags: `{one.flags}`\n\n{in_league(one.name, league)}"
              for one, formulas in every]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def in_league(name: str, league: list[dict[str, str]]) -> str:
    """The rows of a method, of weights or of inputs, or why there are none."""
    found = [row for row in league if name in (row["weights"].split()[0], row["inputs"].partition(" ")[0])]
    if not found:
        return f"Not in the league: {LEFT_OUT.get(name, 'it is younger than the stored table')}."
    rows = [HEADS, ("---",) * len(HEADS)] + [
        (row["weights"], row["inputs"] or "floats", *(
            accuracy(row[start], row[f"{start}_error"]) for start in ("scratch", "post", "own")),
         f"{float(row['bytes']) / 1000:.1f}", accuracy(row["rounded"])) for row in found]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def accuracy(share: str, error: str = "") -> str:
    """A cell in percent; a dash for what was not trained."""
    if not share:
        return "-"
    return f"{100 * float(share):.2f}" + (f" +- {100 * float(error):.2f}" if error else "")


if __name__ == "__main__":
    write_text(TARGET, text())
