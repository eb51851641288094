"""LAB, LAT and LAQ: loss-aware binary, ternary and few-bit weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.parameter import Parameter, Within
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.quantize.coded import Coded, Table, narrowed, of_scale
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen
from minilq.quantize.methods.bounds import one_of
from minilq.quantize.methods.loss_aware import (
    ROUNDS,
    alternated,
    binary_scale,
    curvature,
    nearest_of,
    places,
    ternary_scale,
)
from minilq.quantize.methods.lsq import checked, codable

Scales = Callable[[Array, Array], list[float]]
"""Flat w and d -> the scales."""

SIGNS, TRITS = np.array([-1.0, 1.0]), np.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True)
class LAB(Quantizer):
    """Loss-aware binarization (Hou, Yao and Kwok 2017): y = alpha sgn(w), alpha = sum d |w| / sum d; dw = g.

    d is the curvature that Adam knows, sqrt(v) + 1e-8 of each weight; without an Adam it is 1, and LAB is BWN of the
    whole layer. w stays within -1 .. 1.

    Remembers `scale`, alpha of the last batch of training. What it really minimises in every step is the loss' model of
    second order around w, over all weights of this form.

    Source      Hou, Yao and Kwok 2017 (arXiv 1611.01600), proposition 3.1

    >>> w = np.array([0.5, -1.5])
    >>> LAB()(Tensor(w), LAB().start(w)).numpy().tolist()
    [1.0, -1.0]
    """

    @property
    def latent(self) -> Within:
        return Within(-1, 1)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        return _started("LAB", x, self._scales)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        return _called(x, _moved(x, held, self._scales, training) * SIGNS.astype(x.dtype))

    def coded(self, x: Array, held: Held) -> Coded:
        return _coded("LAB", x, remembered(held, "scale"), SIGNS)

    def _scales(self, w: Array, d: Array) -> list[float]:
        return [binary_scale(w, d)]


@dataclass(frozen=True)
class LAT(Quantizer):
    """Loss-aware ternarization (Hou and Kwok 2018): y = alpha t, t = sgn(w) where |w| > alpha / 2, else 0; dw = g.

    search      exact, the best alpha of all, by sorting (LATe); alternate, ten rounds of best t and best alpha (LATa)
    two         one alpha for w > 0 and one for w < 0 (LAT2), each by itself

    d is the curvature that Adam knows, as for LAB; without an Adam LAT is TWN with rule="best". w stays within -1 .. 1.

    Remembers `scale`, alpha or both of the last batch of training. What it really minimises in every step is the
    quadratic model of the loss around w, over all weights of this form; alternating, a local minimum of it.

    Raises ConfigError for an unknown search.

    Source      Hou and Kwok 2018 (arXiv 1802.08635), proposition 3.2 and algorithm 1

    >>> w = np.array([0.2, -1.0, 3.0, 0.6])
    >>> LAT()(Tensor(w), LAT().start(w)).numpy().tolist()
    [0.0, 0.0, 3.0, 0.0]
    """

    search: str = "exact"
    two: bool = False

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"search": "alternate"}, {"two": True})

    def __post_init__(self) -> None:
        one_of("LAT", "search", self.search, ("exact", "alternate"))
        if not isinstance(self.two, bool):
            raise ConfigError("LAT", "two must be a bool", got=repr(self.two))

    @property
    def latent(self) -> Within:
        return Within(-1, 1)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        return _started("LAT", x, self._scales)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        scale = _moved(x, held, self._scales, training)
        return _called(x, _two_levels(scale) if self.two else scale * TRITS.astype(x.dtype))

    def coded(self, x: Array, held: Held) -> Coded:
        scale = remembered(held, "scale")
        if not self.two:
            return _coded("LAT", x, scale, TRITS)
        levels = _two_levels(scale)
        return Coded(narrowed(places(codable("LAT", plain(x)), levels)), Table(levels))

    def _scales(self, w: Array, d: Array) -> list[float]:
        def best(chosen: Array | slice) -> float:
            w_, d_ = w[chosen], d[chosen]
            return ternary_scale(w_, d_) if self.search == "exact" else alternated(
                w_, d_, TRITS, binary_scale(w_, d_), ROUNDS)

        return [best(w > 0), best(w < 0)] if self.two else [best(slice(None))]


@dataclass(frozen=True)
class LAQ(Quantizer):
    """Loss-aware quantization to m bits (Hou and Kwok 2018): y = alpha b, b the level nearest to w / alpha; dw = g.

    bits        m, 2 .. 8; levels with k = 2^(m-1) - 1 on each side of 0
    levels      linear, 0, 1/k, 2/k .. 1; log, 0, 2^(1-k) .. 1/2, 1, for which m is at most 4
    scale_rule  least_squares, alpha = sum b d w / sum b^2 d; printed, sum |b| d |w| / sum |b| d, as in the paper and
                its code: for more than two bits it is no minimum, and alternating with it ends at a multiple of it

    d is the curvature that Adam knows, as for LAB; without an Adam it is 1. In every batch of training, ten rounds at
    most of best b and best alpha, from the alpha of the batch before.

    Remembers `scale`, alpha of level 1/k (linear) or 2^(1-k) (log): levels are whole multiples of it. What it really
    minimises in every step is the quadratic model of the loss around w, locally, over all weights of this form.

    Raises ConfigError for unknown names and for other bits.

    Source      Hou and Kwok 2018 (arXiv 1802.08635), propositions 3.4 and 3.5

    >>> w = np.array([0.2, 1.0, 3.1])
    >>> LAQ(bits=3).coded(w, LAQ(bits=3).start(w)).codes.tolist()
    [0, 1, 3]
    """

    bits: int = 3
    levels: str = "linear"
    scale_rule: str = "least_squares"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"levels": "log"}, {"bits": 4, "scale_rule": "printed"}, {"bits": 2})

    def __post_init__(self) -> None:
        one_of("LAQ", "levels", self.levels, ("linear", "log"))
        one_of("LAQ", "scale_rule", self.scale_rule, ("least_squares", "printed"))
        most = 8 if self.levels == "linear" else 4
        if isinstance(self.bits, bool) or not isinstance(self.bits, (int, np.integer)) or not 2 <= self.bits <= most:
            raise ConfigError("LAQ", f"bits must be a whole number in 2..{most} for {self.levels} levels",
                              got=repr(self.bits))

    @property
    def codes(self) -> Array:
        """The levels as whole numbers, ascending."""
        k = 2 ** (self.bits - 1) - 1
        up = np.arange(1.0, k + 1) if self.levels == "linear" else 2.0 ** np.arange(k)
        return np.concatenate([-up[::-1], [0.0], up])

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        return _started("LAQ", x, lambda w, d: [self._unit(w, d, float(np.abs(w).max() / self.codes[-1]), 100)])

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        before = float(remembered(held, "scale")[0])
        scale = _moved(x, held, lambda w, d: [self._unit(w, d, before, ROUNDS)], training)
        return _called(x, scale * self.codes.astype(x.dtype))

    def coded(self, x: Array, held: Held) -> Coded:
        return _coded("LAQ", x, remembered(held, "scale"), self.codes)

    def _unit(self, w: Array, d: Array, unit: float, rounds: int) -> float:
        return alternated(w, d, self.codes, unit, rounds, self.scale_rule == "printed")


def _started(method: str, x: Array, scales: Scales) -> dict[str, Parameter | Array]:
    x = checked(method, plain(x))
    w = x.reshape(-1).astype(np.float64)
    return {"scale": np.array(scales(w, np.ones(w.shape)), x.dtype)}


def _moved(x: Tensor, held: Held, scales: Scales, training: bool) -> Array:
    """The scales, in training new ones, which are remembered."""
    scale = remembered(held, "scale")
    if training:
        scale[...] = scales(x.array.reshape(-1).astype(np.float64), curvature(x).reshape(-1))
    return scale


def _called(x: Tensor, levels: Array) -> Tensor:
    y: Tensor = nearest_of(x, levels)
    return y


def _two_levels(scale: Array) -> Array:
    return np.array([-scale[1], 0, scale[0]], scale.dtype)


def _coded(method: str, x: Array, scale: Array, codes: Array) -> Coded:
    x = codable(method, plain(x))
    return of_scale(codes[places(x, scale * codes.astype(x.dtype))], scale)
