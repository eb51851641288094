"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.kernels import twin
from minilq.ops.broadcast import check_floats, unbroadcast


@primitive
def matmul(a: Any, b: Any) -> Array:
    """Matrix product.

    Forward     y_ij = sum_k a_ik b_kj, over stacks of matrices when there are more axes
    Derivative  kind: exact. da = g b^T, db = a^T g (summed over broadcast stacks)
    Shapes      a (..., n, k), b (..., k, m) -> (..., n, m)
    Raises      ShapeError for vectors (say which side they stand on with a reshape) and for unequal k
    """
    check_floats("matmul", a=a, b=b)
    if np.ndim(a) < 2 or np.ndim(b) < 2:
        raise ShapeError("matmul", "both sides must have at least two axes", got=f"{np.shape(a)} @ {np.shape(b)}",
                         cause="Write a vector as a row (1, n) or a column (n, 1)")
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError("matmul", "columns of a and rows of b must match",
                         got=f"a {a.shape} with {a.shape[-1]} columns, b {b.shape} with {b.shape[-2]} rows")
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError("matmul", "stacks of matrices must be equal, or 1 where they differ",
                         got=f"a {a.shape}, b {b.shape}") from None
    return np.matmul(a, b)


@vjp_of(matmul, kind="exact", needs="a b", at=normal((2, 3, 4), (4, 2)))
def matmul_vjp(g: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    # y_ij = sum_k a_ik b_kj   =>   da_ik = sum_j g_ij b_kj
    da = np.matmul(g, np.swapaxes(b, -1, -2))
    #                        =>   db_kj = sum_i a_ik g_ij
    db = np.matmul(np.swapaxes(a, -1, -2), g)
    return unbroadcast(da, a), unbroadcast(db, b)


@primitive
def dense(x: Any, w: Any, b: Any) -> Array:
    """Dense layer.

    Forward     y_ij = sum_k x_ik w_kj + b_j
    Derivative  kind: exact. dx = g w^T, dw = x^T g, db_j = sum_i g_ij
    Shapes      x (N, in), w (in, out), b (out,) -> (N, out); of more axes, x (N, ..., in), each row for itself
    Dtype       float32 or float64, preserved
    Raises      ShapeError

    >>> import numpy as np
    >>> dense(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    array([[11.5]])
    """
    check_floats("dense", x=x, w=w, b=b)
    if x.ndim < 2 or w.ndim != 2 or b.ndim != 1:
        raise ShapeError("dense", "shapes must be x (N, in), w (in, out), b (out,)",
                         got=f"x {x.shape}, w {w.shape}, b {b.shape}")
    if x.shape[-1] != w.shape[0]:
        raise ShapeError("dense", "columns of x and rows of w must match",
                         got=f"x {x.shape} with {x.shape[-1]} columns, w {w.shape} with {w.shape[0]} rows",
                         cause="Images go through Flatten first" if x.ndim > 2 else
                         "A kernel in (out, in) order has to be transposed" if x.shape[-1] == w.shape[1] else "")
    if w.shape[1] != b.shape[0]:
        raise ShapeError("dense", "columns of w and the length of b must match", got=f"w {w.shape}, b {b.shape}")
    y = product(_rows(x), w) + b
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], w.shape[1])


@vjp_of(dense, kind="exact", needs="x w", at=normal((3, 4), (4, 2), (2,)))
def dense_vjp(g: Array, y: Array, x: Array, w: Array, b: Array,
              need: tuple[bool, ...] = (True, True, True)) -> tuple[Array | None, Array, Array]:
    # y_ij = sum_k x_ik w_kj + b_j   =>   dx_ik = sum_j g_ij w_kj
    g = _rows(g)
    dx = product(g, w.T) if need[0] else None
    if dx is not None and x.ndim > 2:
        dx = dx.reshape(x.shape)
    #                                =>   dw_kj = sum_i x_ik g_ij
    dw = product(_rows(x).T, g)
    #                                =>   db_j = sum_i g_ij
    db = g.sum(axis=0)
    return dx, dw, db


def _rows(x: Array) -> Array:
    """(N, ..., C) -> (N ..., C)."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@twin("dense")
def product(a: Array, b: Array) -> Array:
    """(a b)_ij = sum_k a_ik b_kj. Where a has many zeros, or few rows, and b is finite, the kernel skips the zeros;
    many rows it multiplies where BLAS is slower."""
    return np.dot(a, b)
