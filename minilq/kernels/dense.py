"""Compiled twin of the matrix product, for a left side that is mostly zeros, as the images of MNIST are (81 %)."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import SUMS, jit
from minilq.kernels.row_tile import LINE, VECTORS, sum_of_rows

# Measured against OpenBLAS on one thread, at 81 % zeros: 1.4 times as fast for rows of 128, 2.3 for 512; slower for 64.
ROW = 128
ZEROS = 0.75


def product(a: Array, b: Array) -> Array:
    n, m = len(a), b.shape[1]
    if not LINE or m < ROW or a.shape[1] != len(b) or not (fits(b, a) or fits(b, a.T)):
        return NotImplemented
    y = np.empty((n, m), b.dtype)
    good = _product(a.ravel("K"), b.ravel(), y.ravel(), a.shape, a.flags.c_contiguous, m, LINE // b.itemsize, ZEROS)
    return y if good else NotImplemented


@jit(SUMS)
def _product(a, b, y, shape, by_rows, m, lanes, zeros):  # type: ignore[no-untyped-def]
    # y_i = sum of a_ik b_k over the k with a_ik != 0, in the order of k; whether it was right to do so
    n, K = shape
    if not _mostly_zeros(a, n if by_rows else K, zeros) or not _finite(b):
        return False
    down, right = (K, 1) if by_rows else (1, n)          # a_ik stands at i down + k right
    columns = VECTORS * lanes
    shift = np.uintp(lanes - b.ctypes.data // b.itemsize % lanes)
    rows, values = np.empty(K, np.uintp), np.empty(K, b.dtype)   # those k; unsigned, or each is tested for a minus
    for i in range(n):
        found = np.uintp(0)
        for k in range(K):
            value = a[i * down + k * right]
            rows[found], values[found] = k, value        # overwritten when value is 0: no branch to mispredict
            found += np.uintp(value != 0)
        for j in range(0, m, columns):           # the last tile may overlap the one before it
            first = min(j, m - columns)
            sum_of_rows(values, rows, found, b, m, first, shift, y, i * m + first)
    return True


@jit(inline=True)
def _mostly_zeros(a, lines, wanted):  # type: ignore[no-untyped-def]
    # an estimate: every eighth of the rows, or columns, one of which stands behind the other
    length, seen, zeros = a.size // max(lines, 1), 0, 0
    for line in range(0, lines, 8):
        for i in range(line * length, (line + 1) * length):
            zeros += a[i] == 0
        seen += length
    return zeros >= wanted * seen


@jit(inline=True)
def _finite(b):  # type: ignore[no-untyped-def]
    # 0 * infinity is NaN: where b is not finite, no zero may be skipped
    zero = b.dtype.type(0)
    total = zero
    for i in range(b.size):
        total += b[i] * zero
    return total == zero
