"""The transpose of broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import MOST
from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError

FLOATS = "fdFD"
INTEGERS = "bBhHiIlLqQ"
CONVERT = "Convert it: np.asarray(x, dtype=np.float32)"


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


def check_operand(op: str, x: Any, masks: bool = False) -> None:
    """DTypeError unless x is an array of floats, or a number; bool counts as 0 and 1 where masks are wanted."""
    if type(x) is np.ndarray and x.dtype.char in FLOATS:
        return
    kinds = FLOATS + "?" * masks
    if isinstance(x, (bool, np.ndarray)):
        good = np.asarray(x).dtype.char in kinds
    elif isinstance(x, int):                     # NumPy has no larger ones
        good = abs(x) <= MOST
    else:
        good = isinstance(x, (float, complex)) or (isinstance(x, np.generic) and x.dtype.char in kinds + INTEGERS)
    if not good:
        raise DTypeError(op, "operands must be tensors, arrays of float32 or float64, or numbers", got=kind_of(x),
                         cause=CONVERT)


def check_operands(op: str, a: Any, b: Any) -> None:
    """ShapeError unless the shapes of a and b broadcast; DTypeError unless each is an array of floats, or a number."""
    for one in (a, b):
        if type(one) is not float and not (type(one) is np.ndarray and one.dtype.char in FLOATS):
            check_operand(op, one, masks=True)
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        raise ShapeError(op, "shapes must be equal, or 1 where they differ, counted from the last axis",
                         got=f"{np.shape(a)} and {np.shape(b)}") from None


def check_floats(op: str, **arguments: Any) -> None:
    """DTypeError unless every argument is an array of float32 or float64 (or complex: the complex step needs them)."""
    for name, x in arguments.items():
        if not isinstance(x, np.ndarray) or x.dtype.char not in FLOATS:
            raise DTypeError(op, f"{name} must be an array of floats, float32 or float64", got=kind_of(x),
                             cause=CONVERT)


def check_reals(op: str, **arguments: Any) -> None:
    """As `check_floats`, for what rounds: complex numbers have no codes."""
    check_floats(op, **arguments)
    for name, x in arguments.items():
        if x.dtype.kind == "c":
            raise DTypeError(op, f"{name} must be an array of floats, float32 or float64", got=kind_of(x))


def kind_of(x: Any) -> str:
    """What an argument is, in an error: the dtype of an array, the type of all else."""
    return str(x.dtype) if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
