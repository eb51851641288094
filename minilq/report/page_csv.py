"""The points of a sweep as a file for a spreadsheet; of a sweep of methods, these too."""

from __future__ import annotations

import csv
import io

from minilq.errors import escaped
from minilq.experiments.pareto import MEASURES, SETTINGS, has, measure
from minilq.report.page_league import Row, rows_of
from minilq.report.page_rounded import best_as_small
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


def methods_csv(sweep: SweepData) -> str:
    """A row for each pair of methods, as in the table of the page.

    weights, inputs      the methods with their flags
    scratch, post, own   accuracy from scratch, from the float network, by the recipe of its paper: the mean over the
                         seeds, and its standard error; empty where there is none
    bits, bytes          of the most accurate of the three: entropy-coded, everything counted
    rounded              the accuracy of the best rounded float network that is no larger
    same                 how often integers give the class that the network gives
    """
    starts = ("scratch", "post", "own")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["weights", "inputs", *(name for start in starts for name in (start, f"{start}_error")), "bits",
                     "bytes", "rounded", "same", "command"])
    for row in rows_of(sweep):
        runs = [run.same for one in row.best["members"] if (run := sweep.integers.get(one["name"])) and not run.why]
        writer.writerow([
            defused(row.weights), defused(row.inputs), *(cell for start in starts for cell in _accuracy(row, start)),
            f"{row.best['bits']:.4g}", f"{row.best['bytes_entropy']:.0f}",
            _share(best_as_small(row.best, sweep.rounded)), _share(sum(runs) / len(runs) if runs else None),
            defused(row.best["members"][0]["command"])])
    return text.getvalue()


def _accuracy(row: Row, start: str) -> tuple[str, str]:
    point = row.found.get(start)
    if point is None:
        return "", ""
    error = point["deviation"]["accuracy"] / len(point["seeds"]) ** 0.5
    return _share(point["accuracy"]), _share(None if error != error else error)


def _share(share: float | None) -> str:
    """A share with as many digits as 10,000 images can tell."""
    return "" if share is None else f"{share:.5f}"


def defused(cell: object) -> object:
    """A cell that no spreadsheet runs: an apostrophe before a text that begins like a formula. Numbers stay numbers.

    >>> defused("=1+1"), defused("-x"), defused(-12), defused("nested-row")
    ("'=1+1", "'-x", -12, 'nested-row')
    """
    if not isinstance(cell, str):
        return cell
    return f"'{escaped(cell)}" if cell.startswith(FORMULA) else escaped(cell)
