"""The tables of `few_levels.py`, of what has been trained so far, as text in Markdown."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from few_levels_networks import SETS, Experiment

Row = dict[str, str]
Measured = dict[tuple[str, str], list[float]]
"""(network, method) -> accuracies in %, by seed."""


def table(name: str, rows: list[Row]) -> str:
    measured: Measured = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        measured[row["network"], row["method"]].append(float(row["accuracy"]))
    lines = {"mlp": beside_references, "deep": beside_published, "cnn": on_integers}[name](measured, rows)
    return "\n".join(line if line.startswith("|") else textwrap.fill(
        line, 120, subsequent_indent="  " * line.startswith("- ")) for line in lines)


def formatted(head: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    columns = head.split(" | ")
    yield f"| {head} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def mean_of(values: list[float]) -> str:
    """Mean, and its standard error where there is one."""
    error = f" +- {stdev(values) / math.sqrt(len(values)):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{error}" if values else "not run"


def free_rivals(measured: Measured, network: str) -> list[tuple[str, str]]:
    """Names and accuracies of float networks that were put on few levels."""
    return [(method, mean_of(values)) for (of, method), values in measured.items()
            if of == network and method.startswith("float, ")]


# --- the recipe that was run in PyTorch too -------------------------------------------------------------------------

def beside_references(measured: Measured, rows: list[Row]) -> Iterator[str]:
    yield from formatted("network | method | PyTorch, two seeds | minilq, its seeds | mean | apart | allowed | verdict",
                         [compared(one, measured[one.network, one.name]) for one in SETS["mlp"]])
    for network in ("mlp", "mlp_bn"):
        yield ""
        yield from formatted(f"{network}, not trained further | accuracy", free_rivals(measured, network))


def compared(one: Experiment, ours: list[float]) -> tuple[str, ...]:
    """Within what two seeds may be apart: the larger of a point and twice the gap between those of the reference."""
    theirs = one.reference
    allowed = max(1.0, 2 * abs(theirs[0] - theirs[1]))
    apart = fmean(ours) - fmean(theirs) if ours else math.nan
    enough = 2 if fmean(theirs) >= 95 else 5
    verdict = ("outside" if abs(apart) > allowed else f"within, but of {len(ours)} seeds" if len(ours) < enough
               else "within") if ours else "not run"
    return (one.network, one.name, ", ".join(f"{value:.2f}" for value in theirs),
            ", ".join(f"{value:.2f}" for value in ours), mean_of(ours), f"{apart:+.2f}", f"{allowed:.2f}", verdict)


# --- the protocol of Hou and Kwok -----------------------------------------------------------------------------------

def beside_published(measured: Measured, rows: list[Row]) -> Iterator[str]:
    errors = {one.name: [100 - right for right in measured[one.network, one.name]] for one in SETS["deep"]}
    yield from formatted(
        "method | published, 784-3x2048-10 | pilot, 784-3x256-10 | minilq, 784-3x256-10, its seeds | mean error",
        [(one.name, published(one), ", ".join(f"{value:.2f}" for value in one.reference[1:]) or "-",
          ", ".join(f"{value:.2f}" for value in errors[one.name]), mean_of(errors[one.name])) for one in SETS["deep"]])
    yield ""
    yield from formatted("not trained further | accuracy", free_rivals(measured, "mlp3"))
    yield ""
    several = {name: values for name, values in errors.items() if len(values) > 1}
    if left_out := [name for name in errors if name not in several]:
        yield f"Fewer than two seeds, and not compared: {', '.join(left_out)}."
        yield ""
    if len(several) > 1:
        yield from told_apart(several, {one.name: one.reference[0] for one in SETS["deep"]
                                        if one.reference and not math.isnan(one.reference[0])})


def published(one: Experiment) -> str:
    return f"{one.reference[0]:.2f}" if one.reference and not math.isnan(one.reference[0]) else "-"


@dataclass(frozen=True)
class Pair:
    """Two methods, the one with the smaller mean error first; the gap of their means and its standard error."""

    one: str
    other: str
    gap: float
    error: float
    chance: float


def pairs_of(errors: dict[str, list[float]]) -> tuple[list[Pair], float, int]:
    """All pairs, the surest first, by a t-test with the standard deviation of all methods together; this deviation, and
    its degrees of freedom."""
    freedom = sum(len(values) - 1 for values in errors.values())
    deviation = math.sqrt(sum((len(values) - 1) * stdev(values) ** 2 for values in errors.values()) / freedom)
    pairs = []
    for one, other in itertools.combinations(sorted(errors, key=lambda name: fmean(errors[name])), 2):
        error = deviation * math.sqrt(1 / len(errors[one]) + 1 / len(errors[other]))
        gap = fmean(errors[other]) - fmean(errors[one])
        pairs.append(Pair(one, other, gap, error, chance(gap / error, freedom)))
    return sorted(pairs, key=lambda pair: pair.chance), deviation, freedom


def told_apart(errors: dict[str, list[float]], published: dict[str, float]) -> Iterator[str]:
    """What the seeds can tell and what not: with Holm's correction for so many pairs, and beside what was published."""
    pairs, deviation, freedom = pairs_of(errors)
    alone = sum(pair.chance < 0.05 for pair in pairs)
    told = [pair for _, pair in itertools.takewhile(
        lambda item: item[1].chance < 0.05 / (len(pairs) - item[0]), enumerate(pairs))]
    yield (f"{len(pairs)} pairs of methods. Seeds deviate by {deviation:.3f} points (all methods together, {freedom} "
           f"degrees of freedom); a difference of means has a standard error of {max(p.error for p in pairs):.3f}. "
           f"At 5 %, each pair by itself, {alone} are told apart, of which chance gives {0.05 * len(pairs):.0f}; "
           f"when there are so many (Holm), {len(told)}:")
    yield ""
    for one in sorted({pair.one for pair in told}, key=lambda name: fmean(errors[name])):
        others = [f"{pair.other} ({pair.gap:.2f} +- {pair.error:.2f})" for pair in told if pair.one == one]
        yield f"- {one} errs less than {', '.join(others)}"
    yield f"- the other {len(pairs) - len(told)} pairs are not told apart"
    ordered = [pair for pair in pairs if pair.one in published and pair.other in published
               and published[pair.one] != published[pair.other]]
    same = sum(published[pair.other] > published[pair.one] for pair in ordered)
    gaps = sorted(abs(published[pair.other] - published[pair.one]) for pair in ordered)
    wide = sum(gap > 2 * max(p.error for p in pairs) for gap in gaps)
    yield ""
    yield (f"Published differences: of {len(ordered)} pairs {same} have their means in the same order here. The "
           f"largest is {gaps[-1]:.2f} points, the one in the middle {gaps[len(gaps) // 2]:.2f}; {wide} are "
           "larger than two standard errors of the differences here.")


