"""Which points of a sweep are worth having: seeds pooled, dominated points told from the Pareto front.

A point is the dict that `sweep.read_points` gives: settings, measures, its seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from minilq.errors import ConfigError, NonFiniteError

Point = Mapping[str, Any]

SETTINGS = ("scheme", "granularity", "strength", "rounding", "start", "input", "variant", "data", "model", "epochs",
            "steps", "train_images")
"""What makes two points the same but for their seed; a float baseline has only some of them."""

MEASURES = ("accuracy", "loss", "unique_integers", "integer_min", "integer_max", "range", "bits", "bits_unique",
            "entropy", "zero_share", "sqnr", "bytes_float32", "bytes_float32_zip", "bytes_int8_zip", "bytes_packed",
            "bytes_entropy", "parameters", "scales")

COSTS = ("unique_integers", "range", "bits", "bytes_packed", "bytes_entropy")
"""What is set against accuracy; of each the less, the better. range is integer_max - integer_min + 1."""


def pool(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Points that differ in nothing but the seed as one, in the order of the first of each.

    A pooled point has the settings; the mean over the seeds of every measure, and "range"; "deviation", the standard
    deviation of every measure (n - 1 below the line; nan of a single seed, or where a loss is not finite); "seeds" in
    ascending order; "members", the points themselves in that order.

    Raises ConfigError when two points have the same settings and the same seed.

    >>> one, two = ({"scheme": "float", "seed": seed, "accuracy": a} for seed, a in ((2, 0.5), (1, 0.75)))
    >>> pooled, = pool([one, two])
    >>> pooled["accuracy"], round(pooled["deviation"]["accuracy"], 4), pooled["seeds"]
    (0.625, 0.1768, [1, 2])
    """
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(tuple(point.get(name) for name in SETTINGS), []).append(point)
    return [_pooled(sorted(group, key=lambda point: point["seed"])) for group in groups.values()]


def _pooled(members: list[Point]) -> dict[str, Any]:
    seeds = [point["seed"] for point in members]
    if len(set(seeds)) < len(seeds):
        twice = max(seeds, key=seeds.count)
        names = ", ".join(str(point.get("name")) for point in members if point["seed"] == twice)
        raise ConfigError("pool", "points of the same settings must differ in the seed", got=f"{names} of seed {twice}")
    values = {name: [measure(point, name) for point in members] for name in MEASURES if has(members[0], name)}
    images = min(int(point.get("validation_images", 0)) for point in members)            # 0 in earlier versions
    return {**{name: members[0][name] for name in SETTINGS if name in members[0]},
            "validation_images": images or None,
            **{name: fmean(each) for name, each in values.items()},
            "deviation": {name: _deviation(each) for name, each in values.items()},
            "seeds": seeds, "members": members}


def _deviation(values: list[float]) -> float:
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else math.nan


def has(point: Point, name: str) -> bool:
    """Whether a point has a measure: float baselines have no integers."""
    return ("integer_max" if name == "range" else name) in point


def measure(point: Point, name: str) -> float:
    """A measure of one point; "range", which no result.json holds, from the two ends."""
    if name == "range" and "range" not in point:
        return float(point["integer_max"] - point["integer_min"] + 1)
    return float(point[name])


def dominated(points: Sequence[Point], cost: str) -> list[bool]:
    """For each point, whether another is better: costs no more, is as accurate, and not the same in both.

    Ties: points with equal cost and equal accuracy do not dominate each other, so they are on the front together or
    not at all. Of points that cost the same only the most accurate are on the front, and of points of the same
    accuracy only the cheapest. The order of the points does not matter, and nothing changes under a strictly growing
    transformation of the cost, such as its logarithm, or of the accuracy.

    Raises NonFiniteError for a cost or an accuracy that is no finite number.

    >>> points = [{"bits": 4, "accuracy": 0.95}, {"bits": 5, "accuracy": 0.96}, {"bits": 5, "accuracy": 0.94}]
    >>> dominated(points, "bits")
    [False, False, True]
    """
    costs = np.array([measure(point, cost) for point in points])
    accuracies = np.array([measure(point, "accuracy") for point in points])
    if not (np.isfinite(costs).all() and np.isfinite(accuracies).all()):
        raise NonFiniteError("dominated", f"{cost} and accuracy must be finite numbers", got="nan or an infinity")
    # [i, j]: is j better than i?
    as_good = (costs <= costs[:, None]) & (accuracies >= accuracies[:, None])
    better = as_good & ((costs < costs[:, None]) | (accuracies > accuracies[:, None]))
    return [bool(row.any()) for row in better]


def front(points: Sequence[Point], cost: str) -> list[Point]:
    """The points that no other dominates, from the cheapest to the most accurate."""
    kept = [point for point, worse in zip(points, dominated(points, cost), strict=True) if not worse]
    return sorted(kept, key=lambda point: measure(point, cost))
