"""Layers without a window: dense, relu, gelu, flatten; and what all layers with weights share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.arguments import check_flag, check_generator, float_type, is_number, is_whole, shown
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.initialise import normal
from minilq.nn.layer import Layer
from minilq.nn.site import Site
from minilq.ops import dense, gelu, relu, reshape


class Weighted(Layer):
    """What Dense and Conv2D share: three sites, `input`, `weight` and `bias`, in full precision until `quantize`.

    shape       of the weight, its outputs last
    inputs      shape of one input with a batch axis of 1, 1 where it is not known
    std         standard deviation of the initial values of weight and bias
    Raises      ConfigError for what is no Generator, for numbers that are no whole numbers above 0, and for std < 0
    """

    def __init__(self, shape: tuple[int, ...], inputs: tuple[int, ...], rng: np.random.Generator, std: float,
                 dtype: Any) -> None:
        op = type(self).__name__
        check_generator(op, rng)
        for n in shape:
            if not is_whole(n, 1):
                raise ConfigError(op, "numbers of inputs and outputs must be whole numbers, at least 1", got=shown(n),
                                  cause="Write 784 // 2 for a half" if isinstance(n, float) else "")
        if not is_number(std) or std < 0:
            raise ConfigError(op, "std must be a number >= 0", got=shown(std))
        dtype = float_type(op, dtype)
        self.input = Site(shape=inputs, dtype=dtype)
        self.weight = Site(normal(rng, shape, std, dtype))
        self.bias = Site(normal(rng, shape[-1:], std, dtype))

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        check_flag(type(self).__name__, "training", training)
        return self.product(self.input(x, training), self.weight.used(training), self.bias.used(training))

    def product(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        """What the layer makes of an input, a weight and a bias, whatever their sites have made of them."""
        raise NotImplementedError


class Dense(Weighted):
    """Dense layer y = x W + b.

    n_in, n_out     numbers of columns of x and of y
    rng             a numpy.random.Generator, for the initial values
    std             standard deviation of the initial weights and biases (thesis: 0.05)
    Shapes          x (N, n_in) -> (N, n_out), or (N, ..., n_in) -> (N, ..., n_out), each row for itself; weight
                    (n_in, n_out), bias (n_out,)

    >>> layer = Dense(3, 2, np.random.default_rng(0))
    >>> {name: p.shape for name, p in layer.parameters().items()}
    {'weight.latent': (3, 2), 'bias.latent': (2,)}
    """

    def __init__(self, n_in: int, n_out: int, rng: np.random.Generator, std: float = 0.05, dtype: Any = np.float32,
                 ) -> None:
        super().__init__((n_in, n_out), (1, n_in), rng, std, dtype)

    def product(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return dense(x, w, b)

    def settings(self) -> dict[str, Any]:
        n_in, n_out = self.weight.shape
        return {"n_in": n_in, "n_out": n_out}

    @classmethod
    def made(cls, **settings: Any) -> Dense:
        return cls(**settings, rng=np.random.default_rng(0), std=0)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return {"weight.latent": (settings["n_in"], settings["n_out"]), "bias.latent": (settings["n_out"],)}


class ReLU(Layer):
    """y = max(x, 0)."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return relu(x)

    def settings(self) -> dict[str, Any]:
        return {}


class GELU(Layer):
    """y = x Phi(x), a smooth relu; see `minilq.gelu`. In a network of integers it is I-BERT's polynomial.

    form    "erf", or "tanh", as BERT and GPT were trained
    Raises  ConfigError for another form
    """

    def __init__(self, form: str = "erf") -> None:
        self.form = form
        self(Tensor.wrap(np.zeros(1, np.float32)))               # the form is checked

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return gelu(x, self.form)

    def settings(self) -> dict[str, Any]:
        return {"form": self.form}


class Flatten(Layer):
    """(N, ...) -> (N, product of the rest)."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        if x.ndim == 0:
            raise ShapeError("Flatten", "x must be (N, ...)", got="a single number")
        return reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def settings(self) -> dict[str, Any]:
        return {}
