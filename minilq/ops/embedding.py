"""Embedding: a row of a table for each token."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import as_array
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError
from minilq.ops.broadcast import check_floats


@primitive
def embedding(w: Any, tokens: Any) -> Array:
    """Rows of a table.

    Forward     y_i = w[t_i]
    Derivative  kind: exact. dw_k = sum of g_i over all i with t_i = k
    Shapes      w (K, C), tokens any, whole numbers in 0..K-1 -> (*tokens.shape, C)
    Dtype       of w, float32 or float64
    Raises      ShapeError, also for a token beyond the table; DTypeError for tokens that are no integers

    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0])).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    check_floats("embedding", w=w)
    tokens = as_array("embedding", tokens, "tokens")
    if w.ndim != 2:
        raise ShapeError("embedding", "the table must be (tokens, channels)", got=f"w {w.shape}")
    if tokens.dtype.kind not in "iu":
        raise DTypeError("embedding", "tokens must be integers", got=f"an array of {tokens.dtype}",
                         cause="Write tokens.astype(int)" if tokens.dtype.kind in "fb" else "")
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < len(w)):
        raise ShapeError("embedding", f"tokens must lie in 0..{len(w) - 1}", got=f"{tokens.min()}..{tokens.max()}")
    return np.asarray(w[tokens])


@vjp_of(embedding, kind="exact", needs="tokens", at=normal((4, 3), tokens=np.array([[0, 2], [2, 3]])))
def embedding_vjp(g: Array, y: Array, w: Array, tokens: Any) -> tuple[Array]:
    # dw_kc = sum of g_ic over all i with t_i = k
    dw = np.zeros_like(w)
    np.add.at(dw, tokens, g)
    return (dw,)
