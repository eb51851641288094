"""GELU: a relu whose step is smooth, x times the probability that a normal number is below x."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.arguments import shown
from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_reals

FORMS = ("erf", "tanh")
CUBIC = 0.044715
FAR = 30.0
"""Beyond which both forms are x or 0 to the last bit that a float has for them."""


@primitive
def gelu(x: Any, form: str = "erf") -> WithResidual:
    """Gaussian error linear unit.

    Forward     y = x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2
                form "tanh": y = x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3); at most 5e-4 apart
    Derivative  kind: exact. dx = g (Phi(x) + x phi(x)), phi(x) = e^(-x^2 / 2) / sqrt(2 pi)
                form "tanh": dx = g ((1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2)
    Shapes      x any -> x.shape
    Dtype       float32 or float64, preserved; Phi is computed in float64
    Raises      ConfigError for another form; DTypeError
    Source      Hendrycks and Gimpel 2016 (arXiv 1606.08415)

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4).tolist()
    [-0.1587, 0.0, 0.8413]
    """
    check_reals("gelu", x=x)
    if not isinstance(form, str) or form not in FORMS:
        raise ConfigError("gelu", f"form must be one of {', '.join(FORMS)}", got=shown(form))
    share = normal_cdf(x) if form == "erf" else (1 + np.tanh(_inner(_near(x)))) / 2
    return WithResidual(x * share, share)


@vjp_of(gelu, kind="exact", needs="x", at=normal((3, 4)))
def gelu_vjp(g: Array, y: Array, x: Array, form: str = "erf", *, residual: Array) -> tuple[Array]:
    share, z = residual, _near(x)
    if form == "erf":
        # y = x Phi, Phi' = phi   =>   dy/dx = Phi + x phi
        slope = np.exp(-z * z / 2) * x.dtype.type(1 / math.sqrt(2 * math.pi))
    else:
        # y = x s, s = (1 + tanh u) / 2, 1 - tanh^2 u = 4 s (1 - s)   =>   ds/dx = 2 s (1 - s) u'
        slope = 2 * share * (1 - share) * x.dtype.type(math.sqrt(2 / math.pi)) * (1 + 3 * CUBIC * z * z)
    return (g * (share + z * slope),)


def normal_cdf(x: Array) -> Array:
    """Phi(x), the probability that a standard normal number is below x, in the dtype of x.

    By the complement, erfc(-x / sqrt 2) / 2, which keeps its digits where x is far below 0.

    >>> normal_cdf(np.array([-40.0, 0.0])).tolist() == [math.erfc(40 / math.sqrt(2)) / 2, 0.5]
    True
    """
    scaled = np.multiply(x, -1 / math.sqrt(2), dtype=np.float64)
    return np.fromiter(map(math.erfc, scaled.ravel().tolist()), x.dtype, x.size).reshape(x.shape) / 2


def _near(x: Array) -> Array:
    """x, and FAR in the place of what is beyond it, of which the square might be no float."""
    return np.clip(x, -FAR, FAR)


def _inner(z: Array) -> Array:
    return math.sqrt(2 / math.pi) * (z + CUBIC * z * z * z)
