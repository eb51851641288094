"""Exponential: powers of two with a sign, so that multiplications become shifts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_reals
from minilq.quantize.coded import Coded, Table, narrowed
from minilq.quantize.draws import first_draw, fresh_draws
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.lsq import codable


@primitive
def exponential(w: Any, low: int = -22, high: int = 9, u: Array | None = None) -> Array:
    """A power of two for each weight.

    Forward     e = clip(floor(log2 |w|), low, high),  p = |w| / 2^e - 1
                without u:  y = sgn(w) 2^(e + [p > 1/2]): the nearest power, for the threshold is 1.5 2^e
                with u:     y = sgn(w) 2^(e + [u < p]). For u uniform in [0, 1) then E y = w where |w| is in range
                so that powers reach to 2^(high + 1); |w| < 2^low becomes 2^low
    Derivative  kind: surrogate. dw = g
    At kinks    sgn(0) = -1, as in the authors' code
    Shapes      w any, u alike -> the same
    Dtype       float32 or float64, preserved
    Source      Ott et al. 2016 (arXiv 1608.06902), section 3.3; bounds and ties: github.com/ottj/QuantizedRNN

    >>> exponential(np.array([0.7, -0.8, 3.0, 3.1]))
    array([ 0.5, -1. ,  2. ,  4. ])
    """
    check_reals("exponential", w=w)
    return powers(w, low, high, u)


@vjp_of(exponential, kind="surrogate", needs="", at=normal((3, 4)))
def exponential_vjp(g: Array, y: Array, w: Array, low: int = -22, high: int = 9, u: Array | None = None,
                    ) -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(exponential)
def exponential_smooth(keep: Keep, w: Array, low: int = -22, high: int = 9, u: Array | None = None) -> Array:
    return w + keep(powers(w, low, high, u) - w)


def powers(w: Array, low: int, high: int, u: Array | None = None) -> Array:
    """The forward on arrays."""
    e = np.clip(np.frexp(w)[1] - 1, low, high)                   # |w| = m 2^f, 1/2 <= m < 1
    e = np.where(w == 0, low, e)
    p = np.ldexp(np.abs(w), -e) - 1
    power = np.ldexp(np.ones_like(w), e + (p > 0.5 if u is None else u < p))
    return np.asarray(np.where(w > 0, power, -power))


@dataclass(frozen=True)
class Exponential(Quantizer):
    """Exponential quantization of low-precision recurrent networks (Ott et al. 2016): the nearest 2^e; dw = g.

    low, high   bounds of e before it is rounded up: -22 and 9 in the authors' code
    stochastic  in training up or down with probabilities by which E y = w; outside it the nearest power

    Learns nothing. Remembers `draw` if stochastic. What it really minimises is the loss at powers of two, each off by a
    third of w at most: fine near 0, coarse far from it.

    Raises ConfigError for bounds that are no whole numbers within -100 .. 100, and for low > high.

    >>> Exponential()(Tensor([0.7, -0.8, 3.0], dtype=np.float64), {}).numpy().tolist()
    [0.5, -1.0, 2.0]
    """

    low: int = -22
    high: int = 9
    stochastic: bool = False

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"low": -4, "high": 1, "stochastic": True})

    def __post_init__(self) -> None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if type(bound) is not int or abs(bound) > 100:
                raise ConfigError("Exponential", f"{name} must be a whole number within -100..100", got=repr(bound))
        if self.low > self.high:
            raise ConfigError("Exponential", "low must not be above high", got=f"low={self.low}, high={self.high}")
        if not isinstance(self.stochastic, bool):
            raise ConfigError("Exponential", "stochastic must be a bool", got=repr(self.stochastic))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = codable("Exponential", plain(x))
        return {"draw": first_draw(x)} if self.stochastic else {}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        u = fresh_draws(held, x.array) if self.stochastic and training else None
        y: Tensor = exponential(x, self.low, self.high, u)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        """A table of the powers that occur."""
        x = codable("Exponential", plain(x))
        levels, codes = np.unique(powers(x, self.low, self.high), return_inverse=True)
        return Coded(narrowed(codes.reshape(x.shape)), Table(levels))
