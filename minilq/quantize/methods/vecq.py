"""VecQ: the evenly spaced levels that lie best for normal weights, and the best scale for those that w has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, of_scale
from minilq.quantize.granularity import Granularity, reduced_axes, scale_shape
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.bounds import check_granularity
from minilq.quantize.methods.lsq import codable

STEPS = {1: 1.5958, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.0569, 8: 0.0308}
"""Bits -> lambda, the step in units of sigma with which evenly spaced levels err least on a normal variable."""


@primitive
def vecq(w: Any, bits: int, granularity: Granularity = "scalar") -> Array:
    """Evenly spaced levels without 0, at half numbers.

    Forward     v = clip(round(w / (lambda sigma) - 1/2), -2^(k-1), 2^(k-1) - 1) + 1/2, the direction;
                alpha = <w, v> / <v, v>, the length;  y = alpha v,  of each group, sigma its standard deviation
    Derivative  kind: surrogate. dw = g, without a mask
    At kinks    halves to the even code. Where all w are the same sigma counts as |w|, where all are 0 so is y
    Shapes      w any, groups by granularity: scalar is one for a layer (the paper) -> w.shape
    Dtype       float32 or float64, preserved; sums in float64
    Source      Gong et al. 2020 (arXiv 2005.08501), equations 8 to 12

    >>> vecq(np.array([-3.0, -1.0, 0.5, 3.5]), 2)
    array([-3.15, -1.05,  1.05,  3.15])
    """
    check_floats("vecq", w=w)
    k, half = length_and_codes(w, bits, granularity)
    return np.asarray(k * half)


@vjp_of(vecq, kind="surrogate", needs="", at=normal((3, 4), bits=2))
def vecq_vjp(g: Array, y: Array, w: Array, bits: int, granularity: Granularity = "scalar") -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(vecq)
def vecq_smooth(keep: Keep, w: Array, bits: int, granularity: Granularity = "scalar") -> Array:
    k, half = length_and_codes(w, bits, granularity)
    return w + keep(k * half - w)


def length_and_codes(w: Array, bits: int, granularity: Granularity) -> tuple[Array, Array]:
    """2v, odd numbers as floats, and alpha / 2 of each group."""
    shape, most = scale_shape(granularity, w.shape), 2 ** (bits - 1)
    axes = reduced_axes(w.shape, shape)
    sigma = w.std(axis=axes, keepdims=True, dtype=np.float64)
    largest = np.abs(w).max(axis=axes, keepdims=True, initial=0)
    sigma = np.where(sigma > 1e-6 * largest, sigma, largest)
    step = STEPS[bits] * np.where(sigma == 0, 1, sigma)
    v = np.clip(np.rint(w / step - 0.5), -most, most - 1) + 0.5
    alpha = (w * v).sum(axis=axes, keepdims=True) / (v * v).sum(axis=axes, keepdims=True)
    return (2 * v).astype(w.dtype), (alpha / 2).astype(w.dtype).reshape(shape)


@dataclass(frozen=True)
class VecQ(Quantizer):
    """VecQ (Gong et al. 2020): levels at half numbers, spaced for normal weights, with the best scale; dw = g.

    bits         1 .. 8: 2^bits levels, of which none is 0; one bit is alpha sgn(w)
    granularity  what shares a sigma and an alpha: scalar (the paper), filter, row ... as for Scaled

    Learns nothing: sigma and alpha follow w. What it really minimises is the loss at the point of the line along v that
    is nearest to w, v chosen by its direction; for the levels of v, alpha is the best scale there is.

    Raises ConfigError for an unknown granularity and for other bits.

    >>> method, w = VecQ(bits=2), np.array([-3.0, -1.0, 0.5, 3.5])
    >>> method.coded(w, {}).codes.tolist()
    [-3, -1, 1, 3]
    """

    bits: int = 2
    granularity: Granularity = "scalar"

    name: ClassVar[str] = "vecq"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"bits": 4, "granularity": "filter"}, {"bits": 1})

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, (int, np.integer)) or self.bits not in STEPS:
            raise ConfigError("VecQ", "bits must be a whole number in 1..8", got=repr(self.bits))
        check_granularity("VecQ", self.granularity)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = vecq(x, self.bits, self.granularity)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        return of_scale(*length_and_codes(codable("VecQ", plain(x)), self.bits, self.granularity))
