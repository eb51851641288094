"""Operations that make one array of several: one after the other, one above the other, or one here and one there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minilq.arguments import as_array, is_whole, shown
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import OPERATORS, Tensor
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.ops.broadcast import check_floats, check_operands, unbroadcast


def concatenate(x: Sequence[Any], axis: int = 0) -> Any:
    """Arrays one after the other along an axis that they have. Kind: exact.

    Derivative  dx_i is the part of g that is x_i's
    Shapes      x_i alike but for this axis, whose lengths add up
    Raises      ShapeError, DTypeError

    >>> concatenate([np.array([1.0, 2.0]), np.array([3.0])])
    array([1., 2., 3.])
    """
    return concatenated(*_several("concatenate", x), axis=axis)


@primitive
def concatenated(*x: Any, axis: int = 0) -> Array:
    """`concatenate`, with its arrays one by one. Kind: exact."""
    check_floats("concatenate", **{f"x[{i}]": a for i, a in enumerate(x)})
    ndim = x[0].ndim
    if not is_whole(axis, -ndim, ndim - 1):
        raise ShapeError("concatenate", f"axis must be one of the {ndim} axes of the arrays", got=shown(axis),
                         cause="stack makes a new axis")
    if len({a.shape[:axis % ndim] + a.shape[axis % ndim + 1:] if a.ndim == ndim else a.ndim for a in x}) != 1:
        raise ShapeError("concatenate", f"shapes must be alike but for axis {axis}",
                         got=", ".join(str(a.shape) for a in x))
    return np.concatenate(x, axis)


@vjp_of(concatenated, kind="exact", needs="", at=normal((2, 3), (2, 1), (2, 2), axis=1))
def concatenated_vjp(g: Array, y: Array, *x: Array, axis: int = 0) -> tuple[Array, ...]:
    # y_(o_i + j) = x_ij with o_i = n_1 + ... + n_(i-1)   =>   dx_ij = g_(o_i + j)
    ends = np.cumsum([a.shape[axis] for a in x])
    return tuple(np.split(g, ends[:-1], axis))


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape along a new axis: y[i] = x_i for axis 0. Kind: exact.

    Derivative  dx_i = g[i]
    Raises      ShapeError, DTypeError

    >>> stack([np.array([1.0, 2.0]), np.array([3.0, 4.0])], axis=1)
    array([[1., 3.],
           [2., 4.]])
    """
    return stacked(*_several("stack", x), axis=axis)


@primitive
def stacked(*x: Any, axis: int = 0) -> Array:
    """`stack`, with its arrays one by one. Kind: exact."""
    check_floats("stack", **{f"x[{i}]": a for i, a in enumerate(x)})
    ndim = x[0].ndim + 1
    if not is_whole(axis, -ndim, ndim - 1):
        raise ShapeError("stack", f"axis must be one of the {ndim} axes of the result", got=shown(axis))
    if len({a.shape for a in x}) != 1:
        raise ShapeError("stack", "all arrays must have one shape", got=", ".join(str(a.shape) for a in x))
    return np.stack(x, axis)


@vjp_of(stacked, kind="exact", needs="", at=normal((2, 3), (2, 3), axis=-1))
def stacked_vjp(g: Array, y: Array, *x: Array, axis: int = 0) -> tuple[Array, ...]:
    # y_i = x_i along the new axis   =>   dx_i = g_i
    return tuple(np.moveaxis(g, axis, 0)[i] for i in range(len(x)))


def unstack(x: Tensor, axis: int = 0) -> list[Tensor]:
    """The slices of x along an axis, without it: what `stack` puts together. For iterating over a Tensor.

    By halves: the gradient of a part is an array as large as what it is a part of, so that n slices of the whole would
    take time in n^2, and so they take it in n log n.

    >>> [part.numpy().tolist() for part in unstack(Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)]
    [[1.0, 3.0], [2.0, 4.0]]
    """
    before, n = (slice(None),) * axis, x.shape[axis]
    if n < 2:
        return [x[(*before, i)] for i in range(n)]
    return [part for half in (slice(n // 2), slice(n // 2, n)) for part in unstack(x[(*before, half)], axis)]


@primitive
def where(condition: Any, a: Any, b: Any) -> Array:
    """One or the other: y = a where the condition holds, else b. Kind: exact.

    Derivative  da = g where the condition holds, else 0; db = g where it does not (summed over broadcast axes)
    Shapes      condition, a and b broadcast. The condition is a boolean array, such as x > 0.
    Raises      ShapeError; DTypeError for a condition that is not boolean

    >>> where(np.array([True, False]), np.array([1.0, 2.0]), 0.0)
    array([1., 0.])
    """
    if as_array("where", condition, "the condition").dtype != bool:
        raise DTypeError("where", "the condition must be a boolean array", got=type(condition).__name__,
                         cause="Compare: where(x > 0, a, b)")
    check_operands("where", a, b)
    try:
        np.broadcast_shapes(np.shape(condition), np.shape(a), np.shape(b))
    except ValueError:
        raise ShapeError("where", "the condition must broadcast with a and b",
                         got=f"{np.shape(condition)} with {np.shape(a)} and {np.shape(b)}") from None
    return np.where(condition, a, b)


@vjp_of(where, kind="exact", needs="condition",
        at=lambda rng: ([rng.random((3, 4)) < 0.5, rng.standard_normal((3, 4)), rng.standard_normal(4)], {}))
def where_vjp(g: Array, y: Array, condition: Any, a: Any, b: Any) -> tuple[None, Array, Array]:
    # dy/da = [condition], dy/db = [not condition]
    nothing = g.dtype.type(0)
    return None, unbroadcast(np.where(condition, g, nothing), a), unbroadcast(np.where(condition, nothing, g), b)


def _several(op: str, x: Any) -> list[Any]:
    if isinstance(x, (Tensor, np.ndarray)) or not isinstance(x, Sequence):
        raise ConfigError(op, "the first argument must be a list of arrays", got=type(x).__name__,
                          cause=f"Write {op}([a, b])")
    if not x:
        raise ShapeError(op, "there must be at least one array", got="none")
    return list(x)


OPERATORS["concatenate"], OPERATORS["stack"] = concatenate, stack        # for np.concatenate and np.stack of Tensors
OPERATORS["unstack"] = unstack                   # for iterating over one
