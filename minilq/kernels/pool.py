"""Compiled twins of pooling: the border is left out of the loops instead of being written, and nothing is copied.

The innermost loop runs over the channels of one pixel. A pixel of overlapping windows receives its gradients in the
order of the reference: from the last window to the first.
"""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import copy_to, jit
from minilq.kernels.threads import in_parts
from minilq.kernels.window import Window


def maxima(x: Array, window: Window) -> Array:
    if not fits(x):
        return NotImplemented
    y = np.empty((len(x), window.out_height, window.out_width, x.shape[3]), x.dtype)
    in_parts(_maxima, len(x), x.size, x, y, tuple(window))
    return y


@jit(inline=True)
def _span(i, step, border, size, end):  # type: ignore[no-untyped-def]
    # the real pixels of window i along one axis
    first = i * step - border
    return max(first, 0), min(first + size, end)


@jit()
def _maxima(x, y, window, start, stop):  # type: ignore[no-untyped-def]
    # the maximum over the rows of a window first, for a whole row of windows: a long loop
    x, y = x[start:stop], y[start:stop]
    N, H, W, C = x.shape
    OH, OW, top, _, left, _, KH, KW, SH, SW = window
    highest = np.empty(W * C, x.dtype)
    for n in range(N):
        image = x[n].reshape(H, W * C)
        for i in range(OH):
            h0, h1 = _span(i, SH, top, KH, H)
            copy_to(highest, image[h0])
            for h in range(h0 + 1, h1):
                _raise(highest, image[h])
            for j in range(OW):
                w0, w1 = _span(j, SW, left, KW, W)
                copy_to(y[n, i, j], highest[w0 * C:w0 * C + C])
                for w in range(w0 + 1, w1):
                    _raise(y[n, i, j], highest[w * C:w * C + C])


@jit(inline=True)
def _raise(a, b):  # type: ignore[no-untyped-def]
    for k in range(len(a)):
        a[k] = b[k] if b[k] > a[k] or b[k] != b[k] else a[k]         # a NaN wins, and stays


def maxima_gradient(g: Array, y: Array, x: Array, window: Window) -> Array:
    if not fits(g, y, x):
        return NotImplemented
    dx = np.empty_like(x)
    kernel = _quarters_gradient if tuple(window[2:]) == (0, 0, 0, 0, 2, 2, 2, 2) else _maxima_gradient
    in_parts(kernel, len(x), x.size, g, y, x, dx, tuple(window))
    return dx


@jit()
def _maxima_gradient(g, y, x, dx, window, start, stop):  # type: ignore[no-untyped-def]
    # share_ic = g_ic / m_ic for a row of windows at a time. Pixels in the same place of neighbouring windows follow
    # each other, so that no number is read right after it was written: waiting for that would cost more than the sums
    g, y, x, dx = g[start:stop], y[start:stop], x[start:stop], dx[start:stop]
    N, H, W, C = x.shape
    OH, OW, top, _, left, _, KH, KW, SH, SW = window
    zero, one = x.dtype.type(0), x.dtype.type(1)
    share = np.empty((OW, C), x.dtype)
    for n in range(N):
        dx[n] = zero
        for i in range(OH - 1, -1, -1):
            h0, h1 = _span(i, SH, top, KH, H)
            share[:] = zero
            for h in range(h0, h1):
                for v in range(KW):
                    for j in range(OW):
                        w = j * SW + v - left
                        if 0 <= w < W:
                            for c in range(C):
                                share[j, c] += one if x[n, h, w, c] == y[n, i, j, c] else zero
            for j in range(OW):
                for c in range(C):
                    share[j, c] = g[n, i, j, c] / share[j, c]
            for h in range(h0, h1):
                for v in range(KW):
                    for j in range(OW):
                        w = j * SW + v - left
                        if 0 <= w < W:
                            for c in range(C):
                                dx[n, h, w, c] += (one if x[n, h, w, c] == y[n, i, j, c] else zero) * share[j, c]


@jit()
def _quarters_gradient(g, y, x, dx, window, start, stop):  # type: ignore[no-untyped-def]
    # the same for windows of 2 x 2 side by side: each pixel is written once
    g, y, x, dx = g[start:stop], y[start:stop], x[start:stop], dx[start:stop]
    N, H, W, C = x.shape
    OH, OW = window[:2]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    share = np.empty((OW, C), x.dtype)
    for n in range(N):
        if H % 2 or W % 2:
            dx[n] = zero                         # the last row or column is in no window
        for i in range(OH):
            for j in range(OW):
                a, b = x[n, 2 * i, 2 * j], x[n, 2 * i, 2 * j + 1]
                c, d = x[n, 2 * i + 1, 2 * j], x[n, 2 * i + 1, 2 * j + 1]
                for k in range(C):
                    high = y[n, i, j, k]
                    m = ((one if a[k] == high else zero) + (one if b[k] == high else zero)
                         + (one if c[k] == high else zero) + (one if d[k] == high else zero))
                    share[j, k] = g[n, i, j, k] / m
            for h in range(2 * i, 2 * i + 2):
                for j in range(OW):
                    for w in range(2 * j, 2 * j + 2):
                        for k in range(C):       # + 0, as -0 must become 0
                            dx[n, h, w, k] = zero + (one if x[n, h, w, k] == y[n, i, j, k] else zero) * share[j, k]


def means(x: Array, window: Window) -> Array:
    if not fits(x):
        return NotImplemented
    y = np.empty((len(x), window.out_height, window.out_width, x.shape[3]), x.dtype)
    in_parts(_means, len(x), x.size, x, y, tuple(window))
    return y


@jit()
def _means(x, y, window, start, stop):  # type: ignore[no-untyped-def]
    x, y = x[start:stop], y[start:stop]
    N, H, W, C = x.shape
    OH, OW, top, _, left, _, KH, KW, SH, SW = window
    zero = x.dtype.type(0)
    for n in range(N):
        for i in range(OH):
            h0, h1 = _span(i, SH, top, KH, H)
            for j in range(OW):
                w0, w1 = _span(j, SW, left, KW, W)
                y[n, i, j] = zero
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(C):
                            y[n, i, j, c] += x[n, h, w, c]
                pixels = x.dtype.type((h1 - h0) * (w1 - w0))
                for c in range(C):
                    y[n, i, j, c] /= pixels


def means_gradient(g: Array, shape: tuple[int, ...], window: Window) -> Array:
    if not fits(g):
        return NotImplemented
    dx = np.empty(shape, g.dtype)
    in_parts(_means_gradient, len(dx), dx.size, g, dx, tuple(window))
    return dx


@jit()
def _means_gradient(g, dx, window, start, stop):  # type: ignore[no-untyped-def]
    g, dx = g[start:stop], dx[start:stop]
    N, H, W, C = dx.shape
    OH, OW, top, _, left, _, KH, KW, SH, SW = window
    zero = g.dtype.type(0)
    for n in range(N):
        dx[n] = zero
        for i in range(OH - 1, -1, -1):
            h0, h1 = _span(i, SH, top, KH, H)
            for j in range(OW - 1, -1, -1):
                w0, w1 = _span(j, SW, left, KW, W)
                pixels = g.dtype.type((h1 - h0) * (w1 - w0))
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        for c in range(C):
                            dx[n, h, w, c] += g[n, i, j, c] / pixels
