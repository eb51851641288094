"""Affine: the quantizer of integer inference, y = scale (k - zero), from a range that is observed or learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import check_flag, is_number, is_whole, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.granularity import Granularity, check_spread, reduced_axes, scale_shape
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen, trained
from minilq.quantize.methods.bounds import check_flags, check_scale, code_bounds, corners, in_range, one_of
from minilq.quantize.methods.learned_range import learned_range, range_parameters
from minilq.quantize.methods.lsq import checked, codable
from minilq.quantize.methods.range_grid import WITHOUT_ZERO, codes, scale_and_zero

RANGES = ("tensor", "data", "average", "learned")


@primitive
def affine(x: Any, scale: Array, zero: Any, low: int, high: int, mask: str = "round_first") -> Array:
    """Quantize with a given scale and zero point and reconstruct.

    Forward     k = clip(round(x / scale) + zero, low, high), halves to even;  y = scale (k - zero)
    Derivative  kind: surrogate. dx = g [in range], by `mask`: round_first is low <= round(x / scale) + zero <= high
                (PyTorch); clip_first leaves out the rounding, so that x lies in the range that the codes span
                (Krishnamoorthi, TensorFlow); strict leaves out the bounds too. Nothing reaches scale and zero
    At kinks    by the mask. NaN stays NaN, and sends dx = 0
    Shapes      x any; scale and zero broadcast to it, by granularity; returns x.shape
    Dtype       float32 or float64, the same for x and scale, preserved; zero holds whole numbers
    Raises      ShapeError, DTypeError; ConfigError for scale <= 0
    Source      Jacob et al. 2018 (arXiv 1712.05877), equation 12; Krishnamoorthi 2018 (arXiv 1806.08342), equations 1
                to 3, and 15 for the derivative

    >>> affine(np.array([-9.0, 0.0, 0.26]), np.array([0.5]), 3, 0, 15)
    array([-1.5,  0. ,  0.5])
    """
    check_scale("affine", x, scale)
    zero = np.asarray(zero, x.dtype)
    return np.asarray(scale * (codes(x, scale, zero, low, high) - zero))


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    s = rng.uniform(0.05, 0.5, (3, 1))
    return [cells(rng, (3, 4), s)], {"scale": s, "zero": np.array([[-2], [0], [3]]), "low": -4, "high": 3}


@vjp_of(affine, kind="surrogate", needs="x scale zero", at=_at)
def affine_vjp(g: Array, y: Array, x: Array, scale: Array, zero: Any, low: int, high: int,
               mask: str = "round_first") -> tuple[Array]:
    zero = np.asarray(zero, x.dtype)
    # y = s (k(v) - z), v = x / s, k' = [low <= v + z <= high]   =>   dy/dx = k'
    return (g * in_range(x / scale, low - zero, high - zero, mask),)


@smooth_of(affine)
def affine_smooth(keep: Keep, x: Array, scale: Array, zero: Any, low: int, high: int,
                  mask: str = "round_first") -> Array:
    """The residual of the rounding is held; so are scale and zero, though they may come from x."""
    scale, zero = keep(scale), keep(np.asarray(zero, x.dtype))
    u = np.clip(x / scale + zero, *corners(low, high, mask))
    smooth: Array = scale * (u + keep(codes(x, scale, zero, low, high) - u) - zero)
    return smooth


@dataclass(frozen=True)
class Affine(Quantizer):
    """Fake quantization of integer inference: y = scale (k - zero), the range observed, 0 a code exactly.

    bits, signed  the codes: -2^(bits-1) .. 2^(bits-1) - 1, unsigned 0 .. 2^bits - 1
    symmetric     zero is the middle code: 0, unsigned 2^(bits-1)
    narrow        without the lowest code: -127 .. 127 (Jacob's weights)
    granularity   as for Scaled: scalar (per tensor), filter (per output channel) ...
    ranges        where smallest and largest value of each group come from: tensor, each time from x itself, for
                  weights; data, from what it was started with; average, from a moving average over training batches;
                learned, trained from what it was started with (TensorFlow), see `learned_range`
    momentum      of that average, in 0..1: range += (1 - momentum) (that of the batch - range); the first one sets it
    delay         quantization is off for the first so many training batches, while the range is averaged
    mask          what passes its gradient: round_first (PyTorch), clip_first (the papers), strict, see `affine`
    without_zero  extend, or shift as in TensorFlow: what becomes of a range without 0, see `scale_and_zero`

    Learns `low` and `high` of the range (learned), or nothing. Remembers nothing (tensor), `low` and `high` (data), and
    how many batches `count` (average), written to in training only.

    Raises ConfigError for unknown names, bits without a code above 0, a momentum outside 0..1, a delay below 0, for a
    delay without an average, and for a learned range that is symmetric: LSQ learns one.

    >>> method = Affine(bits=4, signed=False)
    >>> x = Tensor([-1.0, 0.0, 0.33, 2.0], dtype=np.float64)
    >>> [round(y, 3) for y in method(x, method.start(x)).numpy().tolist()], method.coded(x, {}).codes.tolist()
    ([-1.0, 0.0, 0.4, 2.0], [0, 5, 7, 15])
    """

    bits: int = 8
    signed: bool = True
    symmetric: bool = False
    narrow: bool = False
    granularity: Granularity = "scalar"
    ranges: str = "tensor"
    momentum: float = 0.99
    delay: int = 0
    mask: str = "round_first"
    without_zero: str = "extend"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"bits": 4, "symmetric": True, "narrow": True, "granularity": "filter"},
        {"bits": 3, "signed": False, "ranges": "data", "mask": "clip_first"},
        {"bits": 4, "ranges": "average", "momentum": 0.9, "delay": 2, "mask": "strict", "without_zero": "shift"},
        {"bits": 4, "ranges": "learned"},
        {"bits": 3, "signed": False, "granularity": "filter", "ranges": "learned", "mask": "clip_first",
         "without_zero": "shift"})

    def __post_init__(self) -> None:
        check_flags("Affine", self.mask, self.granularity)
        check_flag("Affine", "symmetric", self.symmetric)
        one_of("Affine", "ranges", self.ranges, RANGES)
        one_of("Affine", "without_zero", self.without_zero, WITHOUT_ZERO)
        low, high = self.bounds
        if low == high:
            raise ConfigError("Affine", "there must be two codes at least", got=f"bits={self.bits} and narrow")
        if not is_number(self.momentum) or not 0 <= self.momentum <= 1:
            raise ConfigError("Affine", "momentum must be a number in 0..1", got=shown(self.momentum))
        if not is_whole(self.delay, 0):
            raise ConfigError("Affine", "delay must be a whole number >= 0", got=shown(self.delay))
        if self.delay and self.ranges != "average":
            raise ConfigError("Affine", "a delay needs ranges='average'", got=f"ranges={self.ranges!r}")
        if self.symmetric and self.ranges == "learned":
            raise ConfigError("Affine", "a learned range has two ends of its own", got="symmetric=True",
                              cause="LSQ learns the scale of a symmetric one")

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest code."""
        return code_bounds("Affine", self.bits, self.signed, self.narrow)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        if self.ranges == "tensor":
            return {}
        low, high = self._observed(plain(x))
        if self.ranges == "learned":
            return range_parameters(low, high, self.without_zero)
        held: dict[str, Parameter | Array] = {"low": low, "high": high}
        return held if self.ranges == "data" else {**held, "count": np.zeros(1, np.int64)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        y: Tensor
        if self.ranges == "learned":
            a, b = trained(held, "low"), trained(held, "high")
            y = learned_range(x, a, b, *self.bounds, self.without_zero, self.mask)
            return y
        check_flag("Affine", "training", training)
        if training and self.ranges == "average":
            self._average(x.array, held)
            if remembered(held, "count")[0] <= self.delay:
                return x
        scale, zero = self._grid(x.array, held)
        y = affine(x, scale, zero, *self.bounds, self.mask)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("Affine", plain(x))
        scale, zero = self._grid(x, held)
        check_spread(x, scale)
        return Coded(narrowed(codes(x, scale, zero.astype(x.dtype), *self.bounds)), Even(scale, zero))

    def _observed(self, x: Array) -> tuple[Array, Array]:
        """Smallest and largest value of each group."""
        x = checked("Affine", x)
        shape = scale_shape(self.granularity, x.shape)
        axes = reduced_axes(x.shape, shape)
        return x.min(axis=axes, keepdims=True).reshape(shape), x.max(axis=axes, keepdims=True).reshape(shape)

    def _average(self, x: Array, held: Held) -> None:
        first = remembered(held, "count")[0] == 0
        for name, now in zip(("low", "high"), self._observed(x), strict=True):
            mean = remembered(held, name)
            mean[...] = now if first else mean + (1 - self.momentum) * (now - mean)
        remembered(held, "count")[...] += 1

    def _grid(self, x: Array, held: Held) -> tuple[Array, Array]:
        if self.ranges == "tensor":
            a, b = self._observed(x)
        elif self.ranges == "learned":
            a, b = trained(held, "low").array, trained(held, "high").array
        else:
            a, b = remembered(held, "low"), remembered(held, "high")
        return scale_and_zero(a, b, *self.bounds, self.symmetric, self.without_zero)
