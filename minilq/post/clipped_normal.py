"""The mean of a Gaussian that is clipped: what a relu behind a batch normalisation gives, without any data."""

from __future__ import annotations

import math

import numpy as np

from minilq.arguments import is_bound, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.quantize.gaussian import density

_below = np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2, otypes=[float])


def clipped_mean(mean: Array, std: Array, low: float = 0.0, high: float = math.inf) -> Array:
    """E[clip(x, low, high)] of Gaussian x.

        std (p(A) - p(B)) + mean (C(B) - C(A)) + low C(A) + high (1 - C(B)),   A = (low - mean) / std, B likewise

    with the normal density p and distribution C; where std is 0, of the mean itself. By default of a relu.
    Raises      ConfigError unless low <= high and std >= 0
    Source      Nagel et al. 2019 (arXiv 1906.04721), appendix C; Jiang 2021, equation 20

    >>> clipped_mean(np.array([0.0, 3.0]), np.array([1.0, 0.0])).round(4).tolist()
    [0.3989, 3.0]
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if not (is_bound(low) and is_bound(high) and low <= high) or (std < 0).any():
        raise ConfigError("clipped_mean", "low must not be above high, and std not below 0",
                          got=f"{shown(low)}, {shown(high)}, a std of {std.min(initial=0):g}")
    spread = np.where(std > 0, std, 1)
    A, B = (low - mean) / spread, (high - mean) / spread
    below, above = _below(A), 1 - _below(B)
    ends = (low * below if math.isfinite(low) else 0.0) + (high * above if math.isfinite(high) else 0.0)
    found = spread * (density(A) - density(B)) + mean * (1 - above - below) + ends
    return np.asarray(np.where(std > 0, found, np.clip(mean, low, high)))
