"""FewestBits: of each number the shortest binary fraction that is near enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.ops.broadcast import check_reals
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.granularity import check_spread
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen
from minilq.quantize.methods.lsq import checked, codable

LEAST = 2.0**-40
"""The smallest tolerance: a code has 40 bits behind the point at most."""


@primitive
def fewest_bits(w: Any, tolerance: Array) -> Array:
    """Of each number the binary fraction with the fewest bits behind the point that is nearer than its tolerance.

    Forward     y = round(2^N w) / 2^N, halves to even, N = 0, 1, 2 ... the first with |y - w| < tolerance
    Derivative  kind: surrogate. dw = g; nothing reaches the tolerance
    Shapes      w any; tolerance broadcasts to it -> w.shape
    Dtype       float32 or float64, preserved
    Raises      ShapeError; ConfigError for a tolerance below 2^-40
    Source      Khoram and Li 2018, Adaptive quantization of neural networks (ICLR)

    >>> fewest_bits(np.array([0.3, 0.3, 0.49, -1.1]), np.array([0.1, 0.04, 0.5, 0.05]))
    array([ 0.25  ,  0.3125,  0.    , -1.125 ])
    """
    check_reals("fewest_bits", w=w)
    if w.ndim == 0:
        raise ShapeError("fewest_bits", "w must have an axis", got="a single number", cause="Write w.reshape(1)")
    check_spread(w, np.asarray(tolerance))
    return shortest(w, tolerance)[0]


@vjp_of(fewest_bits, kind="surrogate", needs="",
        at=lambda rng: ([rng.standard_normal((3, 4))], {"tolerance": np.array([0.2])}))
def fewest_bits_vjp(g: Array, y: Array, w: Array, tolerance: Array) -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(fewest_bits)
def fewest_bits_smooth(keep: Keep, w: Array, tolerance: Array) -> Array:
    return w + keep(shortest(w, tolerance)[0] - w)


def shortest(w: Array, tolerance: Any) -> tuple[Array, Array]:
    """What `fewest_bits` gives, and N, the bits behind the point of every entry.

    >>> shortest(np.array([0.5, 0.3, 0.02]), 0.04)[1].tolist()
    [1, 4, 0]
    """
    if not np.all(np.asarray(tolerance) >= LEAST):
        raise ConfigError("fewest_bits", "every tolerance must be at least 2^-40", got=str(np.min(tolerance)))
    exact = w.astype(np.float64)
    near, y, bits = np.broadcast_to(tolerance, w.shape), np.rint(exact), np.zeros(w.shape, np.int64)
    left = np.abs(y - exact) >= near             # NaN is left as it is
    while left.any():
        bits[left] += 1
        unit = np.exp2(bits[left])
        y[left] = np.rint(exact[left] * unit) / unit
        left[left] = np.abs(y[left] - exact[left]) >= near[left]
    return y.astype(w.dtype) + w.dtype.type(0), bits


@dataclass(frozen=True)
class FewestBits(Quantizer):
    """Fixed point with as many bits for each number as it needs (Khoram and Li 2018): |y - w| < tolerance; dw = g.

    tolerance   what every number starts with, 2^-40 .. 1: with 1/2 or less, what is smaller than it becomes 0

    Remembers `tolerance`. All codes of a tensor stand on one grid, that of the number with the most bits; a short one
    ends in zeros there. `post.adaptive` gives each number a tolerance of its own, by the loss. What it really minimises
    is the loss at the short numbers.

    Raises ConfigError for a tolerance outside 2^-40 .. 1.

    >>> method = FewestBits(tolerance=0.1)
    >>> held = method.start(np.array([0.3, 0.52, 0.05]))
    >>> method(Tensor([0.3, 0.52, 0.05], dtype=np.float64), held).numpy().tolist()
    [0.25, 0.5, 0.0]
    >>> method.coded(np.array([0.3, 0.52, 0.05]), held).codes.tolist()         # of quarters
    [1, 2, 0]
    """

    tolerance: float = 2.0**-6

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"tolerance": 0.6}, {"tolerance": 1e-4})

    def __post_init__(self) -> None:
        if not is_number(self.tolerance) or not LEAST <= self.tolerance <= 1:
            raise ConfigError("FewestBits", "tolerance must be a number in 2^-40 .. 1", got=shown(self.tolerance))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        return {"tolerance": np.full(1, self.tolerance, checked("FewestBits", plain(x)).dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = fewest_bits(seen(x), remembered(held, "tolerance"))
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("FewestBits", plain(x))
        tolerance = remembered(held, "tolerance")
        check_spread(x, tolerance)
        y, bits = shortest(x, tolerance)
        scale = 2.0 ** -int(bits.max(initial=0))
        return Coded(narrowed(y.astype(np.float64) / scale), Even(np.full(1, scale, x.dtype)))


def exactly(values: Array) -> float:
    """A tolerance with which these binary fractions stay what they are.

    >>> exactly(np.array([0.25, 3.0]))
    0.125
    """
    return math.ldexp(1.0, -1 - int(shortest(values, LEAST)[1].max(initial=0)))
