"""Products of signs: 64 numbers in a word, multiplied by XNOR and summed by counting bits."""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, NonFiniteError, ShapeError
from minilq.integer.bits import WORD, Rows, differing_bits, packed


def sign_bits(x: Array) -> Array:
    """The signs of x, one bit each: 1 for x >= 0 (-0 included), as in the rounding "sign", else 0.

    Shapes      x (..., K) -> (..., ceil(K / 64)); sign k of a row is bit k % 8 of byte k // 8, unused bits are 0
    Dtype       any real numbers -> uint64
    Raises      DTypeError; ShapeError for a single number; NonFiniteError for NaN, which has no sign

    >>> [bin(word) for word in sign_bits(np.array([0.5, -2.0, 0.0, -1.0]))]
    ['0b101']
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iuf":
        raise DTypeError("sign_bits", "x must be an array of real numbers",
                         got=str(x.dtype) if isinstance(x, np.ndarray) else type(x).__name__)
    if x.ndim == 0:
        raise ShapeError("sign_bits", "x must have at least one axis", got="a 0-d array")
    if np.isnan(np.min(x, initial=0)):         # the minimum of NaN and anything is NaN
        raise NonFiniteError("sign_bits", "every value must have a sign", got="NaN")
    return packed(x >= 0)


def xnor_product(x_bits: Array, w_bits: Array, K: int) -> Array:
    """The matrix product of signs -1 and 1, exact, from their bits.

        y_ij = sum_k x_ik w_jk = K - 2 popcount(x_i ^ w_j)

    as two signs multiply to 1 where they are equal and to -1 where they differ.

    Shapes      x_bits (M, W), w_bits (N, W), as `sign_bits` makes them from (M, K) and (N, K) -> (M, N). The weights
                stand in rows: sign_bits(w.T) for a dense w (in, out)
    Dtype       uint64 -> int32
    Raises      DTypeError, ShapeError
    Source      Rastegari et al. 2016 (arXiv 1603.05279), section 3.2

    >>> x, w = np.array([[1, -1, 1]]), np.array([[1, -1, -1], [1, -1, 1]])
    >>> xnor_product(sign_bits(x), sign_bits(w), 3)
    array([[1, 3]], dtype=int32)
    """
    for name, array in (("x_bits", x_bits), ("w_bits", w_bits)):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint64:
            raise DTypeError("xnor_product", f"{name} must be an array of uint64",
                             got=str(array.dtype) if isinstance(array, np.ndarray) else type(array).__name__,
                             cause="sign_bits makes them from numbers")
    words = -(-K // WORD)
    if x_bits.ndim != 2 or w_bits.ndim != 2 or not x_bits.shape[1] == w_bits.shape[1] == words:
        raise ShapeError("xnor_product", f"shapes must be x_bits (M, {words}), w_bits (N, {words}) for K = {K}",
                         got=f"x_bits {x_bits.shape}, w_bits {w_bits.shape}")
    return differing_bits(x_bits, Rows(w_bits), np.full(len(w_bits), K, np.int32), -2)
