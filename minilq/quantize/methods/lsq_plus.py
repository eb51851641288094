"""LSQ+: LSQ with a trained offset, for inputs whose values do not begin at 0, and with starts of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import check_flag
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.quantize.coded import Coded, Even, even_codes
from minilq.quantize.granularity import Granularity, check_spread, reduced_axes, scale_shape
from minilq.quantize.method import Held, Quantizer, plain, seen, trained
from minilq.quantize.methods.bounds import check_flags, check_scale, code_bounds, one_of
from minilq.quantize.methods.lsq import (
    COUNTS,
    LSQ,
    checked,
    codable,
    gradient_factor,
    group_sum,
    lsq,
    lsq_smooth,
    lsq_vjp,
    step,
)
from minilq.quantize.methods.scaled import Scaled

STEPS = ("half", "all")
SIGMAS = ("sample", "population")
ROUNDS = 20
"""The most times that a start fits its grid anew; codes settle after a few."""


@primitive
def lsq_plus(x: Any, s: Any, b: Any, low: float, high: float, factor: float = 1.0, mask: str = "clip_first") -> Array:
    """Quantize with a learned step and a learned offset.

    Forward     y = lsq(x - b, s) + b: b itself is the value of code 0, and of what lies half a step around it
    Derivative  kind: surrogate. dx and ds as for `lsq`, of (x - b) / s; db = factor sum g [not in range]
    At kinks    by the mask; clip_first includes the bounds, as the port of LSQ+ does
    Shapes      x any; s and b broadcast to it, by granularity; returns x.shape
    Dtype       float32 or float64, one for all, preserved
    Raises      ShapeError, DTypeError; ConfigError for s <= 0
    Source      Bhalgat et al. 2020 (arXiv 2004.09576), equations 2 to 6; one factor for s and b

    >>> lsq_plus(np.array([0.9, -9.0, 1.1]), np.array([0.5]), np.array([-0.25]), 0, 3)
    array([ 0.75, -0.25,  1.25])
    """
    check_scale("lsq_plus", x, s)
    return np.asarray(lsq(x - b, s, low, high) + b)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    s, b = rng.uniform(0.05, 0.5, (3, 1)), rng.standard_normal((3, 1))
    return [cells(rng, (3, 4), s) + b, s, b], {"low": -4, "high": 3, "factor": 0.3}


@vjp_of(lsq_plus, kind="surrogate", needs="x s b", at=_at)
def lsq_plus_vjp(g: Array, y: Array, x: Array, s: Array, b: Array, low: float, high: float, factor: float = 1.0,
                 mask: str = "clip_first") -> tuple[Array, Array, Array]:
    # y = q(z) + b, z = x - b   =>   dy/dx = q'(z),   dy/ds = that of q,   dy/db = 1 - q'(z)
    dx, ds = lsq_vjp(g, y, x - b, s, low, high, factor, mask)
    return dx, ds, group_sum(g - dx, b, factor)


@smooth_of(lsq_plus)
def lsq_plus_smooth(keep: Keep, x: Array, s: Array, b: Array, low: float, high: float, factor: float = 1.0,
                    mask: str = "clip_first") -> Array:
    """LSQ's, and the offset too moves by `factor` times what it is moved."""
    b = keep(b) + factor * (b - keep(b))
    return lsq_smooth(keep, x - b, s, low, high, factor, mask) + b


