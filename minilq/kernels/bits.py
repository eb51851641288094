"""Compiled twins of the counts of bits that two rows of words have in common, and in which they differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.integer_tile import TILED, by_tiles, common_tile, differing_tile, padded
from minilq.kernels.jit import jit
from minilq.kernels.rescale import MANY, bounds_of, of_one_bit
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS


def differing_bits(x: Array, w: Any, start: Array, factor: int) -> Array:
    if not TILED:
        return NotImplemented
    blocks = _in_blocks(w)
    starts = np.zeros(len(blocks) * COLUMNS, np.int32)
    starts[:len(start)] = start
    return by_tiles(_differing, np.ascontiguousarray(x).view(np.uint8), blocks, len(start), starts, factor)


def common_bits(x: Array, w: Any) -> Array:
    if not TILED:
        return NotImplemented
    return by_tiles(_common, np.ascontiguousarray(x).view(np.uint8), _in_blocks(w), len(w.words))


def rescaled_counts(x: Array, w: Any, counts: Array, factor: Array, offset: Array, low: Array, high: Array,
                    shift: Array, dtype: type[Any]) -> Array:
    N = len(counts)
    if not TILED or len(x) < MANY or factor.size != N or not of_one_bit(low, high, shift):
        return NotImplemented
    blocks = _in_blocks(w)
    starts, bounds, below = np.zeros((3, len(blocks) * COLUMNS), np.int32)
    starts[:N] = counts
    bounds[:N], below[:N] = bounds_of(factor, offset, low, high, shift)
    q = np.empty((len(x), len(starts)), np.uint8)
    in_parts(_compared_counts, -(-len(x) // ROWS), x.size + blocks.size + q.size,
             np.ascontiguousarray(x).view(np.uint8), blocks, q, starts, bounds, below)
    return q[:, :N].astype(dtype, copy=False)


def _in_blocks(w: Any) -> Array:
    """(N, W) words -> (blocks, 2 W, COLUMNS) groups of 32 bits, the rows of w as columns of tiles; kept."""
    if w.blocks is None:
        N, W = w.words.shape
        blocks = -(-N // COLUMNS)
        rows = padded(w.words, blocks * COLUMNS, W).view(np.uint32).reshape(blocks, COLUMNS, 2 * W)
        w.blocks = np.ascontiguousarray(rows.transpose(0, 2, 1))
    blocks_of: Array = w.blocks
    return blocks_of


@jit()
def _differing(x, w, y, starts, factor, start, stop):  # type: ignore[no-untyped-def]
    # the rows of tiles start..stop; a block of columns of w stays in the cache while the rows of x pass by
    M, row = x.shape
    blocks, G, _ = w.shape
    x, w, outputs = x.reshape(x.size), w.reshape(w.size), y.reshape(y.size)
    for block in range(blocks):
        first = block * COLUMNS
        for i in range(start * ROWS, min(stop * ROWS, M), ROWS):
            differing_tile(x, i * row, row, w, first * G, G, min(ROWS, M - i) - 1, starts, first,
                           np.int32(factor), outputs, i * y.shape[1] + first, y.shape[1])


@jit()
def _compared_counts(x, w, q, starts, bounds, below, start, stop):  # type: ignore[no-untyped-def]
    # as above, but sums go no further than a tile: of each remains whether it is beyond a bound
    M, row = x.shape
    blocks, G, _ = w.shape
    x, w, tile = x.reshape(x.size), w.reshape(w.size), np.empty(ROWS * COLUMNS, np.int32)
    for block in range(blocks):
        first = block * COLUMNS
        for i in range(start * ROWS, min(stop * ROWS, M), ROWS):
            differing_tile(x, i * row, row, w, first * G, G, min(ROWS, M - i) - 1, starts, first, np.int32(-1),
                           tile, 0, COLUMNS)
            for k in range(min(ROWS, M - i)):
                for j in range(COLUMNS):
                    q[i + k, first + j] = (tile[k * COLUMNS + j] >= bounds[first + j]) ^ below[first + j]


@jit()
def _common(x, w, y, start, stop):  # type: ignore[no-untyped-def]
    M, row = x.shape
    blocks, G, _ = w.shape
    x, w, outputs, nothing = x.reshape(x.size), w.reshape(w.size), y.reshape(y.size), np.zeros(COLUMNS, np.int32)
    for block in range(blocks):
        for i in range(start * ROWS, min(stop * ROWS, M), ROWS):
            common_tile(x, i * row, row, w, block * G * COLUMNS, G, min(ROWS, M - i) - 1, nothing, 0,
                        np.int32(1), outputs, i * y.shape[1] + block * COLUMNS, y.shape[1])
