"""ACIQ: where to clip numbers that are Gaussian or Laplacian, from one moment of them."""

from __future__ import annotations

import functools
import math

import numpy as np

from minilq.arguments import check_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.post.ranges import Range, numbers
from minilq.quantize.gaussian import smallest

DENSITIES = ("gauss", "laplace")
FORMS = ("symmetric", "asymmetric", "half")


def aciq(x: Array, bits: int, density: str | None = None, form: str = "asymmetric") -> Range:
    """The range that clips numbers of this density with least expected error.

        alpha = constant(bits) sigma (gauss), or constant(bits) mean |x - mean| (laplace)

    form        symmetric, -+ (|mean| + alpha); asymmetric, of width 2 alpha from mean - alpha, or from the smallest
                number if that is above it; half, of width alpha from the smallest number, alpha that of a bit more: for
                what comes from a relu
    density     gauss or laplace; None takes the one whose mean |x - mean| / sigma, 0.798 or 0.707, is nearer
    Raises      ConfigError for bits outside 2..16 and for other names
    Source      Banner et al. 2019 (arXiv 1810.05723); the three forms as in Distiller

    >>> aciq(np.array([-1.0, 0.0, 1.0]), 4, "gauss", "symmetric")
    (-2.55, 2.55)
    """
    x = numbers("aciq", x).astype(np.float64)
    check_whole("aciq", "bits", bits, 2)
    if density not in (None, *DENSITIES) or form not in FORMS or bits > 16:
        raise ConfigError("aciq", f"density must be {' or '.join(DENSITIES)}, form one of {', '.join(FORMS)}, and bits "
                          "in 2..16", got=f"{shown(density)}, {shown(form)}, {bits}")
    mean, first = float(x.mean()), float(x.min())
    sigma = float(x.std(ddof=1)) if x.size > 1 else 0.0
    spread = float(np.abs(x - mean).mean())
    if density is None:
        density = "gauss" if 2 * spread > (math.sqrt(2 / math.pi) + math.sqrt(0.5)) * sigma else "laplace"
    alpha = constant(density, bits + (form == "half")) * (sigma if density == "gauss" else spread)
    if form == "symmetric":
        return -abs(mean) - alpha, abs(mean) + alpha
    low = first if form == "half" else max(first, mean - alpha)
    return low, low + (alpha if form == "half" else 2 * alpha)


@functools.lru_cache(maxsize=64)
def constant(density: str, bits: int) -> float:
    """Where to clip in units of sigma, or of mean |x|, cut to two decimals as the authors' tables are.

    Within -+ alpha the error is taken for that of a uniform density, alpha^2 / (3 4^bits), and what is clipped adds

        laplace, b = 1          2 exp(-alpha)
        gauss, sigma = 1        (1 + alpha^2) erfc(alpha / sqrt 2) - sqrt(2 / pi) alpha exp(-alpha^2 / 2)

    >>> [constant("gauss", bits) for bits in range(2, 9)]
    [1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92]
    >>> [constant("laplace", bits) for bits in range(2, 9)]
    [2.83, 3.89, 5.02, 6.2, 7.41, 8.64, 9.89]
    """
    def error(alpha: float) -> float:
        within = alpha**2 / (3 * 4**bits)
        if density == "laplace":
            return within + 2 * math.exp(-alpha)
        return (within + (1 + alpha**2) * math.erfc(alpha / math.sqrt(2))
                - math.sqrt(2 / math.pi) * alpha * math.exp(-alpha**2 / 2))

    return math.floor(100 * smallest(error, 0.5, 25.0)) / 100
