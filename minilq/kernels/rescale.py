"""Compiled twins of the rescaling of integer inference: from sums to codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts

MANY = 16
"""So many rows repay a division for each channel."""
LEAST, MOST = -2**31, 2**31 - 1


def rescaled(v: Array, factor: Array, offset: Array, low: Array, high: Array, shift: Array, dtype: type[Any]) -> Array:
    q = np.empty(v.shape, dtype)
    C = factor.size
    rows = np.ascontiguousarray(v).reshape(-1, C)
    if v.dtype == np.int32 and len(rows) >= MANY and of_one_bit(low, high, shift):
        bounds, below = bounds_of(factor, offset, low, high, shift)
        in_parts(_compared, len(rows), v.size, rows, bounds, below, q.reshape(-1, C))
        return q
    in_parts(_rescaled, len(rows), v.size, rows, factor.reshape(C), offset.reshape(C), low.reshape(C), high.reshape(C),
             shift.reshape(C), q.reshape(-1, C))
    return q


@jit()
def _rescaled(v, factor, offset, low, high, shift, q, start, stop):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        for c in range(len(factor)):
            q[i, c] = min(max(v[i, c] * factor[c] + offset[c], low[c]), high[c]) >> shift[c]


def of_one_bit(low: Array, high: Array, shift: Array) -> bool:
    """Whether clip(..., low, high) >> shift is 0 or 1 in each channel."""
    return bool((low >= 0).all() and (high >> shift <= 1).all())


def bounds_of(*parts: Array) -> tuple[Array, Array]:
    """(bounds, below), (C,), of factor, offset, low, high and shift: the code is 1 where (v >= bounds) != below."""
    C = parts[0].size
    bounds, below = np.empty(C, np.int32), np.empty(C, np.bool_)
    _bounds(*(part.reshape(C) for part in parts), bounds, below)
    return bounds, below


@jit()
def _bounds(factor, offset, low, high, shift, bounds, below):  # type: ignore[no-untyped-def]
    # codes 0 and 1:  clip(v m + b, low, high) >> n is 1 where v m + b >= 2^n, and so where v is at least
    # ceil((2^n - b) / m), m > 0, or at most floor((2^n - b) / m), m < 0
    for c in range(len(factor)):
        m, one = factor[c], np.int64(1) << shift[c]
        bound, below[c] = np.int64(LEAST), False                     # all of them
        if low[c] < one:
            if high[c] < one or (m == 0 and offset[c] < one):
                below[c] = True                                      # none
            elif m > 0:
                bound = -((offset[c] - one) // m)
            elif m < 0:
                bound, below[c] = (one - offset[c]) // m + 1, True
        if bound > MOST:
            bound, below[c] = np.int64(LEAST), not below[c]
        bounds[c] = max(bound, LEAST)


@jit()
def _compared(v, bounds, below, q, start, stop):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        for c in range(len(bounds)):
            q[i, c] = (v[i, c] >= bounds[c]) != below[c]


def add_product(total: Array, v: Array, factor: Array) -> None:
    C = factor.size
    rows = np.ascontiguousarray(v).reshape(-1, C)
    in_parts(_add_product, len(rows), v.size, total.reshape(-1, C), rows, factor.reshape(C))


@jit()
def _add_product(total, v, factor, start, stop):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        for c in range(len(factor)):
            total[i, c] += v[i, c] * factor[c]
