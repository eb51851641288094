"""Surrogates: the smooth curve that stands in for a rounding when a derivative is asked for.

A rounding k(u) is flat almost everywhere. Its surrogate is a curve sigma(u); the backward pass uses sigma'(u) where the
derivative of k is wanted. `low` and `high` are the quantizer's qmin and qmax, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minilq.arguments import check_function, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, meant

Curve = Callable[[Array, float | None, float | None], Array]


@dataclass(frozen=True)
class Surrogate:
    """A curve and its derivative, both functions of (u, low, high). Raises ConfigError for what is none."""

    name: str
    curve: Curve
    slope: Curve

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConfigError("Surrogate", "name must be a text", got=shown(self.name))
        check_function("Surrogate", "curve", self.curve, " of (u, low, high)")
        check_function("Surrogate", "slope", self.slope, " of (u, low, high)")


def _line(u: Array, low: float | None, high: float | None) -> Array:
    return u


def _one(u: Array, low: float | None, high: float | None) -> Array:
    return np.ones_like(u)


STRAIGHT_THROUGH = Surrogate("straight_through", _line, _one)
"""sigma(u) = u, sigma' = 1: the rounding is passed by (Bengio et al. 2013; the thesis)."""


def _interval(low: float | None, high: float | None) -> tuple[float, float]:
    if low is None and high is None:
        return -1.0, 1.0
    return -np.inf if low is None else low, np.inf if high is None else high


def _clipped_line(u: Array, low: float | None, high: float | None) -> Array:
    return np.clip(u, *_interval(low, high))


def _inside(u: Array, low: float | None, high: float | None) -> Array:
    a, b = _interval(low, high)
    return ((u >= a) & (u <= b)).astype(u.dtype)


CLIPPED = Surrogate("clipped", _clipped_line, _inside)
"""sigma(u) = clip(u, low, high), sigma' = [low <= u <= high]; without bounds on [-1, 1], the saturated straight-through
of binary networks (Hubara et al. 2016). With bounds the clip of mask="clip_first" already does the same."""


def _constant(u: Array, low: float | None, high: float | None) -> Array:
    return np.zeros_like(u)


ZERO = Surrogate("zero", _constant, _constant)
"""sigma(u) = 0, sigma' = 0: the true derivative almost everywhere. With chain_rule, ds = sum(g k)."""

# The curves below stand in for a sign, whatever the bounds: all rise around 0 and are flat far out.

def _strictly_inside(u: Array, low: float | None, high: float | None) -> Array:
    return (np.abs(u) < 1).astype(u.dtype)


HARD_TANH = Surrogate("hard_tanh", lambda u, low, high: np.clip(u, -1, 1), _strictly_inside)
"""sigma(u) = clip(u, -1, 1), sigma' = [|u| < 1]: the hard tanh of the released code of BinaryNet, whose bounds are
out."""


def _parabolas(u: Array, low: float | None, high: float | None) -> Array:
    v = np.clip(u, -1, 1)
    return np.asarray(v * (2 - np.abs(v)))


def _roof(u: Array, low: float | None, high: float | None) -> Array:
    return np.asarray(2 * np.maximum(1 - np.abs(u), 0))


APPROXIMATE_SIGN = Surrogate("approximate_sign", _parabolas, _roof)
"""sigma(u) = u (2 - |u|) within -1 .. 1, sigma' = 2 max(0, 1 - |u|): the approximate sign (Bi-Real Net, 2018)."""

TRIANGLE = Surrogate("triangle", lambda u, low, high: _parabolas(u, low, high) / 2,
                     lambda u, low, high: _roof(u, low, high) / 2)
"""sigma(u) = u (2 - |u|) / 2 within -1 .. 1, sigma' = max(0, 1 - |u|): half of that, the triangle of spiking networks
(Bellec et al. 2018)."""

SWISH = 5.0


def _swish_sign(u: Array, low: float | None, high: float | None) -> Array:
    p = (1 + np.tanh(SWISH * u / 2)) / 2                         # the sigmoid of b u
    return np.asarray(2 * p * (1 + SWISH * u * (1 - p)) - 1)


def _swish_slope(u: Array, low: float | None, high: float | None) -> Array:
    v = np.clip(SWISH * u, -80, 80)              # cosh stays finite in float32; the slope is 0 there
    return np.asarray(SWISH * (2 - v * np.tanh(v / 2)) / (1 + np.cosh(v)))


SWISH_SIGN = Surrogate("swish_sign", _swish_sign, _swish_slope)
"""sigma(u) = 2 p (1 + b u (1 - p)) - 1, p = 1 / (1 + exp(-b u)), sigma' = b (2 - b u tanh(b u / 2)) / (1 + cosh(b u)),
b = 5: below 0 a little beyond +-1 (Darabi et al. 2018, BNN+)."""

ARCTAN = Surrogate("arctan", lambda u, low, high: np.asarray(2 / np.pi * np.arctan(np.pi / 2 * u)),
                   lambda u, low, high: np.cos(np.arctan(np.pi / 2 * u)) ** 2)       # no square of u to overflow
"""sigma(u) = 2 / pi arctan(pi u / 2), sigma' = 1 / (1 + (pi u / 2)^2): some passes at any distance (Fang et al.
2021)."""

SURROGATES: dict[str, Surrogate] = {s.name: s for s in (
    STRAIGHT_THROUGH, CLIPPED, ZERO, HARD_TANH, APPROXIMATE_SIGN, TRIANGLE, SWISH_SIGN, ARCTAN)}


def surrogate_named(surrogate: str | Surrogate) -> Surrogate:
    """The surrogate of a name, or the surrogate itself; ConfigError for an unknown name."""
    if isinstance(surrogate, Surrogate):
        return surrogate
    if not isinstance(surrogate, str) or surrogate not in SURROGATES:
        raise ConfigError("Scaled", f"surrogate must be one of {', '.join(SURROGATES)}, or a Surrogate",
                          got=shown(surrogate), cause=meant(surrogate, SURROGATES))
    return SURROGATES[surrogate]
