"""The compiled twin of the integer matrix product of bytes."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.integer_tile import BYTE_TERM, by_tiles, byte_tile, padded
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS

FEW = 4
"""So few rows are multiplied sooner without tiles than w is packed for them."""


def product(x: Array, w: Array) -> Array:
    (M, K), N = x.shape, w.shape[1]
    if BYTE_TERM is None or M < FEW:
        y = np.empty((M, N), np.int32)
        in_parts(_plain_product, M, x.size + w.size + y.size, np.ascontiguousarray(x), np.ascontiguousarray(w), y)
        return y
    blocks, G = -(-N // COLUMNS), -(-K // 4)
    packed = np.empty((blocks, G, COLUMNS), np.uint32)
    _pack_bytes(padded(w, 4 * G, blocks * COLUMNS).view(np.uint8), packed)
    return by_tiles(_product, padded(x, M, 4 * G), packed, N)


@jit()
def _pack_bytes(w, packed):  # type: ignore[no-untyped-def]
    # packed_(block, g, c) = the bytes w_(4g .. 4g + 3, j) of column j = block COLUMNS + c, the first one lowest
    blocks, G, _ = packed.shape
    for block in range(blocks):
        for g in range(G):
            a, b, c, d = w[4 * g:4 * g + 4, block * COLUMNS:(block + 1) * COLUMNS]
            for j in range(COLUMNS):
                packed[block, g, j] = a[j] | np.uint32(b[j]) << 8 | np.uint32(c[j]) << 16 | np.uint32(d[j]) << 24


@jit()
def _product(x, w, y, start, stop):  # type: ignore[no-untyped-def]
    # the rows of tiles start..stop; a block of columns of w stays in the cache while the rows of x pass by
    M, row = x.shape
    blocks, G, _ = w.shape
    x, w, outputs, nothing = x.reshape(x.size), w.reshape(w.size), y.reshape(y.size), np.zeros(COLUMNS, np.int32)
    for block in range(blocks):
        for i in range(start * ROWS, min(stop * ROWS, M), ROWS):
            byte_tile(x, i * row, row, w, block * G * COLUMNS, G, min(ROWS, M - i) - 1, nothing, 0,
                      np.int32(1), outputs, i * y.shape[1] + block * COLUMNS, y.shape[1])


@jit()
def _plain_product(x, w, y, start, stop):  # type: ignore[no-untyped-def]
    # y_i = sum of x_ik w_k, four k in one pass over y_i
    K, N = w.shape
    for i in range(start, stop):
        y[i] = 0
        for k in range(0, K - K % 4, 4):
            a, b, c, d = np.int32(x[i, k]), np.int32(x[i, k + 1]), np.int32(x[i, k + 2]), np.int32(x[i, k + 3])
            for j in range(N):
                y[i, j] += a * w[k, j] + b * w[k + 1, j] + c * w[k + 2, j] + d * w[k + 3, j]
        for k in range(K - K % 4, K):
            for j in range(N):
                y[i, j] += np.int32(x[i, k]) * w[k, j]
