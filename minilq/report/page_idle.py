"""On a sweep's page, warnings where its experiment says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from minilq.experiments.pareto import Point
from minilq.report import sweep_style as style
from minilq.report.sweep_data import SweepData
from minilq.report.text import shown

SAME = 0.05
"""The share by which numbers of integers may differ and still be the same: seeds move 20 integers by one."""


def idle(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Neighbours in strength, alike in all else, that have come to the same number of integers.

    >>> same = {"scheme": "inverse", "granularity": "row", "start": "scratch", "input": "raw", "rounding": "floor"}
    >>> points = [{**same, "strength": 10.0**-i, "unique_integers": n} for i, n in ((9, 254), (8, 255), (7, 120))]
    >>> [(one["strength"], other["strength"]) for one, other in idle(points)]
    [(1e-09, 1e-08)]
    """
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        if point["scheme"] in style.SCHEMES and point["strength"]:
            key = tuple(point.get(name) for name in (
                "scheme", "granularity", "start", "input", "rounding", "variant", "epochs", "steps"))
            groups.setdefault(key, []).append(point)
    return [(one, other) for group in groups.values()
            for one, other in pairwise(sorted(group, key=lambda point: float(point["strength"])))
            if abs(one["unique_integers"] - other["unique_integers"])
            <= SAME * max(one["unique_integers"], other["unique_integers"])]


def warnings(sweep: SweepData) -> list[str]:
    """What the experiment does not tell, each as a paragraph."""
    said = []
    pairs = idle(sweep.quantized)
    frozen = {point["members"][0]["name"]: point for pair in pairs for point in pair}
    if frozen:
        schemes = style.schemes(list(frozen.values()))
        counts = [f"{style.style_of(scheme).label} {sum(p['scheme'] == scheme for p in frozen.values())} of "
                  f"{sum(p['scheme'] == scheme for p in sweep.quantized)}" for scheme in schemes]
        one, other = pairs[0]
        said.append(
            f"<strong>In {len(frozen)} of {len(sweep.quantized)} networks the strength says nothing</strong>: the next "
            f"one comes to the same number of integers ({shown(', '.join(counts))}; {shown(style.described(one))} has "
            f"{one['unique_integers']:.0f}, {shown(style.described(other))} {other['unique_integers']:.0f}). Their "
            "scales went as far as steps of the learning rate take them, or did not move; more epochs, or other "
            "strengths, would tell.")
    if sweep.quantized and sweep.baselines:
        best = max(sweep.quantized, key=lambda point: float(point["accuracy"]))
        level = [point for point in sweep.quantized if not sweep.chance.better(best, point)]
        if len(level) == len(sweep.quantized) > 1:
            said.append("<strong>No network is told apart from the best</strong>: by accuracy this sweep says nothing "
                        "about what is better.")
    return [f"<p>{text}</p>" for text in said]
