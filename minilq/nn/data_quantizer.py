"""The data quantization layer: a first layer that quantizes the input (thesis draft, 3.1.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DTypeError, NonFiniteError, ShapeError
from minilq.nn.initialise import initial_latent
from minilq.nn.layers import Layer
from minilq.quantize import Quantizer, fake_quantize, frozen
from minilq.quantize.positivity import positivity_named
from minilq.quantize.rounding import Rounding
from minilq.quantize.scale_rule import ScaleRule

SHARED_BY = ("dataset", "feature", "channel")


class DataQuantizer(Layer):
    """Quantizes x with step s from an offset: y = offset + s rounding((x - offset) / s).

    Made by `DataQuantizer.fixed` (min-max step, nothing to train) or `DataQuantizer.learned` (s is trained).
    `per` says what shares a scale: "dataset" (one s), "feature" (one for each pixel), "channel" (one for each index of
    the last axis).

    offset      () or broadcast like the scale; the smallest value, so that it is represented exactly
    latent      the scale (1, ...) with one axis per axis of x, its length where `per` keeps that axis; or, by the
                quantizer's positivity, the number behind it
    Shapes      x (N, ...) with the same axes as the data it was made from; returns x.shape
    """

    def __init__(self, offset: Tensor, latent: Tensor, quantizer: Quantizer) -> None:
        self.offset = offset
        self.latent = latent
        self.quantizer = quantizer

    @property
    def scale(self) -> Tensor:
        """s > 0: `latent` itself, or computed from it."""
        scale: Tensor = positivity_named(self.quantizer.positivity).scale_of(self.latent)
        return scale

    @classmethod
    def fixed(cls, x: Any, bits: int = 8, per: str = "dataset", dtype: Any = np.float32) -> DataQuantizer:
        """Step s = (max - min) / (2^bits - 1), codes floor((x - min) / s) in 0 .. 2^bits - 1, from the data x (N, ...).

        Values outside the range seen here are clipped to its ends. A feature that never changes gets s = 1,
        and so does one whose s would be below the smallest normal float.

        >>> layer = DataQuantizer.fixed(np.array([[0.0], [1.0], [3.0]]), bits=1, dtype=np.float64)
        >>> layer(Tensor([[2.9], [3.0]])).numpy().tolist()
        [[0.0], [3.0]]
        """
        if not 1 <= bits <= 16:
            raise ConfigError("DataQuantizer", "bits must lie in 1..16", got=str(bits))
        x = _data(x)
        kept = _kept_axes(per, x.ndim)
        others = tuple(a for a in range(x.ndim) if a not in kept)
        top = 2**bits - 1
        with np.errstate(over="ignore"):
            low = x.min(axis=others, keepdims=True).astype(dtype)
            span = x.max(axis=others, keepdims=True).astype(dtype) - low
        if not np.isfinite(span).all():
            raise NonFiniteError("DataQuantizer", f"max - min must fit into {np.dtype(dtype)}", got="an overflow")
        changes = span > top * np.finfo(dtype).tiny
        scale = np.where(changes, span / top, 1).astype(dtype)
        # Where s was rounded up, (max - min) / s is just below the top code, and its floor one too low.
        scale = np.where(changes & (span / scale < top), np.nextafter(scale, np.zeros_like(scale)), scale)
        quantizer = Quantizer("floor", granularity=kept, scale_rule=frozen(), qmin=0, qmax=top)
        return cls(Tensor(low), Tensor(scale, dtype=dtype), quantizer)

    @classmethod
    def learned(cls, x: Any, scale_rule: ScaleRule, per: str = "dataset", rounding: str | Rounding = "floor",
                dtype: Any = np.float32, positivity: str = "clamp") -> DataQuantizer:
        """A trained step, from SCALE_MIN upwards as for parameters, no offset, no clip; x gives the shape only."""
        x = _data(x)
        kept = _kept_axes(per, x.ndim)
        shape = tuple(n if a in kept else 1 for a, n in enumerate(x.shape))
        quantizer = Quantizer(rounding, granularity=kept, scale_rule=scale_rule, positivity=positivity)
        return cls(Tensor(np.zeros((1,) * x.ndim, dtype)), initial_latent(positivity, shape, dtype), quantizer)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        s_shape = self.latent.shape
        if x.ndim != len(s_shape) or any(s not in (1, n) for s, n in zip(s_shape, x.shape, strict=True)):
            raise ShapeError("DataQuantizer", "x must have the axes of the data that the layer was made from: "
                             f"{len(s_shape)}, with scales {s_shape}", got=f"x {x.shape}")
        return fake_quantize(x - self.offset, self.scale, self.quantizer) + self.offset

    def scales(self) -> dict[str, Tensor]:
        return {"data": self.latent} if self.latent.requires_grad else {}

    def positive_scales(self) -> dict[str, Tensor]:
        return {name: self.scale for name in self.scales()}

    def buffers(self) -> dict[str, Tensor]:
        return {"offset": self.offset} if self.latent.requires_grad else {"offset": self.offset, "data": self.latent}


def _data(x: Any) -> Array:
    x = np.asarray(x)
    if x.ndim < 2 or x.size == 0:
        raise ShapeError("DataQuantizer", "the data must be (N, ...) and not empty", got=str(x.shape))
    if x.dtype.kind not in "fiub":
        raise DTypeError("DataQuantizer", "the data must be real numbers", got=str(x.dtype))
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise NonFiniteError("DataQuantizer", "the data must be finite", got="NaN or infinity")
    return x


def _kept_axes(per: str, ndim: int) -> tuple[int, ...]:
    if per not in SHARED_BY:
        raise ConfigError("DataQuantizer", f"per must be one of {', '.join(SHARED_BY)}", got=repr(per))
    return {"dataset": (), "feature": tuple(range(1, ndim)), "channel": (ndim - 1,)}[per]
