"""Folding: a batch normalisation in inference is a line for each channel, which the layer before it can take over."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.nn.layers import Weighted
from minilq.nn.normalise import BatchNorm
from minilq.nn.site import Site

W = TypeVar("W", bound=Weighted)


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
    if not isinstance(layer, Weighted) or not isinstance(norm, BatchNorm):
        raise ConfigError("fold_batch_norm", "a BatchNorm is folded into a Dense or Conv2D",
                          got=f"{type(norm).__name__} into {type(layer).__name__}")
    methods = [name for name, site in layer.sites().items() if site.method is not None]
    if methods:
        raise ConfigError("fold_batch_norm", "the layer must be in full precision", got=f"a method at {methods[0]}",
                          cause="Fold first, then quantize: folding moves every weight to another place of its grid")
    latent, bias, channels = layer.weight.latent, layer.bias.latent, norm.gamma.size
    assert latent is not None
    assert bias is not None
    if latent.shape[-1] != channels:
        raise ShapeError("fold_batch_norm", "both must have one number of channels",
                         got=f"a layer of {latent.shape[-1]} outputs, a BatchNorm of {channels}")
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
