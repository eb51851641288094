"""3 x 3 convolutions of stride 1 with 36 multiplications for 16 results, where the definition takes 144.

Winograd's F(4x4, 3x3), as in winograd.py with 6 x 6 pixels d and 4 x 4 results,

    y = A^T [ (G w G^T) * (B^T d B) ] A        * entry by entry

and matrices that follow from five points a_j and infinity: polynomials of degree 2 and 3 are multiplied by their values
there.

    A^T_ij = a_j^i,   G_jk = a_j^k / prod over l of (a_j - a_l),   B^T_j = coefficients of prod over l of (x - a_l)

with l != j; for infinity the last unit vector in A^T and G, and all l in B^T. The points 0, 1, -1, 1/2, -2 keep the
rounding errors two to three times smaller than Lavin's 0, 1, -1, 2, -2: about 5e-7 of the sum of all sizes forward,
2e-6 of the largest result.

Source      as in winograd.py; the points: Barabasz et al. 2020 (arXiv 1803.10986)
"""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.jit import SUMS, jit
from minilq.kernels.kept import once
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS, fill, product
from minilq.kernels.winograd_tile import combination

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)


def _matrices() -> tuple[Array, Array, Array]:
    """A^T (4, 6), G (6, 3), B^T (6, 6)."""
    others = [[a for a in POINTS if a != point] for point in POINTS]
    A = np.array([[point**i for i in range(4)] for point in POINTS] + [[0, 0, 0, 1]])
    G = np.array([np.power(point, range(3)) / np.prod(np.subtract(point, rest))
                  for point, rest in zip(POINTS, others, strict=True)] + [[0, 0, 1]])
    B = np.zeros((6, 6))
    for row, points in enumerate([*others, list(POINTS)]):
        coefficients = np.poly(points)[::-1]                     # the constant first
        B[row, :len(coefficients)] = coefficients
    return A.T, G, B


AT, G, BT = _matrices()
GG = np.kron(G, G)                               # (36, 9):  G w G^T = GG w, of w and the result as columns
TO_ALL = 7                                       # the entry of the point 1, twice: it is added to all 16 results

to_pixels, of_results, to_results = combination(BT), combination(AT), combination(AT.T)

NUMBERS = 7200
"""Tiles times channels that are transformed together: enough to read U seldom, few enough to stay in the cache."""
PARTS = 2
"""Of a batch, whose kernel gradients are summed apart for any number of threads: two of them share no work."""
PAD = 16
"""Numbers between two of the 36 matrices, so that their rows do not fall into the same places of the cache."""


