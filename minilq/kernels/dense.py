"""Compiled twin of the matrix product, for a left side that is mostly zeros, as the images of MNIST are (81 %)."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import SUMS, jit

# Measured against OpenBLAS on one thread, at 81 % zeros: 1.4 times as fast for rows of 128, 2.3 for 512; slower for 64.
ROW = 128
ZEROS = 0.75


def product(a: Array, b: Array) -> Array:
    n, m = len(a), b.shape[1]
    if m < ROW or a.shape[1] != len(b) or not (fits(b, a) or fits(b, a.T)):
        return NotImplemented
    if not _mostly_zeros_and_finite(a if a.flags.c_contiguous else a.T, b, ZEROS):
        return NotImplemented
    y = np.empty((n, m), b.dtype)
    _product(a, b, y)
    return y


@jit(SUMS)
def _mostly_zeros_and_finite(a, b, wanted):  # type: ignore[no-untyped-def]
    # an estimate: every eighth row, or column where these are contiguous
    seen, zeros = 0, 0
    for i in range(0, a.shape[0], 8):
        for k in range(a.shape[1]):
            zeros += a[i, k] == 0
        seen += a.shape[1]
    if zeros < wanted * seen:
        return False
    # 0 * infinity is NaN: where b is not finite, no zero may be skipped
    zero = b.dtype.type(0)
    total = zero
    b = b.reshape(b.size)
    for i in range(b.size):
        total += b[i] * zero
    return total == zero


@jit(SUMS)
def _product(a, b, y):  # type: ignore[no-untyped-def]
    # y_i = sum of a_ik b_k over the k with a_ik != 0, in the order of k, four of them in one pass over y_i
    n, K = a.shape
    m = b.shape[1]
    at = np.empty(K, np.uintp)                   # those k; unsigned, or each look-up would test for a negative index
    for i in range(n):
        found = np.uintp(0)
        for k in range(K):
            at[found] = k                        # overwritten by the next when a_ik = 0: no branch to mispredict
            found += np.uintp(a[i, k] != 0)
        y_i = y[i]
        y_i[:] = 0
        fours = found - found % 4
        for t in range(0, fours, 4):
            k0, k1, k2, k3 = at[t], at[t + 1], at[t + 2], at[t + 3]
            a0, a1, a2, a3 = a[i, k0], a[i, k1], a[i, k2], a[i, k3]
            b0, b1, b2, b3 = b[k0], b[k1], b[k2], b[k3]
            for j in range(m):
                y_i[j] += a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j]
        for t in range(fours, found):
            a0, b0 = a[i, at[t]], b[at[t]]
            for j in range(m):
                y_i[j] += a0 * b0[j]
