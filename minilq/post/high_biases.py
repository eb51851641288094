"""Absorbing high biases: what a relu never cuts off moves into the next layer, and ranges become narrower."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    GroupedConv2D,
    MaxPool2D,
    ReLU,
    Sequential,
)
from minilq.post.folding import Moment, Moments, check_moments
from minilq.post.outputs import outputs_of
from minilq.post.pairs import Pair, array_of, groups_of, of_constant, pairs, put

SIGMAS = 3.0
"""Standard deviations below the mean under which a Gaussian hardly ever is: in 0.135 % of all cases."""


def absorb_high_biases(model: Sequential, images: Any = None, moments: Moments | None = None) -> dict[str, Array]:
    """Lower the biases before a relu by what all its inputs have in common, and raise those of the next layer for it.

        relu(z - c) = relu(z) - c for z >= c >= 0:     b1 <- b1 - c,   b2 <- b2 + W2 c

    Exact where z never is below c. Where a batch normalisation follows the relu, its mean takes c. Through pools of
    whole windows and flatten; not in front of a convolution with a border, around which there would have to be -c.

    model       in full precision, changed in place
    images      (N, ...): c = max(0, min z) of each channel over them, for which the network stays as it was
    moments     in place of images, of the layers' outputs (`fold_batch_norms`): c = max(0, mean - 3 std)
    Returns     c of each layer that had some
    Raises      ConfigError unless images or moments are given
    Source      Nagel et al. 2019 (arXiv 1906.04721), section 4.1.3

    >>> from minilq import Dense, ReLU
    >>> model = Sequential(Dense(1, 1, np.random.default_rng(0)), ReLU(), Dense(1, 1, np.random.default_rng(1)))
    >>> bias = model.sites()["dense1.bias"].latent
    >>> bias.array[:] = 5
    >>> c = absorb_high_biases(model, np.array([[-1.0], [1.0]], np.float32))["dense1"]
    >>> bool(c > 4), bool(np.allclose(bias.array + c, 5))
    (True, True)
    """
    if (images is None) == (moments is None):
        raise ConfigError("absorb_high_biases", "images or moments must be given",
                          got="neither" if images is None else "both")
    check_moments("absorb_high_biases", moments)
    absorbed = {}
    for pair in pairs(model):
        if not _absorbs(pair) or (moments is not None and pair.name not in moments):
            continue
        if moments is None:
            least = _least(model, pair, images)
        else:
            least = moments[pair.name].mean - SIGMAS * moments[pair.name].std
        c = np.maximum(least, 0)
        if not c.any():
            continue
        _move(pair, c)
        if moments is not None:
            moments[pair.name] = Moment(moments[pair.name].mean - c, moments[pair.name].std)
        absorbed[pair.name] = c
    return absorbed


def _absorbs(pair: Pair) -> bool:
    """Whether a constant passes: relu first, then a BatchNorm, or layers that leave a constant as it is."""
    first, *others = pair.acting or (None,)
    if type(first) is not ReLU:
        return False
    if others and isinstance(others[0], BatchNorm):
        return True
    constant = (Flatten, Dropout, MaxPool2D, AveragePool2D, GlobalAveragePool2D)
    border = isinstance(pair.second, (Conv2D, GroupedConv2D)) and pair.second.padding != "valid"
    return not border and all(isinstance(layer, constant) for layer in others)


def _move(pair: Pair, c: Array) -> None:
    put(pair.first.bias.latent, array_of(pair.first.bias.latent) - c)
    norm = next((layer for layer in pair.acting if isinstance(layer, BatchNorm)), None)
    if norm is not None:
        norm.mean[...] -= c.astype(norm.mean.dtype)
        return
    more = of_constant(array_of(pair.second.weight.latent), c, groups_of(pair.second))
    put(pair.second.bias.latent, array_of(pair.second.bias.latent) + more)


def _least(model: Sequential, pair: Pair, images: Any) -> Array:
    """The smallest number that each channel of the first layer gives."""
    found: list[Array] = []
    outputs_of("absorb_high_biases", model, images,
               {pair.name: lambda z: found.append(z.reshape(-1, z.shape[-1]).min(axis=0))})
    return np.asarray(np.min(found, axis=0).astype(np.float64))
