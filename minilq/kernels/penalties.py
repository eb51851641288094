"""Compiled twins for the penalties: maxima and sums of |P| over groups, and their way back.

Arrays are seen as (A, K, B) with one scale for each k (groups.py); where B is 1 the loop over k is the inner one.
"""

from __future__ import annotations

import numpy as np

from minilq.kernels.fake_quantize import BITS
from minilq.kernels.groups import Array, fits, layout
from minilq.kernels.jit import SUMS, jit


def largest(P: Array, s_shape: tuple[int, ...]) -> Array:
    shape = layout(P.shape, s_shape)
    if shape is None or not fits(P):
        return NotImplemented
    bits = BITS[P.dtype.char]
    m = np.zeros(shape[1], bits)
    _largest(P.view(bits).reshape(shape), m)
    return m.view(P.dtype).reshape(s_shape)


@jit()
def _largest(x, m):  # type: ignore[no-untyped-def]
    # The bits of |x| order like the numbers, NaN above all, and integer maxima vectorise.
    A, K, B = x.shape
    whole = x.dtype.type                         # of its own size again, or maxima are taken of 64 bits
    no_sign = whole(np.iinfo(x.dtype).max)
    if B == 1:
        for a in range(A):
            for k in range(K):
                m[k] = max(m[k], whole(x[a, k, 0] & no_sign))
    else:
        for a in range(A):
            for k in range(K):
                top = m[k]
                for b in range(B):
                    top = max(top, whole(x[a, k, b] & no_sign))
                m[k] = top


def on_the_largest(P: Array, m: Array, c: Array) -> Array:
    shape = layout(P.shape, m.shape)
    if shape is None or not fits(P, m, c):
        return NotImplemented
    dP = np.empty_like(P)
    _on_the_largest(P.reshape(shape), m.reshape(-1), c.reshape(-1), dP.reshape(shape), False)
    return dP


@jit()
def _on_the_largest(P, m, c, dP, adding):  # type: ignore[no-untyped-def]
    A, K, B = P.shape
    number = P.dtype.type
    zero = number(0)
    ties = np.zeros(K, np.int64)
    if B == 1:
        for a in range(A):
            for k in range(K):
                ties[k] += abs(P[a, k, 0]) == m[k]
    else:
        for a in range(A):
            for k in range(K):
                count, m_k = 0, m[k]
                for b in range(B):
                    count += abs(P[a, k, b]) == m_k
                ties[k] += count
    share = np.empty(K, P.dtype)
    for k in range(K):
        share[k] = c[k] / number(max(ties[k], 1)) if m[k] != zero else zero       # sgn(0) = 0
    if B == 1:
        for a in range(A):
            for k in range(K):
                dP[a, k, 0] = _sum(dP[a, k, 0], _if_largest(P[a, k, 0], m[k], share[k], zero), adding)
    else:
        for a in range(A):
            for k in range(K):
                m_k, c_k = m[k], share[k]
                for b in range(B):
                    dP[a, k, b] = _sum(dP[a, k, b], _if_largest(P[a, k, b], m_k, c_k, zero), adding)


@jit(inline=True)
def _sum(before, x, adding):  # type: ignore[no-untyped-def]
    # what is in an array afterwards, when x is added to it, or written into it
    return before + x if adding else x


@jit(inline=True)
def _if_largest(x, m, c, zero):  # type: ignore[no-untyped-def]
    return (c if x > zero else -c) if abs(x) == m else zero


def sum_of_sizes(P: Array, s_shape: tuple[int, ...]) -> Array:
    shape = layout(P.shape, s_shape)
    if shape is None or not fits(P):
        return NotImplemented
    sizes = np.zeros(shape[1], P.dtype)
    _sum_of_sizes(P.reshape(shape), sizes)
    return sizes.reshape(s_shape)


@jit(SUMS)
def _sum_of_sizes(P, sizes):  # type: ignore[no-untyped-def]
    A, K, B = P.shape
    if B == 1:
        for a in range(A):
            for k in range(K):
                sizes[k] += abs(P[a, k, 0])
    else:
        for a in range(A):
            for k in range(K):
                y = sizes[k]
                for b in range(B):
                    y += abs(P[a, k, b])
                sizes[k] = y


def signed(P: Array, c: Array) -> Array:
    shape = layout(P.shape, c.shape)
    if shape is None or not fits(P, c):
        return NotImplemented
    dP = np.empty_like(P)
    _signed(P.reshape(shape), c.reshape(-1), dP.reshape(shape), False)
    return dP


@jit(inline=True)
def _with_sign_of(x, c, zero):  # type: ignore[no-untyped-def]
    return c if x > zero else (-c if x < zero else x * c)         # x * c: the zero that NumPy has, and NaN stays NaN


@jit()
def _signed(P, c, dP, adding):  # type: ignore[no-untyped-def]
    A, K, B = P.shape
    zero = P.dtype.type(0)
    if B == 1:
        for a in range(A):
            for k in range(K):
                dP[a, k, 0] = _sum(dP[a, k, 0], _with_sign_of(P[a, k, 0], c[k], zero), adding)
    else:
        for a in range(A):
            for k in range(K):
                c_k = c[k]
                for b in range(B):
                    dP[a, k, b] = _sum(dP[a, k, b], _with_sign_of(P[a, k, b], c_k, zero), adding)


@jit()
def _difference_pulls(s, sizes, pulls, terms):  # type: ignore[no-untyped-def]
    # of the penalty Difference: 1 - 1/s_k and its size times sizes_k; whether all s > 0
    one = s.dtype.type(1)
    good = True
    for k in range(len(s)):
        pull = one - one / s[k]
        pulls[k], terms[k] = pull, sizes[k] * abs(pull)
        good &= s[k] > 0
    return good


@jit()
def _difference_gradients(s, sizes, pulls, share, c, ds):  # type: ignore[no-untyped-def]
    # c_k of dP = c_k sgn(P), and ds
    zero = s.dtype.type(0)
    for k in range(len(s)):
        c[k] = share * abs(pulls[k])
        ds[k] = _with_sign_of(pulls[k], share, zero) / s[k] / s[k] * sizes[k]
