"""Layers: parameters, their quantizers and scales, and a call."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.initialise import initial_latent, normal
from minilq.ops import dense, relu, reshape
from minilq.quantize import Quantizer, fake_quantize, scale_shape
from minilq.quantize.positivity import positivity_named


class QuantizedParameter(NamedTuple):
    """A latent parameter with its scale s > 0 and quantizer.

    The scale is a trained tensor itself, or computed from one just now: ask the layer again after every step.
    """

    parameter: Tensor
    scale: Tensor
    quantizer: Quantizer


class Layer:
    """A function of one Tensor with named parameters and named scales; both empty unless a layer says otherwise.

    Called with training=True a layer behaves as in training (BatchNorm uses the statistics of the batch, Dropout
    drops); the default is what predictions need. Most layers do the same in both.
    """

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        raise NotImplementedError

    def parameters(self) -> dict[str, Tensor]:
        """Trainable arrays, scales excepted."""
        return {}

    def quantized(self) -> dict[str, QuantizedParameter]:
        """Those of the parameters that are quantized."""
        return {}

    def scales(self) -> dict[str, Tensor]:
        """What is trained of the scales: themselves, or the latents behind them; by the name of what they scale."""
        return {name: q.scale for name, q in self.quantized().items()}

    def positive_scales(self) -> dict[str, Tensor]:
        """The scales s > 0 behind `scales()`: the same tensors, or computed from them (see quantize/positivity.py)."""
        return self.scales()

    def buffers(self) -> dict[str, Tensor]:
        """What is saved with the model without being trained."""
        return {}


class Weighted(Layer):
    """What Dense and Conv2D share: a weight and a bias that may each pass a quantizer before the network sees them.

    weight_name         "weight" or "kernel"
    std                 standard deviation of the initial values of both
    Raises              ConfigError for what is no Generator, no Quantizer, or a bias quantizer that is not scalar
    """

    def __init__(self, weight_name: str, shape: tuple[int, ...], rng: np.random.Generator,
                 weight_quantizer: Quantizer | None, bias_quantizer: Quantizer | None, std: float, dtype: Any) -> None:
        op = type(self).__name__
        if not isinstance(rng, np.random.Generator):
            raise ConfigError(op, "rng must be a numpy.random.Generator", got=type(rng).__name__,
                              cause="Write np.random.default_rng(42)")
        for quantizer in (weight_quantizer, bias_quantizer):
            if not (quantizer is None or isinstance(quantizer, Quantizer)):
                raise ConfigError(op, "quantizers must be a Quantizer or None", got=repr(quantizer))
        if bias_quantizer is not None and bias_quantizer.granularity != "scalar":
            raise ConfigError(op, "a bias has one scale: its quantizer's granularity must be 'scalar'",
                              got=repr(bias_quantizer.granularity),
                              cause="minilq.nn.scalar(quantizer) makes such a copy")
        self._parameters = {weight_name: normal(rng, shape, std, dtype), "bias": normal(rng, shape[-1:], std, dtype)}
        self._quantizers = {name: quantizer for name, quantizer in ((weight_name, weight_quantizer),
                                                                    ("bias", bias_quantizer)) if quantizer is not None}
        self._latents = {
            name: initial_latent(quantizer.positivity, scale_shape(quantizer.granularity, self._parameters[name].shape),
                                 dtype) for name, quantizer in self._quantizers.items()}

    @property
    def bias(self) -> Tensor:
        return self._parameters["bias"]

    def seen(self, name: str) -> Tensor:
        """What the network sees of a parameter: its reconstruction, or itself in full precision."""
        parameter, quantizer = self._parameters[name], self._quantizers.get(name)
        return parameter if quantizer is None else fake_quantize(parameter, self._scale(name), quantizer)

    def _scale(self, name: str) -> Tensor:
        scale: Tensor = positivity_named(self._quantizers[name].positivity).scale_of(self._latents[name])
        return scale

    def parameters(self) -> dict[str, Tensor]:
        return self._parameters

    def quantized(self) -> dict[str, QuantizedParameter]:
        return {name: QuantizedParameter(self._parameters[name], self._scale(name), quantizer)
                for name, quantizer in self._quantizers.items()}

    def scales(self) -> dict[str, Tensor]:
        return self._latents

    def positive_scales(self) -> dict[str, Tensor]:
        return {name: self._scale(name) for name in self._latents}


class Dense(Weighted):
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
        super().__init__("weight", (n_in, n_out), rng, weight_quantizer, bias_quantizer, std, dtype)

    @property
    def weight(self) -> Tensor:
        return self._parameters["weight"]

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return dense(x, self.seen("weight"), self.seen("bias"))


def scalar(quantizer: Quantizer | None) -> Quantizer | None:
    """The same quantizer with one scale for everything."""
    return None if quantizer is None else replace(quantizer, granularity="scalar")


class ReLU(Layer):
    """y = max(x, 0)."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return relu(x)


class Flatten(Layer):
    """(N, ...) -> (N, product of the rest)."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("Flatten", "x must be (N, ...)", got="a single number")
        return reshape(x, (x.shape[0], math.prod(x.shape[1:])))
