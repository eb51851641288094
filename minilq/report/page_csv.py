"""The points of a sweep as a file for a spreadsheet."""

from __future__ import annotations

import csv
import io

from minilq.errors import escaped
from minilq.experiments.pareto import MEASURES, SETTINGS, has, measure
from minilq.report.sweep_data import SweepData

FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet takes for the beginning of a formula, or skips before one."""


def points_csv(sweep: SweepData) -> str:
    """Every finished point as a row, then the rounded float network: all that its result.json holds, and range, the
    fronts that it is on, command."""
    known = ("name", *SETTINGS, "seed", *MEASURES)
    every = [*sweep.points, *(member for point in sweep.rounded for member in point["members"])]
    present = {name for point in every for name in point} - {"folder", "command", "config"}
    columns = [*(name for name in known if name in present or name == "range"), *sorted(present - set(known))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*map(defused, columns), "front", "command"])
    for point in every:
        own = {**point, "range": f"{measure(point, 'range'):.0f}"} if has(point, "range") else point
        writer.writerow([*(defused(own.get(name, "")) for name in columns),
                         " ".join(sweep.fronts.get(point["name"], ())), defused(point["command"])])
    return text.getvalue()


def defused(cell: object) -> object:
    """A cell that no spreadsheet runs: an apostrophe before a text that begins like a formula. Numbers stay numbers.

    >>> defused("=1+1"), defused("-x"), defused(-12), defused("nested-row")
    ("'=1+1", "'-x", -12, 'nested-row')
    """
    if not isinstance(cell, str):
        return cell
    return f"'{escaped(cell)}" if cell.startswith(FORMULA) else escaped(cell)
