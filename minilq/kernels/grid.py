"""The compiled twin of the codes of an evenly spaced grid.

A code is rint(t) with t = (x - offset) / scale + zero in float64, halves up. In float32, t comes of one product and one
sum, of twice as many numbers at once, and is wrong by less than UNSURE. So rint(t) is right wherever t is further than
that from a half, as it is for pixels; blocks of numbers in which it is not are made again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import SUMS, jit
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COMPILED, ask_ahead

UNSURE = 2.0**-13
"""Of float32 t within -1 .. 256: x / scale is at most 2^9 and a bit where the shift is at most 2^8, and so its two
roundings and those of the shift and of the sum make little more than 3 times 2^-15."""
BLOCK, AHEAD = 256, 1 << 12
"""Numbers, and bytes of `ask_ahead`. Measured."""


def codes_on(x: Array, scale: Array, zero: int | Array, offset: float | Array, half: float, top: int,
             dtype: type[Any]) -> tuple[Array, bool]:
    if not fits(x) or scale.ndim or getattr(zero, "ndim", 0) or getattr(offset, "ndim", 0):
        return NotImplemented
    q, finite = np.empty(x.shape, dtype), np.ones(1, np.bool_)
    step, middle, begin = float(scale), float(zero), float(offset)
    line, shift = (step, middle, begin, half, float(top)), middle - begin / step
    if not COMPILED:
        with np.errstate(invalid="ignore"):      # of infinity and NaN
            _codes_on(x.reshape(-1), *line, q.reshape(-1), finite, 0, x.size)
    elif x.dtype.char == "f" and top <= 255 and half == 0.5 and abs(shift) <= 256 and 1e-30 < step < 1e30:
        in_parts(_codes_of_singles, x.size, x.size, x.reshape(-1), 1 / step, shift, *line, q.reshape(-1), finite)
    else:
        in_parts(_codes_on, x.size, x.size, x.reshape(-1), *line, q.reshape(-1), finite)
    return q, bool(finite[0])


@jit(SUMS)
def _codes_on(x, scale, zero, offset, half, top, q, finite, start, stop):  # type: ignore[no-untyped-def]
    # the only sum whose order is free is `lost`, of what is infinite or NaN
    x, q = x[start:stop], q[start:stop]          # so that the loops are vectorised
    nothing, one, largest = x.dtype.type(0), x.dtype.type(1), np.finfo(x.dtype).max
    lost = nothing
    for i in range(len(x)):
        lost += nothing if abs(x[i]) <= largest else one
        k = np.floor((np.float64(x[i]) - offset) / scale + half) + zero
        k = k if k > 0.0 else 0.0
        q[i] = np.int32(top if k > top else k)
    if lost > nothing:
        finite[0] = False


@jit(SUMS)
def _codes_of_singles(x, factor, shift, scale, zero, offset, half, top, q, finite,  # type: ignore[no-untyped-def]
                      start, stop):
    nothing, one, most, near = np.float32(0), np.float32(1), np.float32(top), np.float32(0.5 - UNSURE)
    factor, shift = np.float32(factor), np.float32(shift)
    for begin in range(start, stop, BLOCK):
        end = min(begin + BLOCK, stop)
        x_b, q_b, unsure = x[begin:end], q[begin:end], nothing
        ask_ahead(x, begin, BLOCK, AHEAD)
        for i in range(len(x_b)):
            t = x_b[i] * factor + shift
            k = np.rint(t)
            unsure += nothing if abs(t - k) < near else one      # NaN for infinity too
            k = k if k > nothing else nothing
            q_b[i] = np.int32(most if k > most else k)
        if unsure > nothing:
            _codes_on(x, scale, zero, offset, half, top, q, finite, begin, end)
