"""The thesis' loss penalties: functions of parameters P and scales s that reward coarse scales.

    MaxBin       how many bins the largest entry of a group needs          max|P| / s
    Inverse      how fine the scales are                                   1 / s
    Difference   as published, how far P is from P / s                     |P - P / s|

None of them rounds. With a quantizer whose rule is `frozen()` they are all that moves the scales. Each is the mean over
the groups (or entries) of one tensor, and tensors count by their number of entries: with #_t entries, K_t scales and
T = sum #_t, a penalty is sum_t #_t / T * term_t. What they have in common: for s < 1 every one of them falls as 1/s,
with the weights max|P|, 1 and mean|P|; see `difference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import away_from, distinct, uniform
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError, ShapeError
from minilq.kernels import twin
from minilq.ops import add_up
from minilq.quantize.granularity import reduced_axes

Pairs = Sequence[tuple[Tensor, Tensor]]
Rates = Sequence[float] | None


@twin("penalties")
def largest(P: Array, s_shape: tuple[int, ...]) -> Array:
    """max_i |P_i| of every group, in the shape of the scales; 0 for a group without an entry."""
    return np.abs(P).max(axis=reduced_axes(P.shape, s_shape), keepdims=True, initial=0).reshape(s_shape)


@twin("penalties")
def on_the_largest(P: Array, m: Array, c: Array) -> Array:
    """c_k sgn(P_i) / ties_k where |P_i| = m_k, the largest of its group, else 0. m and c in the shape of the scales."""
    tied = np.abs(P) == m
    ties = tied.sum(axis=reduced_axes(P.shape, m.shape), keepdims=True).reshape(m.shape)
    return np.where(tied, np.sign(P) * (c / np.maximum(ties, 1).astype(P.dtype)), P.dtype.type(0))


@twin("penalties")
def sum_of_sizes(P: Array, s_shape: tuple[int, ...]) -> Array:
    """sum_i |P_i| of every group, in the shape of the scales."""
    return np.abs(P).sum(axis=reduced_axes(P.shape, s_shape), keepdims=True).reshape(s_shape)


@twin("penalties")
def signed(P: Array, c: Array) -> Array:
    """c_k sgn(P_i), with sgn(0) = 0. c in the shape of the scales."""
    return np.sign(P) * c


@primitive
def maxbin_term(P: Any, s: Any, weight: float = 1.0) -> WithResidual:
    """MaxBin of one tensor: y = weight / K sum_k max_{i in k} |P_i| / s_k.

    Derivative  kind: exact. With m_k = max_{i in k} |P_i|: ds_k = -g weight / K m_k / s_k^2, and
                dP_i = g weight / K sgn(P_i) / s_k where |P_i| = m_k.
    At kinks    entries that tie for the maximum share the gradient equally; sgn(0) = 0
    Shapes      P any, s by granularity; returns ()
    Source      thesis, "constraint on bin count"

    >>> float(maxbin_term(np.array([[1.0, -3.0], [0.5, 0.0]]), np.array([[1.0], [0.5]])))
    2.0
    """
    check_pair("maxbin", P, s)
    m = largest(P, s.shape)
    return WithResidual(finite("maxbin", weight / s.size * np.sum(m / s), P, s), m)


@vjp_of(maxbin_term, kind="exact", needs="P s",
        at=lambda rng: ([distinct(rng, (3, 4)) - 5.0, rng.uniform(0.1, 2, (3, 1))], {}))
def maxbin_term_vjp(g: Array, y: Array, P: Array, s: Array, weight: float = 1.0, residual: Array | None = None,
                    ) -> tuple[Array, Array]:
    # y = w/K sum_k m_k / s_k   =>   dy/ds_k = -w/K m_k / s_k^2,   dy/dm_k = w/K / s_k, shared by those that are m_k
    m = largest(P, s.shape) if residual is None else residual
    c = P.dtype.type(float(g) * weight / s.size)
    return on_the_largest(P, m, c / s), -c * m / s / s


@primitive
def inverse_term(s: Any, weight: float = 1.0) -> Array:
    """Inverse of one tensor's scales: y = weight / K sum_k 1 / s_k, with ds_k = -g weight / K / s_k^2. Kind: exact.

    Source      thesis, "inverse scale factor magnitude"

    >>> float(inverse_term(np.array([0.5, 0.25])))
    3.0
    """
    _check_positive("inverse", s)
    return finite("inverse", weight / s.size * np.sum(1 / s), s, s)


@vjp_of(inverse_term, kind="exact", needs="s", at=uniform(0.1, 2, (3, 1)))
def inverse_term_vjp(g: Array, y: Array, s: Array, weight: float = 1.0) -> tuple[Array]:
    # y = w/K sum_k 1/s_k   =>   dy/ds_k = -w/K / s_k^2
    return (-s.dtype.type(float(g) * weight / s.size) / s / s,)


@primitive
def difference_term(P: Any, s: Any, weight: float = 1.0) -> WithResidual:
    """Difference of one tensor, as published: y = weight / # sum_i |P_i - P_i / s_k|.

    Derivative  kind: exact. |P_i - P_i / s_k| = |P_i| |1 - 1/s_k|, so dP_i = g weight / # sgn(P_i) |1 - 1/s_k| and
                ds_k = g weight / # sgn(1 - 1/s_k) / s_k^2 sum_{i in k} |P_i|.
    At kinks    sgn(0) = 0: nothing at P = 0, and nothing for s where s = 1
    Shapes      P any, s by granularity; returns ()
    Source      thesis, "deviation between quantized and original values"

    >>> float(difference_term(np.array([[1.0, -3.0]]), np.array([[0.5]])))
    2.0
    """
    check_pair("difference", P, s)
    sizes = sum_of_sizes(P, s.shape)
    y = weight / max(P.size, 1) * np.sum(sizes * np.abs(1 - 1 / s))
    return WithResidual(finite("difference", y, P, s), sizes)


@vjp_of(difference_term, kind="exact", needs="P s",
        at=lambda rng: ([away_from(np.array([-2.0, 0.0]), rng, (3, 4)), rng.uniform(0.1, 0.9, (3, 1))], {}))
def difference_term_vjp(g: Array, y: Array, P: Array, s: Array, weight: float = 1.0, residual: Array | None = None,
                        ) -> tuple[Array, Array]:
    # y = w/# sum_k A_k |1 - 1/s_k|, A_k = sum_{i in k} |P_i|
    pull, c = 1 - 1 / s, P.dtype.type(float(g) * weight / max(P.size, 1))
    sizes = sum_of_sizes(P, s.shape) if residual is None else residual
    return signed(P, c * np.abs(pull)), c * np.sign(pull) / s / s * sizes


def maxbin(pairs: Pairs, rates: Rates = None) -> Tensor:
    """MaxBin over several tensors: sum_t #_t / T * 1/K_t sum_k max|P| / s_k, a scalar Tensor. See `maxbin_term`.

    What it minimises: the number of bins, so it grows s and shrinks the largest entry of every group, and nothing else.
    It does not change when P and s of a group are multiplied by one number.

    pairs       [(P, s), ...] of Tensors, s of a shape that a granularity gives
    rates       one factor for each pair; None for 1
    Raises      ConfigError without a pair, for s <= 0, and for another number of rates; ShapeError, NonFiniteError

    >>> P, s = Tensor([[1.0, -3.0]], requires_grad=True), Tensor([[0.5]], requires_grad=True)
    >>> y = maxbin([(P, s)]); y.backward(); y.item(), P.grad.tolist(), s.grad.tolist()
    (6.0, [[0.0, -2.0]], [[-12.0]])
    """
    return total("maxbin", pairs, rates, maxbin_term, by_count=True)


def inverse(pairs: Pairs, rates: Rates = None) -> Tensor:
    """Inverse over several tensors: sum_t #_t / T * 1/K_t sum_k 1 / s_k, a scalar Tensor. See `inverse_term`.

    What it minimises: nothing of P; it grows every scale, small ones fastest. Arguments and errors as for `maxbin`.
    """
    return total("inverse", pairs, rates, lambda P, s, weight: inverse_term(s, weight), by_count=True)


def difference(pairs: Pairs, rates: Rates = None) -> Tensor:
    """Difference over several tensors: 1/T sum_t sum_i |P_i - P_i / s|, a scalar Tensor. See `difference_term`.

    What it minimises: no quantization error. For s < 1 it is 1/T sum |P| (1/s - 1): the Inverse penalty weighted by
    mean |P|, plus a small L1 norm; its minimum is at s = 1, from both sides, wherever the grid lies, and large rates
    drive P to zero. `absolute_deviation` is what its name says. Arguments and errors as for `maxbin`.
    """
    return total("difference", pairs, rates, difference_term, by_count=True)


def total(op: str, pairs: Pairs, rates: Rates, term: Callable[..., Tensor], by_count: bool,
          quantizers: Sequence[Any] | None = None) -> Tensor:
    """sum_t rate_t * weight_t * term_t, with weight_t = #_t / T, or 1; terms that round take each pair's quantizer."""
    check_pairs(op, pairs)
    pairs = list(pairs)
    if not pairs:
        raise ConfigError(op, "there must be a pair (P, s)", got="none", cause="Is any parameter quantized?")
    if not (rates is None or (isinstance(rates, (list, tuple)) and all(map(is_number, rates)))):
        raise ConfigError(op, "rates must be a list of numbers, one for each pair", got=shown(rates))
    rates = [1.0] * len(pairs) if rates is None else list(rates)
    if len(rates) != len(pairs):
        raise ConfigError(op, "there must be one rate for each pair", got=f"{len(rates)} for {len(pairs)}")
    count = max(sum(P.size for P, _ in pairs), 1)
    arguments = pairs if quantizers is None else [(*pair, q) for pair, q in zip(pairs, quantizers, strict=True)]
    y: Tensor = add_up(*[term(*each, rate * (each[0].size / count if by_count else 1))
                         for each, rate in zip(arguments, rates, strict=True)])
    return y


