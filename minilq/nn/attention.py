"""Attention: what every token of a text or an image takes from all others; and the block of transformers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minilq.arguments import check_whole, shown
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.layer import Layer
from minilq.nn.layers import GELU, Dense
from minilq.nn.model import Residual, Sequential
from minilq.nn.normalise import LayerNorm
from minilq.nn.quantized import Quantize
from minilq.ops import index, matmul, reshape, softmax, transpose

Run = Callable[[str, Layer, Any], Any]


class Softmax(Layer):
    """Probabilities along the last axis; see `minilq.softmax`. In a network of integers by I-BERT's polynomial."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return softmax(x)

    def settings(self) -> dict[str, Any]:
        return {}


class SelfAttention(Layer):
    """Attention of all tokens to each other, in one head or several.

        q, k, v = x W + b           cut into three, and each of d = channels / heads for every head
        y = softmax(q k^T / sqrt d) v,  all heads beside each other, W_o + b_o

    channels    of x and of y
    rng         a numpy.random.Generator, for the initial values
    heads       a divisor of channels
    std         standard deviation of the initial weights and biases
    sites       project.input, project.weight, project.bias, those of the first product; output.input, output.weight,
                output.bias, those of the last; queries.input, keys.input, values.input and probabilities.input, what
                the two products between them multiply
    Shapes      x (N, ..., channels) -> x.shape; all axes between are tokens
    Raises      ConfigError for heads that do not divide the channels; ShapeError
    Source      Vaswani et al. 2017 (arXiv 1706.03762), equation 1 and section 3.2.2

    >>> layer = SelfAttention(8, np.random.default_rng(0), heads=2)
    >>> layer(Tensor(np.zeros((1, 5, 8), np.float32))).shape
    (1, 5, 8)
    """

    def __init__(self, channels: int, rng: np.random.Generator, heads: int = 1, std: float = 0.05,
                 dtype: Any = np.float32) -> None:
        check_whole("SelfAttention", "channels", channels)
        check_whole("SelfAttention", "heads", heads)
        if channels % heads:
            raise ConfigError("SelfAttention", "heads must divide the channels", got=f"{shown(heads)} heads of "
                              f"{shown(channels)} channels")
        self.heads = heads
        self.project = Dense(channels, 3 * channels, rng, std, dtype)
        self.queries, self.keys, self.values, self.probabilities = (
            Quantize(shape=(1, 1, 1, 1), dtype=dtype) for _ in range(4))
        self.softmax = Softmax()
        self.output = Dense(channels, channels, rng, std, dtype)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        return self.through(x, lambda name, layer, x: layer(x, training))

    def through(self, x: Any, run: Run) -> Any:
        """The forward, in which run(name, layer, x) gives what each layer in it gives; x a Tensor or an array."""
        channels = self.output.weight.shape[0]
        if x.ndim < 3 or x.shape[-1] != channels or 0 in x.shape[1:]:
            raise ShapeError("SelfAttention", f"x must be (N, tokens, {channels}), one token at least",
                             got=f"x {x.shape}", cause="One text or image needs a batch axis: x[None]"
                             if x.ndim == 2 else "")
        N, T, h, d = len(x), math.prod(x.shape[1:-1]), self.heads, channels // self.heads
        together = reshape(run("project", self.project, x), (N, T, 3, h, d))
        together = transpose(together, (2, 0, 3, 1, 4))                          # (3, N, h, T, d)
        q, k, v = (run(name, layer, index(together, i)) for i, (name, layer) in enumerate((
            ("queries", self.queries), ("keys", self.keys), ("values", self.values))))
        scores = matmul(q, transpose(k, (0, 1, 3, 2))) * (1 / math.sqrt(d))      # (N, h, T, T)
        p = run("probabilities", self.probabilities, run("softmax", self.softmax, scores))
        taken = transpose(matmul(p, v), (0, 2, 1, 3))                            # (N, T, h, d)
        return run("output", self.output, reshape(taken, x.shape))

    def settings(self) -> dict[str, Any]:
        return {"channels": self.output.weight.shape[0], "heads": self.heads}

    @classmethod
    def made(cls, **settings: Any) -> SelfAttention:
        return cls(**settings, rng=np.random.default_rng(0), std=0)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        C = settings["channels"]
        return {"project.weight.latent": (C, 3 * C), "project.bias.latent": (3 * C,),
                "output.weight.latent": (C, C), "output.bias.latent": (C,)}


def transformer_block(channels: int, heads: int, hidden: int, rng: np.random.Generator, std: float = 0.05,
                      dtype: Any = np.float32) -> Sequential:
    """x + attention(norm(x)), and of that y + dense(gelu(dense(norm(y)))): the block of transformers, norms first.

    channels, heads     as for `SelfAttention`
    hidden              numbers between the two dense layers, usually 4 channels
    Shapes              (N, ..., channels) -> the same
    Source              Xiong et al. 2020 (arXiv 2002.04745), figure 1(b)

    >>> transformer_block(8, 2, 32, np.random.default_rng(0))
    Sequential(residual1, residual2)
    """
    return Sequential(
        Residual(Sequential(LayerNorm(channels, dtype=dtype), SelfAttention(channels, rng, heads, std, dtype))),
        Residual(Sequential(LayerNorm(channels, dtype=dtype), Dense(channels, hidden, rng, std, dtype), GELU(),
                            Dense(hidden, channels, rng, std, dtype))))
