"""Compiled twins of the convolution, with a zero-bordered copy of one image at a time and no column matrix.

In an NHWC image the KW * C numbers under one row of the kernel lie side by side. So a convolution is KH matrix
products whose left side is the image itself, its rows overlapping; one tile (tile.py) serves the forward, the gradient
of the input (a convolution of g with the flipped kernel, one for every phase of the stride) and that of the kernel.
For 3 x 3 kernels of stride 1, winograd.py and winograd4.py need fewer multiplications.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels import convolution_in_use, winograd, winograd4
from minilq.kernels.groups import Array, fits, on_lines
from minilq.kernels.jit import SUMS, jit
from minilq.kernels.kept import once
from minilq.kernels.memory import keep_freed
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS, SHAPE, fill, grid, product
from minilq.kernels.window import Window

# Measured: results of 2 x 2 pixels leave a tile half empty, and the kernel is read again for every image; there
# im2col, whose matrix holds all images, is twice as fast. At 4 x 4 the two are equal.
FEWEST_PIXELS = 16


def _suits(columns: int, window: Window, *arrays: Array) -> bool:
    """Whether the tile exists and is wanted, fits into a result of so many columns, and can read the arrays."""
    return (SHAPE is not None and convolution_in_use() != "im2col" and columns % COLUMNS == 0
            and window.out_height * window.out_width >= FEWEST_PIXELS and fits(*arrays)
            and arrays[0].dtype.char == "f" and min(a.size for a in arrays) > 0)


# Measured: with 3 channels the sums around Winograd's products cost more than these save, with 32 less, with 64 little.
FEWEST_CHANNELS = 32
# Measured: making the transformed kernel and reading it takes as long as so many tiles.
ONCE = 30


def _winograd(window: Window, N: int, shape: tuple[int, int], channels: int) -> Any:
    """The module of Winograd's algorithm for results of this shape; None where that is not wanted, or the kernel is not
    of 3 x 3 and stride 1, or somewhere sees the border alone, or there are too few channels to sum over.

    Of its two sizes the one with fewer products: 4 x 4 results at a time need 36 for each pair of channels, 2 x 2 need
    16. Few tiles hardly use the larger kernel, and small images leave much of the larger tiles empty.
    """
    wanted = convolution_in_use()
    if (wanted not in ("winograd", "winograd-2x2") or not window.KH == window.KW == 3 or not window.SH == window.SW == 1
            or max(window.top, window.bottom, window.left, window.right) > 2 or channels < FEWEST_CHANNELS):
        return None
    of_two, of_four = ((N * -(-shape[0] // m) * -(-shape[1] // m) + ONCE) * (m + 2)**2 for m in (2, 4))
    whole = SHAPE is not None and channels % SHAPE.lanes == 0
    return winograd4 if wanted == "winograd" and whole and of_four < of_two else winograd


def convolved(x: Array, w: Array, b: Array, window: Window) -> Array:
    if not _suits(w.shape[3], window, x, w, b):
        return NotImplemented
    keep_freed()
    N, _, _, C = x.shape
    KH, KW, _, F = w.shape
    OH, OW, SH, SW = window.out_height, window.out_width, window.SH, window.SW
    if (module := _winograd(window, N, (OH, OW), C)) is not None:
        return module.convolved(x, w, b, (OH, OW), (window.top, window.left))
    border = (OH - 1) * SH + KH, (OW - 1) * SW + KW
    y = np.empty((N, OH, OW, F), x.dtype)
    rows = grid((OH, SH * border[1] * C), (OW, SW * C))
    packed = once("direct", _packed, w)
    _convolve_all(x, border, (window.top, window.left), packed, b, y, rows, grid((OH, OW * F), (OW, F)))
    return y


def input_gradient(g: Array, w: Array, shape: tuple[int, ...], window: Window) -> Array:
    """One phase at a time: the pixels h with (h + top) % SH = r see the kernel rows r, r + SH, ... only, as a stride
    of 1; with h + top = q SH + r and kh = r + j SH,   dx_h = sum_j g_(q - j) w_(r + j SH)."""
    _, H, W, C = shape
    if not _suits(C, window, g, w):
        return NotImplemented
    if (module := _winograd(window, len(g), (H, W), w.shape[3])) is not None:
        flipped = w[::-1, ::-1].transpose(0, 1, 3, 2)
        return module.convolved(g, flipped, np.zeros(C, g.dtype), (H, W), (2 - window.top, 2 - window.left))
    dx = np.zeros(shape, g.dtype) if window.SH > window.KH or window.SW > window.KW else np.empty(shape, g.dtype)
    zero = np.zeros(C, g.dtype)
    F = w.shape[3]
    for r in range(min(window.SH, window.KH)):
        for c in range(min(window.SW, window.KW)):
            part = w[r::window.SH, c::window.SW][::-1, ::-1].transpose(0, 1, 3, 2)
            KH, KW = part.shape[:2]
            q0, q1 = -(-(window.top - r) // window.SH), (H - 1 + window.top - r) // window.SH + 1
            p0, p1 = -(-(window.left - c) // window.SW), (W - 1 + window.left - c) // window.SW + 1
            if q1 <= q0 or p1 <= p0:             # the image is too small to have this phase
                continue
            h0, w0 = q0 * window.SH + r - window.top, p0 * window.SW + c - window.left
            border = q1 - q0 + KH - 1, p1 - p0 + KW - 1
            _convolve_all(g, border, (KH - 1 - q0, KW - 1 - p0), _packed(part), zero, dx,
                          grid((q1 - q0, border[1] * F), (p1 - p0, F)),
                          grid((q1 - q0, window.SH * W * C), (p1 - p0, window.SW * C)) + (h0 * W + w0) * C)
    return dx


def kernel_gradient(g: Array, x: Array, shape: tuple[int, ...], window: Window) -> Array:
    KH, KW, C, F = shape
    if not _suits(F, window, g, x):
        return NotImplemented
    OH, OW, SH, SW = window.out_height, window.out_width, window.SH, window.SW
    if (module := _winograd(window, len(g), (OH, OW), C)) is not None:
        return module.kernel_gradient(g, x, (window.top, window.left))
    border = (OH - 1) * SH + KH, (OW - 1) * SW + KW
    rows = grid((KH, border[1] * C), (KW * C, 1))               # where the entries of one filter begin
    tiles = np.zeros((len(rows) // ROWS, F // COLUMNS, ROWS, COLUMNS), x.dtype)
    in_parts(_kernel_gradient, tiles.shape[0] * tiles.shape[1], x.size, g, x, tiles, border,
             (window.top, window.left), rows, np.arange(ROWS) * COLUMNS, (SH * border[1] * C, SW * C))
    return tiles.transpose(0, 2, 1, 3).reshape(-1, F)[:KH * KW * C].reshape(shape)


def bias_gradient(g: Array) -> Array:
    if not fits(g) or g.size == 0:
        return NotImplemented
    sums = np.empty((len(g), g.shape[3]), g.dtype)
    in_parts(_sums_by_image, len(g), g.size, g.reshape(len(g), -1, g.shape[3]), sums)
    return sums.sum(axis=0, dtype=np.float64).astype(g.dtype)


def _packed(w: Array) -> Array:
    """(KH, KW, C, F) -> (F / COLUMNS, KH, KW * C, COLUMNS): what one column of tiles needs lies together, aligned to
    cache lines."""
    KH, KW, C, F = w.shape
    return on_lines(w.reshape(KH, KW * C, F // COLUMNS, COLUMNS).transpose(2, 0, 1, 3))


def _convolve_all(x: Array, border: tuple[int, int], corner: tuple[int, int], w: Array, b: Array, y: Array,
                  x_rows: Array, y_rows: Array) -> None:
    """Each image of x, put into a field of zeros of size `border` at `corner`, through the packed kernel w, into y."""
    in_parts(_convolve, len(x), x.size, x, border, corner, w, b, y.reshape(len(y), -1), x_rows, y_rows)


@jit(SUMS)
def _convolve(x, border, corner, w, b, y, x_rows, y_rows, start, stop):  # type: ignore[no-untyped-def]
    C = x.shape[3]
    blocks, KH, L, _ = w.shape
    size = KH * L * COLUMNS
    w, outputs = w.reshape(w.size), y.reshape(y.size)
    field = np.zeros(border[0] * border[1] * C, x.dtype)
    for n in range(start, stop):
        fill(field, x[n], border, corner)
        for block in range(blocks):
            for t in range(0, len(x_rows), ROWS):
                product(field, x_rows, t, border[1] * C, 1, w, block * size, L * COLUMNS, COLUMNS, KH, L,
                         b, block * COLUMNS, 0, outputs, y_rows, t, n * y.shape[1] + block * COLUMNS)


@jit(SUMS)
def _kernel_gradient(g, x, tiles, border, corner, rows, tile_rows, steps, start, stop):  # type: ignore[no-untyped-def]
    # tiles start..stop of all; each sums over one image in registers, and over the images in memory
    N, OH, OW, F = g.shape
    C = x.shape[3]
    blocks = tiles.shape[1]
    g, tiles = g.reshape(g.size), tiles.reshape(tiles.size)
    field = np.zeros(border[0] * border[1] * C, x.dtype)
    for n in range(N):
        fill(field, x[n], border, corner)
        for tile in range(start, stop):
            at = tile * ROWS * COLUMNS
            product(field, rows, tile // blocks * ROWS, steps[0], steps[1],
                     g, n * OH * OW * F + tile % blocks * COLUMNS, OW * F, F, OH, OW,
                     tiles, at, COLUMNS, tiles, tile_rows, 0, at)


@jit(SUMS)
def _sums_by_image(g, sums, start, stop):  # type: ignore[no-untyped-def]
    for n in range(start, stop):
        sums[n] = 0
        for p in range(g.shape[1]):
            for f in range(g.shape[2]):
                sums[n, f] += g[n, p, f]
