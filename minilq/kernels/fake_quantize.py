"""Compiled twins for the quantizers: the round trip, and gradients of the scales summed over their groups.

Arrays are seen as (A, K, B) with one scale for each k (groups.py). Where B is 1 the scale changes with every element,
so the loop over k is the inner one; that is the whole difference between the two halves of each kernel. They come with
one axis, by ravel(): a kernel is compiled anew for every number of axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array, fits, layout
from minilq.kernels.jit import SUMS, jit

MODES = {"floor": 0, "nearest": 1, "ceil": 2, "trunc": 3}
EPS32 = np.finfo(np.float32).eps
BITS = {"f": np.int32, "d": np.int64}


def round_trip(P: Array, s: Array, rounding: Any, qmin: float | None = None, qmax: float | None = None,
               ) -> tuple[Array, bool]:
    mode = MODES.get(rounding) if isinstance(rounding, str) else None
    shape = layout(P.shape, s.shape)
    if mode is None or shape is None or not fits(P, s):
        return NotImplemented
    y = np.empty(P.shape, P.dtype)
    low = -np.inf if qmin is None else float(qmin)
    high = np.inf if qmax is None else float(qmax)
    return y, _round_trip(P.ravel(), s.ravel(), y.ravel(), shape, mode, low, high)


@jit(inline=True)
def _code(v, mode, low, high):  # type: ignore[no-untyped-def]
    if v < low:
        v = low
    if v > high:
        v = high
    return _whole(v, mode)


@jit(inline=True)
def _whole(v, mode):  # type: ignore[no-untyped-def]
    if mode == 0:
        v = np.floor(v)
    elif mode == 1:
        v = np.rint(v)
    elif mode == 2:
        v = np.ceil(v)
    else:
        v = np.trunc(v)
    return v


@jit()
def _round_trip(x, s, y, shape, mode, low, high):  # type: ignore[no-untyped-def]
    A, K, B = shape
    x, y = x.reshape(shape), y.reshape(shape)
    number = x.dtype.type
    low, high, infinity = number(low), number(high), number(np.inf)
    good = True
    for k in range(K):
        good &= s[k] > 0
    if B == 1:
        for a in range(A):
            for k in range(K):
                v = x[a, k, 0] / s[k]
                y_i = _code(v, mode, low, high) * s[k]
                good &= (abs(v) < infinity) & (abs(y_i) < infinity)      # false for NaN
                y[a, k, 0] = y_i
    elif low > -infinity or high < infinity:
        for a in range(A):
            for k in range(K):
                s_k = s[k]
                for b in range(B):
                    v = x[a, k, b] / s_k
                    y_i = _code(v, mode, low, high) * s_k
                    good &= (abs(v) < infinity) & (abs(y_i) < infinity)
                    y[a, k, b] = y_i
    else:                                        # without bounds an infinite v is an infinite y
        for a in range(A):
            for k in range(K):
                s_k = s[k]
                for b in range(B):
                    y_i = _whole(x[a, k, b] / s_k, mode) * s_k
                    good &= abs(y_i) < infinity
                    y[a, k, b] = y_i
    return good


def threshold_scale_gradient(g: Array, y: Array, s: Array, lam: float, gate: bool = True) -> Array:
    shape = layout(y.shape, s.shape)
    if shape is None or not fits(g, y, s) or y.size == 0:
        return NotImplemented
    ds, y = np.empty(s.shape, s.dtype), y.ravel()
    _threshold(g.ravel(), y, y.view(BITS[y.dtype.char]), s.ravel(), ds.ravel(), shape, float(lam), gate)
    return ds


@jit(inline=True)
def _vote(g, y, lam, eps, zero):  # type: ignore[no-untyped-def]
    # min(r - lam, 0) with r = |g| / |y|; NaN stays NaN
    d = abs(g) / (eps if y == zero else abs(y)) - lam
    return zero if d > zero else d


@jit(SUMS)
def _threshold(g, y, y_bits, s, ds, shape, lam, gate):  # type: ignore[no-untyped-def]
    # The sum of the votes is 0 exactly when every r >= lam. For small lam, tanh(x) = x to the last bit (bend False).
    # The maximum is taken over the bits of |y|: they order like the numbers, and integer maxima vectorise.
    A, K, B = shape
    g, y, y_bits = g.reshape(shape), y.reshape(shape), y_bits.reshape(shape)
    number = y.dtype.type
    bend = lam * lam > np.finfo(y.dtype).eps
    whole = y_bits.dtype.type                    # of its own size again, or maxima are taken of 64 bits
    no_sign = np.iinfo(y_bits.dtype).max
    lam, eps, zero = number(lam), number(EPS32), number(0)
    largest = np.zeros(K, y_bits.dtype)
    ds[:] = zero
    if B == 1:
        for a in range(A):
            for k in range(K):
                d = _vote(g[a, k, 0], y[a, k, 0], lam, eps, zero)
                ds[k] += np.tanh(d) if bend else d
                largest[k] = max(largest[k], whole(y_bits[a, k, 0] & no_sign))
    else:
        for a in range(A):
            for k in range(K):
                total = zero
                top = largest[k]
                if bend:
                    for b in range(B):
                        total += np.tanh(_vote(g[a, k, b], y[a, k, b], lam, eps, zero))
                else:
                    for b in range(B):
                        total += _vote(g[a, k, b], y[a, k, b], lam, eps, zero)
                for b in range(B):
                    top = max(top, whole(y_bits[a, k, b] & no_sign))
                ds[k] += total
                largest[k] = top
    full_vote = -np.tanh(lam)
    n_max = np.rint(largest.view(ds.dtype) / s)
    for k in range(K):
        mean = ds[k] / number(A * B)
        ds[k] = (full_vote if mean == zero or not gate else mean) * n_max[k]


def chain_rule_scale_gradient(g: Array, y: Array, P: Array, s: Array, slope: Array | None = None) -> Array:
    shape = layout(y.shape, s.shape)
    if shape is None or not fits(g, y, P, s) or (slope is not None and not fits(slope, y)):
        return NotImplemented
    ds = np.zeros(shape[1], y.dtype)
    sloped = slope is not None
    _chain_rule(g.reshape(shape), y.reshape(shape), P.reshape(shape), s.reshape(-1),
                (slope if slope is not None else y).reshape(shape), sloped, ds)
    return ds.reshape(s.shape)


@jit(SUMS)
def _chain_rule(g, y, P, s, slope, sloped, ds):  # type: ignore[no-untyped-def]
    A, K, B = y.shape
    if B == 1:
        for a in range(A):
            for k in range(K):
                v = P[a, k, 0] / s[k]
                ds[k] += g[a, k, 0] * (np.rint(y[a, k, 0] / s[k]) - (slope[a, k, 0] * v if sloped else v))
    else:
        for a in range(A):
            for k in range(K):
                total = ds[k]
                for b in range(B):
                    v = P[a, k, b] / s[k]
                    total += g[a, k, b] * (np.rint(y[a, k, b] / s[k]) - (slope[a, k, b] * v if sloped else v))
                ds[k] = total
