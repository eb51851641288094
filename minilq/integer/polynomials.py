"""The polynomials that stand in for erf and the exponential where there are integers alone, on real numbers.

    L(x) = sgn(x) (a (min(|x|, -b) + b)^2 + 1)                    for erf(x):  at most 0.042 off
    e^x = 2^-z (a (p + b)^2 + c),  x = p - z ln 2, -ln 2 < p <= 0  for x <= 0:  at most 0.0022 off

Source      Kim et al. 2021 (arXiv 2101.01321), equations 8 and 13
"""

from __future__ import annotations

import math

import numpy as np

from minilq.autodiff.tape import Array

ERF = (-0.2888, -1.769, 1.0)
"""a, b, c of L."""
EXP = (0.3585, 1.353, 0.344)
"""a, b, c of e^p = a (p + b)^2 + c, as the paper prints them."""
EXP_OF_CODE = (0.35815147, 0.96963238, 1.0)
"""a, b, c of e^p = a p^2 + b p + c, as the released program has them; the same polynomial before it was rounded."""


def erf_near(x: Array) -> Array:
    """L(x).

    >>> erf_near(np.array([-9.0, 0.0, 0.5])).round(3).tolist()                   # -1, 0, 0.520
    [-1.0, 0.0, 0.535]
    """
    a, b, c = ERF
    return np.asarray(np.sign(x) * (a * (np.minimum(np.abs(x), -b) + b)**2 + c))


def gelu_near(x: Array) -> Array:
    """x / 2 (1 + L(x / sqrt 2)), at most 0.0182 from GELU."""
    return np.asarray(x / 2 * (1 + erf_near(x / math.sqrt(2))))


def exp_near(x: Array) -> Array:
    """e^x of x <= 0.

    >>> exp_near(np.array([0.0, -1.0, -9.0])).round(4).tolist()                  # 1, 0.3679, 0.0001
    [1.0003, 0.3682, 0.0001]
    """
    a, b, c = EXP
    z = np.floor(-x / math.log(2))
    return np.asarray((a * (x + z * math.log(2) + b)**2 + c) * np.exp2(-z))


def softmax_near(x: Array) -> Array:
    """Probabilities along the last axis."""
    e = exp_near(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))
