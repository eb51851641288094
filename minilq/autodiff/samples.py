"""Sample points: where `minilq check` and the tests differentiate an operation. They stand beside its derivative.

`vjp_of(..., at=...)` takes a function of a random generator that returns the float64 arrays to differentiate at and the
other arguments by name. The functions below make such functions, each away from the kinks that its users have.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.autodiff.entry import SamplePoints
from minilq.autodiff.tape import Array

Shape = tuple[int, ...]


def normal(*shapes: Shape, **options: Any) -> SamplePoints:
    """Standard normal arrays of these shapes.

    >>> arrays, options = normal((3, 4), (4,), axis=0)(np.random.default_rng(0))
    >>> [a.shape for a in arrays], options
    ([(3, 4), (4,)], {'axis': 0})
    """
    return lambda rng: ([rng.standard_normal(shape) for shape in shapes], dict(options))


def uniform(low: float, high: float, *shapes: Shape, **options: Any) -> SamplePoints:
    """Arrays of these shapes, uniform in [low, high)."""
    return lambda rng: ([rng.uniform(low, high, shape) for shape in shapes], dict(options))


def off_whole(shape: Shape, **options: Any) -> SamplePoints:
    """One array in [-3, 3) that keeps away from whole numbers."""
    return lambda rng: ([away_from(np.arange(-3.0, 3.0), rng, shape)], dict(options))


def without_ties(shape: Shape, **options: Any) -> SamplePoints:
    """One array in which no two numbers are near each other."""
    return lambda rng: ([distinct(rng, shape)], dict(options))


def away_from(points: Array, rng: np.random.Generator, shape: Shape) -> Array:
    """Numbers at a distance of 0.05 to 0.95 above a random point each: never on a kink, by construction."""
    return rng.choice(points, shape) + rng.uniform(0.05, 0.95, shape)


def distinct(rng: np.random.Generator, shape: Shape) -> Array:
    """Positive numbers of which any two are at least 0.2 apart."""
    return rng.permutation(math.prod(shape)).reshape(shape) + rng.uniform(0.1, 0.9, shape)


def cells(rng: np.random.Generator, shape: Shape, s: Array) -> Array:
    """Parameters that stand well inside the cells of a grid with scale s: (cell + fraction) s, no tie, no bound."""
    fraction = np.where(rng.random(shape) < 0.5, rng.uniform(0.05, 0.45, shape), rng.uniform(0.55, 0.95, shape))
    return (rng.integers(-6, 6, shape) + fraction) * s
