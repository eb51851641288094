"""DiffQ: a number of bits that is learned, through noise as large as the rounding would be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.ops.broadcast import check_floats
from minilq.ops.elementwise import sigmoid
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.draws import first_draw, generator_of, next_draw
from minilq.quantize.granularity import Granularity, check_spread, scale_shape
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen, trained
from minilq.quantize.methods.bounds import check_granularity, one_of
from minilq.quantize.methods.lsq import checked, codable, group_sum
from minilq.quantize.pretend import pretend

LOW, HIGH = 2.0, 15.0
"""Bounds of the number of bits that is learned."""
MEGABYTE = 2.0**23
"""Bits in 2^20 bytes."""


@primitive
def diffq(w: Any, logit: Any, noise: Array) -> Array:
    """Noise of the size of a rounding error, differentiable in the number of bits.

    Forward     y = w + D n,  D = (max w - min w) / (2^b - 1),  b = 2 + 13 sigmoid(logit)
    Derivative  kind: exact. dlogit = sum over each group of g n dD/db db/dlogit, dD/db = -D ln 2 2^b / (2^b - 1);
                dw = g, and the largest and the smallest w receive sum of g n D / (max w - min w), by which D grows
    At kinks    several largest or smallest share alike
    Shapes      w any, noise alike; logit broadcasts, by granularity -> w.shape
    Dtype       float32 or float64, one for all, preserved; sums in float64
    Raises      ShapeError, DTypeError
    Source      Defossez, Adi and Synnaeve 2021 (arXiv 2104.09987), equations 5 to 7; the noise of the released code,
                github.com/facebookresearch/diffq

    >>> diffq(np.array([0.0, 3.0]), np.array([-40.0]), np.array([0.5, -0.5]))
    array([0.5, 2.5])
    """
    check_floats("diffq", w=w, logit=logit, noise=noise)
    if noise.shape != w.shape:
        raise ShapeError("diffq", "noise must have the shape of w", got=f"w {w.shape}, noise {noise.shape}")
    return np.asarray(w + width(w) * unit(logit) * noise)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((3, 4)), rng.standard_normal((3, 1))], {"noise": rng.standard_normal((3, 4))}


@vjp_of(diffq, kind="exact", needs="w logit noise", at=_at)
def diffq_vjp(g: Array, y: Array, w: Array, logit: Array, noise: Array) -> tuple[Array, Array]:
    R, p = width(w), 1 / (1 + np.exp(-logit))
    power = np.exp2(LOW + (HIGH - LOW) * p)
    # D = R u, u = 1 / (2^b - 1)   =>   du/db = -ln 2 2^b u^2,   db/dlogit = 13 p (1 - p)
    slope = -math.log(2) * power * unit(logit) ** 2 * (HIGH - LOW) * p * (1 - p)
    dR = (g * noise * unit(logit)).sum(dtype=np.float64)
    dw = g + shared(w == w.max(initial=-np.inf), dR, w.dtype) - shared(w == w.min(initial=np.inf), dR, w.dtype)
    return dw, group_sum(g * noise * R * slope, logit)


def shared(chosen: Array, total: Any, dtype: Any) -> Array:
    """The total, in equal parts for those chosen."""
    return (chosen * (total / max(int(chosen.sum()), 1))).astype(dtype)


def width(w: Array) -> Array:
    """max w - min w."""
    return np.asarray(w.max() - w.min() if w.size else w.dtype.type(0))


def unit(logit: Array) -> Array:
    """1 / (2^b - 1) for a width of 1."""
    b = LOW + (HIGH - LOW) / (1 + np.exp(-logit))
    return np.asarray(1 / (np.exp2(b) - 1), logit.dtype)


def bits_of(logit: Tensor) -> Tensor:
    """b, the bits that are learned, 2 .. 15.

    >>> round(bits_of(Tensor([math.log(6 / 7)], dtype=np.float64)).item(), 12)
    8.0
    """
    return LOW + (HIGH - LOW) * sigmoid(logit)


def size_of(logit: Tensor, entries: int) -> Tensor:
    """The size in megabytes (2^20 bytes) of so many entries for each number of bits, differentiable in logit.

    b bits for each entry, 64 for the range; of each b in 2 .. its largest as many as that takes, which 8 bits say.

    >>> size_of(Tensor(np.full(64, math.log(6 / 7))), 4).item() * 2**23
    2312.0
    """
    bits = bits_of(logit)
    of_each = math.ceil(math.log2(max(1 + round(float(bits.numpy().max())) - LOW, 1)))
    total: Tensor = (entries * bits.sum() + (64 + 8 + of_each * bits.size)) / MEGABYTE
    return total


@dataclass(frozen=True)
class DiffQ(Quantizer):
    """DiffQ (Defossez et al. 2021): in training noise of the size of a step, whose number of bits is trained.

    bits         what b starts from, above 2 and below 15; it stays between them
    granularity  what shares a b: row, filter, scalar ... as for Scaled (the paper: groups of eight entries)
    noise        gaussian, standard deviation 1/2 step, as the released code has it; uniform, -1/2 .. 1/2 of a step
    rate         >= 0, the method adds rate times the size in megabytes to the loss, see `size_of`

    Holds `logit`, b = 2 + 13 sigmoid(logit). Remembers `draw`, and how many `entries` share a b. Outside training w is
    rounded to the nearest of 2^round(b) levels between its smallest and its largest. What it really minimises is the
    expected loss under noise, not the loss of the rounded network, which it never sees in training.

    Raises ConfigError for unknown names, bits outside 2 .. 15 and a rate below 0.

    Source      Defossez, Adi and Synnaeve 2021 (arXiv 2104.09987)

    >>> method, w = DiffQ(bits=2.4, granularity="scalar"), np.array([0.0, 0.4, 3.0])
    >>> held = method.start(w)
    >>> method(Tensor(w), held).numpy().tolist(), method.coded(w, held).codes.tolist()
    ([0.0, 0.0, 3.0], [0, 0, 3])
    """

    bits: float = 8.0
    granularity: Granularity = "row"
    noise: str = "gaussian"
    rate: float = 1.0

    name: ClassVar[str] = "diffq"
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"bits": 3.2, "granularity": "scalar", "noise": "uniform", "rate": 0.0})

    def __post_init__(self) -> None:
        check_granularity("DiffQ", self.granularity)
        one_of("DiffQ", "noise", self.noise, ("gaussian", "uniform"))
        if isinstance(self.bits, bool) or not isinstance(self.bits, Real) or not LOW < self.bits < HIGH:
            raise ConfigError("DiffQ", "bits must be a number above 2 and below 15", got=repr(self.bits))
        if isinstance(self.rate, bool) or not isinstance(self.rate, Real) or not 0 <= self.rate < math.inf:
            raise ConfigError("DiffQ", "rate must be a number >= 0", got=repr(self.rate))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("DiffQ", plain(x))
        shape, share = scale_shape(self.granularity, x.shape), (self.bits - LOW) / (HIGH - LOW)
        logit = Parameter(np.full(shape, math.log(share / (1 - share))), dtype=x.dtype)
        return {"logit": logit, "entries": np.array([x.size // math.prod(shape)]), "draw": first_draw(x)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        if not training:
            return pretend(x, self.coded(x.array, held).values)
        rng = generator_of(held)
        next_draw(held)
        noise = rng.standard_normal(x.shape) / 2 if self.noise == "gaussian" else rng.random(x.shape) - 0.5
        y: Tensor = diffq(x, trained(held, "logit"), noise.astype(x.dtype))
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, logit = codable("DiffQ", plain(x)), trained(held, "logit")
        steps = np.exp2(np.rint(bits_of(logit).numpy())) - 1
        low = np.full(1, x.min() if x.size else 0, x.dtype)
        check_spread(x, steps)
        scale = (width(x) / steps).astype(x.dtype)
        scale = np.where(scale > 0, scale, x.dtype.type(1))
        return Coded(narrowed(np.clip(np.rint((x - low) / scale), 0, steps)), Even(scale, offset=low))

    def penalty(self, held: Held) -> Tensor | None:
        if not self.rate:
            return None
        return self.rate * size_of(trained(held, "logit"), int(remembered(held, "entries")[0]))
