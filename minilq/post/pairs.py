"""Pairs of layers through which a factor of each channel passes: out of the weights of one, into those of the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    GroupedConv2D,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)
from minilq.nn.layers import Weighted

PASSES = (ReLU, MaxPool2D, AveragePool2D, GlobalAveragePool2D, Flatten, Dropout, BatchNorm)
"""Layers f with f(s x) = s f(x) for s > 0 in each channel; of a BatchNorm, with another beta and mean."""


class Pair(NamedTuple):
    """Two layers with nothing between them but PASSES; the names are those of their sites."""

    name: str
    first: Weighted
    between: tuple[Layer, ...]
    next_name: str
    second: Weighted

    @property
    def channels(self) -> int:
        return int(self.first.weight.shape[-1])

    @property
    def acting(self) -> list[Layer]:
        """What stands between them, without a BatchNorm that does nothing because it has been folded."""
        return [layer for layer in self.between if not (isinstance(layer, BatchNorm) and idle(layer))]

    def incoming(self) -> Array:
        """What the second weight multiplies each channel by, (channels, numbers)."""
        parts = by_channel(array_of(self.second.weight.latent), self.channels, groups_of(self.second))
        return parts.transpose(2, 1, 0, 3).reshape(self.channels, -1)

    def outgoing(self) -> Array:
        """The first weight, (channels, numbers)."""
        w = array_of(self.first.weight.latent)
        return w.reshape(-1, self.channels).T


def pairs(model: Sequential) -> list[Pair]:
    """Every pair of a network in full precision, in its order; layers that stand in two places are in none.

    Raises ConfigError for a network with a method: what it holds would no longer fit

    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Conv2D(1, 4, 3, rng), ReLU(), MaxPool2D(2), Flatten(), Dense(36, 5, rng), Dense(5, 2, rng))
    >>> [(pair.name, pair.next_name) for pair in pairs(model)]
    [('conv2d1', 'dense1'), ('dense1', 'dense2')]
    """
    found = []
    for row in rows_of(model):
        before: tuple[str, Weighted] | None = None
        between: list[Layer] = []
        for name, layer in row:
            if type(layer) in (Dense, Conv2D, GroupedConv2D):
                assert isinstance(layer, Weighted)
                if before is not None and _fits(before[1], layer):
                    found.append(Pair(*before, tuple(between), name, layer))
                before, between = (name, layer), []
            elif type(layer) in PASSES:
                between.append(layer)
            else:
                before = None
    return found


def rows_of(model: Sequential) -> list[list[tuple[str, Layer]]]:
    """Layers that stand in a row, by name: the network's own, those of a Residual's branches, and so on. In place of a
    layer that stands in two places is a Layer without any name.

    Raises ConfigError for what is no Sequential, and for a network with a method
    """
    if not isinstance(model, Sequential):
        raise ConfigError("post", "the model must be a Sequential", got=type(model).__name__)
    if methods := [name for name, site in model.sites().items() if site.method is not None]:
        raise ConfigError("post", "the network must be in full precision", got=f"a method at {methods[0]}",
                          cause="Change it first, then quantize it")
    rows = list(_rows("", model))
    times = Counter(id(layer) for row in rows for _, layer in row)
    return [[(name, layer) if times[id(layer)] == 1 else ("", Layer()) for name, layer in row] for row in rows]


def _fits(first: Weighted, second: Weighted) -> bool:
    """Whether the second takes what the first gives, channel by channel."""
    return int(second.weight.shape[-2]) * groups_of(second) % int(first.weight.shape[-1]) == 0


def _rows(prefix: str, layer: Layer) -> Iterator[list[tuple[str, Layer]]]:
    """Layers that stand in a row, by name: the network's own, those of a Residual's branches, and so on."""
    row: list[tuple[str, Layer]] = []
    inside: list[tuple[str, Layer]] = []

    def put(prefix: str, layers: dict[str, Layer]) -> None:
        for name, inner in layers.items():
            if type(inner) is Sequential:
                put(f"{prefix}{name}.", inner.layers)
            else:
                row.append((prefix + name, inner))
                if isinstance(inner, Residual):
                    inside.extend((f"{prefix}{name}.{part}.", branch) for part, branch in inner.layers.items())

    put(prefix, layer.layers if isinstance(layer, Sequential) else {"": layer})
    yield row
    for name, branch in inside:
        yield from _rows(name, branch)


def idle(norm: BatchNorm) -> bool:
    """Whether a BatchNorm gives what it is given."""
    numbers = (norm.gamma.array - 1, norm.beta.array, norm.mean, norm.variance + norm.eps - 1)
    return all(bool((np.abs(a) < 1e-6).all()) for a in numbers)


def groups_of(layer: Weighted) -> int:
    """Of a convolution in groups, whose outputs see a part of the channels; 1 of others."""
    return layer.groups if isinstance(layer, GroupedConv2D) else 1


def by_channel(w: Array, channels: int, groups: int = 1) -> Array:
    """A weight (..., in, out), in = (pixels, channels) behind a Flatten, as (windows and pixels, channels of a group,
    groups, outputs of a group)."""
    return w.reshape(-1, channels // groups, groups, w.shape[-1] // groups)


def array_of(latent: Parameter | None) -> Array:
    """The array of a weight or a bias."""
    assert latent is not None
    return latent.array


def put(latent: Parameter | None, value: Array) -> None:
    """Give a parameter other numbers, in its dtype."""
    assert latent is not None
    latent.array[...] = value
    latent.changed_in_place()


def divide_channels(pair: Pair, s: Array) -> None:
    """Divide what comes out of the first layer by s, (channels,), and multiply the second's weight by it instead."""
    first, second = pair.first, pair.second
    put(first.weight.latent, array_of(first.weight.latent) / s)
    put(first.bias.latent, array_of(first.bias.latent) / s)
    for layer in pair.between:
        if isinstance(layer, BatchNorm):         # gamma (x / s - mean / s) r + beta / s
            layer.mean[...] /= s.astype(layer.mean.dtype)
            put(layer.beta, layer.beta.array / s)
    w, groups = array_of(second.weight.latent), groups_of(second)
    put(second.weight.latent, (by_channel(w, len(s), groups) * s.reshape(groups, -1).T[:, :, None]).reshape(w.shape))


def of_constant(w: Array, c: Array, groups: int = 1) -> Array:
    """What a weight gives of an input that is c in each channel, (channels,) -> (out,), float64: windows are whole."""
    parts = by_channel(w, len(c), groups).astype(np.float64)
    total: Array = np.einsum("pcgf,gc->gf", parts, c.reshape(groups, -1)).reshape(-1)
    return total
