"""Compiled twins for the quantizers: the round trip, and gradients of the scales summed over their groups.

Arrays are seen as (A, K, B) with one scale for each k (groups.py). Where B is 1 the scale changes with every element,
so the loop over k is the inner one; that is the whole difference between a kernel and its sibling `..._across`. They
are two, and take arrays of one axis, because every kernel of every number of axes takes a while to compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array, fits, layout
from minilq.kernels.jit import SUMS, jit

MODES = {"floor": 0, "nearest": 1, "ceil": 2, "trunc": 3}
EPS32 = np.finfo(np.float32).eps
EPS = {"f": float(EPS32), "d": float(np.finfo(np.float64).eps)}
BITS = {"f": np.int32, "d": np.int64}
NO_SIGN = 2**63 - 1
FRACTION = {"f": 2.0, "d": 0.5}                  # the largest |x| for which _tanh is tanh, but for the last two bits


def round_trip(P: Array, s: Array, rounding: Any, qmin: float | None = None, qmax: float | None = None,
               ) -> tuple[Array, bool]:
    mode = MODES.get(rounding) if isinstance(rounding, str) else None
    shape = layout(P.shape, s.shape)
    if mode is None or shape is None or not fits(P, s):
        return NotImplemented
    y = np.empty(P.shape, P.dtype)
    low = -np.inf if qmin is None else float(qmin)
    high = np.inf if qmax is None else float(qmax)
    kernel = _round_trip_across if shape[2] == 1 else _round_trip            # B may be 0
    return y, kernel(P.ravel(), s.ravel(), y.ravel(), shape, mode, low, high)


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
    number = x.dtype.type
    low, high, infinity = number(low), number(high), number(np.inf)
    bounded = low > -infinity or high < infinity
    good = True
    for k in range(K):
        good &= s[k] > 0
    for a in range(A):
        for k in range(K):
            row, s_k = (a * K + k) * B, s[k]
            x_k, y_k = x[row:row + B], y[row:row + B]
            if bounded:
                for b in range(B):
                    v = x_k[b] / s_k
                    y_b = _code(v, mode, low, high) * s_k
                    good &= (abs(v) < infinity) & (abs(y_b) < infinity)  # false for NaN
                    y_k[b] = y_b
            else:                                # without bounds an infinite v is an infinite y
                for b in range(B):
                    y_b = _whole(x_k[b] / s_k, mode) * s_k
                    good &= abs(y_b) < infinity
                    y_k[b] = y_b
    return good


@jit()
def _round_trip_across(x, s, y, shape, mode, low, high):  # type: ignore[no-untyped-def]
    A, K, _ = shape
    number = x.dtype.type
    low, high, infinity = number(low), number(high), number(np.inf)
    good = True
    for k in range(K):
        good &= s[k] > 0
    for a in range(A):
        x_a, y_a = x[a * K:a * K + K], y[a * K:a * K + K]
        for k in range(K):
            v = x_a[k] / s[k]
            y_k = _code(v, mode, low, high) * s[k]
            good &= (abs(v) < infinity) & (abs(y_k) < infinity)
            y_a[k] = y_k
    return good


def threshold_scale_gradient(g: Array, y: Array, s: Array, lam: float, gate: bool = True) -> Array:
    shape = layout(y.shape, s.shape)
    if shape is None or not fits(g, y, s) or y.size == 0:
        return NotImplemented
    ds, y, bits = np.empty(s.shape, s.dtype), y.ravel(), BITS[y.dtype.char]
    largest = np.empty(s.size, bits)
    kernel = _threshold_across if shape[2] == 1 else _threshold
    kernel(g.ravel(), y, y.view(bits), s.ravel(), ds.ravel(), largest, largest.view(y.dtype), shape, float(lam),
           bend_of(lam, y.dtype.char), gate)
    return ds


def bend_of(lam: float, char: str) -> int:
    """How to take the tanh of numbers of at most lam: 0 for the number itself, which it is to the last bit, 1 for a
    fraction that loops take many of at once, 2 for the function."""
    return 0 if lam * lam <= EPS[char] else 1 if lam <= FRACTION[char] else 2


@jit(inline=True)
def _tanh(x, number):  # type: ignore[no-untyped-def]
    # Lambert's continued fraction x / (1 + x^2 / (3 + x^2 / (5 + ...))) down to 13
    q = x * x
    above = number(135135) + q * (number(17325) + q * (number(378) + q))
    return x * above / (number(135135) + q * (number(62370) + q * (number(3150) + q * number(28))))


@jit(inline=True)
def _vote(g, y, lam, eps, zero):  # type: ignore[no-untyped-def]
    # min(r - lam, 0) with r = |g| / |y|; NaN stays NaN
    d = abs(g) / (eps if y == zero else abs(y)) - lam
    return zero if d > zero else d


@jit(SUMS)
def _threshold(g, y, y_bits, s, ds, largest, largest_y, shape, lam, bend, gate):  # type: ignore[no-untyped-def]
    # The sum of the votes is 0 exactly when every r >= lam. The maximum is taken over the bits of |y|: they order like
    # the numbers, and maxima of integers vectorise. largest and largest_y are one array.
    A, K, B = shape
    g, y, y_bits = g.reshape(shape), y.reshape(shape), y_bits.reshape(shape)
    number, whole = y.dtype.type, y_bits.dtype.type
    lam, eps, zero, no_sign = number(lam), number(EPS32), number(0), whole(NO_SIGN >> 64 - 8 * y_bits.itemsize)
    ds[:], largest[:] = zero, whole(0)
    for a in range(A):
        for k in range(K):
            total, top = zero, largest[k]
            if bend == 1:
                for b in range(B):
                    total += _tanh(_vote(g[a, k, b], y[a, k, b], lam, eps, zero), number)
            elif bend == 2:
                for b in range(B):
                    total += np.tanh(_vote(g[a, k, b], y[a, k, b], lam, eps, zero))
            else:
                for b in range(B):
                    total += _vote(g[a, k, b], y[a, k, b], lam, eps, zero)
            for b in range(B):
                top = max(top, whole(y_bits[a, k, b] & no_sign))         # whole, or it becomes one of 64 bits
            ds[k] += total
            largest[k] = top
    _times_largest(ds, largest_y, s, lam, number(A * B), gate)


@jit(SUMS)
def _threshold_across(g, y, y_bits, s, ds, largest, largest_y, shape, lam, bend, gate):  # type: ignore[no-untyped-def]
    A, K, _ = shape
    number, whole = y.dtype.type, y_bits.dtype.type
    lam, eps, zero, no_sign = number(lam), number(EPS32), number(0), whole(NO_SIGN >> 64 - 8 * y_bits.itemsize)
    ds[:], largest[:] = zero, whole(0)
    for a in range(A):
        g_a, y_a, bits = g[a * K:a * K + K], y[a * K:a * K + K], y_bits[a * K:a * K + K]
        if bend == 0:
            for k in range(K):
                ds[k] += _vote(g_a[k], y_a[k], lam, eps, zero)
                largest[k] = max(largest[k], whole(bits[k] & no_sign))
        else:
            for k in range(K):
                d = _vote(g_a[k], y_a[k], lam, eps, zero)
                ds[k] += _tanh(d, number) if bend == 1 else np.tanh(d)
                largest[k] = max(largest[k], whole(bits[k] & no_sign))
    _times_largest(ds, largest_y, s, lam, number(A), gate)


@jit(inline=True)
def _times_largest(ds, largest, s, lam, size, gate):  # type: ignore[no-untyped-def]
    # sums of votes -> their means times the largest n
    full_vote = -np.tanh(lam)
    for k in range(len(ds)):
        mean = ds[k] / size
        ds[k] = (full_vote if mean == 0 or not gate else mean) * np.rint(largest[k] / s[k])


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
