"""What layers with weights give, before whatever follows, seen on images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.nn import Layer, Site
from minilq.nn.layers import Weighted
from minilq.nn.parts import walk
from minilq.post.inputs import look


def weighted_layers(model: Layer) -> dict[str, Weighted]:
    """Every layer with an input, and with a weight and a bias that are what its latents are, by name.

    >>> import numpy as np
    >>> from minilq import Dense, ReLU, Sequential
    >>> list(weighted_layers(Sequential(Dense(3, 2, np.random.default_rng(0)), ReLU())))
    ['dense1']
    """
    return {name: layer for name, layer in walk("", model, set()) if isinstance(layer, Weighted)
            and type(layer.weight) is type(layer.bias) is Site}


def outputs_of(op: str, model: Layer, images: Any, layers: dict[str, Callable[[Array], None]]) -> None:
    """Send images through a model; the functions, by names of layers with weights, are told what those give, batch by
    batch: (n, ..., channels), of inputs and weights as their methods make them."""
    there = weighted_layers(model)

    def watch(layer: Weighted, told: Callable[[Array], None]) -> Callable[[Array], None]:
        def seen(x: Array) -> None:
            layer.input.watch = None             # it is asked once more
            told(layer(Tensor.wrap(x)).array)
            layer.input.watch = seen
        return seen

    look(op, model, images, {f"{name}.input": watch(there[name], told) for name, told in layers.items()})
