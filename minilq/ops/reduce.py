"""Reductions over all axes, one, or several."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import check_flag, is_whole, shown
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal, without_ties
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.ops.broadcast import check_operand

Axis = int | tuple[int, ...] | None


@primitive
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over axes: y = sum_i x_i, with dx_i = g. Kind: exact.

    Shapes      x any; y without the reduced axes, or with 1 in their place (keepdims).
    Raises      ShapeError for an axis that x does not have.
    """
    _check("sum", x, axis, keepdims)
    return np.sum(x, axis=axis, keepdims=bool(keepdims))


@vjp_of(sum, kind="exact", needs="", at=normal((3, 4), axis=1))
def sum_vjp(g: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array]:
    # dy/dx_i = 1, so every x_i of the group receives g
    return (np.broadcast_to(_widen(g, x, axis), x.shape),)


@primitive
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes: y = (1/n) sum_i x_i, with dx_i = g / n. Kind: exact.

    Shapes      as for `sum`.
    Raises      ShapeError for an axis that x does not have, and for a mean of nothing.
    """
    _check("mean", x, axis, keepdims)
    _check_not_empty("mean", x)
    return np.mean(x, axis=axis, keepdims=bool(keepdims))


@vjp_of(mean, kind="exact", needs="", at=normal((2, 3, 4), axis=(0, 2)))
def mean_vjp(g: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array]:
    # dy/dx_i = 1/n
    n = x.size // y.size
    return (np.broadcast_to(_widen(g / n, x, axis), x.shape),)


@primitive
def sum_of_squares(x: Any) -> Array:
    """Squared length: y = sum_i x_i^2 over all entries, with dx_i = 2 g x_i. Kind: exact.

    Shapes      x any -> ()
    """
    check_operand("sum_of_squares", x)
    flat = np.asarray(x).reshape(-1)
    return np.asarray(np.dot(flat, flat))


@vjp_of(sum_of_squares, kind="exact", needs="x", at=normal((3, 4)))
def sum_of_squares_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx_i = 2 x_i
    return (2 * g * x,)


@primitive
def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Array:
    """Euclidean length over axes: y = sqrt(sum_i x_i^2), with dx_i = g x_i / y. Kind: exact.

    At kinks    at x = 0 nothing flows, dx = 0: the smallest of the slopes that fit there, and no NaN.
    Shapes      as for `sum`. Neither large nor small numbers overflow: they are divided by the largest first
    Raises      ShapeError for an axis that x does not have.

    >>> norm(np.array([[3.0, 4.0], [0.0, 0.0]]), axis=1)
    array([5., 0.])
    """
    _check("norm", x, axis, keepdims)
    largest = np.max(np.abs(x), axis=axis, keepdims=True, initial=0)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1).astype(np.real(x).dtype)
    y = unit * np.sqrt(np.sum(np.square(x / unit), axis=axis, keepdims=True))
    return np.asarray(y if keepdims else y.reshape(np.sum(x, axis=axis).shape))


@vjp_of(norm, kind="exact", needs="x y", at=normal((3, 4), axis=1))
def norm_vjp(g: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array]:
    # y^2 = sum_i x_i^2   =>   y dy = sum_i x_i dx_i   =>   dy/dx_i = x_i / y
    y = _widen(y, x, axis)
    return (_widen(g, x, axis) * np.divide(x, y, out=np.zeros_like(x), where=y != 0),)


@primitive
def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Array:
    """Maximum over axes: y = max_i x_i, with dx_i = g / m where x_i = y and m entries tie, else 0. Kind: exact.

    At kinks    entries that tie share the gradient equally.
    Raises      ShapeError for an axis that x does not have, and for a maximum of nothing.
    """
    _check("max", x, axis, keepdims)
    _check_not_empty("max", x)
    return np.max(x, axis=axis, keepdims=bool(keepdims))


@vjp_of(max, kind="exact", needs="x y", at=without_ties((3, 4), axis=1))
def max_vjp(g: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> tuple[Array]:
    # dy/dx_i = [x_i = y] / m
    tied = x == _widen(y, x, axis)
    share = tied / tied.sum(axis=axis, keepdims=True)
    return (_widen(g, x, axis) * share.astype(x.dtype),)


def _widen(g: Array, x: Array, axis: Axis) -> Array:
    """g with a 1 in the place of every reduced axis of x."""
    if axis is None:
        return g.reshape((1,) * x.ndim)
    axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return g.reshape(tuple([1 if i in axes else n for i, n in enumerate(x.shape)]))


def _check(op: str, x: Any, axis: Axis, keepdims: bool) -> None:
    check_operand(op, x)
    check_flag(op, "keepdims", keepdims)
    ndim = np.ndim(x)
    axes = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        if not is_whole(a, -ndim, ndim - 1):
            raise ShapeError(op, f"axis must be one of the {ndim} axes of x, or a tuple of them",
                             got=f"axis {shown(a)} for {np.shape(x)}")
    if len({a % ndim for a in axes}) != len(axes):
        raise ShapeError(op, "each axis may be named once", got=f"axis={axis}")


def _check_not_empty(op: str, x: Any) -> None:
    if np.size(x) == 0:
        raise ShapeError(op, "x must not be empty", got=f"x.shape={np.shape(x)}")
