"""Folded: a layer and the batch normalisation behind it as one: training quantizes what inference multiplies."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from minilq.arguments import check_whole, shown
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.layer import Layer
from minilq.nn.layers import Weighted
from minilq.nn.normalise import BatchNorm
from minilq.nn.site import Site
from minilq.ops.normalise import follow

STATISTICS = ("running", "batch")


class FoldedSite(Site):
    """The weight of a Folded: its method quantizes the latent times gamma / sigma of each channel."""

    def __init__(self, latent: Parameter, norm: BatchNorm) -> None:
        super().__init__(latent)
        self.norm = norm

    def real(self) -> Tensor:
        norm = self.norm
        factors: Tensor = norm.gamma * (1 / np.sqrt(norm.variance + norm.eps)).astype(norm.variance.dtype)
        return self.folded(factors)

    def folded(self, factors: Tensor) -> Tensor:
        """The latent times a factor of each channel."""
        assert self.latent is not None
        w: Tensor = self.latent * factors
        return w


class Folded(Layer):
    """norm(layer(x)), in which the method of the weight quantizes what is left of both in inference.

    With mu and sigma^2 the running mean and variance, those of the batch with a B, and Q the method of the weight:

        in inference        y = x Q(W gamma / sigma) + beta - gamma mu / sigma
        training, running   y = x Q(W gamma / sigma) sigma / sigma_B + beta - gamma mu_B / sigma_B: codes do not jump
                            with every batch, and in full precision it is batch normalisation (Krishnamoorthi)
        training, batch     y = x Q(W gamma / sigma_B) + beta - gamma mu_B / sigma_B (Jacob et al.)
        once frozen         as in inference; mu and sigma are constants

    mu_B and sigma_B are those of x W, a product of its own in every batch. Gradients go through them. The bias of the
    layer goes into the running mean, which it only moves. `in_inference()` is the layer that this one is in inference,
    to the last bit; files, ONNX and `convert` take that one.

    layer, norm     a Dense or Conv2D and the BatchNorm behind it; both stay as they are
    statistics      running or batch: by which the weight is folded in training
    freeze          after so many training batches the statistics are frozen; None for never
    Raises          ConfigError for other layers, statistics and numbers of batches, and where the weight or the bias
                    has a method; ShapeError for another number of channels
    Source          Jacob et al. 2018 (arXiv 1712.05877), section 3.2; Krishnamoorthi 2018 (arXiv 1806.08342), equations
                    22 to 31

    >>> from minilq.nn import Dense
    >>> layer, norm, x = Dense(3, 2, np.random.default_rng(0)), BatchNorm(2), Tensor(np.eye(3, dtype=np.float32))
    >>> one = Folded(layer, norm)
    >>> bool(np.allclose(one(x, training=True).numpy(), norm(layer(x), training=True).numpy(), atol=1e-6))
    True
    >>> list(one.parameters()), type(one.in_inference()).__name__
    (['weight.latent', 'norm.gamma', 'norm.beta'], 'Dense')
    """

    def __init__(self, layer: Weighted, norm: BatchNorm, statistics: str = "running",
                 freeze: int | None = None) -> None:
        check_pair("Folded", layer, norm)
        if not isinstance(statistics, str) or statistics not in STATISTICS:
            raise ConfigError("Folded", f"statistics must be {' or '.join(STATISTICS)}", got=shown(statistics))
        if freeze is not None:
            check_whole("Folded", "freeze", freeze, 0)
        self.statistics, self.freeze, self.batches = statistics, freeze, np.zeros(1, np.int64)
        assert layer.weight.latent is not None
        assert layer.bias.latent is not None
        self.norm = copy.deepcopy(norm)
        self.norm.mean -= layer.bias.latent.array
        self.layer = layer
        self.input, self.weight = copy.copy(layer.input), FoldedSite(copied(layer.weight.latent), self.norm)

    def parts(self) -> Iterable[tuple[str, Any]]:
        return [("input", self.input), ("weight", self.weight), ("norm", self.norm), ("batches", self.batches)]

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        x, norm = self.input(x, training), self.norm
        if not training or (self.freeze is not None and self.batches[0] >= self.freeze):
            return self.layer.product(x, self.weight(training=training), self.shift())
        self.batches += 1
        nothing = Tensor.wrap(np.zeros(norm.gamma.shape, norm.gamma.dtype))
        assert self.weight.latent is not None
        z = self.layer.product(x, self.weight.latent, nothing)
        mean, variance = statistics_of(z)
        n = z.size // z.shape[-1]
        follow(norm.mean, mean.array, norm.momentum)
        follow(norm.variance, variance.array * (n / (n - 1) if n > 1 else 1), norm.momentum)
        r = (variance + norm.eps) ** -0.5        # 1 / sigma_B
        shift: Tensor = norm.beta - norm.gamma * mean * r
        if self.statistics == "batch":
            return self.layer.product(x, self.weight.seen(self.weight.folded(norm.gamma * r), training),
                                      shift)
        sigma = np.sqrt(norm.variance + norm.eps).astype(norm.gamma.dtype)
        y: Tensor = self.layer.product(x, self.weight(training=training), nothing) * (r * sigma) + shift
        return y

    def shift(self) -> Tensor:
        """beta - gamma mu / sigma."""
        norm = self.norm
        shift: Tensor = norm.beta - norm.gamma * (norm.mean / np.sqrt(norm.variance + norm.eps)).astype(norm.mean.dtype)
        return shift

    def in_inference(self) -> Weighted:
        """The layer that this one is in inference: with the folded weight, its method and what that holds."""
        layer = copy.copy(self.layer)
        with no_grad():
            weight, shift = (Parameter(t.array.copy()) for t in (self.weight.real(), self.shift()))
        layer.input, layer.weight, layer.bias = copy.copy(self.input), Site(weight), Site(shift)
        layer.weight.method, layer.weight.held = self.weight.method, dict(self.weight.held)
        return layer


def statistics_of(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel."""
    axes = tuple(range(y.ndim - 1))
    mean = y.mean(axis=axes)
    apart = y - mean
    return mean, (apart * apart).mean(axis=axes)


def copied(latent: Parameter) -> Parameter:
    return Parameter(latent.array.copy(), latent.constraint, latent.lr)


def check_pair(op: str, layer: Any, norm: Any) -> None:
    """ConfigError unless it is a layer in full precision and a BatchNorm behind it, ShapeError for other channels."""
    if not isinstance(layer, Weighted) or type(layer).product is Weighted.product or not isinstance(norm, BatchNorm):
        raise ConfigError(op, "a BatchNorm is folded into a Dense or Conv2D",
                          got=f"{type(norm).__name__} into {type(layer).__name__}")
    methods = [name for name, site in (("weight", layer.weight), ("bias", layer.bias)) if site.method is not None]
    if methods:
        raise ConfigError(op, "the layer must be in full precision", got=f"a method at {methods[0]}",
                          cause="Fold first, then quantize: folding moves every weight to another place of its grid")
    channels = norm.gamma.size
    if layer.weight.shape[-1] != channels:
        raise ShapeError(op, "both must have one number of channels",
                         got=f"a layer of {layer.weight.shape[-1]} outputs, a BatchNorm of {channels}")
