"""The compiled twin of the codes of an evenly spaced grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts


def codes_on(x: Array, scale: Array, zero: int | Array, offset: float | Array, half: float, top: int,
             dtype: type[Any]) -> Array:
    if not fits(x) or not scale.ndim == np.ndim(zero) == np.ndim(offset) == 0:
        return NotImplemented
    q = np.empty(x.shape, dtype)
    in_parts(_codes_on, x.size, x.size, x.reshape(-1), float(scale), float(zero), float(offset), half, float(top),
             q.reshape(-1))
    return q


@jit()
def _codes_on(x, scale, zero, offset, half, top, q, start, stop):  # type: ignore[no-untyped-def]
    x, q = x[start:stop], q[start:stop]          # so that the loops are vectorised
    if scale == 1:                               # pixels: a division is most of the time
        for i in range(len(x)):
            k = np.floor((x[i] - offset) + half) + zero
            k = 0.0 if k < 0.0 else k
            q[i] = np.int32(top if k > top else k)
    else:
        for i in range(len(x)):
            k = np.floor((x[i] - offset) / scale + half) + zero
            k = 0.0 if k < 0.0 else k
            q[i] = np.int32(top if k > top else k)
