"""QuantizedGradient: a layer that only the way back knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.nn.layer import Layer
from minilq.ops import quantized_gradient


class QuantizedGradient(Layer):
    """What comes in goes out; its gradient is rounded to 2^bits levels, as in DoReFa-Net: see `quantized_gradient`.

    Behind each layer whose gradient is to have few bits. Predictions do not know it: it is no part of a network of
    integers.

    rng     a numpy.random.Generator, from which every backward pass draws
    Raises  ConfigError for bits that are no whole number in 1 .. 16

    >>> layer, x = QuantizedGradient(1, np.random.default_rng(0)), Tensor([[0.5, -1.0]], requires_grad=True)
    >>> y = layer(x, training=True)
    >>> (y * Tensor([[3.0, -3.0]])).sum().backward(); y.numpy().tolist(), x.grad.tolist()
    ([[0.5, -1.0]], [[3.0, -3.0]])
    """

    def __init__(self, bits: int, rng: np.random.Generator) -> None:
        self.bits, self.rng = bits, rng
        self(Tensor.wrap(np.zeros(1, np.float32)), training=True)            # both are checked

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return quantized_gradient(x, self.bits, self.rng) if training else x

    def settings(self) -> dict[str, Any]:
        return {"bits": self.bits}

    @classmethod
    def made(cls, **settings: Any) -> QuantizedGradient:
        return cls(**settings, rng=np.random.default_rng(0))