def chance(t: float, freedom: int) -> float:
    """How likely a t as far from 0 is, without a difference.

    >>> round(chance(2.776, 4), 3), round(chance(2.0, 60), 3)
    (0.05, 0.05)
    """
    u = np.linspace(0, math.atan(abs(t) / math.sqrt(freedom)), 2001)         # t = sqrt(freedom) tan u
    density = np.cos(u) ** (freedom - 1)
    inside = float(((density[1:] + density[:-1]) / 2).sum() * (u[1] - u[0]))
    half = math.sqrt(math.pi) / 2 * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return max(0.0, 1 - inside / half)


# --- LeNet-5 --------------------------------------------------------------------------------------------------------

def on_integers(measured: Measured, rows: list[Row]) -> Iterator[str]:
    def each(mine: list[Row], column: str) -> str:
        return ", ".join(f"{int(row[column]):,}" if row[column] else "not run" for row in mine)

    by_method = {one.name: [row for row in rows if row["method"] == one.name] for one in SETS["cnn"]}
    yield from formatted(
        "method | accuracy, its seeds | of 10,000 images the same class on integers | the same as the float twin "
        "| bytes of the file",
        [(name, ", ".join(row["accuracy"] for row in mine), *(each(mine, column) for column in (
            "same", "as_twin", "bytes"))) for name, mine in by_method.items()])
    yield ""
    yield from formatted("LeNet-5, not trained further | accuracy", free_rivals(measured, "cnn"))
