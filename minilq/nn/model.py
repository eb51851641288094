"""A model: layers made of layers, with every parameter and scale under one name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DataError, DTypeError, ShapeError
from minilq.nn.layers import Layer, QuantizedParameter


class Container(Layer):
    """A layer made of named layers, `self.layers`; their parameters, scales and buffers are its own."""

    layers: dict[str, Layer]

    def parameters(self) -> dict[str, Tensor]:
        return {f"{n}.{p}": t for n, layer in self._once() for p, t in layer.parameters().items()}

    def quantized(self) -> dict[str, QuantizedParameter]:
        return {f"{n}.{p}": q for n, layer in self._once() for p, q in layer.quantized().items()}

    def scales(self) -> dict[str, Tensor]:
        return {f"{n}.{p}": t for n, layer in self._once() for p, t in layer.scales().items()}

    def positive_scales(self) -> dict[str, Tensor]:
        return {f"{n}.{p}": t for n, layer in self._once() for p, t in layer.positive_scales().items()}

    def buffers(self) -> dict[str, Tensor]:
        return {f"{n}.{p}": t for n, layer in self._once() for p, t in layer.buffers().items()}

    def _once(self) -> list[tuple[str, Layer]]:
        """Each layer under its first name: one that stands here twice has its parameters once."""
        return list({id(layer): (name, layer) for name, layer in reversed(self.layers.items())}.values())[::-1]

    def state(self) -> dict[str, Array]:
        """Copies of all parameters ("parameter/<name>"), of what is trained of the scales ("scale/<name>"), and of all
        buffers ("buffer/<name>")."""
        return {key: tensor.array.copy() for key, tensor in self._entries().items()}

    def load_state(self, state: Mapping[str, Array], scales: bool = True) -> None:
        """Take parameters, buffers and, unless scales=False, scales from what `state` gave. All or nothing.

        Raises DataError for a missing name, ShapeError for another shape, DTypeError for what is no float.
        """
        entries = {k: t for k, t in self._entries().items() if scales or not k.startswith("scale/")}
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


class Sequential(Container):
    """Layers called one after the other, given one by one or as a list.

    Names are made of the kind and the number of a layer: "dense1.weight", "conv2d2.bias".

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
        check_layers("Sequential", layers)
        self.layers = dict(zip(numbered([type(layer).__name__ for layer in layers]), layers, strict=True))

    def __call__(self, x: Any, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        for layer in self.layers.values():
            x = layer(x, training)
        return x

    def __repr__(self) -> str:
        return f"Sequential({', '.join(self.layers)})"


def numbered(kinds: Iterable[str]) -> list[str]:
    """Names of layers of these kinds that stand one behind the other.

    >>> numbered(["Dense", "ReLU", "Dense"])
    ['dense1', 'relu1', 'dense2']
    """
    count: Counter[str] = Counter()
    names = []
    for kind in map(str.lower, kinds):
        count[kind] += 1
        names.append(f"{kind}{count[kind]}")
    return names


class Residual(Container):
    """y = body(x) + shortcut(x): what is learned is the difference to the input (He et al. 2016).

    body        a Layer, usually a Sequential
    shortcut    None for x itself, or a Layer that brings x to the shape of the body's result
    Raises      ShapeError when the two results have different shapes

    >>> import numpy as np
    >>> from minilq.nn import Dense, ReLU
    >>> block = Residual(Sequential(Dense(3, 3, np.random.default_rng(0)), ReLU()))
    >>> list(block.parameters())
    ['body.dense1.weight', 'body.dense1.bias']
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        self.layers = {"body": body} if shortcut is None else {"body": body, "shortcut": shortcut}
        check_layers("Residual", self.layers.values())

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        y = self.layers["body"](x, training)
        beside = self.layers["shortcut"](x, training) if "shortcut" in self.layers else x
        if y.shape != beside.shape:
            raise ShapeError("Residual", "body and shortcut must give one shape",
                             got=f"body {y.shape}, shortcut {beside.shape}",
                             cause="" if "shortcut" in self.layers else "A 1 x 1 convolution as shortcut adapts x")
        return y + beside


def check_layers(op: str, layers: Iterable[Any]) -> None:
    """ConfigError unless all are Layers."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise ConfigError(op, "every layer must be a Layer", got=repr(layer),
                              cause="Write ReLU(), not ReLU or relu")
