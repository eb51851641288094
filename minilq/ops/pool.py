"""Pooling: one number for each window of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal, without_ties
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.kernels import twin
from minilq.kernels.window import Window
from minilq.ops.window import Padding, add_windows, check_images, geometry, padded, pair, windows

Size = int | tuple[int, int]


@primitive
def max_pool2d(x: Any, size: Size, stride: Size | None = None, padding: Padding = "valid") -> Array:
    """The largest number of each window, in every channel.

    Forward     y_(n,i,j,c) = max over u < KH, v < KW of x_(n, i SH + u - top, j SW + v - left, c)
    Derivative  kind: exact. dx_p = sum over the windows i that hold p of [x_p = y_i] g_i / m_i, with m_i maxima in i
    At kinks    the m numbers that tie for the maximum of a window share its gradient equally.
    Shapes      x (N, H, W, C) -> (N, OH, OW, C)
    size        KH = KW, or (KH, KW)
    stride      SH = SW, or (SH, SW); None: the size, so that windows neither overlap nor leave gaps
    padding     as for `conv2d`, but smaller than the window. The border counts as -infinity: it never wins.
    Dtype       float32 or float64, preserved. A NaN makes its windows NaN, and their gradients.
    Raises      ShapeError, DTypeError; ConfigError for size or stride < 1, and for padding >= size

    >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return maxima(x, _window("max_pool2d", x, size, stride, padding))


@vjp_of(max_pool2d, kind="exact", needs="x y", at=without_ties((2, 4, 5, 2), size=(3, 2), stride=2, padding="same"))
def max_pool2d_vjp(g: Array, y: Array, x: Array, size: Size, stride: Size | None = None,
                   padding: Padding = "valid") -> tuple[Array]:
    # y_i = max over p in window i of x_p   =>   dx_p = sum_i [x_p = y_i] g_i / m_i
    return (maxima_gradient(g, y, x, _window("max_pool2d", x, size, stride, padding)),)


@twin("pool")
def maxima(x: Array, window: Window) -> Array:
    """The maximum of each window."""
    z = windows(padded(x, window, -np.inf), window)                 # (N, OH, OW, KH, KW, C)
    y = z[:, :, :, 0, 0]
    for u, v in np.ndindex(window.KH, window.KW):
        y = np.maximum(y, z[:, :, :, u, v])
    return y


@twin("pool")
def maxima_gradient(g: Array, y: Array, x: Array, window: Window) -> Array:
    """dx_p = sum_i [x_p = y_i] g_i / m_i. A border of NaN equals nothing, not even -infinity."""
    tied = windows(padded(x, window, np.nan), window) == y[:, :, :, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):         # a window with a NaN has no maximum: 0 / 0
        share = g / tied.sum(axis=(3, 4)).astype(g.dtype)        # (N, OH, OW, C)
    return add_windows(tied * share[:, :, :, None, None], x.shape, window)


@primitive
def average_pool2d(x: Any, size: Size, stride: Size | None = None, padding: Padding = "valid") -> Array:
    """The mean of each window, in every channel; only real pixels count, as in TensorFlow.

    Forward     y_i = (1 / n_i) sum over p in window i of x_p, with n_i pixels of the image in the window
    Derivative  kind: exact. dx_p = sum over the windows i that hold p of g_i / n_i
    Shapes      x (N, H, W, C) -> (N, OH, OW, C); size, stride and padding as for `max_pool2d`
    Dtype       float32 or float64, preserved
    Raises      ShapeError, DTypeError; ConfigError for size or stride < 1, and for padding >= size

    >>> average_pool2d(np.ones((1, 3, 3, 1)), 2, padding="same").ravel()     # the border is not counted
    array([1., 1., 1., 1.])
    """
    return means(x, _window("average_pool2d", x, size, stride, padding))


@vjp_of(average_pool2d, kind="exact", needs="", at=normal((2, 4, 5, 2), size=(3, 2), stride=2, padding="same"))
def average_pool2d_vjp(g: Array, y: Array, x: Array, size: Size, stride: Size | None = None,
                       padding: Padding = "valid") -> tuple[Array]:
    # y_i = (1/n_i) sum over p in window i of x_p   =>   dx_p = sum_i g_i / n_i
    return (means_gradient(g, x.shape, _window("average_pool2d", x, size, stride, padding)),)


@twin("pool")
def means(x: Array, window: Window) -> Array:
    """The mean over the real pixels of each window."""
    z = windows(padded(x, window), window)                          # (N, OH, OW, KH, KW, C)
    y = np.zeros_like(z[:, :, :, 0, 0])
    for u, v in np.ndindex(window.KH, window.KW):
        y += z[:, :, :, u, v]
    return y / pixels(x.shape, window).astype(x.dtype)


@twin("pool")
def means_gradient(g: Array, shape: tuple[int, ...], window: Window) -> Array:
    """dx_p = sum_i g_i / n_i."""
    share = g / pixels(shape, window).astype(g.dtype)
    OH, OW, C = share.shape[1:]
    columns = np.broadcast_to(share[:, :, :, None, None], (len(g), OH, OW, window.KH, window.KW, C))
    return add_windows(columns, shape, window)


def pixels(shape: tuple[int, ...], window: Window) -> Array:
    """n_i: how many pixels of the image each window holds. (N, H, W, C) -> (1, OH, OW, 1)."""
    return np.asarray(windows(padded(np.ones((1, *shape[1:3], 1)), window), window).sum(axis=(3, 4)))


@primitive
def global_average_pool2d(x: Any) -> Array:
    """The mean of each channel over all pixels: y_nc = 1/(H W) sum_hw x_nhwc, with dx_nhwc = g_nc / (H W). Kind: exact.

    Shapes      x (N, H, W, C) -> (N, C)
    Raises      ShapeError, also for images without pixels; DTypeError
    """
    check_images("global_average_pool2d", x)
    geometry("global_average_pool2d", x.shape[1], x.shape[2], (1, 1), (1, 1), "valid")
    return np.asarray(x.mean(axis=(1, 2)))


@vjp_of(global_average_pool2d, kind="exact", needs="", at=normal((2, 3, 4, 2)))
def global_average_pool2d_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # y_nc = 1/(H W) sum_hw x_nhwc   =>   dx_nhwc = g_nc / (H W)
    dx = np.empty(x.shape, g.dtype)
    dx[...] = g[:, None, None] / (x.shape[1] * x.shape[2])
    return (dx,)


def _window(op: str, x: Any, size: Size, stride: Size | None, padding: Padding) -> Window:
    """The geometry, after a check of everything."""
    check_images(op, x)
    kernel = pair(op, "size", size)
    window = geometry(op, x.shape[1], x.shape[2], kernel, kernel if stride is None else pair(op, "stride", stride),
                      padding)
    check_borders(op, window, padding)
    return window


def check_borders(op: str, window: Window, padding: Padding) -> None:
    """ConfigError for a border as wide as the window: some windows would hold no pixel."""
    if max(window.top, window.bottom) >= window.KH or max(window.left, window.right) >= window.KW:
        raise ConfigError(op, "padding must be smaller than the window, or some windows hold no pixel",
                          got=f"padding {padding} for a window of {window.KH, window.KW}")
