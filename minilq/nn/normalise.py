"""Layers that behave differently in training and in prediction: batch normalisation and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.nn.layers import Layer
from minilq.ops import batch_norm, dropout


class BatchNorm(Layer):
    """Batch normalisation over all axes but the last, Keras' defaults; see `minilq.batch_norm`.

    With training=True the statistics of the batch normalise, and the running ones follow them; otherwise the running
    ones normalise. gamma starts at 1, beta and the running mean at 0, the running variance at 1.

    Shapes      x (N, channels) or (N, H, W, channels) -> x.shape

    >>> layer = BatchNorm(2)
    >>> x = Tensor([[0.0, 1.0], [2.0, 5.0]], dtype=np.float32)
    >>> layer(x, training=True).numpy().round(2).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    >>> layer.buffers()["mean"].numpy()                          # a hundredth of the way to 1 and 3
    array([0.01, 0.03], dtype=float32)
    """

    def __init__(self, channels: int, momentum: float = 0.99, eps: float = 1e-3, dtype: Any = np.float32) -> None:
        if channels < 1:
            raise ConfigError("BatchNorm", "channels must be at least 1", got=str(channels))
        self.gamma = Tensor(np.ones(channels), requires_grad=True, dtype=dtype)
        self.beta = Tensor(np.zeros(channels), requires_grad=True, dtype=dtype)
        self.mean = Tensor(np.zeros(channels), dtype=dtype)
        self.variance = Tensor(np.ones(channels), dtype=dtype)
        self.momentum, self.eps = momentum, eps

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return batch_norm(x, self.gamma, self.beta, self.mean, self.variance, training, self.momentum, self.eps)

    def parameters(self) -> dict[str, Tensor]:
        return {"gamma": self.gamma, "beta": self.beta}

    def buffers(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "variance": self.variance}


class Dropout(Layer):
    """With training=True each number is set to 0 with probability `rate`; see `minilq.dropout`.

    rng     a numpy.random.Generator, from which every call in training draws
    """

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        self.rate, self.rng = rate, rng

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return dropout(x, self.rate, self.rng, training)
