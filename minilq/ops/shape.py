"""Operations that only move numbers: their derivatives move them back."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.ops.broadcast import check_floats, check_operand
from minilq.ops.window import check_images, sides_of

Sides = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


@primitive
def reshape(x: Any, shape: int | tuple[int, ...]) -> Array:
    """The same numbers, row by row, in another shape; one length may be -1. dx = g in the shape of x. Kind: exact.

    Raises      ShapeError when the sizes differ.
    """
    check_operand("reshape", x)
    if not (is_whole(shape) or (isinstance(shape, (tuple, list)) and all(map(is_whole, shape)))):
        raise ShapeError("reshape", "the new shape must be a whole number, or a tuple of them", got=shown(shape))
    try:
        return np.asarray(x).reshape(shape)
    except ValueError:
        raise ShapeError("reshape", f"the new shape must hold {np.size(x)} numbers",
                         got=f"{np.shape(x)} -> {shape}") from None


@vjp_of(reshape, kind="exact", needs="", at=normal((2, 6), shape=(4, 3)))
def reshape_vjp(g: Array, y: Array, x: Array, shape: int | tuple[int, ...]) -> tuple[Array]:
    # a permutation of nothing: the k-th number of g belongs to the k-th of x
    return (g.reshape(x.shape),)


@primitive
def transpose(x: Any, axes: tuple[int, ...] | None = None) -> Array:
    """Axes in another order (reversed by default): y_ji = x_ij. dx is g with the axes put back. Kind: exact.

    Raises      ShapeError when axes is not a permutation of all axes of x.
    """
    check_operand("transpose", x)
    ndim = np.ndim(x)
    if axes is not None and not (isinstance(axes, (tuple, list)) and all(map(is_whole, axes)) and sorted(
            a + ndim * (a < 0) for a in axes) == list(range(ndim))):
        raise ShapeError("transpose", f"axes must name each of the {ndim} axes of x once", got=shown(axes))
    return np.transpose(x, axes)


@vjp_of(transpose, kind="exact", needs="", at=normal((2, 3, 4), axes=(2, 0, 1)))
def transpose_vjp(g: Array, y: Array, x: Array, axes: tuple[int, ...] | None = None) -> tuple[Array]:
    # dx_ij = g_ji: the inverse permutation
    return (np.transpose(g, None if axes is None else np.argsort([a % x.ndim for a in axes]).tolist()),)


@primitive
def index(x: Any, key: Any) -> Array:
    """Selection y = x[key], with any key that NumPy takes. dx is g at the selected places, 0 elsewhere. Kind: exact.

    A place that is selected twice receives both gradients.
    Raises      ShapeError for a key that does not fit x.
    """
    check_floats("index", x=x)
    try:
        return np.asarray(x[key])
    except (IndexError, TypeError, ValueError, OverflowError) as error:  # NumPy alone knows all keys that it takes
        raise ShapeError("index", f"the key must fit the shape {np.shape(x)}", got=str(error)) from None


@vjp_of(index, kind="exact", needs="key", at=normal((3, 4), key=np.array([0, 2, 2])))
def index_vjp(g: Array, y: Array, x: Array, key: Any) -> tuple[Array]:
    # dx_j = sum of g_i over all i with key_i = j
    dx = np.zeros_like(x)
    parts = key if isinstance(key, tuple) else (key,)
    if all(part is None or isinstance(part, (int, np.integer, slice, type(...))) for part in parts):
        dx[key] += g                             # no place is selected twice
    else:
        np.add.at(dx, key, g)
    return (dx,)


@primitive
def zero_pad2d(x: Any, padding: Sides) -> Array:
    """Images with a border of zeros; dx is g without the border. Kind: exact.

    Shapes      x (N, H, W, C) -> (N, top + H + bottom, left + W + right, C)
    padding     p, on every side; (p_h, p_w); ((top, bottom), (left, right))
    Raises      ShapeError, DTypeError; ConfigError for any other or negative padding

    >>> zero_pad2d(np.ones((1, 1, 2, 1)), ((0, 1), (1, 0)))[0, :, :, 0]
    array([[0., 1., 1.],
           [0., 0., 0.]])
    """
    check_images("zero_pad2d", x)
    if isinstance(padding, str):
        raise ConfigError("zero_pad2d", "padding must be numbers", got=repr(padding),
                          cause="A convolution or a pooling pads by itself: padding='same'")
    top, bottom, left, right = sides_of("zero_pad2d", padding)
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


@vjp_of(zero_pad2d, kind="exact", needs="", at=normal((2, 3, 2, 2), padding=((0, 1), (2, 1))))
def zero_pad2d_vjp(g: Array, y: Array, x: Array, padding: Sides) -> tuple[Array]:
    # y_(h + top, w + left) = x_hw   =>   dx_hw = g_(h + top, w + left)
    top, _, left, _ = sides_of("zero_pad2d", padding)
    return (g[:, top:top + x.shape[1], left:left + x.shape[2]],)
