"""Compiled twins of integer layers: products whose sums never reach the memory, but the codes that are made of them.

A convolution is that of conv.py with bytes in the place of floats: an image at a time in a field of the code of 0, rows
of the kernel as matrix products whose left side is the image itself. Rows of a matrix are multiplied where they lie, as
the matrix that they are where the processor can (matrix_tile.py), and but for what is 0 where that is much
(group_tile.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from minilq.kernels.code_tile import code_tile
from minilq.kernels.groups import Array, on_lines
from minilq.kernels.integer_groups import codes_of_few
from minilq.kernels.integer_matrix import codes_by_matrices
from minilq.kernels.integer_tile import BYTE_TERM
from minilq.kernels.jit import jit
from minilq.kernels.matrix_tile import MATRICES, STEP
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS, fill, grid
from minilq.kernels.window import Window


class Multiplied(Protocol):
    """What integer/product.py says of it."""

    codes: Array
    rescale: Any
    packed: Any

PIXELS = 4 * ROWS
"""Rows of a matrix that are taken together: with the weights of a block of columns they stay in the cache."""


class Packed(NamedTuple):
    """Weight codes in the order in which the tile reads them, (blocks, KH, G, COLUMNS) words of four bytes, and what
    turns the sums of each column into codes, (blocks COLUMNS,)."""

    w: Array
    line: tuple[Array, ...]


def rescaled_convolution(x: Array, by: Multiplied, window: Window, border: int) -> Array:
    packed = _packed(by, window.KH)
    if packed is None:
        return NotImplemented
    OH, OW, F = window.out_height, window.out_width, by.codes.shape[1]
    N, _, _, C = x.shape
    KH, KW, SH, SW = window[6:]
    size = (OH - 1) * SH + KH, (OW - 1) * SW + KW
    wide = len(packed.w) * COLUMNS
    y = np.empty((N, OH * OW * wide), by.rescale.dtype)
    in_parts(_convolve, N, x.size + y.size, np.ascontiguousarray(x), size, (window.top, window.left), border, packed.w,
             *packed.line, grid((OH, SH * size[1] * C), (OW, SW * C)), y, grid((1, 0), (OH * OW, wide)))
    return np.ascontiguousarray(y.reshape(N, OH, OW, wide)[..., :F])


def rescaled_product(x: Array, by: Multiplied) -> Array:
    packed = _packed(by, 1, STEP // 4 if MATRICES else 1)
    if packed is None:
        return NotImplemented
    (M, K), F = x.shape, by.codes.shape[1]
    wide = len(packed.w) * COLUMNS
    x = np.ascontiguousarray(x)
    if MATRICES:
        y = np.empty((M, wide), by.rescale.dtype)
        codes_by_matrices(x, packed.w, packed.line, y)
        return y[:, :F]
    # rows are multiplied where they lie, but for the last ones: the last group of a row may reach into the next, where
    # its weights are 0, and not behind the last
    whole = max(M - 1, 0) // PIXELS * PIXELS if K > 3 else 0
    y = np.empty((-(-M // ROWS) * ROWS, wide), by.rescale.dtype)
    last = np.zeros((len(y) - whole, 4 * packed.w.shape[2]), x.dtype)
    last[:M - whole, :K] = x[whole:]
    done = whole if codes_of_few(x[:whole], packed.w, packed.line, y[:whole]) else 0
    for rows, together, codes in ((x[done:whole], PIXELS, y[done:whole]), (last, len(last), y[whole:])):
        if len(rows):
            in_parts(_product, len(rows) // together, rows.size + packed.w.size + codes.size, rows.reshape(-1),
                     together, packed.w, *packed.line, grid((1, 0), (together, rows.shape[1])), codes,
                     grid((1, 0), (together, wide)))
    return y[:M, :F]


def _packed(by: Multiplied, KH: int, groups: int = 1) -> Packed | None:
    """What is kept with the weights from the first call on; None where there is no tile, or factors do not fit.

    groups      of four bytes, which are filled up with zeros to a multiple of it
    """
    if BYTE_TERM is None:
        return None
    if by.packed is None:
        factor = by.rescale.factor[0]
        if factor.size and np.abs(factor).max() >= 2**31:
            return None
        R, F = by.codes.shape
        blocks, G = -(-F // COLUMNS), -(-R // KH // (4 * groups)) * groups
        bytes_of = np.zeros((KH, 4 * G, blocks * COLUMNS), np.int8)
        bytes_of[:, :R // KH, :F] = by.codes.reshape(KH, -1, F)
        w = bytes_of.reshape(KH, G, 4, blocks, COLUMNS).transpose(3, 0, 1, 4, 2)
        line = [np.zeros(blocks * COLUMNS, np.int64) for _ in by.rescale[1:6]]
        for column, part in zip(line, (factor, *by.rescale[1:5]), strict=True):
            column[:F] = part.reshape(-1)
        by.packed = Packed(on_lines(w).view(np.uint32)[..., 0], (line[0].astype(np.int32), *line[1:]))
    packed: Packed = by.packed
    return packed


@jit()
def _product(x, together, w, factor, offset, low, high, shift, x_rows, y, y_rows,  # type: ignore[no-untyped-def]
             start, stop):
    blocks, _, G, _ = w.shape
    w, outputs, row, wide = w.reshape(w.size), y.reshape(y.size), x_rows[1], blocks * COLUMNS
    for n in range(start, stop):
        for block in range(blocks):
            for t in range(0, len(x_rows), ROWS):
                code_tile(x[n * together * row:], x_rows, t, 0, w, block * G * COLUMNS, 1, G, factor, offset, low, high,
                          shift, block * COLUMNS, outputs, y_rows, t, n * together * wide + block * COLUMNS)


@jit()
def _convolve(x, size, corner, border, w, factor, offset, low, high, shift, x_rows, y,  # type: ignore[no-untyped-def]
              y_rows, start, stop):
    C = x.shape[3]
    blocks, KH, G, _ = w.shape
    w, outputs, length = w.reshape(w.size), y.reshape(y.size), y.shape[1]
    field = np.empty(size[0] * size[1] * C + 3, x.dtype)         # the last group may reach beyond the last pixel
    for k in range(len(field)):
        field[k] = border
    for n in range(start, stop):
        fill(field, x[n], size, corner)
        for block in range(blocks):
            for t in range(0, len(x_rows), ROWS):
                code_tile(field, x_rows, t, size[1] * C, w, block * KH * G * COLUMNS, KH, G, factor, offset, low, high,
                          shift, block * COLUMNS, outputs, y_rows, t, n * length + block * COLUMNS)
