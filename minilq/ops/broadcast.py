"""The transpose of broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError


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


def check_operands(op: str, a: Any, b: Any) -> None:
    """ShapeError unless the shapes of a and b broadcast; DTypeError for lists, and for integers beside floats."""
    for one, other in ((a, b), (b, a)):
        if isinstance(one, (list, tuple)) or (isinstance(one, np.ndarray) and one.dtype.kind in "iu"
                                              and isinstance(other, np.ndarray) and other.dtype.kind == "f"):
            raise DTypeError(op, "operands must be tensors, float arrays or numbers",
                             got=str(getattr(one, "dtype", type(one).__name__)),
                             cause="Convert it: np.asarray(x, dtype=np.float32)")
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        raise ShapeError(op, "shapes must be equal, or 1 where they differ, counted from the last axis",
                         got=f"{np.shape(a)} and {np.shape(b)}") from None


def check_floats(op: str, **arguments: Any) -> None:
    """DTypeError unless every argument is an array of floats (complex ones pass: the complex step needs them)."""
    for name, x in arguments.items():
        if not isinstance(x, np.ndarray) or x.dtype.kind not in "fc":
            raise DTypeError(op, f"{name} must be an array of floats", got=str(getattr(x, "dtype", type(x).__name__)),
                             cause="Convert it: np.asarray(x, dtype=np.float32)")
