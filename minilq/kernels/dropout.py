"""Compiled twin of dropout's product."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts


def masked(x: Array, mask: Array, keep: float) -> Array:
    if not fits(x) or not mask.flags.c_contiguous or isinstance(keep, np.floating):
        return NotImplemented
    y = np.empty_like(x)
    in_parts(_masked, x.size, x.size, x.reshape(-1), mask.reshape(-1), x.dtype.type(keep), y.reshape(-1))
    return y


@jit()
def _masked(x, mask, keep, y, start, stop):  # type: ignore[no-untyped-def]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    x, mask, y = x[start:stop], mask[start:stop], y[start:stop]
    for i in range(len(x)):
        y[i] = x[i] * (one if mask[i] else zero) / keep
