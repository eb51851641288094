"""Ranges: between which numbers the inputs of a network's products lie, seen on images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError, ShapeError
from minilq.nn import (
    Concatenate,
    Conv2D,
    Dense,
    GroupedConv2D,
    Layer,
    Quantize,
    Residual,
    SelfAttention,
    Sequential,
)
from minilq.nn.model import Container
from minilq.nn.recurrent import Recurrent

BATCH = 100
"""Images that go through a network at once, here and in the engine."""

SAMPLE = 1 << 19
"""Numbers of each layer's input from which its range is taken, and a row of each batch at least."""


WITH_GRID = (Dense, Conv2D, GroupedConv2D, Quantize, Recurrent)
"""Layers whose input has a grid."""


class Ranges(NamedTuple):
    """What calibration has seen.

    samples     of the input of each layer WITH_GRID, by its name: float32 (rows, C), a channel or feature in
                a column
    shapes      of the input of each layer, without the batch
    """

    samples: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]


def calibrated(network: Sequential, images: Array) -> Ranges:
    """What comes into the layers of the float network for these images: SAMPLE numbers of each, chosen at random.

    Raises      ShapeError for no images, and what the layers raise for images of another shape or dtype; NonFiniteError
    """
    if not isinstance(images, np.ndarray) or images.ndim == 0 or len(images) == 0:
        raise ShapeError("calibrated", "at least one image is needed, in an array (N, ...)",
                         got=str(images.shape) if isinstance(images, np.ndarray) else type(images).__name__)
    rng = np.random.default_rng(0)
    samples: dict[str, list[Array]] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def visit(name: str, layer: Layer, x: Array) -> Array:
        shapes[name] = x.shape[1:]
        if isinstance(layer, WITH_GRID):
            rows = x.reshape(-1, x.shape[-1])
            most = max(SAMPLE * len(x) // (len(images) * x.shape[-1]), 1)
            samples.setdefault(name, []).append(rows if len(rows) <= most else rng.choice(rows, most, replace=False))
        y = layer(Tensor(x)).array
        if not np.isfinite(y).all():
            raise NonFiniteError("calibrated", "what every layer gives must be finite",
                                 got=f"NaN or infinity of {name}",
                                 cause="The network has diverged, or an image is not finite")
        return y

    with no_grad():
        for start in range(0, len(images), BATCH):
            walk(network, "", images[start:start + BATCH], visit)
    return Ranges({name: np.concatenate(parts) for name, parts in samples.items()}, shapes)


def without_images(network: Sequential, shape: tuple[int, ...]) -> Ranges:
    """The shapes alone, for images of this shape.

    >>> from minilq.nn import Dense
    >>> without_images(Sequential(Dense(3, 2, np.random.default_rng(0))), (3,))
    Ranges(samples={}, shapes={'dense1': (3,)})
    """
    dtype = next((tensor.dtype for tensor in network.parameters().values()), np.float32)
    return calibrated(network, np.zeros((1, *shape), dtype))._replace(samples={})


def walk(layer: Layer, name: str, x: Array, visit: Callable[[str, Layer, Array], Array]) -> Array:
    """The result of a network, layer by layer: visit(name, layer, x) gives that of a layer that holds no others.

    Names are those of the parameters ("residual1.body.conv2d2").
    Raises      ConfigError for a container of the user's own
    """
    prefix = f"{name}." if name else ""
    if type(layer) is Sequential:
        for part, inner in layer.layers.items():
            x = walk(inner, prefix + part, x, visit)
        return x
    if type(layer) is Residual:
        y = walk(layer.layers["body"], f"{prefix}body", x, visit)
        return y + (walk(layer.layers["shortcut"], f"{prefix}shortcut", x, visit) if "shortcut" in layer.layers else x)
    if type(layer) is Concatenate:
        return np.concatenate([x, walk(layer.layers["body"], f"{prefix}body", x, visit)], axis=-1)
    if type(layer) is SelfAttention:
        return np.asarray(layer.through(x, lambda part, inner, x: walk(inner, prefix + part, x, visit)))
    if isinstance(layer, Container):
        raise ConfigError("walk", "layers may be held by Sequential, Residual and Concatenate",
                          got=f"{name} ({type(layer).__name__})")
    return visit(name, layer, x)


def in_a_row(name: str, layer: Layer) -> Iterator[tuple[str, Layer]]:
    """The layers of a Sequential, and of those in it, by their names in `walk`."""
    for part, inner in layer.layers.items() if type(layer) is Sequential else ():
        inner_name = f"{name}.{part}" if name else part
        if type(inner) is Sequential:
            yield from in_a_row(inner_name, inner)
        else:
            yield inner_name, inner
