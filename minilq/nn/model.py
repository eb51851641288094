"""A model: layers in a row, with every parameter and scale under one name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DataError, DTypeError, ShapeError
from minilq.nn.layers import Layer, QuantizedParameter


class Sequential(Layer):
    """Layers called one after the other, given one by one or as a list.

    Names are made of the kind and the number of a layer: "dense1.weight", "dense2.bias".

    >>> import numpy as np
    >>> from minilq.nn import Dense, ReLU
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Dense(4, 3, rng), ReLU(), Dense(3, 2, rng))
    >>> list(model.parameters())
    ['dense1.weight', 'dense1.bias', 'dense2.weight', 'dense2.bias']
    """

    def __init__(self, *layers: Layer) -> None:
        if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
            layers = tuple(layers[0])
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ConfigError("Sequential", "every layer must be a Layer", got=repr(layer),
                                  cause="Write ReLU(), not ReLU or relu")
        count: Counter[str] = Counter()
        self.layers: dict[str, Layer] = {}
        for layer in layers:
            kind = type(layer).__name__.lower()
            count[kind] += 1
            self.layers[f"{kind}{count[kind]}"] = layer

    def __call__(self, x: Any) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        for layer in self.layers.values():
            x = layer(x)
        return x

    def __repr__(self) -> str:
        return f"Sequential({', '.join(self.layers)})"

    def parameters(self) -> dict[str, Tensor]:
        return {f"{n}.{p}": t for n, layer in self._once() for p, t in layer.parameters().items()}

    def quantized(self) -> dict[str, QuantizedParameter]:
        return {f"{n}.{p}": q for n, layer in self._once() for p, q in layer.quantized().items()}

    def scales(self) -> dict[str, Tensor]:
        return {f"{n}.{p}": t for n, layer in self._once() for p, t in layer.scales().items()}

    def buffers(self) -> dict[str, Tensor]:
        return {f"{n}.{p}": t for n, layer in self._once() for p, t in layer.buffers().items()}

    def _once(self) -> list[tuple[str, Layer]]:
        """Each layer under its first name: one that is used twice has its parameters once."""
        return list({id(layer): (name, layer) for name, layer in reversed(self.layers.items())}.values())[::-1]

    def state(self) -> dict[str, Array]:
        """Copies of all parameters ("parameter/<name>"), scales ("scale/<name>") and buffers ("buffer/<name>")."""
        return {key: tensor.array.copy() for key, tensor in self._entries().items()}

    def load_state(self, state: Mapping[str, Array], scales: bool = True) -> None:
        """Take parameters, and unless scales=False scales and buffers, from what `state` gave. All or nothing.

        Raises DataError for a missing name, ShapeError for another shape, DTypeError for what is no float.
        """
        entries = {k: t for k, t in self._entries().items() if scales or k.startswith("parameter/")}
        for key, tensor in entries.items():
            if key not in state:
                raise DataError("load_state", f"the saved model must hold {key!r}",
                                got=", ".join(sorted(state)) or "nothing", cause="It was saved from another model")
            if state[key].shape != tensor.shape:
                raise ShapeError("load_state", f"{key} must have the shape {tensor.shape}",
                                 got=str(state[key].shape), cause="It was saved from another model")
            if state[key].dtype.kind != "f":
                raise DTypeError("load_state", f"{key} must be an array of floats", got=str(state[key].dtype))
        for key, tensor in entries.items():
            tensor.array[...] = state[key]
            tensor.changed_in_place()

    def _entries(self) -> dict[str, Tensor]:
        return {**{f"parameter/{k}": t for k, t in self.parameters().items()},
                **{f"scale/{k}": t for k, t in self.scales().items()},
                **{f"buffer/{k}": t for k, t in self.buffers().items()}}
