"""TWN, ternary weight networks: alpha times -1, 0 and 1, by a rule of thumb or at the exact optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, of_scale
from minilq.quantize.granularity import Granularity, in_groups, reduced_axes, scale_shape
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.bounds import check_granularity, one_of
from minilq.quantize.methods.lsq import codable

RULES = ("mean", "best")


@primitive
def twn(w: Any, granularity: Granularity = "scalar", rule: str = "mean") -> Array:
    """Ternary weights.

    Forward     y = alpha t,  t = sgn(w) where |w| > delta, else 0,  alpha = the mean of |w| over |w| > delta
                    mean     delta = 0.7 mean |w|: near the best threshold of a normal and of a uniform distribution
                    best     delta = alpha / 2, of all thresholds the one with the least |w - alpha t|^2
                of each group; alpha = 0 where all w are 0
    Derivative  kind: surrogate. dw = g, without a mask
    Shapes      w any, groups by granularity: scalar is one for a layer (the paper) -> w.shape
    Dtype       float32 or float64, preserved
    Source      Li, Zhang and Liu 2016 (arXiv 1605.04711), equations 3 to 6

    >>> twn(np.array([0.2, -1.0, 3.0, 0.6]))
    array([ 0., -2.,  2.,  0.])
    >>> twn(np.array([0.2, -1.0, 3.0, 0.6]), rule="best")
    array([0., 0., 3., 0.])
    """
    check_floats("twn", w=w)
    alpha, t = scale_and_trits(w, granularity, rule)
    return np.asarray(alpha * t)


@vjp_of(twn, kind="surrogate", needs="", at=normal((3, 4)))
def twn_vjp(g: Array, y: Array, w: Array, granularity: Granularity = "scalar", rule: str = "mean") -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(twn)
def twn_smooth(keep: Keep, w: Array, granularity: Granularity = "scalar", rule: str = "mean") -> Array:
    alpha, t = scale_and_trits(w, granularity, rule)
    return w + keep(alpha * t - w)


def scale_and_trits(w: Array, granularity: Granularity, rule: str) -> tuple[Array, Array]:
    """alpha of each group, and t."""
    size, shape = np.abs(w), scale_shape(granularity, w.shape)
    t = np.where(size > threshold(size, shape, rule), np.sign(w), w.dtype.type(0))
    axes, chosen = reduced_axes(w.shape, shape), t != 0
    total = (size * chosen).sum(axis=axes, keepdims=True, dtype=np.float64)
    mean = total / np.maximum(chosen.sum(axis=axes, keepdims=True), 1)
    return mean.astype(w.dtype).reshape(shape), t


def threshold(size: Array, shape: tuple[int, ...], rule: str) -> Array:
    """delta of each group of sizes |w|.

    With the j largest of a group not 0, |w - alpha t|^2 = |w|^2 - (their sum)^2 / j: the best j makes that largest.
    """
    if rule == "mean":
        mean = size.mean(axis=reduced_axes(size.shape, shape), keepdims=True, dtype=np.float64)
        return np.asarray(0.7 * mean, size.dtype).reshape(shape)
    groups = in_groups(size.astype(np.float64), shape)
    sums = np.cumsum(np.sort(groups, axis=1)[:, ::-1], axis=1)
    counts = np.arange(1, groups.shape[1] + 1)
    best = (sums**2 / counts).argmax(axis=1)
    alpha = sums[np.arange(len(sums)), best] / counts[best]
    return np.asarray(alpha / 2, size.dtype).reshape(shape)


@dataclass(frozen=True)
class TWN(Quantizer):
    """Ternary weight networks (Li, Zhang and Liu 2016): y = alpha sgn(w) where |w| > delta, else 0; dw = g.

    granularity  what shares an alpha and a delta: scalar (the paper), filter, row ... as for Scaled
    rule         mean, delta = 0.7 mean |w| (the paper); best, the exact optimum, see `twn`

    Learns nothing: alpha and delta follow w. What it really minimises is the loss at alpha t: alpha is the best
    scale of its trits, and with best alpha t is the nearest of that form to w. On normal weights the rule leaves 0.8 %
    more squared error than the optimum (0.1916 against 0.1902 of the variance; with two levels it is 0.3634).

    Raises ConfigError for unknown names.

    >>> w = np.array([0.2, -1.0, 3.0, 0.6])
    >>> TWN()(Tensor(w), {}).numpy().tolist(), TWN().coded(w, {}).codes.tolist()
    ([0.0, -2.0, 2.0, 0.0], [0, -1, 1, 0])
    """

    granularity: Granularity = "scalar"
    rule: str = "mean"

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"granularity": "filter", "rule": "best"})

    def __post_init__(self) -> None:
        check_granularity("TWN", self.granularity)
        one_of("TWN", "rule", self.rule, RULES)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = twn(x, self.granularity, self.rule)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        alpha, t = scale_and_trits(codable("TWN", plain(x)), self.granularity, self.rule)
        return of_scale(t, alpha)
