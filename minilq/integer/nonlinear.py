"""What transformers do between their products, on integers alone: layer norm, GELU, softmax, and attention itself.

Nothing in a step is a float. GELU and softmax are those of I-BERT (ibert.py). Layer norm is I-BERT's but for its
rounding: each row is shifted until its largest number has as many bits as its squares leave room for, so that one with
small numbers keeps its digits too, and eps, which integers would round away, is shifted with it.

Source      Kim et al. 2021 (arXiv 2101.01321)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.integer.fixed_point import Rescaling
from minilq.integer.ibert import ErfConstants, ExpConstants, bit_length, erf_of, i_sqrt, softmax_of
from minilq.integer.steps import Seen

ROOM = 30
"""Bits of what a layer norm gives: 2^30 is a number that all others of its row are nothing to."""


@dataclass(frozen=True)
class Normalise:
    """xhat = (x - mean) / sqrt(var + eps) of each row, in units of sqrt(C) / 2^30.

        d = C q - sum q, which is C (x - mean),  xhat = d / sqrt(sum d^2 + eps C^3)

    factor, shift   eps C^3 in units of d^2 is factor 2^-shift, factor of 31 bits
    """

    factor: int
    shift: int

    def __call__(self, x: Array, seen: Seen) -> Array:
        C = x.shape[-1]
        q = x.astype(np.int64)
        d = C * q - q.sum(axis=-1, keepdims=True)
        bits = (2 * ROOM - C.bit_length()) // 2                  # sum d^2 <= 2^60
        eps = (32 - self.shift) // 2                             # of its root
        down = np.maximum(bit_length(np.abs(d).max(axis=-1, keepdims=True)), eps) - bits
        d = np.where(down > 0, d + (1 << np.maximum(down, 1) - 1) >> np.maximum(down, 0), d << np.maximum(-down, 0))
        # eps 2^-2 down, at most 62 bits as d has made room for it
        moved = self.shift + 2 * down
        eps_of_row = np.where(moved > 0, self.factor >> np.clip(moved, 0, 62), self.factor << np.clip(-moved, 0, 31))
        std = i_sqrt((d * d).sum(axis=-1, keepdims=True) + eps_of_row)
        std = np.maximum(std, 1)
        return np.asarray(((d << ROOM + 1) + std) // (2 * std)).astype(np.int32)


@dataclass(frozen=True)
class Gelu:
    """-x (L + 1) of I-BERT's L, in integers, and `down` bits cut off: rounded, halves up. (Its unit is negative.)"""

    constants: ErfConstants
    down: int

    def __call__(self, x: Array, seen: Seen) -> Array:
        q = x.astype(np.int64)
        y = -q * (erf_of(q, self.constants) + self.constants.one)
        return np.asarray(y + (1 << self.down >> 1) >> self.down).astype(np.int32)


@dataclass(frozen=True)
class Probabilities:
    """Softmax along the last axis, with `bits` bits behind the point. up: by so many bits x is made finer first."""

    constants: ExpConstants
    up: int
    bits: int

    def __call__(self, x: Array, seen: Seen) -> Array:
        q = x.astype(np.int64)
        q = q - q.max(axis=-1, keepdims=True)
        q = q << self.up if self.up >= 0 else q >> -self.up
        return softmax_of(q, self.constants, self.bits).astype(np.int32)


@dataclass(frozen=True)
class Attention:
    """From the codes of queries, keys and values, beside each other, to what the tokens take, int32.

    zeros       the codes that stand for 0, of queries, keys, values and probabilities
    codes       from probabilities to their codes
    tokens      at most so many, as many as the sums have room for
    """

    name: str
    heads: int
    zeros: tuple[int, int, int, int]
    softmax: Probabilities
    codes: Rescaling
    tokens: int

    def __call__(self, x: Array, seen: Seen) -> Array:
        N, *between, C = x.shape
        T, d = math.prod(between), C // (3 * self.heads)
        if self.tokens != T:
            raise ShapeError("IntegerNetwork", f"{self.tokens} tokens must come to {self.name}", got=str(T),
                             cause="The images have another size than those that the network was converted with")
        together = x.reshape(N, T, 3, self.heads, d).transpose(2, 0, 3, 1, 4)     # (3, N, h, T, d)
        for part, codes in zip(("queries", "keys", "values"), together, strict=True):
            seen(f"{self.name}.{part}", codes)
        # whole numbers below 2^53 in float64, which BLAS multiplies: nothing is ever rounded
        q, k, v = (codes.astype(np.float64) - zero for codes, zero in zip(together, self.zeros, strict=False))
        p = self.codes([self.softmax(np.matmul(q, k.transpose(0, 1, 3, 2)).astype(np.int64), seen)])
        seen(f"{self.name}.probabilities", p)
        taken = np.matmul(p.astype(np.float64) - self.zeros[3], v).astype(np.int32)
        return taken.transpose(0, 2, 1, 3).reshape(*x.shape[:-1], C // 3)
