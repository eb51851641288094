"""Published beside measured, on a sweep's page: what was measured too comes first, the rest is folded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from minilq.experiments.agreement import AGREES, DIFFERS, NOT_COMPARED, PUBLISHED_FOR, SEED_SPREAD, Comparison, compare
from minilq.experiments.pareto import Point
from minilq.experiments.thesis import MIB
from minilq.report import sweep_style as style
from minilq.report.page_league import is_league
from minilq.report.page_tables import Cell, fold, number, table
from minilq.report.sweep_data import SweepData
from minilq.report.text import shown

SOURCES = ("“thesis”: the published thesis; “reproduced”: a second implementation on full MNIST, with which the "
           "thesis’ own code agrees.")
TOLERANCE = (
    "<p>Runs that differ in nothing but their seed do not give the same numbers. What still counts as agreement:</p>"
    f"<dl><div><dt>accuracy</dt><dd>2 × {100 * SEED_SPREAD:.2f} points × √(1/n + 1/m) for n published and m measured "
    "seeds: two standard errors of the difference, by the largest standard deviation over seeds that was published. "
    "Collapsed networks, published below 50 %, are not compared in accuracy.</dd></div>"
    "<div><dt>integers, ends of the range</dt><dd>20 %, at least 1. Seeds move 20 integers by one or two, and the "
    "thesis’ own 24 and the 20 of the reproduction are a sixth apart.</dd></div>"
    "<div><dt>zip</dt><dd>every size that rounds to the printed figure, and 10 % beside: a fifth more integers is a "
    "quarter of a bit of the three to four that a code takes.</dd></div></dl>"
    "<p>Bits follow from the integers and are not compared on their own. Published for raw input and floor; a point "
    "with other settings than the published ones has no verdict.</p>")


def published(sweep: SweepData) -> str:
    """Verdicts where there are any; rows without one, and all of them where the data are others, are folded. "" for a
    sweep of methods in which nothing is as it was published."""
    comparisons = compare([*sweep.baselines, *sweep.quantized], sweep.data)
    if not comparisons:
        return f"<p>Nothing was published for {shown(sweep.data)}.</p>"
    if sweep.data in PUBLISHED_FOR:
        return (f"<p><strong>For orientation only.</strong> The numbers were published for "
                f"{PUBLISHED_FOR[sweep.data]}, the sweep ran on {shown(sweep.data)}: they are not compared.</p>"
                + fold(f"{len(comparisons)} published rows", f"<p>{SOURCES}</p>{_table('all', comparisons)}"))
    judged = [comparison for comparison in comparisons if comparison.verdict != NOT_COMPARED]
    others = [comparison for comparison in comparisons if comparison.verdict == NOT_COMPARED]
    if not judged and is_league(sweep):
        return ""
    parts = [f"<p>{_counts(comparisons)} {SOURCES}</p>"]
    if judged:
        parts += [_table("judged", judged), fold("What counts as agreement", TOLERANCE)]
    if others:
        parts.append(fold(f"{len(others)} published rows that do not apply: not run, run with other settings, or "
                          "nothing to compare", _table("others", others)))
    return "\n".join(parts)


def _counts(comparisons: Sequence[Comparison]) -> str:
    verdicts = [comparison.verdict for comparison in comparisons]
    agree, differ = verdicts.count(AGREES), verdicts.count(DIFFERS)
    return f"{agree} agree, {differ} do not agree, {len(verdicts) - agree - differ} n/a."


def _table(which: str, comparisons: Sequence[Comparison]) -> str:
    """Published numbers, the measured ones beside them, and the verdict."""
    quantities = ("accuracy %", "unique integers", "range", "bits", "zip (MiB)")
    heads = ["verdict", "source", "scheme", "granularity", "strength", "start",
             *(f"{name}, {whose}" for name in quantities for whose in ("published", "measured")), "why", "note"]
    return table(f"published, {which}", heads, [_row(comparison) for comparison in comparisons])


def _row(comparison: Comparison) -> list[Cell]:
    published, point = comparison.published, comparison.measured
    start = str(published.start or (point or {}).get("start", ""))
    stated = "" if published.start or published.scheme == "float" else " (not stated)" if start else "not stated"
    wrong = comparison.reason.split(", ") if comparison.verdict == DIFFERS else []

    def beside(quantity: str, stated: str, by: float | None, name: str, write: Callable[[Point], str]) -> list[Cell]:
        """What was published and, if something was, what was measured; sorted by `by` and by the measure `name`."""
        left = Cell(stated, "" if by is None else by, "number")
        if by is None or point is None:
            return [left, number(None)]
        return [left, Cell(write(point), point[name], "number differs" if quantity in wrong else "number")]

    zip_name = "bytes_float32_zip" if published.scheme == "float" else "bytes_int8_zip"
    ends = "" if published.integer_min is None else f"{published.integer_min}..{published.integer_max}"
    words = (published.source, published.scheme, published.granularity or "")
    return [
        Cell(comparison.verdict, comparison.verdict, "differs" if wrong else ""), *(Cell(word, word) for word in words),
        number(published.strength, style.number), Cell(start + stated, start + stated),
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
