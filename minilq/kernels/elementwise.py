"""Compiled twins of elementwise operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts


def rectified(x: Any) -> Array:
    if not isinstance(x, np.ndarray) or not fits(x):     # a plain number has no dtype to ask for
        return NotImplemented
    y = np.empty_like(x)
    in_parts(_rectified, x.size, x.size, x.reshape(-1), y.reshape(-1))
    return y


@jit()
def _rectified(x, y, start, stop):  # type: ignore[no-untyped-def]
    zero = x.dtype.type(0)
    x, y = x[start:stop], y[start:stop]          # a loop from 0 is known to have no negative index, and is vectorised
    for i in range(len(x)):
        y[i] = zero if x[i] <= zero else x[i]    # <= so that NaN stays, and -0 becomes 0


def where_positive(g: Array, y: Array) -> Array:
    if not fits(g, y):
        return NotImplemented
    dx = np.empty_like(g)
    in_parts(_where_positive, g.size, g.size, g.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx


@jit()
def _where_positive(g, y, dx, start, stop):  # type: ignore[no-untyped-def]
    zero, one = g.dtype.type(0), g.dtype.type(1)
    g, y, dx = g[start:stop], y[start:stop], dx[start:stop]
    for i in range(len(g)):
        dx[i] = g[i] * (one if y[i] > zero else zero)    # a product, so that infinity and NaN do as in the reference
