"""The transpose of broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ShapeError


def unbroadcast(g: Array, x: Any) -> Array:
    """Sum g over the axes along which x was repeated, so that it has the shape of x again.

    Repeating is y_ij = x_j; its transpose is dx_j = sum_i g_ij.

    >>> unbroadcast(np.ones((4, 3)), np.zeros((1, 3)))
    array([[4., 4., 4.]])
    """
    shape = np.shape(x)
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1)
    return np.asarray(g.sum(axis=axes, keepdims=True)).reshape(shape)


def check_broadcast(op: str, a: Any, b: Any) -> None:
    """ShapeError unless the shapes of a and b broadcast together."""
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        raise ShapeError(op, "shapes must be equal, or 1 where they differ, counted from the last axis",
                         got=f"{np.shape(a)} and {np.shape(b)}") from None