def check_pairs(op: str, pairs: Any) -> None:
    """ConfigError unless these are pairs of Tensors."""
    for pair in pairs if isinstance(pairs, (list, tuple)) else [pairs]:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(x, Tensor) for x in pair)) or (
                pair is pairs):
            raise ConfigError(op, "pairs must be [(P, s), ...] of Tensors", got=shown(pair))


def check_pair(op: str, P: Array, s: Array) -> None:
    """Raise ShapeError unless s has one entry for each group of P, ConfigError unless all s > 0."""
    groups = (1,) * (P.ndim - s.ndim) + s.shape
    if len(groups) != P.ndim or any(n not in (1, N) for n, N in zip(groups, P.shape, strict=True)):
        raise ShapeError(op, "s must have the length of P, or 1, along every axis", got=f"P {P.shape}, s {s.shape}",
                         cause="scale_shape(granularity, P.shape) gives such a shape")
    _check_positive(op, s)


def _check_positive(op: str, s: Array) -> None:
    if s.size and not s.min() > 0:
        raise ConfigError(op, "every scale must be > 0", got=f"the smallest {np.min(s)}",
                          cause="Make the scale a Parameter with the constraint Within(SCALE_MIN), which holds it up")


def finite(op: str, y: Any, P: Array, s: Array) -> Array:
    """y as an array; NonFiniteError, which names P or s, when it is not finite."""
    if not math.isfinite(y):
        where = "P" if not np.isfinite(P).all() else "s" if not np.isfinite(s).all() else "P / s, which overflows,"
        raise NonFiniteError(op, "the penalty must be finite", got=f"{y}: {where} is not",
                             cause="Training has diverged; try a lower rate or learning rate")
    return np.asarray(y)
