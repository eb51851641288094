"""LQ-Nets: levels that are sums of a learned basis, fitted to the tensor in every batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, Table, narrowed
from minilq.quantize.granularity import Granularity, in_groups, scale_shape
from minilq.quantize.method import Held, Quantizer, plain, remembered
from minilq.quantize.methods.bounds import check_granularity, one_of
from minilq.quantize.methods.fixed_grid import nearest_level
from minilq.quantize.methods.lsq import checked, codable

AVERAGES = ("plain", "debiased")
KEPT = 0.9
"""The share of the average that a batch leaves."""
DELTA = 1e-4
"""What holds a basis of weights to the one before, where bits are collinear."""
MIDDLE = 0.6745
"""Half of a normal variable's absolute values lie below it."""
EPSILON = float(np.finfo(np.float64).eps)


@primitive
def lq_nets(x: Any, basis: Array, signed: bool = True) -> Array:
    """The nearest sum of a basis.

    Forward     levels v_1 e_1 + ... + v_K e_K, e_j in {-1, 1} (signed, weights) or {0, 1} (activations);
                y = the level nearest to x, the lower one of two as near
    Derivative  kind: surrogate. signed: dx = g;  else dx = g [x <= the largest level]. Nothing reaches v
    Shapes      x any; basis (K, ...), a basis for each group: what follows K is broadcast to x -> x.shape
    Dtype       float32 or float64, the same for both, preserved
    Source      Zhang et al. 2018 (arXiv 1807.10029), equations 4 and 5, and section 3.3

    >>> lq_nets(np.array([-1.4, 0.2, 0.9]), np.array([0.5, 1.0]))
    array([-1.5,  0.5,  0.5])
    >>> lq_nets(np.array([-1.4, 0.2, 0.9]), np.array([0.5, 1.0]), signed=False)
    array([0., 0., 1.])
    """
    check_floats("lq_nets", x=x, basis=basis)
    levels = levels_of(basis, signed)
    return Table(levels).values(nearest_level(x, levels))


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((3, 4))], {"basis": np.array([0.31, 0.57]), "signed": False}


@vjp_of(lq_nets, kind="surrogate", needs="x basis", at=_at)
def lq_nets_vjp(g: Array, y: Array, x: Array, basis: Array, signed: bool = True) -> tuple[Array]:
    # y = min(x, top) + c, c held; of weights y = x + c
    return (g if signed else g * (x <= levels_of(basis, signed).max(axis=0)),)


@smooth_of(lq_nets)
def lq_nets_smooth(keep: Keep, x: Array, basis: Array, signed: bool = True) -> Array:
    levels = levels_of(basis, signed)
    u = x if signed else np.minimum(x, keep(levels.max(axis=0)))
    return np.asarray(u + keep(Table(levels).values(nearest_level(x, levels)) - u))


