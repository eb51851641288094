"""Compiled twins of the task loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import jit


def mean_cross_entropy(logits: Array, labels: Any) -> Array:
    if not fits(logits):
        return NotImplemented
    labels = labels.astype(np.int64)             # few numbers: every other type would compile the kernel again
    return logits.dtype.type(_mean_cross_entropy(logits, labels))


@jit()
def _mean_cross_entropy(logits, labels):  # type: ignore[no-untyped-def]
    N, C = logits.shape
    zero, least = logits.dtype.type(0), np.log(np.finfo(logits.dtype).tiny)
    total = zero
    for i in range(N):
        top = logits[i, 0]
        for j in range(C):
            top = logits[i, j] if logits[i, j] > top else top
        e = zero
        for j in range(C):
            e += _exp(logits[i, j] - top, least, zero)     # what is no normal float adds nothing to the largest, 1
        total += np.log(e) - (logits[i, labels[i]] - top)
    return total / N


@jit()
def _within(labels, classes):  # type: ignore[no-untyped-def]
    good = True
    for label in labels:
        good &= 0 <= label < classes
    return good


@jit()
def _right_answers(logits, labels):  # type: ignore[no-untyped-def]
    # of numbers as large the first is the largest, as for NumPy
    N, C = logits.shape
    right = 0
    for i in range(N):
        best = 0
        for j in range(C):
            best = j if logits[i, j] > logits[i, best] else best
        right += best == labels[i]
    return right


def mean_cross_entropy_gradient(g: Array, logits: Array, labels: Any) -> Array:
    if not fits(logits):
        return NotImplemented
    labels = labels.astype(np.int64)
    dz = np.empty_like(logits)
    _mean_cross_entropy_gradient(float(g), logits, labels, dz)
    return dz


@jit()
def _mean_cross_entropy_gradient(g, logits, labels, dz):  # type: ignore[no-untyped-def]
    N, C = logits.shape
    number, kind = logits.dtype.type, np.finfo(logits.dtype)
    zero, g, least = number(0), number(g) / number(N), number(np.log(kind.tiny) + np.log(kind.eps) - 1)
    for i in range(N):
        top = logits[i, 0]
        for j in range(C):
            top = logits[i, j] if logits[i, j] > top else top
        e = zero
        for j in range(C):
            dz[i, j] = _exp(logits[i, j] - top, least, zero)
            e += dz[i, j]
        for j in range(C):
            dz[i, j] = dz[i, j] / e * g
        dz[i, labels[i]] -= g


@jit(inline=True)
def _exp(x, least, zero):  # type: ignore[no-untyped-def]
    return zero if x < least else np.exp(x)      # what comes out as 0, or as a denormal, takes longest; NaN stays
