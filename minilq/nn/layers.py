"""Layers: parameters, their quantizers and scales, and a call."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.initialise import initial_scale, normal
from minilq.ops import dense, relu, reshape
from minilq.quantize import Quantizer, fake_quantize


class QuantizedParameter(NamedTuple):
    """A latent parameter with its scale and quantizer."""

    parameter: Tensor
    scale: Tensor
    quantizer: Quantizer


class Layer:
    """A function of one Tensor with named parameters and named scales; both empty unless a layer says otherwise."""

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def parameters(self) -> dict[str, Tensor]:
        """Trainable arrays, scales excepted."""
        return {}

    def quantized(self) -> dict[str, QuantizedParameter]:
        """Those of the parameters that are quantized."""
        return {}

    def scales(self) -> dict[str, Tensor]:
        """Trainable scales, by the name of what they scale."""
        return {name: q.scale for name, q in self.quantized().items()}

    def buffers(self) -> dict[str, Tensor]:
        """What is saved with the model without being trained."""
        return {}


class Dense(Layer):
    """Dense layer y = x W + b whose weight and bias may each pass a quantizer first.

    n_in, n_out         numbers of columns of x and of y
    rng                 a numpy.random.Generator, for the initial values
    weight_quantizer    a Quantizer or None (full precision)
    bias_quantizer      a Quantizer or None; its granularity must be "scalar", as the thesis' biases are.
                        `minilq.nn.scalar(weight_quantizer)` is the usual choice.
    std                 standard deviation of the initial weights and biases (thesis: 0.05)
    Shapes              x (N, n_in) -> (N, n_out); weight (n_in, n_out), bias (n_out,)

    >>> layer = Dense(3, 2, np.random.default_rng(0), weight_quantizer=Quantizer(granularity="row"))
    >>> layer.scales()["weight"].shape
    (3, 1)
    """

    def __init__(self, n_in: int, n_out: int, rng: np.random.Generator, weight_quantizer: Quantizer | None = None,
                 bias_quantizer: Quantizer | None = None, std: float = 0.05, dtype: Any = np.float32) -> None:
        if n_in < 1 or n_out < 1:
            raise ConfigError("Dense", "n_in and n_out must be at least 1", got=f"n_in={n_in}, n_out={n_out}")
        if not isinstance(rng, np.random.Generator):
            raise ConfigError("Dense", "rng must be a numpy.random.Generator", got=type(rng).__name__,
                              cause="Write Dense(n_in, n_out, np.random.default_rng(42))")
        for quantizer in (weight_quantizer, bias_quantizer):
            if not (quantizer is None or isinstance(quantizer, Quantizer)):
                raise ConfigError("Dense", "quantizers must be a Quantizer or None", got=repr(quantizer))
        if bias_quantizer is not None and bias_quantizer.granularity != "scalar":
            raise ConfigError("Dense", "a bias has one scale: its quantizer's granularity must be 'scalar'",
                              got=repr(bias_quantizer.granularity),
                              cause="minilq.nn.scalar(quantizer) makes such a copy")
        self.weight = normal(rng, (n_in, n_out), std, dtype)
        self.bias = normal(rng, (n_out,), std, dtype)
        self._quantized: dict[str, QuantizedParameter] = {}
        for name, parameter, quantizer in (("weight", self.weight, weight_quantizer),
                                           ("bias", self.bias, bias_quantizer)):
            if quantizer is not None:
                self._quantized[name] = QuantizedParameter(parameter, initial_scale(quantizer, parameter), quantizer)

    def __call__(self, x: Tensor) -> Tensor:
        return dense(x, self._seen("weight", self.weight), self._seen("bias", self.bias))

    def _seen(self, name: str, parameter: Tensor) -> Tensor:
        """What the network sees of a parameter: its reconstruction, or itself in full precision."""
        if name not in self._quantized:
            return parameter
        return fake_quantize(*self._quantized[name])

    def parameters(self) -> dict[str, Tensor]:
        return {"weight": self.weight, "bias": self.bias}

    def quantized(self) -> dict[str, QuantizedParameter]:
        return self._quantized


def scalar(quantizer: Quantizer | None) -> Quantizer | None:
    """The same quantizer with one scale for everything."""
    return None if quantizer is None else replace(quantizer, granularity="scalar")


class ReLU(Layer):
    """y = max(x, 0)."""

    def __call__(self, x: Tensor) -> Tensor:
        return relu(x)


class Flatten(Layer):
    """(N, ...) -> (N, product of the rest)."""

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("Flatten", "x must be (N, ...)", got="a single number")
        return reshape(x, (x.shape[0], math.prod(x.shape[1:])))
