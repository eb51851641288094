"""Compiled twins of the rescaling of integer inference: from sums to codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts


def rescaled(v: Array, factor: Array, offset: Array, low: Array, high: Array, shift: Array, dtype: type[Any]) -> Array:
    q = np.empty(v.shape, dtype)
    C = factor.size
    rows = np.ascontiguousarray(v).reshape(-1, C)
    in_parts(_rescaled, len(rows), v.size, rows, factor.reshape(C), offset.reshape(C), low.reshape(C), high.reshape(C),
             shift.reshape(C), q.reshape(-1, C))
    return q


@jit()
def _rescaled(v, factor, offset, low, high, shift, q, start, stop):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        for c in range(len(factor)):
            q[i, c] = min(max(v[i, c] * factor[c] + offset[c], low[c]), high[c]) >> shift[c]


def add_product(total: Array, v: Array, factor: Array) -> None:
    C = factor.size
    rows = np.ascontiguousarray(v).reshape(-1, C)
    in_parts(_add_product, len(rows), v.size, total.reshape(-1, C), rows, factor.reshape(C))


@jit()
def _add_product(total, v, factor, start, stop):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        for c in range(len(factor)):
            total[i, c] += v[i, c] * factor[c]
