"""The tables of a sweep's page: every point, and what was published beside what was measured."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from minilq.experiments.agreement import DIFFERS, Comparison
from minilq.experiments.pareto import MEASURES, SETTINGS, Point, has, measure
from minilq.experiments.thesis import MIB
from minilq.report import sweep_style as style
from minilq.report.sweep_data import SweepData

COSTS = {"unique_integers": "unique", "range": "range", "bits": "bits", "bytes_packed": "packed",
         "bytes_entropy": "entropy-coded"}


@dataclass(frozen=True)
class Cell:
    """What a cell shows, what its column is sorted by ("" stays at the end), and its class."""

    text: str
    value: float | int | str = ""
    kind: str = ""

    def html(self) -> str:
        value = "" if self.value != self.value else str(self.value).replace("inf", "Infinity")
        text = f"<code>{escape(self.text)}</code>" if self.kind == "command" else escape(self.text)
        kind = f' class="{self.kind}"' if self.kind else ""
        return f'<td{kind} data-value="{escape(value)}">{text}</td>'


def points_table(sweep: SweepData) -> str:
    """Every finished point, with the command that gives its numbers."""
    heads = ["point", "scheme", "granularity", "strength", "rounding", "start", "seed", "input", "accuracy %", "loss",
             "unique integers", "smallest", "largest", "bits", "entropy (bits)", "zeros %", "SQNR (dB)",
             "int8 zip (kB)", "packed (kB)", "entropy-coded (kB)", "on the front of", "command"]
    rows = [_point(point, sweep.fronts) for point in sweep.points]
    if any("variant" in point for point in sweep.points):
        heads.insert(1, "variant")
        for row, point in zip(rows, sweep.points, strict=True):
            row.insert(1, Cell(point.get("variant", ""), point.get("variant", "")))
    return table("points", heads, rows)


def _point(point: Point, fronts: dict[str, list[str]]) -> list[Cell]:
    def number(name: str, write: Callable[[Any], str], factor: float = 1) -> Cell:
        if point.get(name) is None:
            return Cell("", "", "number")
        return Cell(write(factor * point[name]), factor * point[name], "number")

    def word(name: str) -> Cell:
        return Cell(str(point.get(name, "")), str(point.get(name, "")))

    kilo, on = "{:.1f}".format, [COSTS[cost] for cost in fronts.get(point["name"], ())]
    return [word("name"), word("scheme"), word("granularity"), number("strength", style.number), word("rounding"),
            word("start"), number("seed", str), word("input"), number("accuracy", "{:.2f}".format, 100),
            number("loss", "{:.4g}".format),
            *(number(name, str) for name in ("unique_integers", "integer_min", "integer_max", "bits")),
            number("entropy", "{:.3f}".format), number("zero_share", "{:.1f}".format, 100), number("sqnr", kilo),
            *(number(f"bytes_{name}", kilo, 1e-3) for name in ("int8_zip", "packed", "entropy")),
            Cell(", ".join(on), -len(on) if on else ""), Cell(point["command"], point["command"], "command")]


def published_table(comparisons: Sequence[Comparison]) -> str:
    """Published numbers, the measured ones beside them, and the verdict."""
    quantities = ("accuracy %", "unique integers", "range", "bits", "zip (MiB)")
    heads = ["verdict", "source", "scheme", "granularity", "strength", "start",
             *(f"{name}, {whose}" for name in quantities for whose in ("published", "measured")), "why", "note"]
    return table("published", heads, [_comparison(comparison) for comparison in comparisons])


def _comparison(comparison: Comparison) -> list[Cell]:
    published, point = comparison.published, comparison.measured
    start = str(published.start or (point or {}).get("start", ""))
    stated = "" if published.start or published.scheme == "float" else " (not stated)" if start else "not stated"
    strength = published.strength
    wrong = comparison.reason.split(", ") if comparison.verdict == DIFFERS else []

    def beside(quantity: str, stated: str, by: float | None, name: str, write: Callable[[Point], str]) -> list[Cell]:
        """What was published and, if something was, what was measured; sorted by `by` and by the measure `name`."""
        left = Cell(stated, "" if by is None else by, "number")
        if by is None or point is None:
            return [left, Cell("", "", "number")]
        return [left, Cell(write(point), point[name], "number differs" if quantity in wrong else "number")]

    zip_name = "bytes_float32_zip" if published.scheme == "float" else "bytes_int8_zip"
    ends = "" if published.integer_min is None else f"{published.integer_min}..{published.integer_max}"
    words = (published.source, published.scheme, published.granularity or "")
    return [
        Cell(comparison.verdict, comparison.verdict, "differs" if wrong else ""), *(Cell(word, word) for word in words),
        Cell("", "", "number") if strength is None else Cell(style.number(strength), strength, "number"),
        Cell(start + stated, start + stated),
        *beside("accuracy", _percent(published.accuracy, published.spread), _middle(published.accuracy), "accuracy",
                lambda p: f"{100 * p['accuracy']:.2f}" + _spread(p["deviation"]["accuracy"])),
        *beside("integers", _between(published.unique), _middle(published.unique), "unique_integers",
                lambda p: _count(p["unique_integers"])),
        *beside("range", ends, published.integer_max, "integer_max",
                lambda p: f"{_count(p['integer_min'])}..{_count(p['integer_max'])}"),
        *beside("bits", str(published.bits or ""), published.bits, "bits_unique", lambda p: _count(p["bits_unique"])),
        *beside("zip", published.zip_mib, _middle(published.zip_bytes), zip_name, lambda p: f"{p[zip_name] / MIB:.3f}"),
        Cell(comparison.reason, comparison.reason), Cell(published.note, published.note)]


def _count(mean: float) -> str:
    return f"{mean:.1f}".removesuffix(".0")


def _middle(ends: tuple[float, float] | None) -> float | None:
    return None if ends is None else sum(ends) / 2


def _percent(ends: tuple[float, float] | None, spread: float | None) -> str:
    if ends is None:
        return ""
    low, high = (f"{100 * end:.2f}".rstrip("0").rstrip(".") for end in ends)
    return (low if low == high else f"{low}..{high}") + _spread(spread)


def _spread(deviation: float | None) -> str:
    return "" if deviation is None or not math.isfinite(deviation) else f" ± {100 * deviation:.2f}"


def _between(ends: tuple[int, int] | None) -> str:
    if ends is None:
        return ""
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}..{ends[1]}"


def table(name: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """An HTML table, each cell with the value that its column is sorted by; wide ones scroll in a region of their own,
    which a keyboard reaches too."""
    lines = [f'<div class="scroll" tabindex="0" role="region" aria-label="table: {escape(name)}">',
             '<table class="sortable"><thead><tr>']
    kinds = [cell.kind for cell in rows[0]] if rows else [""] * len(heads)
    lines += [f'<th scope="col"{" class=number" if "number" in kind else ""}>{escape(head)}</th>'
              for head, kind in zip(heads, kinds, strict=True)]
    lines += ["</tr></thead><tbody>"]
    for row in rows:
        lines.append("<tr>" + "".join(cell.html() for cell in row) + "</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def points_csv(sweep: SweepData) -> str:
    """Every finished point as a row: all that its result.json holds, and range, the fronts that it is on, command."""
    known = ("name", *SETTINGS, "seed", *MEASURES)
    present = {name for point in sweep.points for name in point} - {"folder", "command"}
    columns = [*(name for name in known if name in present or name == "range"), *sorted(present - set(known))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, "front", "command"])
    for point in sweep.points:
        own = {**point, "range": f"{measure(point, 'range'):.0f}"} if has(point, "range") else point
        writer.writerow([*(own.get(name, "") for name in columns), " ".join(sweep.fronts.get(point["name"], ())),
                         point["command"]])
    return text.getvalue()
