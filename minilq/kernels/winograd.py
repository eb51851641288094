"""3 x 3 convolutions of stride 1 with 16 multiplications for four results, where the definition takes 36.

Winograd's F(2x2, 3x3): of 4 x 4 pixels d and a kernel w, both of one channel, the 2 x 2 results are

    y = A^T [ (G w G^T) * (B^T d B) ] A        * entry by entry

with the three small matrices below. Summed over the channels, each of the 16 entries of the bracket is a matrix
product, V_e (tiles, C) times U_e (C, F), for which tile.py is there. B and A hold only 0, 1 and -1: their products are
sums. What is computed is the convolution, with rounding errors of the same size, but one infinity or NaN makes all four
results of its tile NaN.

The gradients are the transposes: that of the input is again such a convolution, of g with the flipped kernel; that of
the kernel is G^T [ sum over tiles of V_e^T (A g A^T)_e ] G.

Source      Winograd 1980; for convolutional networks Lavin and Gray 2016
"""

from __future__ import annotations

import functools

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.jit import SUMS, jit
from minilq.kernels.kept import once
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS, fill, product

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
GG = np.kron(G, G)                               # (16, 9):  G w G^T = GG w, of w and the result as columns
# Written out below: B^T = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
#                    A^T = [[1, 1, 1, 0], [0, 1, -1, -1]]

TILES = 16
"""Tiles that are transformed together, at least: enough to read U seldom, few enough to stay in the cache."""


