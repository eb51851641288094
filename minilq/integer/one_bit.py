"""Products of codes 0 and 1 with weights of -1, 0 and 1: 64 of them in a word, counted instead of added.

The same sums as `int8_product` gives, for an eighth of the bytes and fewer instructions. Whatever the two codes of an
input stand for, -1 and 1 (BNN) or others, the line behind the product knows (lines.py): q = 0 adds nothing here, so
that what stands around an image, a number that may have no code, is 0 in every sum.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.integer.bits import Rows, common_bits, differing_bits, packed
from minilq.integer.fixed_point import Rescaling, rescaled
from minilq.kernels import twin


class BitPlanes(NamedTuple):
    """Weight codes of -1, 0 and 1, an output in each row.

    ones        where a code is 1, (F, words)
    minus       where it is -1; None where there are none
    binary      whether all are -1 or 1; then `ones` is all there is to know
    counts      of 1 in each output, int32 (F,)
    """

    ones: Rows
    minus: Rows | None
    binary: bool
    counts: Array


def bit_planes(codes: Array) -> BitPlanes | None:
    """The planes of int8 codes (R, F); None where there are other codes than -1, 0 and 1.

    >>> planes = bit_planes(np.array([[1, -1], [-1, 0]], np.int8))
    >>> planes.binary, planes.ones.words.tolist(), planes.minus.words.tolist(), planes.counts.tolist()
    (False, [[1], [0]], [[2], [1]], [1, 0])
    """
    if codes.size and not -1 <= codes.min() <= codes.max() <= 1:
        return None
    ones, minus = codes.T == 1, codes.T == -1
    binary = bool((ones | minus).all())
    return BitPlanes(Rows(packed(ones)), None if binary or not minus.any() else Rows(packed(minus)), binary,
                     ones.sum(axis=1, dtype=np.int32))


def bit_product(x: Array, w: BitPlanes) -> Array:
    """The product of codes q of one bit with weight codes, exact.

    Forward     y_ij = sum_k q_ik w_kj =
                    counts_j - popcount(q_i ^ ones_j)                     w of -1 and 1, the XNOR product
                    popcount(q_i & ones_j) - popcount(q_i & minus_j)     w of -1, 0 and 1
    Shapes      x words of q (M, R), `packed`, w of codes (R, F) -> (M, F)
    Dtype       uint64 -> int32
    Source      Rastegari et al. 2016 (arXiv 1603.05279), section 3.2, whose K - 2 popcount(q ^ ones) is the sum of
                (2 q - 1) w, and so twice this less the sum of w

    >>> codes = np.array([[1, -1], [-1, -1], [1, -1]], np.int8)
    >>> bit_product(packed(np.array([[1, 0, 1]])), bit_planes(codes))
    array([[ 2, -2]], dtype=int32)
    """
    if w.binary:
        return differing_bits(x, w.ones, w.counts, -1)
    y = common_bits(x, w.ones)
    if w.minus is not None:
        y -= common_bits(x, w.minus)
    return y


def rescaled_bit_product(x: Array, w: BitPlanes, rescale: Rescaling) -> Array:
    """rescale([bit_product(x, w)]); where w is binary, its sums need not be kept for that."""
    if not w.binary:
        return rescale([bit_product(x, w)])
    return rescaled_counts(x, w.ones, w.counts, rescale.factor[0], *rescale[1:])


@twin("bits")
def rescaled_counts(x: Array, w: Rows, counts: Array, factor: Array, offset: Array, low: Array, high: Array,
                    shift: Array, dtype: type[Any]) -> Array:
    """The counts of the XNOR product, rescaled."""
    return rescaled(differing_bits(x, w, counts, -1), factor, offset, low, high, shift, dtype)
