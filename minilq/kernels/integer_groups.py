"""Rows of codes times a matrix of weight codes, of groups of four alone that are not 0 (group_tile.py): most of a digit
is."""

from __future__ import annotations

import numpy as np

from minilq.kernels.code_tile import code_rows
from minilq.kernels.group_tile import BLOCKS, GROUPS, count_of_bits, groups_in_use, sum_of_groups
from minilq.kernels.groups import Array
from minilq.kernels.integer_tile import BYTE_TERM, four_bytes
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS

MOST = 0.65
"""The share of groups in use up to which this is faster than all of them. Measured."""
ROW_BLOCK = 32
"""Rows whose sums stay in the cache, with the weights of GROUPS groups."""


def codes_of_few(x: Array, w: Array, line: tuple[Array, ...], y: Array) -> bool:
    """y (M, F) <- the codes of x (M, K), behind which there is another row, times w (F / COLUMNS, 1, G, COLUMNS), words
    of four bytes, and True; False where all groups are as fast."""
    (M, K), (blocks, _, G, _) = x.shape, w.shape
    # the last group of which a bit is made ends before the end of the next row
    if not (M and BYTE_TERM is four_bytes and blocks >= BLOCKS and K >= 4 * GROUPS):
        return False
    if _in_use(x, G) > MOST * G * -(-M // 8):
        return False
    in_parts(_products, -(-M // ROW_BLOCK), x.size + w.size + y.size, x, w, *line, y)
    return True


@jit()
def _in_use(x, G):  # type: ignore[no-untyped-def]
    # how many groups of every eighth row are in use, an estimate for the others
    (M, K), total = x.shape, 0
    x = x.reshape(x.size)
    for i in range(0, M, 8):
        for first in range(0, G, GROUPS):
            total += count_of_bits(groups_in_use(x, i * K + 4 * first) & _up_to(G - first))
    return total


@jit(inline=True)
def _up_to(groups):  # type: ignore[no-untyped-def]
    return ~np.uint64(0) >> np.uint64(GROUPS - min(GROUPS, groups))


@jit()
def _products(x, w, factor, offset, low, high, shift, y, start, stop):  # type: ignore[no-untyped-def]
    (M, K), (blocks, _, G, _), width = x.shape, w.shape, y.shape[1]
    x, w, outputs = x.reshape(x.size), w.reshape(w.size), y.reshape(y.size)
    parts = (G + GROUPS - 1) // GROUPS
    size = (G + parts - 1) // parts              # of each part, so that its weights stay in the cache
    bits, sums = np.empty(ROW_BLOCK * parts, np.uint64), np.empty((ROW_BLOCK + 1) * BLOCKS * COLUMNS, np.int32)
    sums = sums[COLUMNS - sums.ctypes.data // sums.itemsize % COLUMNS:]  # from the beginning of a cache line
    for t in range(start * ROW_BLOCK, min(stop * ROW_BLOCK, M), ROW_BLOCK):
        rows = min(ROW_BLOCK, M - t)
        for i in range(rows):
            for part in range(parts):
                first = part * size
                bits[part * ROW_BLOCK + i] = groups_in_use(x, (t + i) * K + 4 * first) & _up_to(min(size, G - first))
        for begin in range(0, blocks, BLOCKS):
            block = min(begin, blocks - BLOCKS)  # the last of them may overlap those before
            for part in range(parts):
                first = part * size
                w_at = (block * G + first) * COLUMNS
                for i in range(rows):
                    sum_of_groups(x, (t + i) * K + 4 * first, bits[part * ROW_BLOCK + i], w, w_at, G * COLUMNS, sums,
                                  i * BLOCKS * COLUMNS, part > 0)
            for b in range(BLOCKS):
                at = (block + b) * COLUMNS
                code_rows(sums, b * COLUMNS, BLOCKS * COLUMNS, rows, factor, offset, low, high, shift, at, outputs,
                          t * width + at, width)