def convolved(x: Array, w: Array, b: Array, shape: tuple[int, int], corner: tuple[int, int]) -> Array:
    """x (N, H, W, C) with the kernel w (3, 3, C, F), whose first result has x's first pixel at `corner` of its window;
    `shape` is (OH, OW)."""
    (OH, OW), C, F = shape, x.shape[3], w.shape[3]
    U = once("winograd", _transformed, w)
    across, down = -(-OW // 2), min(-(-TILES // -(-OW // 2)), -(-OH // 2))
    y = np.empty((len(x), OH, OW, F), x.dtype)
    v_rows, m_rows = _rows(across * down, C), _rows(across * down, F)
    in_parts(_convolve, len(x), x.size, x, corner, U, b, y, down, v_rows, m_rows)
    return y


def kernel_gradient(g: Array, x: Array, corner: tuple[int, int]) -> Array:
    """(3, 3, C, F) of g (N, OH, OW, F) and x, placed as in `convolved`."""
    C, F = x.shape[3], g.shape[3]
    dU = np.zeros((16, -(-C // ROWS) * ROWS, F), x.dtype)
    channels = np.minimum(np.arange(dU.shape[1]), C - 1)         # a row too many is summed beside the others
    in_parts(_kernel_gradient, 4, x.size, g, x, corner, dU, channels, np.arange(dU.shape[1]) * F)
    return (GG.T.astype(x.dtype) @ dU[:, :C].reshape(16, C * F)).reshape(3, 3, C, F)


def _transformed(w: Array) -> Array:
    """U (16, F / COLUMNS, C, COLUMNS)."""
    C, F = w.shape[2:]
    U = GG.astype(w.dtype) @ w.reshape(9, C * F)                                     # (16, C F)
    return np.ascontiguousarray(U.reshape(16, C, F // COLUMNS, COLUMNS).transpose(0, 2, 1, 3))


@functools.lru_cache(maxsize=32)
def _rows(tiles: int, width: int) -> Array:
    """Where the rows of the 16 matrices (tiles, width) begin, the last of each repeated to fill whole tiles of rows."""
    padded = np.minimum(np.arange(-(-tiles // ROWS) * ROWS), tiles - 1)
    return ((np.arange(16)[:, None] * tiles + padded) * width).reshape(-1)


@jit(inline=True)
def _field(x, OH, OW):  # type: ignore[no-untyped-def]
    # zeros for all 4 x 4 tiles: two pixels for each tile and two more at the end
    return np.zeros((2 * ((OH + 1) // 2) + 2) * (2 * ((OW + 1) // 2) + 2) * x.shape[3], x.dtype)


@jit(SUMS)
def _down(field, at, width, i, t):  # type: ignore[no-untyped-def]
    # row i of B^T d for four rows of the field, all columns at once
    d0, d1 = field[at:at + width], field[at + width:at + 2 * width]
    d2, d3 = field[at + 2 * width:at + 3 * width], field[at + 3 * width:at + 4 * width]
    if i == 0:
        for k in range(width):
            t[k] = d0[k] - d2[k]
    elif i == 1:
        for k in range(width):
            t[k] = d1[k] + d2[k]
    elif i == 2:
        for k in range(width):
            t[k] = d2[k] - d1[k]
    else:
        for k in range(width):
            t[k] = d1[k] - d3[k]


@jit(SUMS)
def _across(t, tile, V, first, C):  # type: ignore[no-untyped-def]
    # (B^T d) B for the tiles of one row of tiles: row i of B^T d -> the four entries (i, 0..3) of V
    v0, v1, v2, v3 = V[0], V[1], V[2], V[3]
    for j in range(tile):
        at = 2 * j * C
        d0, d1, d2, d3 = t[at:at + C], t[at + C:at + 2 * C], t[at + 2 * C:at + 3 * C], t[at + 3 * C:at + 4 * C]
        a0, a1, a2, a3 = v0[first + j], v1[first + j], v2[first + j], v3[first + j]
        for c in range(C):
            a0[c] = d0[c] - d2[c]
            a1[c] = d1[c] + d2[c]
            a2[c] = d2[c] - d1[c]
            a3[c] = d1[c] - d3[c]


@jit(SUMS)
def _results(M, t, s, b, y, h, w):  # type: ignore[no-untyped-def]
    # y_(h.., w..) = A^T m A + b for tile t; s (4, 2, F) is m A
    OH, OW, F = y.shape
    for i in range(4):
        m0, m1, m2, m3 = M[4 * i, t], M[4 * i + 1, t], M[4 * i + 2, t], M[4 * i + 3, t]
        s0, s1 = s[i, 0], s[i, 1]
        for f in range(F):
            s0[f] = m0[f] + m1[f] + m2[f]
            s1[f] = m1[f] - m2[f] - m3[f]
    for j in range(min(2, OW - w)):
        s0, s1, s2, s3, y0 = s[0, j], s[1, j], s[2, j], s[3, j], y[h, w + j]
        for f in range(F):
            y0[f] = s0[f] + s1[f] + s2[f] + b[f]
        if h + 1 < OH:
            y1 = y[h + 1, w + j]
            for f in range(F):
                y1[f] = s1[f] - s2[f] - s3[f] + b[f]


@jit(SUMS)
def _convolve(x, corner, U, b, y, down, v_rows, m_rows, start, stop):  # type: ignore[no-untyped-def]
    C = x.shape[3]
    _, OH, OW, F = y.shape
    high, across = (OH + 1) // 2, (OW + 1) // 2
    border = 2 * high + 2, 2 * across + 2
    width = border[1] * C
    field, row = _field(x, OH, OW), np.empty(width, x.dtype)
    V, M = np.zeros((16, down * across, C), x.dtype), np.empty((16, down * across, F), x.dtype)
    s = np.empty((4, 2, F), x.dtype)
    v, m, zero, u = V.reshape(V.size), M.reshape(M.size), np.zeros(COLUMNS, x.dtype), U.reshape(U.size)
    blocks, each = U.shape[1], len(v_rows) // 16
    for n in range(start, stop):
        fill(field, x[n], border, corner)
        for top in range(0, high, down):
            rows = min(down, high - top)
            for r in range(rows):
                for i in range(4):
                    _down(field, 2 * (top + r) * width, width, i, row)
                    _across(row, across, V[4 * i:4 * i + 4], r * across, C)
            for e in range(16):
                for block in range(blocks):
                    for t in range(0, rows * across, ROWS):
                        product(v, v_rows, e * each + t, 0, 1, u, (e * blocks + block) * C * COLUMNS, 0, COLUMNS, 1, C,
                                zero, 0, 0, m, m_rows, e * each + t, block * COLUMNS)
            for r in range(rows):
                for j in range(across):
                    _results(M, r * across + j, s, b, y[n], 2 * (top + r), 2 * j)


@jit(SUMS)
def _spread(g, h, i, j, dM, t):  # type: ignore[no-untyped-def]
    # row i of A g A^T for the 2 x 2 numbers of g at (h, 2 j), zeros beyond its end -> the entries (i, 0..3) of dM
    OH, OW, F = g.shape
    d0, d1, d2, d3 = dM[0, t], dM[1, t], dM[2, t], dM[3, t]
    for half in range(2):
        w = 2 * j + half
        a = d0 if half == 0 else d3
        if w >= OW:
            a[:] = 0
        else:
            g0 = g[h, w]
            g1 = g[min(h + 1, OH - 1), w]
            below = g.dtype.type(h + 1 < OH)
            if i == 0:
                for f in range(F):
                    a[f] = g0[f]
            elif i == 1:
                for f in range(F):
                    a[f] = g0[f] + below * g1[f]
            elif i == 2:
                for f in range(F):
                    a[f] = g0[f] - below * g1[f]
            else:
                for f in range(F):
                    a[f] = -below * g1[f]
    for f in range(F):
        d1[f] = d0[f] + d3[f]
        d2[f] = d0[f] - d3[f]
        d3[f] = -d3[f]


@jit(SUMS)
def _kernel_gradient(g, x, corner, dU, channels, u_rows, start, stop):  # type: ignore[no-untyped-def]
    # rows start..stop of the 4 x 4 entries
    N, OH, OW, F = g.shape
    C = x.shape[3]
    high, across = (OH + 1) // 2, (OW + 1) // 2
    border = 2 * high + 2, 2 * across + 2
    width, tiles = border[1] * C, high * across
    field, row = _field(x, OH, OW), np.empty(width, x.dtype)
    V, dM = np.empty((4, tiles, C), x.dtype), np.empty((4, tiles, F), x.dtype)
    v, dm, du = V.reshape(V.size), dM.reshape(dM.size), dU.reshape(dU.size)
    size = dU.shape[1] * F
    v_rows = np.empty(len(channels), np.int64)
    for n in range(N):
        fill(field, x[n], border, corner)
        for i in range(start, stop):
            for r in range(high):
                _down(field, 2 * r * width, width, i, row)
                _across(row, across, V, r * across, C)
                for j in range(across):
                    _spread(g[n], 2 * r, i, j, dM, r * across + j)
            for e in range(4):
                for c in range(len(channels)):
                    v_rows[c] = e * tiles * C + channels[c]
                for c in range(0, len(channels), ROWS):
                    for f in range(0, F, COLUMNS):
                        at = (4 * i + e) * size
                        product(v, v_rows, c, 0, C, dm, e * tiles * F + f, 0, F, 1, tiles,
                                du, at + c * F + f, F, du, u_rows, c, at + f)
