"""Beside what was trained, what costs nothing: on a sweep's page, its float network rounded to nearest, in words."""

from __future__ import annotations

from collections.abc import Sequence

from minilq.experiments.pareto import Point
from minilq.report import sweep_style as style
from minilq.report.sweep_data import SweepData
from minilq.report.text import shown

SIZE = "bytes_entropy"


def unbeaten(points: Sequence[Point], rounded: Sequence[Point]) -> list[Point]:
    """Points that no rounding equals: each that is as small is less accurate.

    >>> trained = [{"bytes_entropy": 9, "accuracy": 0.97}, {"bytes_entropy": 30, "accuracy": 0.96}]
    >>> unbeaten(trained, [{"bytes_entropy": 20, "accuracy": 0.96}])
    [{'bytes_entropy': 9, 'accuracy': 0.97}]
    """
    return [point for point in points if point["accuracy"] > (best_as_small(point, rounded) or 0)]


def best_as_small(point: Point, rounded: Sequence[Point]) -> float | None:
    """The accuracy of the best rounding that is no larger, None where there is none."""
    return max((float(one["accuracy"]) for one in rounded if one[SIZE] <= point[SIZE]), default=None)


def against_rounding(sweep: SweepData) -> str:
    """How many of the trained networks that are shown are better than rounding, where, and by how much at most."""
    if not (sweep.rounded and sweep.quantized):
        return ""
    floats = {member["name"]: member for point in sweep.baselines for member in point["members"]}
    name = sweep.rounded[0]["members"][0]["of"]
    cut = style.lowest_shown([point["accuracy"] for point in sweep.quantized])
    points = [point for point in sweep.quantized if cut is None or point["accuracy"] >= cut]
    better = unbeaten(points, sweep.rounded)
    above = "" if cut is None else f" above {100 * cut:.1f} %"
    which = "the float network" if len(floats) == 1 else f"the best of {len(floats)} float networks ({shown(name)})"
    text = (f"Nothing trained: {which}, {100 * floats[name]['accuracy']:.2f} %, rounded to nearest and entropy-coded, "
            f"is as small and as accurate as <strong>{len(points) - len(better)} of {len(points)}</strong> quantized "
            f"networks{above}.")
    return f"<p>{text}{_better(better, sweep) if better else ''}</p>"


def _better(better: Sequence[Point], sweep: SweepData) -> str:
    sizes = sorted(point[SIZE] / 1000 for point in better)
    where = f"has {sizes[0]:.1f} kB" if len(sizes) == 1 else f"have {sizes[0]:.1f} to {sizes[-1]:.1f} kB"
    furthest = max(better, key=lambda point: point["accuracy"] - (best_as_small(point, sweep.rounded) or 0))
    rival = best_as_small(furthest, sweep.rounded)
    beside = "no rounding was measured that is as small" if rival is None else f"rounding gives {100 * rival:.2f} %"
    words = shown(style.described(furthest, len(style.variants(sweep.quantized)) > 1))
    return (f" The other{'s' * (len(better) > 1)} {where}; furthest above it is <strong>{words}</strong>, "
            f"{100 * furthest['accuracy']:.2f} % with {furthest[SIZE] / 1000:.1f} kB, where {beside}.")
