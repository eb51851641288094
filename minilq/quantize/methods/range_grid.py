"""The grid of a range: from smallest and largest number to a scale and a zero point, and the codes on it."""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array

WITHOUT_ZERO = ("extend", "shift")
LEAST_SCALE = float(np.finfo(np.float32).eps)
"""The scale of a range of no width, as in PyTorch."""


def codes(x: Array, scale: Array, zero: Array, low: int, high: int) -> Array:
    """The codes, as floats."""
    return np.asarray(np.clip(np.rint(x / scale) + zero, low, high))


def scale_and_zero(a: Array, b: Array, low: int, high: int, symmetric: bool = False,
                   without_zero: str = "extend") -> tuple[Array, Array]:
    """The grid of codes low .. high for numbers in a .. b, on which 0 is a code, zero, exactly: (scale, zero).

    The range is extended to hold 0; with without_zero="shift", as in TensorFlow, one without 0 keeps its width and is
    moved to it. symmetric: zero is the middle code, and the larger of -a and b reaches (high - low) / 2 codes from it
    (PyTorch: 127.5 for int8). What is no wider than 2^-23 per code gets that scale.

    Shapes      a, b of one shape and float dtype -> scale alike, zero int64

    >>> scale_and_zero(np.array([-1.0]), np.array([2.0]), 0, 15)
    (array([0.2]), array([5]))
    >>> scale_and_zero(np.array([0.4]), np.array([2.0]), 0, 15, without_zero="shift")[0]
    array([0.10666667])
    """
    if symmetric or without_zero == "extend":
        a, b = np.minimum(a, 0), np.maximum(b, 0)
    width = 2 * np.maximum(-a, b) if symmetric else b - a
    scale = np.maximum(width / (high - low), LEAST_SCALE).astype(a.dtype)
    if symmetric:
        return scale, np.full(scale.shape, (low + high + 1) // 2)
    return scale, np.clip(low - np.rint(a / scale), low, high).astype(np.int64)
