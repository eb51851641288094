"""Compiled twin of the matrix product: of a left side of few rows, or one that is mostly zeros, as the images of MNIST
are (81 %); others by dense_tiles.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.dense_tiles import product_by_tiles, suits
from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import SUMS, copy_to, jit
from minilq.kernels.row_tile import BITS, LINE, TOGETHER, VECTORS, add_to_rows, sum_of_rows

ROW = 128
"""Columns of b that repay the tile. Measured against OpenBLAS on one thread, as the shares below."""


def least_zeros(rows: int) -> float:
    """The share of zeros from which on the kernel is faster, with so many rows in a batch: with registers for two rows
    of b at a time even the work without zeros is, where there are so few rows that BLAS prepares b for each in vain."""
    if TOGETHER == 1:
        return 0.7
    return 0.0 if rows <= BITS else 0.5


def product(a: Array, b: Array) -> Array:
    if a.shape[1] != len(b) or a.dtype != b.dtype:
        return NotImplemented
    skipping, tiled = may_skip(a, b), suits(a, b)
    if not (skipping or tiled):
        return NotImplemented
    y = np.empty((len(a), b.shape[1]), b.dtype)
    if skipping and skip_zeros(*arguments(a, b, y, False)):
        return y
    if not tiled:
        return NotImplemented
    product_by_tiles(a, b, y)
    return y


def may_skip(a: Array, b: Array) -> bool:
    """Whether the kernel that skips zeros was written for such a product."""
    return bool(LINE) and b.shape[1] >= ROW and (fits(b, a) or fits(b, a.T))


def arguments(a: Array, b: Array, y: Array, finite: bool) -> tuple[Any, ...]:
    """What `skip_zeros` is told of a product; `finite`: b is known to be."""
    by_rows = a.flags.c_contiguous
    return (a.ravel("K"), b.ravel(), y.ravel(), a.shape, by_rows, b.shape[1], LINE // b.itemsize,
            least_zeros(a.shape[0 if by_rows else 1]), finite)


def skip_zeros(a: Array, b: Array, y: Array, shape: tuple[int, int], by_rows: bool, m: int, lanes: int, zeros: float,
               finite: bool) -> bool:
    """Whether the product could be made so. Where there are too few zeros its kernel is not even compiled."""
    if zeros and not _mostly_zeros(a, shape[0 if by_rows else 1], zeros):
        return False
    return bool(_product(a, b, y, shape, by_rows, m, lanes, finite))


@jit(SUMS)
def _product(a, b, y, shape, by_rows, m, lanes, finite):  # type: ignore[no-untyped-def]
    # y_i = sum of a_ik b_k over those k at which a is not 0, in i or in its neighbour, in the order of k; whether that
    # was right. `finite`: b is
    n, K = shape
    if not ((by_rows or n >= TOGETHER) and (finite or _finite(b))):
        return False
    columns = VECTORS * lanes
    rows = BITS if by_rows else K                # of sums, or of columns of b, from the beginning of a cache line
    held = np.empty((rows + 1) * columns, b.dtype)
    held = held[lanes - held.ctypes.data // held.itemsize % lanes:]
    if by_rows:
        _row_by_row_of_b(a, b, y, n, K, m, columns, held)
    else:
        _row_by_row_of_y(a, b, y, n, K, m, columns, held)
    return True


@jit(inline=True)
def _row_by_row_of_b(a, b, y, n, K, m, columns, sums):  # type: ignore[no-untyped-def]
    # a_ik at i K + k; a row of b goes to those of BITS sums in which it has a part
    bits = np.empty(K, np.uint32)
    for begin in range(0, n, BITS):
        count = min(BITS, n - begin)
        _bits_of(a[begin * K:], count, bits)
        for j in range(0, m, columns):           # the last tile may overlap the one before it
            first = min(j, m - columns)
            for i in range(count * columns):
                sums[i] = 0
            whole = K - K % TOGETHER
            for k in range(0, whole, TOGETHER):
                either = bits[k] | bits[k + TOGETHER - 1]
                if either:
                    add_to_rows(a, begin * K + k, K, either, b, k * m + first, m, sums, columns)
            for k in range(whole, K):
                for i in range(count):
                    for c in range(columns):
                        sums[i * columns + c] += a[(begin + i) * K + k] * b[k * m + first + c]
            for i in range(count):
                at = (begin + i) * m + first
                copy_to(y[at:at + columns], sums[i * columns:(i + 1) * columns])


@jit(inline=True)
def _row_by_row_of_y(a, b, y, n, K, m, columns, rows):  # type: ignore[no-untyped-def]
    # a_ik at i + k n; those rows of b are added up that have a part in a row of y
    groups = (K + BITS - 1) // BITS
    bits = np.empty(groups * n, np.uint32)
    for group in range(groups):
        _bits_of(a[group * BITS * n:], min(BITS, K - group * BITS), bits[group * n:(group + 1) * n])
    for j in range(0, m, columns):
        first = min(j, m - columns)
        for k in range(K):
            copy_to(rows[k * columns:(k + 1) * columns], b[k * m + first:k * m + first + columns])
        for start in range(0, n, TOGETHER):      # the last two may have one in common with those before
            i = min(start, n - TOGETHER)
            for group in range(groups):
                k, at = group * BITS, group * n + i
                sum_of_rows(a, k * n + i, n, bits[at] | bits[at + TOGETHER - 1], rows, k * columns, columns, y,
                            i * m + first, m, group > 0)


@jit(inline=True)
def _bits_of(a, count, bits):  # type: ignore[no-untyped-def]
    # bit i of number k: whether a[i len(bits) + k] is not 0
    K = len(bits)
    for k in range(K):
        bits[k] = 0
    for i in range(count):
        row, bit = a[i * K:(i + 1) * K], np.uint32(1) << np.uint32(i)
        for k in range(K):
            bits[k] |= bit if row[k] != 0 else np.uint32(0)


@jit()
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


@jit()
def _add_bias(y, b):  # type: ignore[no-untyped-def]
    # y_i += b
    for i in range(len(y)):
        row = y[i]
        for j in range(len(b)):
            row[j] += b[j]


@jit()
def _bias_gradient(g, total):  # type: ignore[no-untyped-def]
    # total = 0 + sum of g_i, in the order of i, as NumPy has it where a row is longer than one
    for j in range(len(total)):
        total[j] = 0
    for i in range(len(g)):
        row = g[i]
        for j in range(len(total)):
            total[j] += row[j]
