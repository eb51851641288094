"""The scale that fits given codes best, and codes that fit the scale, in turns: alternating least squares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minilq.arguments import check_whole
from minilq.autodiff.tape import Array
from minilq.post.ranges import Range, min_max, numbers
from minilq.post.squared_error import sample
from minilq.quantize.methods.range_grid import codes, scale_and_zero


def alternating(x: Array, scale: float, low: int, high: int, zero: int = 0) -> Iterator[float]:
    """Scales s, the given one first, each the best for the codes of the one before, without an end.

        k = clip(round(x / s) + zero, low, high) - zero,   d/ds sum (x - s k)^2 = 0   =>   s = sum x k / sum k^2

    No step makes the error larger, and none leaves a local minimum. Where all codes are 0, s stays.
    Source      QKeras, least squares of `quantized_bits(alpha="auto")`

    >>> from itertools import islice
    >>> [round(s, 3) for s in islice(alternating(np.array([0.9, 2.2, 3.2]), 1.0, -4, 3), 3)]
    [1.0, 1.064, 1.064]
    """
    x = numbers("alternating", x).astype(np.float64)
    while True:
        yield scale
        k = codes(x, np.asarray(scale), np.asarray(zero), low, high) - zero
        if k.any():
            scale = abs(float(np.vdot(x, k) / np.vdot(k, k))) or scale


def least_squares(x: Array, low: int, high: int, symmetric: bool = False, steps: int = 20) -> Range:
    """The range of the scale after so many turns, from that of smallest and largest number, the zero point held."""
    check_whole("least_squares", "steps", steps)
    x = sample(numbers("least_squares", x))
    a, b = (np.array([end], np.float64) for end in min_max(x))
    scale, zero = scale_and_zero(a, b, low, high, symmetric)
    path = alternating(x, scale.item(), low, high, zero.item())
    for _ in range(steps):
        next(path)
    s = next(path)
    half = (high - low) / 2
    return (-half * s, half * s) if symmetric else (s * (low - zero.item()), s * (high - zero.item()))
