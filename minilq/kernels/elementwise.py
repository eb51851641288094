"""Compiled twins of elementwise operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import jit


def rectified(x: Any) -> Array:
    if not isinstance(x, np.ndarray) or not fits(x):     # a plain number has no dtype to ask for
        return NotImplemented
    y = np.empty_like(x)
    _rectified(x, y)
    return y


@jit()
def _rectified(x, y):  # type: ignore[no-untyped-def]
    zero = x.dtype.type(0)
    x, y = x.reshape(x.size), y.reshape(x.size)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]    # <= so that NaN stays, and -0 becomes 0


def where_positive(g: Array, y: Array) -> Array:
    if not fits(g, y):
        return NotImplemented
    dx = np.empty_like(g)
    _where_positive(g, y, dx)
    return dx


@jit()
def _where_positive(g, y, dx):  # type: ignore[no-untyped-def]
    zero, one = g.dtype.type(0), g.dtype.type(1)
    g, y, dx = g.reshape(g.size), y.reshape(g.size), dx.reshape(g.size)
    for i in range(g.size):
        dx[i] = g[i] * (one if y[i] > zero else zero)    # a product, so that infinity and NaN do as in the reference
