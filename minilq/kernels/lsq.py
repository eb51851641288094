"""Compiled twins of LSQ, forward and backward: one pass over x where NumPy makes ten.

x is seen as (A, K, B) with one scale for each k (groups.py). Sums of one row of the innermost axis are made in float64
and added in the order of the rows, so a result does not depend on anything but the numbers.
"""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits, layout
from minilq.kernels.jit import SUMS, jit

MASKS = {"strict": 0, "clip_first": 1, "round_first": 2}


def lsq(x: Array, s: Array, low: float, high: float, factor: float = 1.0, mask: str = "strict") -> Array:
    if not (isinstance(x, np.ndarray) and isinstance(s, np.ndarray) and fits(x, s)):
        return NotImplemented
    shape = _layout(x, s)
    if shape is None or not _positive(s):
        return NotImplemented
    y = np.empty_like(x)
    _forward(x.reshape(shape), s.reshape(-1), x.dtype.type(low), x.dtype.type(high), y.reshape(shape))
    return y


def lsq_vjp(g: Array, y: Array, x: Array, s: Array, low: float, high: float, factor: float = 1.0,
            mask: str = "strict") -> tuple[Array, Array]:
    shape = _layout(x, s)
    if shape is None or not fits(g, x, s):
        return NotImplemented
    number = x.dtype.type
    dx, ds = np.empty_like(x), np.zeros(shape[1], np.float64)
    _backward(g.reshape(shape), x.reshape(shape), s.reshape(-1), number(low), number(high), MASKS[mask],
              dx.reshape(shape), ds)
    return dx, np.asarray(factor * ds, s.dtype).reshape(s.shape)


def _layout(x: Array, s: Array) -> tuple[int, int, int] | None:
    """(A, K, B), or None for what the kernel was not written for: shapes that do not broadcast among it."""
    if x.size == 0 or s.ndim > max(x.ndim, 1) or any(n not in (1, m) for n, m in zip(s.shape[::-1], x.shape[::-1],
                                                                                 strict=False)):
        return None
    return layout(x.shape, s.shape)


def _positive(s: Array) -> bool:
    return bool(((s > 0) & (s < np.inf)).all())


@jit(inline=True)
def _code(v, low, high):  # type: ignore[no-untyped-def]
    if v < low:
        v = low
    if v > high:
        v = high
    return np.rint(v)


@jit()
def _forward(x, s, low, high, y):  # type: ignore[no-untyped-def]
    A, K, B = x.shape
    zero = x.dtype.type(0)
    if B == 1:
        for a in range(A):
            for k in range(K):
                y[a, k, 0] = s[k] * (_code(x[a, k, 0] / s[k], low, high) + zero)
    else:
        for a in range(A):
            for k in range(K):
                s_k = s[k]
                for b in range(B):
                    y[a, k, b] = s_k * (_code(x[a, k, b] / s_k, low, high) + zero)


@jit(inline=True)
def _inside(v, low, high, mask, one, zero):  # type: ignore[no-untyped-def]
    # 1 where the gradient passes, 0 elsewhere and for NaN
    if mask == 0:
        return one if (low < v) & (v < high) else zero
    if mask == 2:
        v = np.rint(v)
    return one if (low <= v) & (v <= high) else zero


@jit(SUMS)
def _backward(g, x, s, low, high, mask, dx, ds):  # type: ignore[no-untyped-def]
    A, K, B = x.shape
    one, zero = x.dtype.type(1), x.dtype.type(0)
    if B == 1:
        for a in range(A):
            for k in range(K):
                v = x[a, k, 0] / s[k]
                inside = _inside(v, low, high, mask, one, zero)
                dx[a, k, 0] = g[a, k, 0] * inside
                ds[k] += g[a, k, 0] * (_code(v, low, high) - (v if inside > zero else zero))
    else:
        for a in range(A):
            for k in range(K):
                s_k, total = s[k], 0.0
                for b in range(B):
                    v = x[a, k, b] / s_k
                    inside = _inside(v, low, high, mask, one, zero)
                    dx[a, k, b] = g[a, k, b] * inside
                    total += g[a, k, b] * (_code(v, low, high) - (v if inside > zero else zero))
                ds[k] += total
