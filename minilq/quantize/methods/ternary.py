"""Ternary: -W0, 0 and W0, the ternarization of low-precision recurrent networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.draws import first_draw, fresh_draws
from minilq.quantize.method import Held, Quantizer, plain, remembered
from minilq.quantize.methods.binary_connect import glorot
from minilq.quantize.methods.lsq import codable


@primitive
def ternary(w: Any, level: float, u: Array | None = None) -> Array:
    """Ternary weights on given levels -W0, 0, W0.

    Forward     without u:  y = W0 ([w > -W0 / 2] + [w > W0 / 2] - 1)
                with u:     y = W0 sgn(w) where u < min(|w| / W0, 1), else 0. For u uniform in [0, 1) then
                            E y = clip(w, -W0, W0)
    Derivative  kind: surrogate. dw = g
    At kinks    W0 / 2 becomes 0, -W0 / 2 becomes -W0, as in the authors' code
    Shapes      w any, u alike -> the same
    Dtype       float32 or float64, preserved
    Source      Ott et al. 2016 (arXiv 1608.06902), section 3.2; the levels: github.com/ottj/QuantizedRNN

    >>> ternary(np.array([-0.5, -0.2, 0.5, 0.6]), 1.0)
    array([-1.,  0.,  0.,  1.])
    """
    check_floats("ternary", w=w)
    return np.asarray(w.dtype.type(level) * trits(w, level, u))


@vjp_of(ternary, kind="surrogate", needs="", at=normal((3, 4), level=0.7))
def ternary_vjp(g: Array, y: Array, w: Array, level: float, u: Array | None = None) -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(ternary)
def ternary_smooth(keep: Keep, w: Array, level: float, u: Array | None = None) -> Array:
    return w + keep(level * trits(w, level, u) - w)


def trits(w: Array, level: float, u: Array | None = None) -> Array:
    """-1, 0, 1, as floats."""
    W0 = w.dtype.type(level)
    if u is not None:
        return np.where(u < np.minimum(np.abs(w) / W0, 1), np.sign(w), w.dtype.type(0))
    return (w > -W0 / 2).astype(w.dtype) + (w > W0 / 2) - 1


@dataclass(frozen=True)
class Ternary(Quantizer):
    """Ternary weights of low-precision recurrent networks (Ott et al. 2016): the nearest of -W0, 0, W0; dw = g.

    level       W0 > 0; none: the Glorot bound sqrt(6 / (inputs + outputs)) of x, which the authors' code takes
    stochastic  in training y = W0 sgn(w) with probability |w| / W0, else 0; outside it the nearest level

    Learns nothing. Remembers `level`, and `draw` if stochastic. What it really minimises is the loss at the nearest of
    three levels that do not follow w: a w beyond W0 goes on growing.

    Raises ConfigError for a level that is not > 0.

    >>> Ternary(level=1.0)(Tensor([-0.7, 0.2, 0.6], dtype=np.float64), {"level": np.ones(1)}).numpy().tolist()
    [-1.0, 0.0, 1.0]
    """

    level: float | None = None
    stochastic: bool = False

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"level": 0.5, "stochastic": True})

    def __post_init__(self) -> None:
        if self.level is not None and (isinstance(self.level, bool) or not isinstance(self.level, Real)
                                       or not 0 < self.level < math.inf):
            raise ConfigError("Ternary", "level must be a number > 0, or None", got=repr(self.level))
        if not isinstance(self.stochastic, bool):
            raise ConfigError("Ternary", "stochastic must be a bool", got=repr(self.stochastic))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = codable("Ternary", plain(x))
        level = np.full(1, 2 * glorot(x.shape) if self.level is None else self.level, x.dtype)
        return {"level": level, "draw": first_draw(x)} if self.stochastic else {"level": level}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        u = fresh_draws(held, x.array) if self.stochastic and training else None
        y: Tensor = ternary(x, float(remembered(held, "level")[0]), u)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, level = codable("Ternary", plain(x)), remembered(held, "level")
        return Coded(narrowed(trits(x, float(level[0]))), Even(level.astype(x.dtype)))