def signs_of(K: int, signed: bool, dtype: Any) -> Array:
    """e of each code (2^K, K): bit j of the code is e_j.

    >>> signs_of(2, False, int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    bits = np.arange(2**K)[:, None] >> np.arange(K) & 1
    return (2 * bits - 1 if signed else bits).astype(dtype)


def levels_of(basis: Array, signed: bool) -> Array:
    """The levels (2^K, ...) of each group, by code."""
    K, *groups = basis.shape
    return (signs_of(K, signed, basis.dtype) @ basis.reshape(K, -1)).reshape(-1, *groups)


def fitted(x: Array, basis: Array, signed: bool) -> Array:
    """The basis with the least |x - v B|^2, B the bits that x has with this one.

    v* = (B B^T + delta I)^-1 (B x + delta v), delta = 1e-4 for weights, 0 for activations. Of a basis whose bits leave
    it open, as where one is never used, the rest stays near what it is.
    """
    K, *groups = basis.shape
    e, shape = signs_of(K, signed, np.float64), tuple(groups) or (1,)
    codes = in_groups(nearest_level(x, levels_of(basis, signed)), shape)
    rows, old = in_groups(x, shape), basis.reshape(K, -1).T.astype(np.float64)           # (groups, n), (groups, K)
    # All x of one code have the same bits: how many there are and their sum are all that B B^T and B x need.
    cells = (codes + len(e) * np.arange(len(codes))[:, None]).reshape(-1)
    counts, sums = (np.bincount(cells, weights, len(codes) * len(e)).reshape(-1, len(e))
                    for weights in (None, rows.reshape(-1)))
    A = np.einsum("gc,cj,ck->gjk", counts, e, e) + (DELTA if signed else 0) * np.eye(K)  # A (v* - v) = B (x - v B)
    least = np.linalg.pinv(A, rcond=K * EPSILON, hermitian=True) @ ((sums - counts * (old @ e.T)) @ e)[:, :, None]
    return (old + least[:, :, 0]).T.reshape(basis.shape).astype(basis.dtype)


@dataclass(frozen=True)
class LQNets(Quantizer):
    """LQ-Nets (Zhang et al. 2018): levels of a basis of `bits` numbers, which follows the tensor by least squares.

    bits         K, 1 .. 8: 2^K levels
    signed       weights, sums of +- v; False for what comes out of a relu, sums of v or nothing
    granularity  what shares a basis: filter (weights, the paper), scalar (activations, and the default there)
    average      plain, v <- 0.9 v + 0.1 v* in every batch of training; debiased, as in the released code, where the
                 average is divided by 1 - 0.9^t, so that the first batch alone sets it and the start is forgotten

    Learns nothing by gradients. Remembers `basis`, debiased also its `sum` and `count`. A batch sees the basis before
    it, then moves it. What it really minimises is the loss at the nearest levels, which in turn are moved to the least
    |x - y|^2: half steps of which neither makes it larger.

    Raises ConfigError for unknown names and for other bits.

    >>> method, w = LQNets(bits=1, average="debiased"), np.array([[0.5], [-1.0], [-1.5]])
    >>> held = method.start(w)
    >>> _ = method(Tensor(w), held, training=True)
    >>> held["basis"].round(3).tolist(), method.coded(w, held).codes.ravel().tolist()
    ([1.0], [1, 0, 0])
    """

    bits: int = 2
    signed: bool = True
    granularity: Granularity | None = None
    average: str = "plain"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"bits": 3, "granularity": "scalar", "average": "debiased"}, {"bits": 2, "signed": False})

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, (int, np.integer)) or not 1 <= self.bits <= 8:
            raise ConfigError("LQNets", "bits must be a whole number in 1..8", got=repr(self.bits))
        if not isinstance(self.signed, bool):
            raise ConfigError("LQNets", "signed must be a bool", got=repr(self.signed))
        if self.granularity is not None:
            check_granularity("LQNets", self.granularity)
        one_of("LQNets", "average", self.average, AVERAGES)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        """v_j = 2^j times a first number: MIDDLE sqrt(2 / n) / 2^(K-1) signed, else 2 MIDDLE / (2^K - 1)."""
        x = checked("LQNets", plain(x))
        granularity = self.granularity or ("filter" if self.signed else "scalar")
        shape = scale_shape(granularity, x.shape)
        if self.signed:
            first = MIDDLE * math.sqrt(2 / fan(x.shape)) / 2 ** (self.bits - 1)
        else:
            first = 2 * MIDDLE / (2**self.bits - 1)
        groups = () if math.prod(shape) == 1 else shape
        powers = 2.0 ** np.arange(self.bits).reshape(-1, *(1,) * len(groups))
        basis = np.array(np.broadcast_to(first * powers, (self.bits, *groups)), x.dtype)
        held: dict[str, Parameter | Array] = {"basis": basis}
        if self.average == "debiased":
            held |= {"sum": np.zeros_like(basis), "count": np.zeros(1, np.int64)}
        return held

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        basis = remembered(held, "basis")
        y: Tensor = lq_nets(x, basis, self.signed)
        if training:
            self._move(fitted(x.array, basis, self.signed), held)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        levels = levels_of(remembered(held, "basis"), self.signed)
        return Coded(narrowed(nearest_level(codable("LQNets", plain(x)), levels)), Table(levels))

    def _move(self, best: Array, held: Held) -> None:
        basis = remembered(held, "basis")
        if self.average == "plain":
            basis[...] = KEPT * basis + (1 - KEPT) * best
            return
        total, count = remembered(held, "sum"), remembered(held, "count")
        count += 1
        total[...] = KEPT * total + (1 - KEPT) * best
        basis[...] = total / (1 - KEPT ** int(count[0]))


def fan(shape: tuple[int, ...]) -> int:
    """The n of the released code: inputs of a dense layer, entries of a window times the outputs of a kernel."""
    return math.prod(shape[:-2]) * shape[-1] if len(shape) > 2 else shape[0]
