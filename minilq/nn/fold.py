"""Folding: a batch normalisation in inference is a line for each channel, which the layer before it can take over."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from minilq.arguments import check_flag, check_instance
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn.folded import Folded, check_pair
from minilq.nn.layer import Layer
from minilq.nn.layers import Weighted
from minilq.nn.model import Container, Sequential
from minilq.nn.normalise import BatchNorm
from minilq.nn.parts import walk
from minilq.nn.site import Site

W = TypeVar("W", bound=Weighted)
Join = Callable[[Weighted, BatchNorm], Layer]


def fold(model: Sequential, during: bool = False, statistics: str = "running", freeze: int | None = None) -> Sequential:
    """A copy of a network in which every BatchNorm behind a Dense or Conv2D is folded into it.

    In inference it gives what the network gives. Layers are named anew: there are fewer.

    during          False: before quantized training, for good, by `fold_batch_norm`. True: during it, as `Folded`
    statistics, freeze    of each Folded
    Raises          ConfigError for another model, for one with nothing to fold, and where a weight has a method

    >>> from minilq.nn import Dense, ReLU
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Dense(4, 3, rng), BatchNorm(3), ReLU(), Dense(3, 2, rng))
    >>> fold(model), fold(model, during=True)
    (Sequential(dense1, relu1, dense2), Sequential(folded1, relu1, dense1))
    """
    check_instance("fold", "the model", model, Sequential, "a Sequential")
    check_flag("fold", "during", during)
    joined: list[Layer] = []

    def join(layer: Weighted, norm: BatchNorm) -> Layer:
        joined.append(Folded(layer, norm, statistics, freeze) if during else fold_batch_norm(layer, norm))
        return joined[-1]

    whole = _rebuilt(copy.deepcopy(model), join)
    if not joined:
        raise ConfigError("fold", "there must be a BatchNorm directly behind a Dense or Conv2D", got=repr(model),
                          cause="One behind a ReLU is no line of the layer's outputs")
    assert isinstance(whole, Sequential)
    return whole


def for_inference(model: Sequential) -> Sequential:
    """The network with the layers that each Folded is in inference; itself, where there is none.

    What files hold, ONNX says and integers compute. Sites keep their methods; layers are named anew.

    >>> from minilq.nn import Dense
    >>> for_inference(fold(Sequential(Dense(4, 3, np.random.default_rng(0)), BatchNorm(3)), during=True))
    Sequential(dense1)
    """
    if not any(isinstance(part, Folded) for _, part in walk("", model, set())):
        return model
    whole = _rebuilt(model, None)
    assert isinstance(whole, Sequential)
    return whole


def _rebuilt(layer: Layer, join: Join | None) -> Layer:
    """A layer whose parts are joined, or, with None for `join`, in which every Folded is what it is in inference."""
    if isinstance(layer, Folded) and join is None:
        return layer.in_inference()
    if type(layer) is Sequential:
        layers: list[Layer] = []
        for inner in layer.layers.values():
            if join is not None and isinstance(inner, BatchNorm) and layers and isinstance(layers[-1], Weighted):
                layers[-1] = join(layers[-1], inner)
            else:
                layers.append(_rebuilt(inner, join))
        return Sequential(*layers)
    if isinstance(layer, Container):
        twin = copy.copy(layer)
        twin.layers = {name: _rebuilt(inner, join) for name, inner in layer.layers.items()}
        return twin
    return layer


def fold_batch_norm(layer: W, norm: BatchNorm) -> W:
    """A Dense or Conv2D that gives what `norm` gives of what `layer` gives, in inference; both stay as they are.

    Forward     norm(x W + b) = gamma (x W + b - mean) r + beta = x (W gamma r) + (b - mean) gamma r + beta, with
                r = (variance + eps)^(-1/2) of each channel; computed in float64
    Raises      ConfigError for other layers, and where a site has a method, whose codes would be others: fold first;
                ShapeError for another number of channels
    Source      Jacob et al. 2018 (arXiv 1712.05877), equation 14

    >>> from minilq import Dense, Tensor
    >>> layer, norm, x = Dense(3, 2, np.random.default_rng(0)), BatchNorm(2), Tensor(np.ones((1, 3), np.float32))
    >>> norm.mean[:], norm.variance[:] = [0.5, -1.0], [4.0, 0.25]
    >>> bool(np.allclose(fold_batch_norm(layer, norm)(x).numpy(), norm(layer(x)).numpy()))
    True
    """
    check_pair("fold_batch_norm", layer, norm)
    latent, bias = layer.weight.latent, layer.bias.latent
    assert latent is not None
    assert bias is not None
    w, b = folded(latent.array, bias.array, norm.gamma.array, norm.beta.array, norm.mean, norm.variance,
                  norm.eps)
    twin = copy.copy(layer)
    twin.input, twin.weight, twin.bias = copy.copy(layer.input), Site(Parameter(w)), Site(Parameter(b))
    return twin


def folded(w: Array, b: Array, gamma: Array, beta: Array, mean: Array, variance: Array, eps: float,
           ) -> tuple[Array, Array]:
    """Weight and bias that hold the line of each channel: (w a, (b - mean) a + beta), a = gamma/sqrt(variance + eps).

    Shapes      w (..., C), all others (C,) -> those of w and b, and their dtype
    """
    a = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + eps)
    return (w * a).astype(w.dtype), ((b - mean) * a + beta).astype(b.dtype)
