"""Compiled twins of integer layers: products whose sums never reach the memory, but the codes that are made of them.

A convolution is that of conv.py with bytes in the place of floats: an image at a time in a field of the code of 0, rows
of the kernel as matrix products whose left side is the image itself. Rows of a matrix are multiplied where they lie, as
the matrix that they are where the processor can (matrix_tile.py); elsewhere, what is 0 in them, as most of a digit is,
is skipped where that is faster (group_tile.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from minilq.kernels.code_tile import code_rows, code_tile
from minilq.kernels.group_tile import BLOCKS, GROUPS, count_of_bits, groups_in_use, sum_of_groups
from minilq.kernels.groups import Array, on_lines
from minilq.kernels.integer_matrix import codes_by_matrices
from minilq.kernels.integer_tile import BYTE_TERM, four_bytes
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
MOST = 0.65
"""The share of groups with a code that is not 0, up to which it is faster to skip the others. Measured."""


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
    long = K >= 4 * GROUPS                       # so that groups of which bits are made end with the next row
    some = MOST if long and len(packed.w) >= BLOCKS and BYTE_TERM is four_bytes else 0.0
    last = np.zeros((len(y) - whole, 4 * packed.w.shape[2]), x.dtype)
    last[:M - whole, :K] = x[whole:]
    for rows, together, codes, most in ((x[:whole], PIXELS, y[:whole], some), (last, len(last), y[whole:], 0.0)):
        if len(rows):
            in_parts(_product, len(rows) // together, rows.size + packed.w.size + codes.size, rows.reshape(-1),
                     together, most, packed.w, *packed.line, grid((1, 0), (together, rows.shape[1])), codes,
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
def _product(x, together, most, w, factor, offset, low, high, shift, x_rows, y, y_rows,  # type: ignore[no-untyped-def]
             start, stop):
    # most    groups are skipped where no larger share of them is in use; 0 for never
    blocks, _, G, _ = w.shape
    w, outputs, row, wide = w.reshape(w.size), y.reshape(y.size), x_rows[1], blocks * COLUMNS
    parts = (G + GROUPS - 1) // GROUPS
    bits, sums = np.empty(parts * together, np.uint64), np.empty((together + 1) * BLOCKS * COLUMNS, np.int32)
    sums = sums[COLUMNS - sums.ctypes.data // sums.itemsize % COLUMNS:]  # from the beginning of a cache line
    for n in range(start, stop):
        x_n, y_at = x[n * together * row:], n * together * wide
        seen = (together + 7) // 8               # an estimate, of every eighth row
        if most > 0 and _in_use(x_n, row, G, together, 8, bits) <= most * seen * G:
            _in_use(x_n, row, G, together, 1, bits)
            for block in range(0, blocks, BLOCKS):
                first = min(block, blocks - BLOCKS)      # the last of them may overlap those before
                _sums_of_some(x_n, row, bits, w, first * G * COLUMNS, G, together, sums)
                for b in range(BLOCKS):
                    code_rows(sums, b * COLUMNS, BLOCKS * COLUMNS, together, factor, offset, low, high, shift,
                              (first + b) * COLUMNS, outputs, y_at + (first + b) * COLUMNS, wide)
        else:
            for block in range(blocks):
                for t in range(0, len(x_rows), ROWS):
                    code_tile(x_n, x_rows, t, 0, w, block * G * COLUMNS, 1, G, factor, offset, low, high, shift,
                              block * COLUMNS, outputs, y_rows, t, y_at + block * COLUMNS)


@jit(inline=True)
def _in_use(x, row, G, together, step, bits):  # type: ignore[no-untyped-def]
    # how many groups of every step-th row are in use; those of part p of row i are the bits of number p * together + i
    parts = len(bits) // together
    size, total = (G + parts - 1) // parts, 0
    for p in range(parts):
        ends = ~np.uint64(0) >> np.uint64(GROUPS - min(size, G - p * size))
        for i in range(0, together, step):
            here = groups_in_use(x, i * row + 4 * p * size) & ends
            bits[p * together + i] = here
            total += count_of_bits(here)
    return total


@jit(inline=True)
def _sums_of_some(x, row, bits, w, w_at, G, together, sums):  # type: ignore[no-untyped-def]
    # a part of the rows at a time, so that its weights stay in the cache
    parts = len(bits) // together
    size = (G + parts - 1) // parts
    for p in range(parts):
        for i in range(together):
            sum_of_groups(x, i * row + 4 * p * size, bits[p * together + i], w, w_at + p * size * COLUMNS, G * COLUMNS,
                          sums, i * BLOCKS * COLUMNS, p > 0)


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
