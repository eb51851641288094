"""Penalties that see the grid: how far parameters are from what quantization makes of them.

    squared_deviation    (P - q(P))^2, the quantization error (the thesis' draft)
    absolute_deviation   |P - q(P)|
    dampening            (q(P) - clip(P))^2 with q(P) held fixed (Nagel et al. 2022)
    sine                 sin^2(pi P / s): zero on every multiple of s (Naumov et al. 2018)

q(P) = s n with n = rounding(clip(P / s)). Almost everywhere n is constant nearby, so the derivatives below are exact
and need no surrogate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minilq.arguments import shown
from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.quantize.granularity import reduced_axes
from minilq.quantize.methods.scaled import Scaled, round_trip
from minilq.quantize.penalties import Pairs, Rates, check_pair, check_pairs, finite, total

GRID = np.array([[0.2], [0.3], [0.5]])           # of the sample points below
NEAREST = Scaled("nearest", qmin=-4, qmax=3)


def _on_a_grid(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [cells(rng, (3, 4), GRID), GRID], {"quantizer": NEAREST}


def error_of(P: Array, s: Array, quantizer: Scaled) -> Array:
    """P - s n, the quantization error of every entry."""
    error: Array = P - round_trip(P, s, quantizer.rounding, quantizer.qmin, quantizer.qmax)[0]
    return error


@primitive
def squared_deviation_term(P: Any, s: Any, quantizer: Scaled, weight: float = 1.0) -> WithResidual:
    """Squared quantization error of one tensor: y = weight sum_i (P_i - s n_i)^2.

    Derivative  kind: exact almost everywhere. With e_i = P_i - s n_i: dP_i = 2 g weight e_i,
                ds_k = -2 g weight sum_i e_i n_i
    At kinks    where n jumps, the side on which P lies counts
    Shapes      P any, s by granularity; returns (). Only rounding, qmin and qmax of the quantizer are used.
    Source      thesis, draft

    >>> float(squared_deviation_term(np.array([0.75, -0.5]), np.array([0.5]), Scaled("floor")))
    0.0625
    """
    check_pair("squared_deviation", P, s)
    e = error_of(P, s, quantizer)
    return WithResidual(finite("squared_deviation", weight * np.vdot(e, e), P, s), e)


@vjp_of(squared_deviation_term, kind="exact", needs="P s", at=_on_a_grid)
def squared_deviation_term_vjp(g: Array, y: Array, P: Array, s: Array, quantizer: Scaled, weight: float = 1.0,
                               residual: Array | None = None) -> tuple[Array, Array]:
    # y = w sum_i e_i^2, e_i = P_i - s n_i   =>   dy/dP_i = 2 w e_i,   dy/ds_k = -2 w sum_{i in k} e_i n_i
    e = error_of(P, s, quantizer) if residual is None else residual
    dP = P.dtype.type(2 * float(g) * weight) * e
    return dP, -_over_groups(dP * np.rint((P - e) / s), s)


@primitive
def absolute_deviation_term(P: Any, s: Any, quantizer: Scaled, weight: float = 1.0) -> WithResidual:
    """Mean absolute quantization error of one tensor: y = weight / # sum_i |P_i - s n_i|.

    Derivative  kind: exact almost everywhere. dP_i = g weight / # sgn(P_i - s n_i),
                ds_k = -g weight / # sum_i sgn(P_i - s n_i) n_i
    At kinks    sgn(0) = 0: a parameter on the grid is left alone
    Shapes      as for `squared_deviation_term`. Source: thesis.md's |P - q(P)|, what "Difference" is named for

    >>> float(absolute_deviation_term(np.array([0.75, -0.5]), np.array([0.5]), Scaled("floor")))
    0.125
    """
    check_pair("absolute_deviation", P, s)
    e = error_of(P, s, quantizer)
    return WithResidual(finite("absolute_deviation", weight / max(P.size, 1) * np.sum(np.abs(e)), P, s), e)


@vjp_of(absolute_deviation_term, kind="exact", needs="P s", at=_on_a_grid)
def absolute_deviation_term_vjp(g: Array, y: Array, P: Array, s: Array, quantizer: Scaled, weight: float = 1.0,
                                residual: Array | None = None) -> tuple[Array, Array]:
    # y = w/# sum_i |e_i|   =>   dy/dP_i = w/# sgn(e_i),   dy/ds_k = -w/# sum_{i in k} sgn(e_i) n_i
    e = error_of(P, s, quantizer) if residual is None else residual
    c, sign = P.dtype.type(float(g) * weight / max(P.size, 1)), np.sign(e)
    return c * sign, -c * _over_groups(sign * np.rint((P - e) / s), s)


@primitive
def dampening_term(P: Any, s: Any, quantizer: Scaled, weight: float = 1.0) -> WithResidual:
    """Dampening of one tensor: y = weight sum_i (q_i - clip(P_i, s qmin, s qmax))^2, q_i = s n_i held fixed.

    Derivative  kind: exact, for P alone: dP_i = 2 g weight (clip(P_i) - q_i) where s qmin <= P_i <= s qmax, else 0.
                q is held fixed and a clipped entry is on its bound, so nothing reaches s.
    Shapes      as for `squared_deviation_term`, which it is inside the bounds, with the gradient to s stopped
    Source      Nagel et al. 2022, Overcoming oscillations in quantization-aware training, equation 8; there the rate
                grows from 0 during training

    >>> float(dampening_term(np.array([0.75, 9.0]), np.array([0.5]), Scaled("nearest", qmin=-4, qmax=3)))
    0.0625
    """
    check_pair("dampening", P, s)
    e = _inside(error_of(P, s, quantizer), P, s, quantizer)
    return WithResidual(finite("dampening", weight * np.vdot(e, e), P, s), e)


@vjp_of(dampening_term, kind="exact", needs="P s",
        at=lambda rng: ([cells(rng, (3, 4), GRID)], {"s": GRID, "quantizer": NEAREST}))
def dampening_term_vjp(g: Array, y: Array, P: Array, s: Array, quantizer: Scaled, weight: float = 1.0,
                       residual: Array | None = None) -> tuple[Array]:
    # y = w sum_i (clip(P_i) - q_i)^2   =>   dy/dP_i = 2 w (P_i - q_i) inside the bounds
    e = _inside(error_of(P, s, quantizer), P, s, quantizer) if residual is None else residual
    return (P.dtype.type(2 * float(g) * weight) * e,)


@primitive
def sine_term(P: Any, s: Any, weight: float = 1.0) -> Array:
    """Sine of one tensor: y = weight sum_i sin^2(pi P_i / s_k).

    Derivative  kind: exact. dP_i = g weight pi/s_k sin(2 pi P_i / s_k),
                ds_k = -g weight pi/s_k^2 sum_i P_i sin(2 pi P_i / s_k)
    Shapes      P any, s by granularity; returns ()
    Source      Naumov et al. 2018, On periodic functions as regularizers for quantization of neural networks

    >>> round(float(sine_term(np.array([0.25, 1.0]), np.array([0.5]))), 9)
    1.0
    """
    check_pair("sine", P, s)
    return finite("sine", weight * np.sum(np.square(np.sin(np.pi * (P / s)))), P, s)


@vjp_of(sine_term, kind="exact", needs="P s",
        at=lambda rng: ([rng.standard_normal((3, 4)), rng.uniform(0.5, 2, (1, 4))], {}))
def sine_term_vjp(g: Array, y: Array, P: Array, s: Array, weight: float = 1.0) -> tuple[Array, Array]:
    # y = w sum_i sin^2(pi v_i), v = P/s   =>   dy/dv_i = w pi sin(2 pi v_i),   dv/dP = 1/s,   dv/ds = -v/s
    v = P / s
    dP = P.dtype.type(float(g) * weight * np.pi) * np.sin(2 * np.pi * v) / s
    return dP, -_over_groups(dP * v, s)


def squared_deviation(pairs: Pairs, quantizer: Scaled | Sequence[Scaled], rates: Rates = None) -> Tensor:
    """The plain sum of squared quantization errors, sum_t sum_i (P_i - s n_i)^2. See `squared_deviation_term`.

    What it minimises: the distance to the grid, so it snaps weights to it, and it makes the grid finer rather than
    coarser. With floor the error lies in [0, s) and every weight is drawn down to the edge of its cell, where the code
    flips; with nearest it is drawn to the middle. Use it with nearest and a scale scheme, and scales detached.

    pairs       [(P, s), ...] of Tensors
    quantizer   whose rounding and bounds give n: one for all pairs, or a list with one for each
    rates       one factor for each pair; None for 1
    Raises      as `maxbin`

    >>> P, s = Tensor([0.75, -0.5], requires_grad=True), Tensor([0.5], requires_grad=True)
    >>> y = squared_deviation([(P, s)], Scaled("floor")); y.backward(); P.grad.tolist(), s.grad.tolist()
    ([0.5, 0.0], [-0.5])
    """
    return total("squared_deviation", pairs, rates, squared_deviation_term, by_count=False,
                 quantizers=each_quantizer("squared_deviation", pairs, quantizer))


def absolute_deviation(pairs: Pairs, quantizer: Scaled | Sequence[Scaled], rates: Rates = None) -> Tensor:
    """The mean absolute quantization error, 1/T sum_t sum_i |P_i - s n_i|. See `absolute_deviation_term`.

    What it minimises: the distance to the grid, at one pace however large it is; it keeps scales at their minimum.
    Arguments and errors as for `squared_deviation`.
    """
    return total("absolute_deviation", pairs, rates, absolute_deviation_term, by_count=True,
                 quantizers=each_quantizer("absolute_deviation", pairs, quantizer))


def dampening(pairs: Pairs, quantizer: Scaled | Sequence[Scaled], rates: Rates = None) -> Tensor:
    """Dampening summed over several tensors, sum_t sum_i (q_i - clip(P_i))^2, nothing for s. See `dampening_term`.

    What it minimises: as `squared_deviation`, for weights inside the bounds, without a say on the scales; it keeps
    weights from oscillating between two codes. Arguments and errors as for `squared_deviation`.
    """
    return total("dampening", pairs, rates, lambda P, s, q, weight: dampening_term(P, s.array, q, weight),
                 by_count=False, quantizers=each_quantizer("dampening", pairs, quantizer))


def sine(pairs: Pairs, rates: Rates = None) -> Tensor:
    """Sine summed over several tensors, sum_t sum_i sin^2(pi P_i / s). See `sine_term`.

    What it minimises: as `squared_deviation` with nearest, but smooth, and at rest half-way between two codes as well;
    through s it can only move weights relative to the grid. Arguments and errors as for `maxbin`.
    """
    return total("sine", pairs, rates, sine_term, by_count=False)


def _inside(error: Array, P: Array, s: Array, quantizer: Scaled) -> Array:
    """The errors of the entries within the bounds, 0 for those that are clipped."""
    v = P / s
    low, high = (bound if bound is not None else sign * np.inf
                 for bound, sign in ((quantizer.qmin, -1), (quantizer.qmax, 1)))
    return np.where((v >= low) & (v <= high), error, P.dtype.type(0))


def _over_groups(x: Array, s: Array) -> Array:
    return x.sum(axis=reduced_axes(x.shape, s.shape), keepdims=True).reshape(s.shape)


def each_quantizer(op: str, pairs: Pairs, quantizer: Any) -> list[Scaled]:
    """One quantizer for each pair."""
    check_pairs(op, pairs)
    each = [quantizer] * len(pairs) if isinstance(quantizer, Scaled) else quantizer
    if not (isinstance(each, (list, tuple)) and len(each) == len(pairs) and all(isinstance(q, Scaled) for q in each)):
        raise ConfigError(op, "the second argument must be a Scaled, or a list with one for each pair",
                          got=shown(quantizer))
    return list(each)
