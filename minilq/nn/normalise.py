"""Layers that keep numbers in bounds, most of which behave differently in training and in prediction: batch and layer
normalisation, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import check_whole, float_type
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tensor import Tensor
from minilq.nn.layer import Layer
from minilq.ops import batch_norm, dropout, layer_norm, relu_batch_norm


class BatchNorm(Layer):
    """Batch normalisation over all axes but the last, Keras' defaults; see `minilq.batch_norm`.

    With training=True the statistics of the batch normalise, and the running ones, which are remembered, follow them;
    otherwise the running ones normalise. gamma starts at 1, beta and the running mean at 0, the running variance at 1.

    Shapes      x (N, channels) or (N, H, W, channels) -> x.shape
    Raises      ConfigError for channels < 1, momentum outside [0, 1) and eps <= 0

    >>> layer = BatchNorm(2)
    >>> x = Tensor([[0.0, 1.0], [2.0, 5.0]], dtype=np.float32)
    >>> layer(x, training=True).numpy().round(2).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    >>> layer.mean                                               # a hundredth of the way to 1 and 3
    array([0.01, 0.03], dtype=float32)
    """

    def __init__(self, channels: int, momentum: float = 0.99, eps: float = 1e-3, dtype: Any = np.float32) -> None:
        check_whole("BatchNorm", "channels", channels)
        dtype = float_type("BatchNorm", dtype)
        self.gamma, self.beta = Parameter(np.ones(channels), dtype=dtype), Parameter(np.zeros(channels), dtype=dtype)
        self.mean, self.variance = np.zeros(channels, dtype), np.ones(channels, dtype)
        self.momentum, self.eps = momentum, eps
        self(Tensor.wrap(np.zeros((1, channels), dtype)))        # momentum and eps are checked

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return batch_norm(x, self.gamma, self.beta, self.mean, self.variance, training, self.momentum, self.eps)

    def after_relu(self, x: Tensor, training: bool = False) -> Tensor:
        """What a ReLU and then this layer make of x, to the last bit; see `minilq.relu_batch_norm`."""
        return relu_batch_norm(x, self.gamma, self.beta, self.mean, self.variance, training, self.momentum, self.eps)

    def settings(self) -> dict[str, Any]:
        return {"channels": self.gamma.size, "momentum": float(self.momentum), "eps": float(self.eps)}

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("gamma", "beta", "mean", "variance"), (settings["channels"],))


class LayerNorm(Layer):
    """Layer normalisation over the last axis; see `minilq.layer_norm`. gamma starts at 1, beta at 0.

    Shapes      x (..., channels) -> x.shape
    Raises      ConfigError for channels < 1 and eps <= 0

    >>> LayerNorm(2)(Tensor([[0.0, 2.0]], dtype=np.float32)).numpy().round(3).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, channels: int, eps: float = 1e-5, dtype: Any = np.float32) -> None:
        check_whole("LayerNorm", "channels", channels)
        dtype = float_type("LayerNorm", dtype)
        self.gamma, self.beta = Parameter(np.ones(channels), dtype=dtype), Parameter(np.zeros(channels), dtype=dtype)
        self.eps = eps
        self(Tensor.wrap(np.zeros((1, channels), dtype)))        # eps is checked

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return layer_norm(x, self.gamma, self.beta, self.eps)

    def settings(self) -> dict[str, Any]:
        return {"channels": self.gamma.size, "eps": float(self.eps)}

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("gamma", "beta"), (settings["channels"],))


class Dropout(Layer):
    """With training=True each number is set to 0 with probability `rate`; see `minilq.dropout`.

    rng     a numpy.random.Generator, from which every call in training draws
    Raises  ConfigError for a rate outside [0, 1)
    """

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        self.rate, self.rng = rate, rng
        self(Tensor.wrap(np.zeros(1, np.float32)))               # both are checked

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return dropout(x, self.rate, self.rng, training)

    def settings(self) -> dict[str, Any]:
        return {"rate": float(self.rate)}

    @classmethod
    def made(cls, **settings: Any) -> Dropout:
        return cls(**settings, rng=np.random.default_rng(0))
