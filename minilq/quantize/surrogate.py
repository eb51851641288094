"""Surrogates: the smooth curve that stands in for a rounding when a derivative is asked for.

A rounding k(u) is flat almost everywhere. Its surrogate is a curve sigma(u); the backward pass uses sigma'(u) where the
derivative of k is wanted. `low` and `high` are the quantizer's qmin and qmax, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError

Curve = Callable[[Array, float | None, float | None], Array]


@dataclass(frozen=True)
class Surrogate:
    """A curve and its derivative, both functions of (u, low, high)."""

    name: str
    curve: Curve
    slope: Curve


def _line(u: Array, low: float | None, high: float | None) -> Array:
    return u


def _one(u: Array, low: float | None, high: float | None) -> Array:
    return np.ones_like(u)


# sigma(u) = u, sigma' = 1: the rounding is passed by (Bengio et al. 2013; the thesis).
STRAIGHT_THROUGH = Surrogate("straight_through", _line, _one)


def _interval(low: float | None, high: float | None) -> tuple[float, float]:
    if low is None and high is None:
        return -1.0, 1.0
    return -np.inf if low is None else low, np.inf if high is None else high


def _clipped_line(u: Array, low: float | None, high: float | None) -> Array:
    return np.clip(u, *_interval(low, high))


def _inside(u: Array, low: float | None, high: float | None) -> Array:
    a, b = _interval(low, high)
    return ((u >= a) & (u <= b)).astype(u.dtype)


# sigma(u) = clip(u, low, high), sigma' = [low <= u <= high]; without bounds on [-1, 1], the saturated straight-through
# of binary networks (Hubara et al. 2016). With bounds the clip of mask="clip_first" already does the same.
CLIPPED = Surrogate("clipped", _clipped_line, _inside)


def _constant(u: Array, low: float | None, high: float | None) -> Array:
    return np.zeros_like(u)


# sigma(u) = 0, sigma' = 0: the true derivative almost everywhere. With chain_rule, ds = sum(g k).
ZERO = Surrogate("zero", _constant, _constant)

SURROGATES: dict[str, Surrogate] = {s.name: s for s in (STRAIGHT_THROUGH, CLIPPED, ZERO)}


def surrogate_named(surrogate: str | Surrogate) -> Surrogate:
    """The surrogate of a name, or the surrogate itself; ConfigError for an unknown name."""
    if isinstance(surrogate, Surrogate):
        return surrogate
    if surrogate not in SURROGATES:
        raise ConfigError("Scaled", f"surrogate must be one of {', '.join(SURROGATES)}, or a Surrogate",
                          got=repr(surrogate))
    return SURROGATES[surrogate]