@dataclass(frozen=True)
class LSQPlus(Quantizer):
    """LSQ+ (Bhalgat et al. 2020): y = s round(clip((x - b) / s, low, high)) + b, s and b trained.

    bits, signed, granularity, count   as for LSQ
    offset      True, for inputs: b is trained too. False, for weights: no b, LSQ with another start
    mask        clip_first (the port), strict, round_first, see `lsq`
    steps       without an offset, what its start divides by: half, 2^(bits-1) (the paper); all, 2^bits - 1 (the port)
    sigma       without an offset, the spread that its start takes: sample, with n - 1; population, with n

    Holds `scale`, and `offset` if there is one. The start, in each group: with an offset, s (high - low) = max - min,
    the lowest code at min; then s and b are fitted to codes by least squares, and codes to s and b, in turns, until no
    code changes: each turn makes the mean squared error smaller. Without, s = max |mu +- 3 sigma| / steps.

    Raises ConfigError as LSQ, and for steps or sigma beside an offset.

    >>> method = LSQPlus(bits=1, signed=False)
    >>> x = np.array([-1.0, -0.8, 2.0, 2.2])
    >>> held = method.start(x)
    >>> method(Tensor(x), held).numpy().round(3).tolist()                  # the two means
    [-0.9, -0.9, 2.1, 2.1]
    """

    bits: int = 8
    signed: bool = True
    offset: bool = True
    granularity: Granularity = "scalar"
    mask: str = "clip_first"
    count: str = "batch"
    steps: str = "half"
    sigma: str = "sample"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"offset": False, "bits": 3, "granularity": "filter"}, {"offset": False, "bits": 4, "steps": "all"},
        {"bits": 2, "signed": False, "granularity": "filter", "mask": "strict", "count": "group"},
        {"bits": 3, "mask": "round_first", "count": "features"})

    def __post_init__(self) -> None:
        check_flags("LSQPlus", self.mask, self.granularity)
        one_of("LSQPlus", "count", self.count, COUNTS)
        check_flag("LSQPlus", "offset", self.offset)
        one_of("LSQPlus", "steps", self.steps, STEPS)
        one_of("LSQPlus", "sigma", self.sigma, SIGMAS)
        code_bounds("LSQPlus", self.bits, self.signed)
        if self.offset and (self.steps, self.sigma) != (STEPS[0], SIGMAS[0]):
            raise ConfigError("LSQPlus", "steps and sigma belong to the start without an offset",
                              got=f"steps={self.steps!r}, sigma={self.sigma!r}", cause="Say offset=False as well")

    @property
    def low(self) -> int:
        return code_bounds("LSQPlus", self.bits, self.signed)[0]

    @property
    def high(self) -> int:
        return code_bounds("LSQPlus", self.bits, self.signed)[1]

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("LSQPlus", plain(x))
        shape = scale_shape(self.granularity, x.shape)
        if not self.offset:
            steps = 2 ** (self.bits - 1) if self.steps == "half" else 2**self.bits - 1
            return {"scale": step(three_sigma(x.astype(np.float64), shape, self.sigma) / steps, x.dtype)}
        scale, offset = fitted_grid(x.astype(np.float64), shape, self.low, self.high)
        return {"scale": step(scale, x.dtype), "offset": Parameter(offset, dtype=x.dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        if not self.offset:
            return self._without(x, held)
        s, b = trained(held, "scale"), trained(held, "offset")
        factor = gradient_factor(self.count, x.shape, s.size, self.high)
        y: Tensor = lsq_plus(x, s, b, self.low, self.high, factor, self.mask)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, s = codable("LSQPlus", plain(x)), trained(held, "scale").array
        if not self.offset:
            return even_codes(x, s, self.low, self.high)
        b = trained(held, "offset").array
        check_spread(x, b)
        return Coded(even_codes(x - b, s, self.low, self.high).codes, Even(s.copy(), offset=b.copy()))

    def scale(self, held: Held) -> Tensor | None:
        return None if self.offset else trained(held, "scale")

    @property
    def scaled(self) -> Scaled | None:
        return None if self.offset else self._without.scaled

    @property
    def _without(self) -> LSQ:
        """The method without an offset, but for its start."""
        return LSQ(self.bits, self.signed, self.granularity, self.mask, self.count)


def three_sigma(x: Array, shape: tuple[int, ...], of: str = "sample") -> Array:
    """max(|mu - 3 sigma|, |mu + 3 sigma|) of each group; sigma of a sample has n - 1 in its denominator where n > 1."""
    axes = reduced_axes(x.shape, shape)
    mean = x.mean(axis=axes, keepdims=True)
    n = x.size // mean.size
    sigma = np.sqrt(((x - mean) ** 2).sum(axis=axes, keepdims=True) / (n if of == "population" else max(n - 1, 1)))
    return (np.abs(mean) + 3 * sigma).reshape(shape)             # the larger of the two


def fitted_grid(x: Array, shape: tuple[int, ...], low: int, high: int) -> tuple[Array, Array]:
    """(scale, offset) of each group: from min and max, then codes and grid fitted to each other in turns."""
    axes = reduced_axes(x.shape, shape)

    def mean(values: Array) -> Array:
        return np.asarray(values.mean(axis=axes, keepdims=True))

    least = x.min(axis=axes, keepdims=True)
    s = (x.max(axis=axes, keepdims=True) - least) / (high - low)
    s = np.where(s > 0, s, 1)                    # all values equal: any scale will do
    b, codes = least - low * s, None
    for _ in range(ROUNDS):
        k = np.rint(np.clip((x - b) / s, low, high))
        if codes is not None and np.array_equal(k, codes):
            break
        codes = k
        # least squares of x = s k + b:   s = cov(k, x) / var(k),   b = mean x - s mean k
        spread, moved = mean((k - mean(k)) ** 2), mean((k - mean(k)) * x)
        s = np.where(moved > 0, moved / np.where(spread > 0, spread, 1), s)
        b = mean(x) - s * mean(k)
    return s.reshape(shape), b.reshape(shape)
