"""How far accuracies lie apart by chance alone: by the images that judge, and by the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minilq.experiments.pareto import Point

ERRORS = 2.0
"""Standard errors of a difference that are more than chance: 95 of 100 times it stays below."""


@dataclass(frozen=True)
class Chance:
    """What chance alone does to the accuracies of a sweep.

    images      on which networks are judged, None where its points do not tell
    deviation   standard deviation of the accuracy from seed to seed, of all networks together; None for one seed each
    freedom     its degrees of freedom: seeds less networks
    """

    images: int | None
    deviation: float | None
    freedom: int

    def of_images(self, accuracy: float) -> float:
        """Standard error of an accuracy as one of all such images: of n, sqrt(a (1 - a) / n); 0 where n is not known.

        >>> round(Chance(10_000, None, 0).of_images(0.97), 5)
        0.00171
        """
        return 0.0 if self.images is None else math.sqrt(accuracy * (1 - accuracy) / self.images)

    def of_seeds(self, seeds: int, others: int) -> float:
        """Standard error of the difference of two means over so many seeds, on these images; 0 where it is not known.

        >>> round(Chance(None, 0.002, 4).of_seeds(3, 3), 5)
        0.00163
        """
        return 0.0 if self.deviation is None else self.deviation * math.sqrt(1 / seeds + 1 / others)

    def error(self, one: Point, other: Point) -> float:
        """Standard error of the difference of two pooled points, of images and seeds, as if the two erred on different
        images."""
        parts = (self.of_images(one["accuracy"]), self.of_images(other["accuracy"]),
                 self.of_seeds(len(one["seeds"]), len(other["seeds"])))
        return math.hypot(*parts)

    def better(self, one: Point, other: Point) -> bool:
        """Whether a pooled point is more accurate than another by more than chance."""
        return bool(one["accuracy"] - other["accuracy"] > ERRORS * self.error(one, other))


def chance_of(points: Sequence[Point]) -> Chance:
    """What chance does in a sweep, from its pooled points.

    >>> chance_of([{"seeds": [1, 2, 3], "deviation": {"accuracy": 0.001}, "validation_images": 10_000}])
    Chance(images=10000, deviation=0.001, freedom=2)
    """
    images = min((int(point.get("validation_images") or 0) for point in points), default=0)
    several = [(len(point["seeds"]) - 1, point["deviation"]["accuracy"]) for point in points if len(point["seeds"]) > 1]
    freedom = sum(own for own, _ in several)
    deviation = math.sqrt(sum(own * spread**2 for own, spread in several) / freedom) if several else None
    return Chance(images or None, deviation, freedom)
