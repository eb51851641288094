"""What normal weights lose: the best quantizers of a Gaussian of variance 1, from exact integrals.

    lloyd_max(K)            the best K levels
    best_step(levels)       the best scale of given levels, such as `mid_rise` and `integers`
    entropy_coded(step)     all integers times a step, each at the cost of its own share

They are what trained weights may be held against: an error in units of the variance, and bits per weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from minilq.arguments import is_number, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError

FAR = 12.0
"""Standard deviations beyond which there is nothing."""
GOLDEN = (math.sqrt(5) - 1) / 2


class Loss(NamedTuple):
    """Of a quantizer of a Gaussian.

    mse         E (x - y)^2, the variance being 1
    entropy     of the codes, in bits
    """

    mse: float
    entropy: float

    @property
    def gap(self) -> float:
        """Bits above the least that this error needs, 1/2 log2(1 / mse) (Shannon's rate-distortion function)."""
        return self.entropy + 0.5 * math.log2(self.mse)


def lloyd_max(K: int) -> tuple[Array, Array]:
    """The K levels of least error, and the thresholds between them.

    Each level is the mean of its cell, E[x | t_(j-1) < x < t_j], each threshold half-way between two levels. Solved by
    Newton's method from the levels that are best for many (quantiles of a Gaussian of variance 3).
    Raises ConfigError unless 1 <= K <= 512
    Source  Lloyd 1957 (1982), Max 1960

    >>> lloyd_max(2)[0].round(6).tolist()
    [-0.797885, 0.797885]
    """
    if not is_whole(K, 1, 512):
        raise ConfigError("lloyd_max", "K must be a whole number in 1..512", got=shown(K))
    y = np.array([math.sqrt(3) * NormalDist().inv_cdf((j + 0.5) / K) for j in range(K)])
    for _ in range(100):
        t = between(y)[1:-1]
        P, m, _ = moments(between(y))
        c = m / P                                # the means; y is to be c
        # dc_j/dt_j = p(t_j) (t_j - c_j) / P_j, of the lower threshold with a minus; dt_j = (dy_j + dy_(j+1)) / 2
        high, low = density(t) * (t - c[:-1]) / P[:-1] / 2, density(t) * (c[1:] - t) / P[1:] / 2
        slope = np.eye(K) - np.diag(np.append(high, 0) + np.append(0, low)) - np.diag(high, 1) - np.diag(low, -1)
        step = np.linalg.solve(slope, y - c)
        if (np.diff(y - step) <= 0).any():       # too far: Lloyd's step
            step = y - c
        y = y - step
        if np.abs(step).max() < 1e-12:
            break
    return y, between(y)[1:-1]


def loss_of(levels: Array) -> Loss:
    """What ascending levels lose when each x becomes the nearest."""
    P, m, second = moments(between(levels))
    shares = P[P > 1e-300]
    mse = float(np.sum(second - 2 * levels * m + np.square(levels) * P))
    return Loss(mse, float(np.sum(shares * np.log2(1 / shares))))


def mid_rise(bits: int) -> Array:
    """..., -3/2, -1/2, 1/2, 3/2, ...: 2^bits levels without 0."""
    return integers(bits) + 0.5


def integers(bits: int) -> Array:
    """-2^(bits-1) .. 2^(bits-1) - 1."""
    if not is_whole(bits, 1, 12):
        raise ConfigError("integers", "bits must be a whole number in 1..12", got=shown(bits))
    return np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1), dtype=np.float64)


def best_step(levels: Array) -> tuple[float, Loss]:
    """The scale of these levels that loses least, and what it loses.

    >>> [round(best_step(mid_rise(bits))[0], 4) for bits in (1, 2, 3)]
    [1.5958, 0.9957, 0.586]
    """
    step = smallest(lambda s: loss_of(s * levels).mse, 1e-4, 4.0)
    return step, loss_of(step * levels)


def entropy_coded(step: float) -> Loss:
    """Uniform quantization to all multiples of a step, each code at the cost of its share.

    For small steps its gap tends to 1/2 log2(pi e / 6) = 0.2546 bits, whatever is coded: what the thesis' coarse scale
    and a good coder lose of all that there is.
    Source  Gish and Pierce 1968

    >>> round(entropy_coded(0.5).gap, 4)
    0.2695
    """
    if not is_number(step) or not 1e-3 <= step < math.inf:
        raise ConfigError("entropy_coded", "step must be a number of at least 0.001", got=shown(step))
    most = math.ceil(FAR / step)
    return loss_of(step * np.arange(-most, most + 1))


def between(levels: Array) -> Array:
    """Thresholds half-way between levels, and infinity at either end."""
    return np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])


def moments(t: Array) -> tuple[Array, Array, Array]:
    """The integrals of 1, x and x^2 times the density over each cell between thresholds."""
    tail, p = np.array([math.erfc(x / math.sqrt(2)) / 2 for x in np.abs(t)]), density(t)
    # of two thresholds on one side the difference of the tails, which keeps its digits
    below = np.where(t < 0, tail, 1 - tail)
    P = np.where(t[:-1] > 0, tail[:-1] - tail[1:], below[1:] - below[:-1])
    tp = np.where(np.isinf(t), 0, t) * p
    return P, p[:-1] - p[1:], P + tp[:-1] - tp[1:]


def density(x: Array) -> Array:
    """The normal density."""
    return np.exp(-np.square(x) / 2) / math.sqrt(2 * math.pi)


def smallest(f: Callable[[float], float], low: float, high: float, within: float = 1e-9) -> float:
    """Where f, which falls and then rises, is smallest: by golden sections, until it is known to lie `within` so much.

    >>> round(smallest(lambda x: (x - 2) ** 2, 0, 5), 6)
    2.0
    """
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    fa, fb = f(a), f(b)
    while high - low > within:
        if fa < fb:
            high, b, fb = b, a, fa
            a = high - GOLDEN * (high - low)
            fa = f(a)
        else:
            low, a, fa = a, b, fb
            b = low + GOLDEN * (high - low)
            fb = f(b)
    return (low + high) / 2
