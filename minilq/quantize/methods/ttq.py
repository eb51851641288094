"""TTQ, trained ternary quantization: a level up, a level down, both learned, and 0 between two thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter, Within
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.quantize.coded import Coded, Table, narrowed
from minilq.quantize.method import Held, Quantizer, plain, trained
from minilq.quantize.methods.bounds import check_scale
from minilq.quantize.methods.lsq import checked, codable, group_sum
from minilq.quantize.positivity import SCALE_MIN


@primitive
def ttq(w: Any, up: Any, down: Any, t: float = 0.05) -> Array:
    """Ternary weights on two levels that are trained.

    Forward     delta = t max |w|;  y = up where w > delta, -down where w < -delta, else 0
    Derivative  kind: surrogate; of up and down exact.
                dup = sum of g over w > delta,  ddown = -sum of g over w < -delta
                dw = g times up, 1 or down: the size of the level that w is on, 1 in the middle
    At kinks    |w| = delta becomes 0. (In the released code it becomes sgn(w), with gradient 1.)
    Shapes      w any; up and down (1,) -> w.shape
    Dtype       float32 or float64, one for all, preserved; sums in float64
    Raises      ShapeError, DTypeError; ConfigError for levels <= 0
    Source      Zhu et al. 2017 (arXiv 1612.01064), equations 6 to 9

    >>> ttq(np.array([-1.0, 0.01, 0.2]), np.array([0.7]), np.array([1.3]))
    array([-1.3,  0. ,  0.7])
    """
    check_scale("ttq", w, up)
    check_scale("ttq", w, down)
    above, below = parts(w, t)
    return np.asarray(up * above - down * below)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((3, 4)), np.array([0.7]), np.array([1.3])], {"t": 0.3}


@vjp_of(ttq, kind="surrogate", needs="w up down", at=_at)
def ttq_vjp(g: Array, y: Array, w: Array, up: Array, down: Array, t: float = 0.05) -> tuple[Array, Array, Array]:
    above, below = parts(w, t)
    # y = up [above] - down [below]   =>   dy/dup = [above],   dy/ddown = -[below]
    slope = up * above + down * below + ~(above | below)
    return g * slope, group_sum(g * above, up), group_sum(-g * below, down)


@smooth_of(ttq)
def ttq_smooth(keep: Keep, w: Array, up: Array, down: Array, t: float = 0.05) -> Array:
    """The masks are held, and w moves as steeply as its level is high."""
    above, below = map(keep, parts(w, t))
    slope = keep(np.where(above, up, np.where(below, down, 1)))
    return np.asarray(up * above - down * below + slope * (w - keep(w)))


def parts(w: Array, t: float) -> tuple[Array, Array]:
    """Where w > delta, and where w < -delta."""
    delta = w.dtype.type(t) * np.abs(w).max(initial=0)
    return w > delta, w < -delta


@dataclass(frozen=True)
class TTQ(Quantizer):
    """Trained ternary quantization (Zhu et al. 2017): y = up, 0 or -down, both levels trained; dw = g times its level.

    t           the threshold is t max |w|, 0 <= t < 1: 0.05 in the paper
    level       what both levels start from, > 0: 1 in the released code; none: mean |w|

    Holds `up` and `down`, > 0. What it really minimises is the loss itself, in up and down; w only chooses, and the
    largest |w| moves the threshold, which no gradient knows.

    Raises ConfigError for t outside [0, 1) and a level that is not > 0.

    >>> method, w = TTQ(t=0.3), np.array([-1.0, 0.1, 0.7])
    >>> held = method.start(w)
    >>> method(Tensor(w), held).numpy().tolist(), method.coded(w, held).codes.tolist()
    ([-0.6, 0.0, 0.6], [0, 1, 2])
    """

    t: float = 0.05
    level: float | None = None

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"t": 0.3, "level": 1.0})

    def __post_init__(self) -> None:
        if isinstance(self.t, bool) or not isinstance(self.t, Real) or not 0 <= self.t < 1:
            raise ConfigError("TTQ", "t must be a number in [0, 1)", got=repr(self.t))
        if self.level is not None and (isinstance(self.level, bool) or not isinstance(self.level, Real)
                                       or not 0 < self.level < math.inf):
            raise ConfigError("TTQ", "level must be a number > 0, or None", got=repr(self.level))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("TTQ", plain(x))
        first = float(np.abs(x).mean(dtype=np.float64)) if self.level is None else self.level
        return {name: Parameter([max(first, SCALE_MIN)], Within(SCALE_MIN), dtype=x.dtype) for name in ("up", "down")}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = ttq(x, trained(held, "up"), trained(held, "down"), self.t)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        above, below = parts(codable("TTQ", plain(x)), self.t)
        up, down = (trained(held, name).array for name in ("up", "down"))
        return Coded(narrowed(1 + above.astype(np.int8) - below), Table(np.concatenate([-down, np.zeros_like(up), up])))
