"""Batch normalisation folded into the layers before it, in place: what follows works on weights as they are used."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn import BatchNorm, Sequential
from minilq.nn.fold import folded
from minilq.nn.layers import Weighted
from minilq.post.pairs import array_of, put, rows_of


class Moment(NamedTuple):
    """Mean and standard deviation of what a layer gives, by channel, (channels,) float64."""

    mean: Array
    std: Array

    def divided(self, s: Array) -> Moment:
        return Moment(self.mean / s, self.std / s)


Moments = dict[str, Moment]
"""By the names of layers."""


def check_moments(op: str, moments: Any, or_none: bool = True) -> None:
    """ConfigError unless these are Moments, or None where that is allowed."""
    if or_none and moments is None:
        return
    if not (isinstance(moments, dict) and all(isinstance(moment, Moment) for moment in moments.values())):
        raise ConfigError(op, "moments must be what fold_batch_norms gave, a dict of Moment by the names of layers",
                          got=shown(moments))


def fold_batch_norms(model: Sequential) -> Moments:
    """Fold every BatchNorm that directly follows a Dense or Conv2D into it; it stays, and does nothing any more.

    The network keeps its layers, so that it is saved and loaded like any other; `nn.fold` makes one without them. What
    the BatchNorm has learned says how its output is distributed, mean beta and standard deviation |gamma|, which is
    returned by the names of layers.

    model       in full precision, changed in place; what it computes in inference stays
    Raises      ConfigError for a network with a method
    Source      Jacob et al. 2018 (arXiv 1712.05877), equation 14

    >>> from minilq import Dense
    >>> model = Sequential(Dense(3, 2, np.random.default_rng(0)), BatchNorm(2))
    >>> fold_batch_norms(model)["dense1"].std.tolist()
    [1.0, 1.0]
    """
    moments: Moments = {}
    for row in rows_of(model):
        for (name, layer), (_, norm) in itertools.pairwise(row):
            if not (isinstance(layer, Weighted) and isinstance(norm, BatchNorm)):
                continue
            moments[name] = Moment(norm.beta.array.astype(np.float64), np.abs(norm.gamma.array.astype(np.float64)))
            w, b = folded(array_of(layer.weight.latent), array_of(layer.bias.latent), norm.gamma.array,
                          norm.beta.array, norm.mean, norm.variance, norm.eps)
            put(layer.weight.latent, w)
            put(layer.bias.latent, b)
            put(norm.gamma, np.ones_like(norm.gamma.array))
            put(norm.beta, np.zeros_like(norm.beta.array))
            norm.mean[...], norm.variance[...] = 0, 1 - norm.eps
    return moments
