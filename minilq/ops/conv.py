"""Convolution, written as the matrix product that it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.kernels import twin
from minilq.kernels.window import Window
from minilq.ops.broadcast import check_floats
from minilq.ops.window import Padding, add_windows, check_images, geometry, padded, pair, windows

BLOCK = 1 << 22
"""Numbers in the largest piece of a column matrix that is ever held (16 MB of float32); one image at least."""


@primitive
def conv2d(x: Any, w: Any, b: Any, stride: int | tuple[int, int] = 1, padding: Padding = "same") -> Array:
    """Convolution of images with a kernel (a cross-correlation, as in every such library: the kernel is not flipped).

    Forward     y_(n,i,j,f) = b_f + sum over u, v, c of  x_(n, i SH + u - top, j SW + v - left, c)  w_(u,v,c,f)
                and 0 for x outside the image. As a product: row (n,i,j) of the column matrix X (im2col) holds the
                KH KW C numbers under the kernel there, and Y = X W + b with W = w as (KH KW C, F).
    Derivative  kind: exact. With G = g as (N OH OW, F):  dw = X^T G,  dx = col2im(G W^T),  db_f = sum g_(n,i,j,f)
    Shapes      x (N, H, W, C), w (KH, KW, C, F), b (F,) -> (N, OH, OW, F)
    stride      SH = SW, or (SH, SW); whole numbers >= 1
    padding     "same": OH = ceil(H / SH), TensorFlow's, one row more below and right where the sum is odd; "valid":
                none; p, (p_h, p_w) or ((top, bottom), (left, right)): that many zeros.
                OH = (H + top + bottom - KH) // SH + 1
    Dtype       float32 or float64, preserved
    Raises      ShapeError for axes or channels that do not match, for a kernel larger than the padded image and for
                a result of size zero; ConfigError for strides < 1 and for unknown or negative padding; DTypeError
    Source      im2col: Chellapilla, Puri, Simard 2006; the thesis' networks use 3x3 kernels and "same"

    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d(x, np.ones((3, 3, 1, 1)), np.zeros(1))[0, :, :, 0]
    array([[ 8., 15., 12.],
           [21., 36., 27.],
           [20., 33., 24.]])
    """
    return convolved(x, w, b, _window(x, w, b, stride, padding))


@vjp_of(conv2d, kind="exact", needs="x w", at=normal((2, 4, 5, 3), (3, 3, 3, 2), (2,), stride=2))
def conv2d_vjp(g: Array, y: Array, x: Array, w: Array, b: Array, stride: int | tuple[int, int] = 1,
               padding: Padding = "same", need: tuple[bool, ...] = (True, True, True),
               ) -> tuple[Array | None, Array | None, Array | None]:
    window = _window(x, w, b, stride, padding)
    # Y = X W + b, X = im2col(x)   =>   dX = G W^T,  dx = im2col^T dX = col2im(dX)
    dx = input_gradient(g, w, x.shape, window) if need[0] else None
    #                              =>   dW = X^T G
    dw = kernel_gradient(g, x, w.shape, window) if need[1] else None
    #                              =>   db_f = sum over all pixels of G_(p,f)
    db = bias_gradient(g) if need[2] else None
    return dx, dw, db


def im2col(x: Array, window: Window) -> Array:
    """The column matrix X: row (n,i,j) holds what lies under the kernel there, in the order (u, v, c).

    Shapes      x (N, H, W, C) -> (N OH OW, KH KW C)
    """
    columns = windows(padded(x, window), window)                 # (N, OH, OW, KH, KW, C), a view
    return columns.reshape(math.prod(columns.shape[:3]), -1)     # its copy as a matrix


def col2im(columns: Array, shape: tuple[int, ...], window: Window) -> Array:
    """The transpose of `im2col`: every number of the column matrix is added to the pixel that it was copied from.

    Shapes      columns (N OH OW, KH KW C) -> shape, that of x
    """
    N, _, _, C = shape
    return add_windows(columns.reshape(N, window.out_height, window.out_width, window.KH, window.KW, C), shape, window)


@twin("conv")
def convolved(x: Array, w: Array, b: Array, window: Window) -> Array:
    """Y = X W + b, block by block of images. The kernel multiplies without building X, where CPU and shapes fit."""
    KH, KW, C, F = w.shape
    W = w.reshape(KH * KW * C, F)
    y = np.empty((len(x), window.out_height, window.out_width, F), np.result_type(x, w, b))
    for part in _blocks(x, window):
        y[part] = (np.dot(im2col(x[part], window), W) + b).reshape(y[part].shape)
    return y


@twin("conv")
def input_gradient(g: Array, w: Array, shape: tuple[int, ...], window: Window) -> Array:
    """dx = col2im(G W^T), block by block of images."""
    KH, KW, C, F = w.shape
    W = w.reshape(KH * KW * C, F)
    dx = np.empty(shape, g.dtype)
    for part in _blocks(dx, window):
        dx[part] = col2im(np.dot(g[part].reshape(-1, F), W.T), dx[part].shape, window)
    return dx


@twin("conv")
def kernel_gradient(g: Array, x: Array, shape: tuple[int, ...], window: Window) -> Array:
    """dW = X^T G, a sum over blocks of images."""
    F = shape[3]
    dw = np.zeros(shape, g.dtype)
    for part in _blocks(x, window):
        dw += np.dot(im2col(x[part], window).T, g[part].reshape(-1, F)).reshape(shape)
    return dw


@twin("conv")
def bias_gradient(g: Array) -> Array:
    """db_f = sum over n, i, j of g_(n,i,j,f)."""
    return g.sum(axis=(0, 1, 2))


def _blocks(x: Array, window: Window) -> Iterator[slice]:
    """Slices of images whose column matrices hold at most BLOCK numbers."""
    numbers = window.out_height * window.out_width * window.KH * window.KW * x.shape[3]
    step = max(BLOCK // max(numbers, 1), 1)
    for start in range(0, len(x), step):
        yield slice(start, start + step)


def _window(x: Any, w: Any, b: Any, stride: int | tuple[int, int], padding: Padding) -> Window:
    """The geometry, after a check of everything."""
    check_floats("conv2d", x=x, w=w, b=b)
    check_images("conv2d", x)
    if w.ndim != 4 or b.ndim != 1:
        raise ShapeError("conv2d", "the kernel must be (KH, KW, C, F) and the bias (F,)",
                         got=f"w {w.shape}, b {b.shape}")
    if x.shape[3] != w.shape[2]:
        cause = ""
        if x.shape[3] == w.shape[1]:
            cause = "w seems to be (F, C, KH, KW): w.transpose(2, 3, 1, 0) is (KH, KW, C, F)"
        elif x.shape[1] == w.shape[2]:
            cause = "x seems to be (N, C, H, W): x.transpose(0, 2, 3, 1) puts the channels last"
        raise ShapeError("conv2d", "channels of x and w must match",
                         got=f"x {x.shape} with C={x.shape[3]}, w {w.shape} with C={w.shape[2]}", cause=cause)
    if w.shape[3] != b.shape[0]:
        raise ShapeError("conv2d", "filters of w and the length of b must match", got=f"w {w.shape}, b {b.shape}")
    return geometry("conv2d", x.shape[1], x.shape[2], w.shape[:2], pair("conv2d", "stride", stride), padding)
