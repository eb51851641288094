"""Compiled twins of checks that run in every step."""

from __future__ import annotations

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import SUMS, jit


def all_finite(a: Array) -> bool:
    return bool(_all_finite(a.reshape(-1), a.dtype.type(0))) if fits(a) else NotImplemented


@jit(SUMS)
def _all_finite(a, zero):  # type: ignore[no-untyped-def]
    total = zero
    for i in range(a.size):
        total += a[i] * zero                     # NaN for NaN and infinity, else 0
    return total == zero


def all_positive(a: Array) -> bool:
    return bool(_all_positive(a.reshape(-1), a.dtype.type(0))) if fits(a) else NotImplemented


@jit()
def _all_positive(a, zero):  # type: ignore[no-untyped-def]
    bad = 0
    for i in range(a.size):
        bad += not a[i] > zero
    return bad == 0
