"""The size of a file as a penalty: the entropy of the codes, in bits, whose derivative moves them to cheaper ones.

What a coder pays for a code k is L_k = -log2 p_k, p_k the share of the codes that are k. A number u between two codes j
and j + 1 counts in part as either, 1 - f and f of it, f = u - j; then the shares, and the entropy that they have, are
continuous in P and s. Where every u is whole it is the entropy of the codes themselves, and with stochastic rounding
the shares are those that are expected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import shown
from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError
from minilq.quantize.deviations import each_quantizer
from minilq.quantize.granularity import reduced_axes
from minilq.quantize.methods.scaled import Scaled
from minilq.quantize.penalties import Pairs, Rates, check_pair, finite, total
from minilq.quantize.rounding import stochastic

FARTHEST = 2.0**20
"""Codes farther from 0 than that have no histogram."""
RARE = 2.0**-24
"""How often a code counts at least, of those that no entry has: what a step to it would cost stays finite."""
MIDDLES = {"floor": 0.5, "nearest": 0.0, "ceil": -0.5}
"""By how much P / s is above its code in the middle of what becomes that code."""
GRID = np.array([[0.2], [0.3], [0.5]])           # of the sample points below


class Costs(NamedTuple):
    """The bits of a tensor, and what a step up costs each entry: L_(j+1) - L_j, 0 where it is clipped."""

    bits: float
    slope: Array


def costs_of(P: Array, s: Array, quantizer: Scaled) -> Costs:
    """n H of the shared-out codes of P / s, and the slope of every entry.

    >>> costs_of(np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0]), Scaled("nearest")).bits
    4.0
    """
    v = (P / s).reshape(-1)
    u = _clipped(v - v.dtype.type(_middle(quantizer)), quantizer)
    j = np.floor(u)
    low, high = (j.min(), j.max()) if u.size else (0, 0)
    if not -FARTHEST < low <= high < FARTHEST:
        raise NonFiniteError("code_size", f"codes must lie within {FARTHEST:.0f} of 0", got="one that does not",
                             cause="Training has diverged, or the scale is far too small")
    k, length = (j - low).astype(np.intp), int(high - low) + 2
    up = np.bincount(k, u - j, length)
    counts = np.bincount(k, minlength=length) - up + np.roll(up, 1)      # the last cell of `up` is empty
    L = math.log2(max(u.size, 1)) - np.log2(np.maximum(counts, RARE))
    slope = np.diff(L).astype(P.dtype)[k]
    if quantizer.qmin is not None or quantizer.qmax is not None:
        slope = slope * (u == v - v.dtype.type(_middle(quantizer)))
    return Costs(float(np.sum(counts * L)), slope.reshape(P.shape))


@primitive
def code_size_term(P: Any, s: Any, quantizer: Scaled, weight: float = 1.0) -> WithResidual:
    """Bits of one tensor at the entropy of its codes: y = weight n H(p), H = -sum_k p_k log2 p_k.

    Forward     u = clip(P / s - m, qmin, qmax), m = 1/2 for floor, 0 for nearest and stochastic, -1/2 for ceil;
                j = floor(u), f = u - j;  n p_k = sum_i (1 - f_i) [j_i = k] + f_i [j_i + 1 = k]
    Derivative  kind: exact. With L_k = -log2 p_k, within the bounds: dP_i = g weight (L_(j+1) - L_j) / s,
                ds = -g weight sum (L_(j+1) - L_j) P_i / s^2. (The n p_k add up to n: what p itself adds cancels.)
    At kinks    at whole u the slope is that above it; a step to a code that nothing has costs as if n p were 2^-24
    Shapes      P any, s by granularity, one histogram for all; returns (). Only rounding, qmin and qmax of the
                quantizer are used
    Dtype       float32 or float64, preserved; counted in float64
    Raises      ShapeError, NonFiniteError; ConfigError for s <= 0 and for other roundings

    >>> float(code_size_term(np.array([0.1, 0.1, 0.3, 0.3]), np.array([0.2]), Scaled("nearest")))    # 0, 1 twice, 2
    6.0
    """
    check_pair("code_size", P, s)
    found = costs_of(P, s, quantizer)
    return WithResidual(finite("code_size", weight * found.bits, P, s).astype(P.dtype), found)


@vjp_of(code_size_term, kind="exact", needs="P s", at=lambda rng: (
    [cells(rng, (3, 4), GRID), GRID], {"quantizer": Scaled("nearest", qmin=-4, qmax=3), "weight": 0.7}))
def code_size_term_vjp(g: Array, y: Array, P: Array, s: Array, quantizer: Scaled, weight: float = 1.0,
                       residual: Costs | None = None) -> tuple[Array, Array]:
    slope = (costs_of(P, s, quantizer) if residual is None else residual).slope
    # y = w sum_k n_k L_k, dn_(j+1)/du_i = 1 = -dn_j/du_i, n_k dL_k/dn_k = -1/ln 2   =>   dy/du_i = w (L_(j+1) - L_j)
    dP = P.dtype.type(float(g) * weight) * slope / s
    ds = -(dP * (P / s)).sum(axis=reduced_axes(P.shape, s.shape), keepdims=True, dtype=np.float64)
    return dP, ds.astype(s.dtype).reshape(s.shape)


def code_size(pairs: Pairs, quantizer: Scaled | Sequence[Scaled], rates: Rates = None) -> Tensor:
    """The bits of several tensors, each at the entropy of its own codes, a scalar Tensor. See `code_size_term`.

    What it minimises: what a range coder writes, without its tables and the scales. It draws every weight to the
    cheaper of the two codes around it, the harder the rarer the other, and so most of them to the commonest code;
    through s it makes the grid coarser. It does not change when P and s of a tensor are multiplied by one number.

    pairs       [(P, s), ...] of Tensors
    quantizer   whose rounding and bounds give the codes: one for all pairs, or a list with one for each
    rates       what a bit costs, for each pair; None for 1. Beside a cross entropy, 1e-6 to 1e-5 each
    Raises      as `squared_deviation`, and NonFiniteError for codes farther than 2^20 from 0

    >>> P, s = Tensor([0.0, 0.0, 0.0, 0.75], requires_grad=True), Tensor([1.0])
    >>> y = code_size([(P, s)], Scaled("nearest")); y.backward()
    >>> round(y.item(), 3), P.grad.round(3).tolist()         # the last one would be cheaper as 0
    (2.785, [2.115, 2.115, 2.115, 2.115])
    """
    return total("code_size", pairs, rates, code_size_term, by_count=False,
                 quantizers=each_quantizer("code_size", pairs, quantizer))


def _middle(quantizer: Scaled) -> float:
    if isinstance(quantizer.rounding, stochastic):
        return 0.0
    if not isinstance(quantizer.rounding, str) or quantizer.rounding not in MIDDLES:
        raise ConfigError("code_size", f"rounding must be one of {', '.join(MIDDLES)}, or stochastic",
                          got=shown(quantizer.rounding))
    return MIDDLES[quantizer.rounding]


def _clipped(u: Array, quantizer: Scaled) -> Array:
    if quantizer.qmin is None and quantizer.qmax is None:
        return u
    return np.clip(u, quantizer.qmin, quantizer.qmax)
