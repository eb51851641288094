"""FixedRange: what the thesis' draft does with input data. Evenly spaced codes from min to max, nothing trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import NonFiniteError, ShapeError
from minilq.quantize.coded import Coded, Even
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen
from minilq.quantize.methods.bounds import code_bounds, one_of
from minilq.quantize.methods.lsq import checked
from minilq.quantize.methods.scaled import Scaled, codes_of, fake_quantize
from minilq.quantize.scale_rule import frozen

SHARED_BY = ("dataset", "pixel", "channel")


@dataclass(frozen=True)
class FixedRange(Quantizer):
    """The data quantization layer: y = s floor(clip((x - min) / s, 0, top)) + min, top = 2^bits - 1, s top = max - min.

    bits        codes 0 .. 2^bits - 1
    per         what has a range of its own: the dataset as a whole, each pixel (feature), or each channel (index of the
                last axis)

    Remembers `scale` and `offset`, min, of the data that it was started with, (N, ...). Min and max are codes; other
    values are rounded down, and those beyond the range become its ends and pass no gradient. What never changes gets
    s = 1, and so does what has an s below the smallest normal float.

    Raises ConfigError for an unknown `per` and bits outside 1..16; ShapeError for data without a leading axis of
    samples; NonFiniteError where max - min overflows.

    Source      Chinbat, draft of the thesis, data quantization layer

    >>> method = FixedRange(bits=1)
    >>> held = method.start(np.array([[0.0], [1.0], [3.0]]))
    >>> method(Tensor([[2.9], [3.0]], dtype=np.float64), held).numpy().tolist()
    [[0.0], [3.0]]
    """

    bits: int = 8
    per: str = "dataset"

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"bits": 2, "per": "pixel"}, {"bits": 3, "per": "channel"})

    def __post_init__(self) -> None:
        code_bounds("FixedRange", self.bits, signed=False)
        one_of("FixedRange", "per", self.per, SHARED_BY)

    @property
    def high(self) -> int:
        return code_bounds("FixedRange", self.bits, signed=False)[1]

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("FixedRange", plain(x))
        others = tuple(axis for axis in range(x.ndim) if axis not in self._kept(x.ndim))
        low = x.min(axis=others, keepdims=True)
        with np.errstate(over="ignore"):
            span = x.max(axis=others, keepdims=True) - low
        if not np.isfinite(span).all():
            raise NonFiniteError("FixedRange", f"max - min must fit into {x.dtype}", got="an overflow")
        changes = span > self.high * np.finfo(x.dtype).tiny
        scale = np.where(changes, span / self.high, 1).astype(x.dtype)
        # Where s was rounded up, (max - min) / s is just below the top code, and its floor one too low.
        scale = np.where(changes & (span / scale < self.high), np.nextafter(scale, np.zeros_like(scale)), scale)
        return {"scale": scale, "offset": low}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        scale, offset = remembered(held, "scale"), remembered(held, "offset")
        on = self._on(x.array, offset)
        y: Tensor = fake_quantize(x - offset, scale, on) + offset
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, scale, offset = plain(x), remembered(held, "scale"), remembered(held, "offset")
        on = self._on(x, offset)
        return Coded(codes_of(x - offset, scale, on), Even(scale.copy(), offset=offset.copy()))

    def _on(self, x: Array, offset: Array) -> Scaled:
        """The Scaled that rounds x - offset."""
        if x.ndim != offset.ndim or any(n not in (1, m) for n, m in zip(offset.shape, x.shape, strict=True)):
            raise ShapeError("FixedRange", f"x must have the axes of the data that it was started with, "
                             f"{offset.ndim}, and their lengths where the range differs: {offset.shape}",
                             got=f"x {x.shape}")
        return Scaled("floor", granularity=self._kept(x.ndim), scale_rule=frozen(), qmin=0, qmax=self.high)

    def _kept(self, ndim: int) -> tuple[int, ...]:
        """The axes along which ranges differ."""
        if ndim < 2:
            raise ShapeError("FixedRange", "the data must be (N, ...)", got=f"{ndim} axes")
        return {"dataset": (), "pixel": tuple(range(1, ndim)), "channel": (ndim - 1,)}[self.per]
