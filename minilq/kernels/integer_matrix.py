"""Rows of codes times a matrix of weight codes, whole matrices at once, where the processor can (matrix_tile.py)."""

from __future__ import annotations

import numpy as np

from minilq.kernels.code_tile import code_rows
from minilq.kernels.groups import Array
from minilq.kernels.jit import jit
from minilq.kernels.matrix_tile import SHAPES, SIDE, STEP, matrix_tile, release, set_shapes
from minilq.kernels.threads import in_parts


def codes_by_matrices(x: Array, w: Array, line: tuple[Array, ...], y: Array) -> None:
    """y (M, F) <- the codes of x (M, K) times w (F / SIDE, 1, G, SIDE), words of four bytes, whose rows 4 G are whole
    steps: K, and up to 63 of zeros. What stands behind a row of x is multiplied by these; behind the last rows, of
    which there is a copy, zeros stand."""
    (M, K), width = x.shape, 4 * w.shape[2]
    whole = max(M - 1, 0) // SIDE * SIDE if K >= STEP else 0
    if whole:
        in_parts(_products, whole // SIDE, x.size + w.size + y.size, x.reshape(-1), K, w, SHAPES, *line, y[:whole])
    rest = np.zeros((-(-(M - whole) // SIDE) * SIDE, width), np.uint8)
    rest[:M - whole, :K] = x[whole:]
    _products(rest.reshape(-1), width, w, SHAPES, *line, y[whole:], 0, len(rest) // SIDE)


@jit()
def _products(x, row, w, shapes, factor, offset, low, high, shift, y, start, stop):  # type: ignore[no-untyped-def]
    (M, width), (blocks, _, G, _) = y.shape, w.shape
    w, outputs, sums = w.reshape(w.size), y.reshape(y.size), np.empty(SIDE * SIDE, np.int32)
    set_shapes(shapes)
    for block in range(blocks):
        for t in range(start * SIDE, min(stop * SIDE, M), SIDE):
            matrix_tile(x, t * row, row, w, block * G * SIDE, G * 4 // STEP, sums)
            code_rows(sums, 0, SIDE, min(SIDE, M - t), factor, offset, low, high, shift, block * SIDE, outputs,
                      t * width + block * SIDE, width)
    release()
