"""Bits in words: rows of bits packed, 64 into a number, and counted against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.kernels import twin

WORD = 64
"""Bits in one word."""


def packed(x: Array) -> Array:
    """A bit for each number that is not 0.

    Shapes      x (..., K) -> (..., ceil(K / 64)); bit k of a row is bit k % 8 of byte k // 8, unused bits are 0
    Dtype       bool or integers -> uint64

    >>> packed(np.array([[1, 0, 1], [0, 0, 0]], np.uint8)).tolist()
    [[5], [0]]
    """
    return in_words(in_bytes(x))


def in_bytes(x: Array) -> Array:
    """The same in bytes: (..., K) -> (..., ceil(K / 8)) uint8."""
    return np.packbits(x, axis=-1, bitorder="little")


def in_words(x: Array) -> Array:
    """Bytes of bits as words, filled up with 0: (..., B) -> (..., ceil(B / 8)) uint64."""
    B = x.shape[-1]
    if B % 8 == 0:
        return np.ascontiguousarray(x).view(np.uint64)
    words = np.zeros((*x.shape[:-1], -(-B // 8)), np.uint64)
    words.view(np.uint8)[..., :B] = x
    return words


@dataclass
class Rows:
    """Rows of bits against which others are counted, many times.

    words       uint64 (N, W)
    blocks      the words in the order in which the kernel reads them, from when it first has
    """

    words: Array
    blocks: Array | None = None


@twin("bits")
def differing_bits(x: Array, w: Rows, start: Array, factor: int) -> Array:
    """y_ij = start_j + factor popcount(x_i ^ w_j).

    Shapes      x (M, W), w of (N, W), start (N,) -> (M, N)
    Dtype       x, w uint64, start int32 -> int32
    """
    a, b = _numbers(x), _numbers(w.words)
    differ = a.sum(axis=1)[:, None] + b.sum(axis=1) - 2 * np.dot(a, b.T)
    return (start + factor * differ).astype(np.int32)


@twin("bits")
def common_bits(x: Array, w: Rows) -> Array:
    """y_ij = popcount(x_i & w_j). Shapes and dtypes as above."""
    return np.dot(_numbers(x), _numbers(w.words).T).astype(np.int32)


def _numbers(words: Array) -> Array:
    """0 and 1 as floats, which BLAS multiplies fast and exactly: (M, W) -> (M, 64 W)."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little").astype(np.float64)
