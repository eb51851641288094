"""The matrix product of many rows by the tile of tile.py, on processors with vectors of 512 bits.

There it is up to twice as fast as the BLAS that NumPy brings, which uses half of such a vector on some of them, and has
the same bits on any number of threads. The right side is copied first into blocks of COLUMNS columns; DEPTH rows of a
block stay in the first-level cache while they are multiplied by as many rows as ROW_BLOCK.
"""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import CACHE_LINE, Array, fits
from minilq.kernels.jit import SUMS, copy_to, jit
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS, SHAPE
from minilq.kernels.tile import product as tile

FAST = SHAPE is not None and SHAPE.lanes == 16
FEWEST, LEAST = 64, 1 << 20
"""Rows, and products of numbers, from which on the copy is repaid. Measured."""
DEPTH, ROW_BLOCK = 256, 4 * ROWS


def suits(a: Array, b: Array) -> bool:
    """Whether it is this that multiplies a (n, K) and b (K, m), not BLAS: float32, each in the order of rows or of
    columns, of some size."""
    (n, K), m = a.shape, b.shape[1]
    large = m >= COLUMNS and n >= FEWEST and n * K * m >= LEAST
    return FAST and large and a.dtype.char == b.dtype.char == "f" and (fits(a) or fits(a.T)) and (fits(b) or fits(b.T))


def product_by_tiles(a: Array, b: Array, y: Array) -> None:
    """y <- a b, of those that it suits."""
    (n, K), m = a.shape, b.shape[1]
    high, wide = -(-n // ROWS) * ROWS, -(-m // COLUMNS) * COLUMNS
    whole = y if y.shape == (high, wide) and fits(y) else np.empty((high, wide), a.dtype)
    packed = np.empty(wide * K + CACHE_LINE // 4, b.dtype)
    packed = packed[-packed.ctypes.data % CACHE_LINE // 4:][:wide * K]
    _pack(b.ravel("K"), b.flags.c_contiguous, m, packed)
    row, step = (K, 1) if a.flags.c_contiguous else (1, n)
    rows = np.arange(high)
    in_parts(_product, -(-high // ROW_BLOCK), n * K * m >> 8, a.ravel("K"), np.minimum(rows, n - 1) * row, step,
             packed, K, whole.reshape(-1), rows * wide)
    if whole is not y:
        y[...] = whole[:n, :m]


@jit()
def _pack(b, by_rows, m, packed):  # type: ignore[no-untyped-def]
    # b_kj -> packed (blocks, K, COLUMNS), zeros in the place of columns that are missing
    K = b.size // m
    for first in range(0, m, COLUMNS):
        block, columns = packed[first * K:(first + COLUMNS) * K], min(COLUMNS, m - first)
        if columns < COLUMNS:
            block[:] = 0
        if by_rows:
            for k in range(K):
                copy_to(block[k * COLUMNS:k * COLUMNS + columns], b[k * m + first:k * m + first + columns])
        else:
            for j in range(columns):
                column = b[(first + j) * K:(first + j + 1) * K]
                for k in range(K):
                    block[k * COLUMNS + j] = column[k]


@jit(SUMS)
def _product(a, a_rows, a_step, packed, K, y, y_rows, start, stop):  # type: ignore[no-untyped-def]
    wide = packed.size // K
    for begin in range(start * ROW_BLOCK, min(stop * ROW_BLOCK, len(a_rows)), ROW_BLOCK):
        end = min(begin + ROW_BLOCK, len(a_rows))
        for i in range(begin * wide, end * wide):
            y[i] = 0
        for k in range(0, K, DEPTH):
            for j in range(0, wide, COLUMNS):
                for t in range(begin, end, ROWS):
                    tile(a[k * a_step:], a_rows, t, 0, a_step, packed, j * K + k * COLUMNS, 0, COLUMNS,
                         1, min(DEPTH, K - k), y, t * wide + j, wide, y, y_rows, t, j)
