"""A sweep in short, at the top of its page: what can be told apart, the front as far as it can, the best by bits."""

from __future__ import annotations

import math

from minilq.experiments.chance import ERRORS
from minilq.experiments.pareto import Point, front
from minilq.report import sweep_style as style
from minilq.report.page_tables import Cell, kilo, number, table
from minilq.report.sweep_data import SweepData

SIZE = "bytes_entropy"
BITS = (1, 2, 3, 4, 8)


def told_apart(sweep: SweepData) -> str:
    """How large a difference of accuracies must be before it says something: by the images, by the seeds, by both."""
    if not sweep.quantized:
        return ""
    best = max(sweep.quantized, key=lambda point: float(point["accuracy"]))
    chance, level, seeds = sweep.chance, best["accuracy"], len(best["seeds"])
    said = []
    if chance.images is not None:
        said.append(f"{chance.images:,} images judge: {100 * level:.2f} % is known to ± "
                    f"{_points(chance.of_images(level))} points (binomial standard error).")
    if chance.deviation is None:
        said.append("Each network was trained with one seed: how far seeds spread is not known here.")
    else:
        mean = "one seed" if seeds == 1 else f"the mean of {seeds} seeds"
        said.append(f"Seeds deviate by {_points(chance.deviation)} points (all networks together, {chance.freedom} "
                    f"degrees of freedom); on these images {mean} and another differ by more than chance from "
                    f"{_points(ERRORS * chance.of_seeds(seeds, seeds))} points on.")
    if (least := ERRORS * chance.error(best, best)) > 0:
        said.append(f"<strong>Differences below {_points(least)} points say nothing</strong> about other images (two "
                    "standard errors, as if two networks erred on different ones).")
    return f"<p>{' '.join(said)}</p>"


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def front_in_short(sweep: SweepData) -> list[Point]:
    """Of the front of accuracy against entropy-coded size, from the smallest on, what is better than the one before by
    more than chance; above where figures are cut."""
    cut = style.lowest_shown([point["accuracy"] for point in sweep.quantized]) or 0
    kept: list[Point] = []
    for point in front([*sweep.quantized, *sweep.rounded], SIZE):
        if point["accuracy"] >= cut and (not kept or sweep.chance.better(point, kept[-1])):
            kept.append(point)
    return kept


def best_by_bits(sweep: SweepData) -> list[tuple[int, Point, Point | None]]:
    """For each number of bits that there is: bits, the most accurate trained network that needs no more, and the most
    accurate rounding, None where none is so small."""
    found: list[tuple[int, Point, Point | None]] = []
    for bits in BITS:
        own = [[point for point in points if width(point) <= bits] for points in (sweep.quantized, sweep.rounded)]
        if own[0]:
            trained, free = (max(points, key=lambda p: (p["accuracy"], -p[SIZE]), default=None) for points in own)
            assert trained is not None
            found.append((bits, trained, free))
    return found


def width(point: Point) -> float:
    """The bits that tell all integers of a network apart; those of each number in a file where they are more: where
    numbers stay floats, integers only say which."""
    return max(float(point["bits_unique"]), 8 * point[SIZE] // point["parameters"])


def short(sweep: SweepData) -> str:
    """Both as tables; "" before a quantized network is finished."""
    if not sweep.quantized:
        return ""
    apart = len(style.variants(sweep.quantized)) > 1
    every = len(front([*sweep.quantized, *sweep.rounded], SIZE))
    kept = front_in_short(sweep)
    best = max((point["accuracy"] for point in sweep.baselines), default=math.nan)
    heads = ["entropy-coded (kB)", "times smaller", "accuracy %", "below float", "network"]
    rows = [[number(point[SIZE] / 1000, kilo), number(point["bytes_float32"] / point[SIZE], kilo), _accuracy(point),
             _below(point, best), Cell(words := style.described(point, apart), words)] for point in kept]
    of_bits = [[number(bits), _accuracy(point), _below(point, best), number(point[SIZE] / 1000, kilo),
                Cell(words := style.described(point, apart), words),
                number(None) if free is None else _accuracy(free)] for bits, point, free in best_by_bits(sweep)]
    chance = " by more than chance" * (sweep.chance.error(kept[0], kept[0]) > 0)
    return (f"<p>The front, accuracy against everything that a file needs: of {every} networks on it, from the "
            f"smallest on, the {len(kept)} that are better than the one before{chance}.</p>"
            f"{table('the front in short', heads, rows)}"
            "<p>The most accurate network with at most so many bits for each number: one tells two integers apart, two "
            "four. Beside it the most accurate of the float network merely rounded.</p>" + table("the best by bits", [
                "bits", "accuracy %", "below float", "entropy-coded (kB)", "network", "merely rounded: accuracy %"],
                of_bits))


def _accuracy(point: Point) -> Cell:
    deviation = point["deviation"]["accuracy"]
    spread = f" ± {_points(deviation / math.sqrt(len(point['seeds'])))}" if deviation == deviation else ""
    return number(100 * point["accuracy"], lambda value: f"{value:.2f}{spread}")


def _below(point: Point, best: float) -> Cell:
    return number(None) if best != best else number(100 * (best - point["accuracy"]), "{:+.2f}".format)
