"""The matrix product of integer inference: unsigned bytes times signed bytes, summed exactly in 32 bits."""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError
from minilq.kernels import twin

LONGEST = (2**31 - 1) // (255 * 128)
"""The longest sum of products of a uint8 and an int8 number that always fits into int32: 65793 of them."""


def int8_product(x: Array, w: Array) -> Array:
    """The matrix product of codes, exact.

        y_ij = sum_k x_ik w_kj

    Shapes      x (M, K), w (K, N) -> (M, N), any of them 0; any strides
    Dtype       x uint8, w int8 -> int32. No sum leaves int32, as K is at most LONGEST
    Raises      DTypeError, ShapeError
    Source      Jacob et al. 2018 (arXiv 1712.05877), section 2.3; there too the factors are uint8 and the sums int32

    >>> int8_product(np.array([[255, 1]], np.uint8), np.array([[-128], [5]], np.int8))
    array([[-32635]], dtype=int32)
    """
    for name, array, dtype in (("x", x, np.uint8), ("w", w, np.int8)):
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            raise DTypeError("int8_product", f"{name} must be an array of {np.dtype(dtype)}",
                             got=str(array.dtype) if isinstance(array, np.ndarray) else type(array).__name__)
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != len(w):
        raise ShapeError("int8_product", "shapes must be x (M, K), w (K, N)", got=f"x {x.shape}, w {w.shape}")
    if len(w) > LONGEST:
        raise ShapeError("int8_product", f"a sum may have at most {LONGEST} terms, or it could leave int32",
                         got=f"{len(w)} terms", cause="Split K and add the parts in int64")
    return product(x, w)


@twin("integer")
def product(x: Array, w: Array) -> Array:
    """`int8_product` of checked arguments. In float64, which BLAS multiplies fast: every partial sum is a whole number
    below 2^31, far from 2^53, so nothing is ever rounded, in any order of summation."""
    return np.dot(x.astype(np.float64), w.astype(np.float64)).astype(np.int32)
