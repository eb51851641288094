"""Compiled twin of the search for the nearest level, of all groups in one pass over x."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits, layout
from minilq.kernels.jit import jit


def nearest_level(x: Array, levels: Array) -> Array:
    if not (isinstance(x, np.ndarray) and isinstance(levels, np.ndarray) and fits(x, levels)) or len(levels) < 2:
        return NotImplemented
    groups = levels.shape[1:] or (1,)
    shape = layout(x.shape, groups) if len(groups) <= x.ndim else None
    if shape is None or x.size == 0 or np.isnan(levels).any():
        return NotImplemented
    table = levels.reshape(len(levels), -1).T                    # (groups, levels)
    order = np.argsort(table, axis=1, kind="stable")
    codes = np.empty(x.shape, np.intp)
    _nearest(x.reshape(shape), np.take_along_axis(table, order, 1), order, codes.reshape(shape))
    return codes


@jit()
def _nearest(x, levels, order, codes):  # type: ignore[no-untyped-def]
    A, G, B = x.shape
    last = levels.shape[1] - 1
    for a in range(A):
        for k in range(G):
            for b in range(B):
                v, above = x[a, k, b], 0
                for j in range(last):            # the first level that is not below v, or the last one
                    above += levels[k, j] < v
                above = last if v != v else max(above, 1)
                nearer = v - levels[k, above - 1] <= levels[k, above] - v
                codes[a, k, b] = order[k, above - 1 if nearer else above]
