"""Grouped convolution: several small ones side by side; depthwise, with a group for each channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.kernels.window import Window
from minilq.ops.broadcast import check_floats
from minilq.ops.conv import bias_gradient, convolved, input_gradient, kernel_gradient
from minilq.ops.window import Padding, add_windows, check_images, geometry, padded, pair, windows


@primitive
def grouped_conv2d(x: Any, w: Any, b: Any, groups: int, stride: int | tuple[int, int] = 1, padding: Padding = "same",
                   ) -> Array:
    """Convolution in which each filter sees the channels of its own group alone.

    Forward     With G groups, c = C/G and f = F/G, group g is conv2d of the channels g c ... g c + c - 1 with the
                filters g f ... g f + f - 1, and y is all groups beside each other. G = C is a depthwise convolution:
                y_(n,i,j,g f + k) = b + sum over u, v of z_(n,i,j,u,v,g) w_(u,v,0,g f + k), z what each window sees
    Derivative  kind: exact. Of each group that of conv2d; depthwise dw = sum over n, i, j of z g, and dx = g w, each
                number put back to the pixel that it belongs to
    Shapes      x (N, H, W, C), w (KH, KW, C/G, F), b (F,) -> (N, OH, OW, F)
    stride, padding     as in `conv2d`
    Dtype       float32 or float64, preserved
    Raises      ConfigError for groups that divide C or F with a rest; ShapeError and DTypeError as conv2d
    Source      Krizhevsky et al. 2012; depthwise: Howard et al. 2017 (arXiv 1704.04861)

    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> grouped_conv2d(x, np.ones((2, 2, 1, 2)), np.zeros(2), groups=2, padding="valid").ravel()     # of each channel
    array([12., 16.])
    """
    window = _window(x, w, b, groups, stride, padding)
    if groups == x.shape[3]:
        y = np.einsum("nhwuvg,uvgf->nhwgf", windows(padded(x, window), window), _by_channel(w, groups))
        return np.asarray(y.reshape(*y.shape[:3], -1) + b)
    return np.concatenate([convolved(x[..., ours].copy(), w[..., filters].copy(), b[filters], window)
                           for ours, filters in _slices(x, w, groups)], axis=3)


@vjp_of(grouped_conv2d, kind="exact", needs="x w",
        at=normal((2, 4, 5, 4), (3, 3, 2, 6), (6,), groups=2, stride=2))
def grouped_conv2d_vjp(g: Array, y: Array, x: Array, w: Array, b: Array, groups: int,
                       stride: int | tuple[int, int] = 1, padding: Padding = "same",
                       need: tuple[bool, ...] = (True, True, True)) -> tuple[Array | None, Array | None, Array | None]:
    window = _window(x, w, b, groups, stride, padding)
    db = bias_gradient(g) if need[2] else None
    if groups == x.shape[3]:
        of_group = g.reshape(*g.shape[:3], groups, -1)
        # y_gf = sum_uv z_uvg w_uvgf   =>   dz_uvg = sum_f g_gf w_uvgf,   dw_uvgf = sum_nij z_uvg g_gf
        dx = add_windows(np.einsum("nhwgf,uvgf->nhwuvg", of_group, _by_channel(w, groups)), x.shape,
                         window) if need[0] else None
        dw = np.einsum("nhwuvg,nhwgf->uvgf", windows(padded(x, window), window), of_group).reshape(
            w.shape) if need[1] else None
        return dx, dw, db
    # y = [conv2d of group 1, ... of group G]   =>   each group gets the gradients of its own part of g
    dx, dw = (np.empty(a.shape, a.dtype) if wanted else None for a, wanted in ((x, need[0]), (w, need[1])))
    for ours, filters in _slices(x, w, groups):
        part, kernel, images = (np.ascontiguousarray(a) for a in (g[..., filters], w[..., filters], x[..., ours]))
        if dx is not None:
            dx[..., ours] = input_gradient(part, kernel, images.shape, window)
        if dw is not None:
            dw[..., filters] = kernel_gradient(part, images, kernel.shape, window)
    return dx, dw, db


def _by_channel(w: Array, groups: int) -> Array:
    """(KH, KW, 1, F) -> (KH, KW, G, F/G)."""
    return w.reshape(*w.shape[:2], groups, -1)


def _slices(x: Array, w: Array, groups: int) -> Iterator[tuple[slice, slice]]:
    """The channels and the filters of each group."""
    c, f = x.shape[3] // groups, w.shape[3] // groups
    for i in range(groups):
        yield slice(i * c, (i + 1) * c), slice(i * f, (i + 1) * f)


def check_groups(op: str, groups: Any, n_in: int, n_out: int) -> None:
    """ConfigError unless so many groups share the channels and the filters without a rest."""
    if not is_whole(groups, 1) or n_in % groups or n_out % groups:
        raise ConfigError(op, "groups must be a whole number that divides the channels and the filters",
                          got=f"{shown(groups)} for {n_in} channels and {n_out} filters")


def _window(x: Any, w: Any, b: Any, groups: Any, stride: Any, padding: Padding) -> Window:
    """The geometry, after a check of everything."""
    op = "grouped_conv2d"
    check_floats(op, x=x, w=w, b=b)
    check_images(op, x)
    if w.ndim != 4 or b.shape != w.shape[3:]:
        raise ShapeError(op, "the kernel must be (KH, KW, C/groups, F) and the bias (F,)",
                         got=f"w {w.shape}, b {b.shape}")
    check_groups(op, groups, x.shape[3], w.shape[3])
    if w.shape[2] * groups != x.shape[3]:
        raise ShapeError(op, "the kernel must have the channels of one group", got=f"w {w.shape} with {groups} groups "
                         f"of {x.shape[3] // groups} channels")
    return geometry(op, x.shape[1], x.shape[2], w.shape[:2], pair(op, "stride", stride), padding)
