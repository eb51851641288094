"""The matrix product of integer inference: unsigned bytes times signed bytes, summed exactly in 32 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError
from minilq.integer.fixed_point import Rescaling
from minilq.kernels import twin
from minilq.kernels.window import Window
from minilq.ops.window import padded, windows

LONGEST = (2**31 - 1) // (255 * 128)
"""The longest sum of products of a uint8 and an int8 number that always fits into int32: 65793 of them."""

BLOCK = 1 << 20
"""Bytes of the largest column matrix of codes that is held; one image at least."""


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


@dataclass
class Multiplied:
    """Weight codes that inputs are multiplied by, many times, and what makes codes of the sums.

    codes       int8 (R, F), never written into
    packed      both in the order in which the kernel reads them, from when it first has
    """

    codes: Array
    rescale: Rescaling
    packed: Any = None


@twin("integer_conv")
def rescaled_product(x: Array, by: Multiplied) -> Array:
    """Codes of the sums: x (M, R) uint8 -> (M, F), of the rescaling's dtype."""
    return by.rescale([int8_product(x, by.codes)])


@twin("integer_conv")
def rescaled_convolution(x: Array, by: Multiplied, window: Window, border: int) -> Array:
    """The same for what each window sees of images around which a code stands: (N, H, W, C) -> (N, OH, OW, F)."""
    y = np.empty((len(x), window.out_height, window.out_width, by.codes.shape[1]), by.rescale.dtype)
    step = max(BLOCK // max(window.out_height * window.out_width * len(by.codes), 1), 1)
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        seen = windows(padded(x[part], window, border), window)
        y[part] = by.rescale([int8_product(seen.reshape(-1, len(by.codes)), by.codes)]).reshape(y[part].shape)
    return y