def convolved(x: Array, w: Array, b: Array, shape: tuple[int, int], corner: tuple[int, int]) -> Array:
    """As in winograd.py."""
    (OH, OW), C, F = shape, x.shape[3], w.shape[3]
    U = once("winograd4", _transformed, w)
    across, high = -(-OW // 4), -(-OH // 4)
    strips = _together(C + F, across, high * len(x))
    y = np.empty((len(x), OH, OW, F), x.dtype)
    tiles = np.arange(-(-strips * across // ROWS) * ROWS)
    in_parts(_convolve, len(x), x.size, x, corner, U.reshape(-1), b, y, strips, tiles * C, tiles * F)
    return y


def kernel_gradient(g: Array, x: Array, corner: tuple[int, int]) -> Array:
    """As in winograd.py."""
    C, F = x.shape[3], g.shape[3]
    parts = max(min(PARTS, len(x)), 1)
    dU = np.zeros((parts, 36, -(-C // ROWS) * ROWS, F), x.dtype)
    across, high = -(-g.shape[2] // 4), -(-g.shape[1] // 4)
    rows, together = np.arange(dU.shape[2]), _together(C + F, across, high * -(-len(x) // parts))
    in_parts(_kernel_gradient, 6 * parts, x.size, g, x, corner, dU, together, np.minimum(rows, C - 1), rows * F)
    back = np.tile(GG.T.astype(x.dtype), parts)  # and one added to the other
    return (back @ dU[:, :, :C].reshape(36 * parts, C * F)).reshape(3, 3, C, F)


def _transformed(w: Array) -> Array:
    """U (36, F / COLUMNS, C, COLUMNS)."""
    C, F = w.shape[2:]
    U = GG.astype(w.dtype) @ w.reshape(9, C * F)                                     # (36, C F)
    return np.ascontiguousarray(U.reshape(36, C, F // COLUMNS, COLUMNS).transpose(0, 2, 1, 3))


def _together(channels: int, across: int, strips: int) -> int:
    """How many rows of tiles, of one image or of several, are transformed together."""
    return min(max(NUMBERS // (channels * across), 1), strips)


@jit(SUMS)
def _pixels(x, strip, high, corner, border, field, rows, V, plane, first):  # type: ignore[no-untyped-def]
    # B^T d B of one row of tiles -> V at tile `first` and those after it; image by image comes into the field
    C = x.shape[3]
    n, top, width = strip // high, strip % high, border[1] * C
    if top == 0:
        fill(field, x[n], border, corner)
    to_pixels(field, 4 * top * width, width, rows, 0, width, width)
    for i in range(6):
        for j in range((border[1] - 2) // 4):
            to_pixels(rows, i * width + 4 * j * C, C, V, 6 * i * plane + (first + j) * C, plane, C)


@jit(SUMS)
def _convolve(x, corner, U, b, y, together, v_rows, m_rows, start, stop):  # type: ignore[no-untyped-def]
    C = x.shape[3]
    _, OH, OW, F = y.shape
    high, across = (OH + 3) // 4, (OW + 3) // 4
    border = 4 * high + 2, 4 * across + 2
    field, rows = np.zeros(border[0] * border[1] * C, x.dtype), np.empty(6 * border[1] * C, x.dtype)
    v_plane, m_plane = len(v_rows) * C + PAD, len(m_rows) * F + PAD
    V, M = np.zeros(36 * v_plane, x.dtype), np.empty(36 * m_plane, x.dtype)
    s, z, zero = np.empty(24 * F, x.dtype), np.empty(16 * F, x.dtype), np.zeros(F, x.dtype)
    results = y.reshape(y.size)
    for first in range(start * high, stop * high, together):
        strips = min(together, stop * high - first)
        for k in range(strips):
            _pixels(x, first + k, high, corner, border, field, rows, V, v_plane, k * across)
        for e in range(36):
            v, begin = V[e * v_plane:], b if e == TO_ALL else zero
            for block in range(F // COLUMNS):
                for t in range(0, strips * across, ROWS):
                    product(v, v_rows, t, 0, 1, U, (e * (F // COLUMNS) + block) * C * COLUMNS, 0, COLUMNS,
                            1, C, begin, block * COLUMNS, 0, M, m_rows, t, e * m_plane + block * COLUMNS)
        for k in range(strips):
            n, h = (first + k) // high, 4 * ((first + k) % high)
            for j in range(across):
                for i in range(6):               # m A, then A^T (m A)
                    of_results(M, 6 * i * m_plane + (k * across + j) * F, m_plane, s, 4 * i * F, F, F)
                w, at = 4 * j, ((n * OH + h) * OW + 4 * j) * F
                if h + 4 <= OH and w + 4 <= OW:
                    of_results(s, 0, 4 * F, results, at, OW * F, 4 * F)
                else:
                    of_results(s, 0, 4 * F, z, 0, 4 * F, 4 * F)
                    for r in range(min(4, OH - h)):
                        for f in range(min(4, OW - w) * F):
                            results[at + r * OW * F + f] = z[4 * r * F + f]


@jit(SUMS)
def _kernel_gradient(g, x, corner, dU, together, channels, u_rows, start, stop):  # type: ignore[no-untyped-def]
    # rows start..stop of the 6 x 6 entries, first those of one part of the images, then those of the next
    N, OH, OW, F = g.shape
    C = x.shape[3]
    high, across = (OH + 3) // 4, (OW + 3) // 4
    border, g_border = (4 * high + 2, 4 * across + 2), (4 * high, 4 * across)
    field, rows = np.zeros(border[0] * border[1] * C, x.dtype), np.empty(6 * border[1] * C, x.dtype)
    g_field, g_rows = np.zeros(g_border[0] * g_border[1] * F, x.dtype), np.empty(6 * g_border[1] * F, x.dtype)
    tiles, width, g_width = together * across, border[1] * C, g_border[1] * F
    v_plane, m_plane = tiles * C + PAD, tiles * F + PAD
    held = 6 * min(stop - start, 6)              # matrices at once
    V, dM = np.empty(held * v_plane, x.dtype), np.empty(held * m_plane, x.dtype)
    du = dU.reshape(dU.size)
    for part in range(start // 6, (stop + 5) // 6):
        begin, end = max(start - 6 * part, 0), min(stop - 6 * part, 6)
        last = (part + 1) * N // len(dU) * high
        for first in range(part * N // len(dU) * high, last, together):
            strips = min(together, last - first)
            for k in range(strips):
                n, top = (first + k) // high, (first + k) % high
                if top == 0:
                    fill(field, x[n], border, corner)
                    fill(g_field, g[n], g_border, (0, 0))
                to_pixels(field, 4 * top * width, width, rows, 0, width, width)
                to_results(g_field, 4 * top * g_width, g_width, g_rows, 0, g_width, g_width)
                for i in range(begin, end):
                    for j in range(across):
                        e, t = 6 * (i - begin), k * across + j
                        to_pixels(rows, i * width + 4 * j * C, C, V, e * v_plane + t * C, v_plane, C)
                        to_results(g_rows, i * g_width + 4 * j * F, F, dM, e * m_plane + t * F, m_plane, F)
            for e in range(6 * (end - begin)):
                v, at = V[e * v_plane:], (6 * (6 * part + begin) + e) * dU.shape[2] * F
                for c in range(0, len(channels), ROWS):
                    for f in range(0, F, COLUMNS):
                        product(v, channels, c, 0, C, dM, e * m_plane + f, 0, F, 1, strips * across,
                                du, at + c * F + f, F, du, u_rows, c, at + f)
