"""LSQ, learned step size quantization: y = s round(clip(x / s, low, high)), s trained by its surrogate gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter, Within
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import NonFiniteError, ShapeError
from minilq.kernels import twin
from minilq.ops.broadcast import check_reals
from minilq.quantize.coded import Coded, even_codes
from minilq.quantize.granularity import Granularity, reduced_axes, scale_shape
from minilq.quantize.method import Held, Quantizer, plain, seen, trained
from minilq.quantize.methods.bounds import check_flags, check_scale, code_bounds, corners, in_range, one_of
from minilq.quantize.methods.scaled import Scaled
from minilq.quantize.positivity import SCALE_MIN
from minilq.quantize.scale_rule import chain_rule

COUNTS = ("batch", "features", "group")


@primitive
@twin("lsq")
def lsq(x: Any, s: Any, low: float, high: float, factor: float = 1.0, mask: str = "strict") -> Array:
    """Quantize with a learned step and reconstruct.

    Forward     v = x / s;  k = round(clip(v, low, high)), halves to even;  y = s k
    Derivative  kind: surrogate. dx = g [in range];  ds = factor sum g (k - [in range] v), the sum over each group.
                So ds sees k - v in range and the bound itself beyond it. In range by `mask`: strict is low < v < high
                (the paper), clip_first includes the bounds (lsq-net), round_first is low <= round(v) <= high (PyTorch)
    At kinks    by the mask. NaN stays NaN in y and ds, and sends dx = 0
    Shapes      x any; s broadcasts, by granularity: (1,) | (in, 1) | (1, 1, 1, filters) ...; returns x.shape
    Dtype       float32 or float64, the same for both, preserved; ds is summed in float64
    Raises      ShapeError, DTypeError; ConfigError for s <= 0
    Source      Esser et al. 2020 (arXiv 1902.08153), equations 1 to 3; factor: section 2.2

    >>> lsq(np.array([0.26, -9.0, 0.75]), np.array([0.5]), -4, 3)
    array([ 0.5, -2. ,  1. ])
    """
    check_scale("lsq", x, s)
    return s * (np.rint(np.clip(x / s, low, high)) + 0)          # + 0: codes have no -0


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    s = rng.uniform(0.05, 0.5, (3, 1))
    return [cells(rng, (3, 4), s), s], {"low": -4, "high": 3, "factor": 0.3}


@vjp_of(lsq, kind="surrogate", needs="x s", at=_at)
@twin("lsq")
def lsq_vjp(g: Array, y: Array, x: Array, s: Array, low: float, high: float, factor: float = 1.0,
            mask: str = "strict") -> tuple[Array, Array]:
    v = x / s
    k, inside = np.rint(np.clip(v, low, high)), in_range(v, low, high, mask)
    # y = s k(v), v = x / s, k' = [inside]   =>   dy/dx = [inside],   dy/ds = k - [inside] v
    return g * inside, group_sum(g * (k - np.where(inside, v, 0)), s, factor)


@smooth_of(lsq)
def lsq_smooth(keep: Keep, x: Array, s: Array, low: float, high: float, factor: float = 1.0,
               mask: str = "strict") -> Array:
    """The residual of the rounding is held, and the step moves by `factor` times what it is moved."""
    s = keep(s) + factor * (s - keep(s))
    v = x / s
    u = np.clip(v, *corners(low, high, mask))
    smooth: Array = s * (u + keep(np.rint(np.clip(v, low, high)) - u))
    return smooth


def group_sum(terms: Array, s: Array, factor: float = 1.0) -> Array:
    """factor times the sum over the entries that share one entry of s, which is added up in float64."""
    total = terms.sum(axis=reduced_axes(terms.shape, s.shape), keepdims=True, dtype=np.float64)
    return np.asarray(factor * total, s.dtype).reshape(s.shape)


@dataclass(frozen=True)
class LSQ(Quantizer):
    """Learned step size quantization (Esser et al. 2020): y = s round(clip(x / s, low, high)).

    bits, signed  the codes: -2^(bits-1) .. 2^(bits-1) - 1 for weights, 0 .. 2^bits - 1 for what is not negative
    granularity   as for Scaled: scalar (the paper), row, column, channel, filter, or a tuple of kept axes
    mask          strict (the paper), clip_first (lsq-net), round_first (PyTorch), see `lsq`
    count         N of the factor 1 / sqrt(N high) on the gradient of s: batch, all entries of x (lsq-net); features,
                  those of one sample (the paper, for inputs); group, those that share a scale (PyTorch, MQBench)

    Holds `scale`, at first 2 mean |x| / sqrt(high) of each group.

    Raises ConfigError for unknown names and for bits without a code above 0 (signed ones need two).

    >>> method = LSQ(bits=2)
    >>> held = method.start(np.array([0.5, -1.0, 1.5, 1.0]))
    >>> held["scale"], method(Tensor([0.9, -9.0, 3.1, 1.1], dtype=np.float64), held).numpy().tolist()
    (Tensor([2.], float64, requires_grad=True), [0.0, -4.0, 2.0, 2.0])
    """

    bits: int = 8
    signed: bool = True
    granularity: Granularity = "scalar"
    mask: str = "strict"
    count: str = "batch"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"bits": 2, "granularity": "filter", "mask": "round_first", "count": "group"},
        {"bits": 3, "signed": False, "mask": "clip_first", "count": "features"})

    def __post_init__(self) -> None:
        check_flags("LSQ", self.mask, self.granularity)
        one_of("LSQ", "count", self.count, COUNTS)
        code_bounds("LSQ", self.bits, self.signed)

    @property
    def low(self) -> int:
        return code_bounds("LSQ", self.bits, self.signed)[0]

    @property
    def high(self) -> int:
        return code_bounds("LSQ", self.bits, self.signed)[1]

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("LSQ", plain(x))
        shape = scale_shape(self.granularity, x.shape)
        mean = np.abs(x).mean(axis=reduced_axes(x.shape, shape), dtype=np.float64).reshape(shape)
        return {"scale": step(2 * mean / math.sqrt(self.high), x.dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        s = trained(held, "scale")
        factor = gradient_factor(self.count, x.shape, s.size, self.high)
        y: Tensor = lsq(x, s, self.low, self.high, factor, self.mask)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("LSQ", plain(x))
        return even_codes(x, trained(held, "scale").array, self.low, self.high)

    def scale(self, held: Held) -> Tensor:
        return trained(held, "scale")

    @property
    def scaled(self) -> Scaled:
        return Scaled("nearest", granularity=self.granularity, scale_rule=chain_rule(), qmin=self.low, qmax=self.high,
                      mask="round_first" if self.mask == "round_first" else "clip_first")


def step(value: Array, dtype: Any) -> Parameter:
    """A step size to be trained: never below SCALE_MIN, not at first and not later."""
    return Parameter(np.maximum(value, SCALE_MIN), Within(SCALE_MIN), dtype=dtype)


def gradient_factor(count: str, shape: tuple[int, ...], scales: int, high: int) -> float:
    """1 / sqrt(N high), N the entries of x, of one sample of it, or of a group.

    >>> [gradient_factor(count, (2, 8, 8), 4, 2) for count in COUNTS]
    [0.0625, 0.08838834764831843, 0.125]
    """
    size = math.prod(shape)
    n = size // {"batch": 1, "features": shape[0] if shape else 1, "group": scales}[count] if size else 1
    return 1 / math.sqrt(n * high)


def checked(method: str, x: Array) -> Array:
    """What a method starts from: x, once it is known to be an array of finite floats with an entry."""
    if codable(method, x).size == 0:
        raise ShapeError(method, "x must have an entry to start from", got=f"the shape {x.shape}")
    if np.isinf(x).any():
        raise NonFiniteError(method, "every value must be finite", got=f"{np.sum(np.isinf(x))} infinite")
    return x


def codable(method: str, x: Array) -> Array:
    """What a method gives codes: x, once it is known to be an array of floats without NaN."""
    check_reals(method, x=x)
    if x.ndim == 0:
        raise ShapeError(method, "x must have an axis", got="a single number", cause="Write x.reshape(1)")
    if np.isnan(x).any():
        raise NonFiniteError(method, "NaN has no code", got=f"{np.sum(np.isnan(x))} of {x.size}",
                             cause="Training has diverged, or the data holds NaN")
    return x
