"""Powers of two: AP2, which shift-based normalisation and optimizers multiply by, so that shifts are enough."""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array


def ap2(x: Array) -> Array:
    """The power of two nearest on the scale of logarithms: sgn(x) 2^round(log2 |x|), 0 for 0.

    |log2(AP2(x) / x)| <= 1/2; powers of two stay what they are.
    Source      Hubara et al. 2016 (arXiv 1602.02830), algorithms 3 and 4

    >>> ap2(np.array([0.0, 1.0, 1.4, 1.5, -3.0, 96.0]))
    array([  0.,   1.,   1.,   2.,  -4., 128.])
    """
    with np.errstate(divide="ignore"):
        exponents = np.rint(np.log2(np.abs(x)))
    return np.asarray(np.sign(x) * np.exp2(exponents))
