"""Soft rounding: up or down as a number in 0..1 that is trained, and the price of being undecided (AdaRound)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats
from minilq.quantize.methods.bounds import check_scale

ZETA, GAMMA = 1.1, -0.1
"""The sigmoid is stretched from 0..1 to GAMMA..ZETA, so that it reaches 0 and 1."""


def share_up(v: Array) -> Array:
    """h(v) = clip((ZETA - GAMMA) sigmoid(v) + GAMMA, 0, 1), of how much an entry is rounded up.

    >>> share_up(np.array([-9.0, 0.0, 9.0]))
    array([0. , 0.5, 1. ])
    """
    return np.asarray(np.clip(_stretched(v), 0, 1))


def share_up_slope(v: Array) -> Array:
    """h'(v), 0 where h has reached 0 or 1."""
    h = _stretched(v)
    sigmoid = (h - GAMMA) / (ZETA - GAMMA)
    return np.asarray((ZETA - GAMMA) * sigmoid * (1 - sigmoid) * ((h > 0) & (h < 1)))


def start_of(share: Array) -> Array:
    """v with h(v) = share, for shares in 0..1.

    >>> share_up(start_of(np.array([0.0, 0.3, 1.0]))).round(12).tolist()
    [0.0, 0.3, 1.0]
    """
    p = (share - GAMMA) / (ZETA - GAMMA)
    return np.asarray(np.log(p / (1 - p)))


def _stretched(v: Array) -> Array:
    return np.asarray((ZETA - GAMMA) / (1 + np.exp(-v)) + GAMMA)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    s = rng.uniform(0.05, 0.5, (1, 3))
    v = _shares(rng, (4, 3)).clip(-2, 2)         # h within 0..1: codes are no whole numbers, which may be bounds
    return [cells(rng, (4, 3), s), v], {"scale": s, "zero": np.array([[0, 1, -2]]), "low": -4, "high": 3}


def _shares(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Off 0, where a sign changes, and off -+ 2.398, where h reaches 0 or 1."""
    return rng.choice([-1.0, 1.0], shape) * np.where(rng.random(shape) < 0.7, rng.uniform(0.2, 2, shape), 3.0)


@primitive
def soft_rounded(w: Any, v: Any, scale: Array, zero: Any, low: int, high: int) -> Array:
    """Numbers on a grid, each between two codes: the lower one, and a share h(v) of the step to the upper one.

    Forward     k = clip(floor(w / scale) + h(v) + zero, low, high);  y = scale (k - zero), with `share_up` h
    Derivative  kind: surrogate. dv = g scale h'(v) [in range], the derivative; dw = g [in range], straight through the
                floor; [low <= floor(w / scale) + h(v) + zero <= high]. Nothing reaches scale and zero
    At kinks    the bounds are in range; h' = 0 from where h is 0 or 1
    Shapes      w and v of one shape; scale and zero broadcast to it; returns w.shape
    Raises      DTypeError, ShapeError; ConfigError for scale <= 0
    Source      Nagel et al. 2020, Up or down? Adaptive rounding (arXiv 2004.10568), equations 22 and 23

    >>> soft_rounded(np.array([0.9, 0.9]), np.array([-9.0, 9.0]), np.array([0.5]), 0, -4, 3)
    array([0.5, 1. ])
    """
    check_scale("soft_rounded", w, scale)
    check_scale("soft_rounded", v, scale)
    zero = np.asarray(zero, w.dtype)
    return np.asarray(scale * (np.clip(np.floor(w / scale) + share_up(v) + zero, low, high) - zero))


@vjp_of(soft_rounded, kind="surrogate", needs="w v scale zero", at=_at)
def soft_rounded_vjp(g: Array, y: Array, w: Array, v: Array, scale: Array, zero: Any, low: int, high: int,
                     ) -> tuple[Array, Array]:
    k = np.floor(w / scale) + share_up(v) + np.asarray(zero, w.dtype)
    inside = (low <= k) & (k <= high)
    # y = s (floor(u) + h(v)), u = w / s, floor' = 1   =>   dy/dw = 1,  dy/dv = s h'(v), both where it is not clipped
    return g * inside, g * inside * scale * share_up_slope(v)


@smooth_of(soft_rounded)
def soft_rounded_smooth(keep: Keep, w: Array, v: Array, scale: Array, zero: Any, low: int, high: int) -> Array:
    """What the floor takes off is held."""
    scale, zero = keep(scale), keep(np.asarray(zero, w.dtype))
    u = w / scale
    smooth: Array = scale * (np.clip(u + keep(np.floor(u) - u) + share_up(v) + zero, low, high) - zero)
    return smooth


@primitive
def undecided(v: Any, beta: float) -> Array:
    """What it costs not to be 0 or 1: y = sum_i 1 - |2 h(v_i) - 1|^beta, with `share_up` h.

    Derivative  kind: exact. dv = -g 2 beta |2 h - 1|^(beta - 1) sgn(2 h - 1) h'(v)
    At kinks    0 at h = 1/2; h' = 0 from where h is 0 or 1
    Raises      ConfigError for beta <= 1, DTypeError
    Source      Nagel et al. 2020 (arXiv 2004.10568), equation 24

    >>> float(undecided(np.array([0.0, 9.0]), 2.0))
    1.0
    """
    check_floats("undecided", v=v)
    if not is_number(beta) or beta <= 1:
        raise ConfigError("undecided", "beta must be a number > 1", got=shown(beta))
    return np.asarray(np.sum(1 - np.abs(2 * share_up(v) - 1) ** v.dtype.type(beta)))


@vjp_of(undecided, kind="exact", needs="v", at=lambda rng: ([_shares(rng, (3, 4))], {"beta": 3.5}))
def undecided_vjp(g: Array, y: Array, v: Array, beta: float) -> tuple[Array]:
    r = 2 * share_up(v) - 1
    # d(1 - |r|^b)/dr = -b |r|^(b-1) sgn(r),  dr/dv = 2 h'(v)
    return ((-2 * beta * g * np.abs(r) ** (beta - 1) * np.sign(r) * share_up_slope(v)).astype(v.dtype),)


@primitive
def quadratic(y: Any, H: Array, T: Array) -> Array:
    """Error of a layer's output up to a constant: tr(y' H y) - 2 tr(y' T).

        |X y - Z|^2 = tr(y' X'X y) - 2 tr(y' X'Z) + |Z|^2

    Derivative  kind: exact. dy = 2 g (H y - T), H being symmetric
    Shapes      y, T (in, out), H (in, in) -> ()
    Raises      DTypeError

    >>> float(quadratic(np.array([[2.0]]), np.array([[1.0]]), np.array([[3.0]])))
    -8.0
    """
    check_floats("quadratic", y=y, H=H, T=T)
    return np.asarray(np.vdot(y, H @ y - 2 * T))


def _at_quadratic(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    X = rng.standard_normal((5, 4))
    return [rng.standard_normal((4, 3))], {"H": X.T @ X, "T": rng.standard_normal((4, 3))}


@vjp_of(quadratic, kind="exact", needs="y H T", at=_at_quadratic)
def quadratic_vjp(g: Array, y_: Array, y: Array, H: Array, T: Array) -> tuple[Array]:
    # d/dy tr(y' H y) = (H + H') y = 2 H y,  d/dy tr(y' T) = T
    return (2 * g * (H @ y - T),)
