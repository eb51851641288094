"""Ranges of least squared error: what is clipped, weighed against how fine the rest becomes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array
from minilq.post.ranges import Range, min_max, numbers
from minilq.quantize.gaussian import smallest
from minilq.quantize.methods.range_grid import codes, scale_and_zero

FRACTIONS = 100
"""Of the full range, that are tried before the search goes on around the best."""
MOST = 1 << 16
"""Numbers that an error is taken over."""


def squared_error(x: Array, a: float, b: float, low: int, high: int, symmetric: bool = False) -> float:
    """The mean of (x - y)^2 when x is rounded to codes low .. high over a .. b; see `scale_and_zero`.

    >>> squared_error(np.array([0.0, 0.4, 9.0]), 0, 3, 0, 3)
    12.053333333333333
    """
    x = numbers("squared_error", x).astype(np.float64)
    scale, zero = scale_and_zero(np.array([a], np.float64), np.array([b], np.float64), low, high, symmetric)
    return float(np.mean(np.square(x - scale * (codes(x, scale, zero, low, high) - zero))))


def least_squared_error(x: Array, low: int, high: int, symmetric: bool = False) -> Range:
    """The range a .. b within that of x for which codes low .. high leave the least `squared_error`.

    Both ends together are brought nearer to 0, to a hundred fractions of what they are, and from the best one on by
    golden sections; then each end alone. Of more than 65,536 numbers, as many at random and the two outermost.
    Source      Jiang 2021, equations 8 to 11; a grid and then golden sections, as the error has many small dents

    >>> a, b = least_squared_error(np.append(np.linspace(-1, 1, 1001), 1.2), -4, 3)
    >>> -1.2 < a < -0.8, 0.8 < b < 1.2
    (True, True)
    """
    x = sample(numbers("least_squared_error", x))
    a, b = min_max(x)
    a, b = min(a, 0.0), max(b, 0.0)

    def error(of_a: float, of_b: float) -> float:
        return squared_error(x, of_a * a, of_b * b, low, high, symmetric)

    both = least(lambda f: error(f, f))
    if symmetric or a == 0 or b == 0:
        return both * a, both * b
    of_b = least(lambda f: error(both, f), both)
    of_a = least(lambda f: error(f, of_b), both)
    return of_a * a, of_b * b


def least(f: Callable[[float], float], at_first: float = 1.0) -> float:
    """Where in 0..1 f is smallest, at_first where nothing is better."""
    tried = np.append(np.arange(1, FRACTIONS + 1) / FRACTIONS, at_first)
    errors = np.array([f(x) for x in tried])
    best = float(tried[errors.argmin()])
    found = smallest(f, max(best - 1 / FRACTIONS, 1e-3 / FRACTIONS), min(best + 1 / FRACTIONS, 1.0), within=1e-5)
    return found if f(found) < errors.min() else best


def sample(x: Array) -> Array:
    """Of too many numbers some at random, always the same, and the outermost."""
    if x.size <= MOST:
        return x
    some = np.random.default_rng(0).choice(x.reshape(-1), MOST)
    return np.concatenate([some, [x.min(), x.max()]])
