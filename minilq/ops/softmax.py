"""Softmax: numbers that are made positive and add up to 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.ops.broadcast import check_reals


def probabilities(x: Array, axis: int) -> Array:
    """e^x_i / sum_j e^x_j along an axis, after subtracting the largest; nothing checked."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


@primitive
def softmax(x: Any, axis: int = -1) -> Array:
    """Softmax along an axis.

    Forward     y_i = e^x_i / sum_j e^x_j
    Derivative  kind: exact. dx_i = y_i (g_i - sum_j g_j y_j)
    Shapes      x any, with at least one number along the axis -> x.shape
    Dtype       float32 or float64, preserved
    Raises      ShapeError for an axis that x does not have, and for a softmax of nothing; DTypeError

    The largest is subtracted first, so huge numbers do not overflow; -inf gives 0.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, -1000.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    check_reals("softmax", x=x)
    if not is_whole(axis, -x.ndim, x.ndim - 1):
        raise ShapeError("softmax", f"axis must be one of the {x.ndim} axes of x", got=f"axis {shown(axis)}")
    if x.shape[axis] == 0:
        raise ShapeError("softmax", "there must be at least one number along the axis", got=f"x.shape={x.shape}")
    return probabilities(x, axis)


@vjp_of(softmax, kind="exact", needs="y", at=normal((3, 4), axis=-1))
def softmax_vjp(g: Array, y: Array, x: Array, axis: int = -1) -> tuple[Array]:
    # dy_i/dx_j = y_i ([i = j] - y_j)   =>   dx_j = y_j (g_j - sum_i g_i y_i)
    return (y * (g - (g * y).sum(axis=axis, keepdims=True)),)
