"""Models: layers made of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minilq.arguments import check_flag, shown
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.layer import Layer
from minilq.nn.layers import ReLU
from minilq.nn.normalise import BatchNorm
from minilq.ops import concatenate


class Container(Layer):
    """A layer made of named layers, `self.layers`, whose names lead to what they hold."""

    layers: dict[str, Layer]

    def parts(self) -> Iterable[tuple[str, Any]]:
        return self.layers.items()


class Sequential(Container):
    """Layers called one after the other, given one by one or as a list.

    Names are made of the kind and the number of a layer: its sites are "dense1.weight", "conv2d2.input".

    >>> import numpy as np
    >>> from minilq.nn import Dense, ReLU
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Dense(4, 3, rng), ReLU(), Dense(3, 2, rng))
    >>> list(model.parameters())
    ['dense1.weight.latent', 'dense1.bias.latent', 'dense2.weight.latent', 'dense2.bias.latent']
    """

    def __init__(self, *layers: Layer) -> None:
        if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
            layers = tuple(layers[0])
        check_layers("Sequential", layers)
        self.layers = dict(zip(numbered([type(layer).__name__ for layer in layers]), layers, strict=True))

    def __call__(self, x: Any, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        check_flag("Sequential", "training", training)
        for layer in together(self.layers.values()):
            x = layer(x, training)
        return x

    def settings(self) -> dict[str, Any]:
        return {"layers": list(self.layers.values())}

    @classmethod
    def made(cls, **settings: Any) -> Sequential:
        return cls(*settings["layers"])

    def __repr__(self) -> str:
        return f"Sequential({', '.join(self.layers)})"


def together(layers: Iterable[Layer]) -> Iterator[Callable[[Tensor, bool], Tensor]]:
    """The layers, a ReLU and the BatchNorm behind it in one: the same numbers, sooner."""
    layers = list(layers)
    for before, layer, behind in zip([None, *layers], layers, [*layers[1:], None], strict=False):
        if type(layer) is BatchNorm and type(before) is ReLU:
            yield layer.after_relu
        elif not (type(layer) is ReLU and type(behind) is BatchNorm):
            yield layer


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
    ['body.dense1.weight.latent', 'body.dense1.bias.latent']
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        self.layers = {"body": body} if shortcut is None else {"body": body, "shortcut": shortcut}
        check_layers("Residual", self.layers.values())

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        y = self.layers["body"](x, training)
        beside = self.layers["shortcut"](x, training) if "shortcut" in self.layers else x
        if y.shape != beside.shape:
            raise ShapeError("Residual", "body and shortcut must give one shape",
                             got=f"body {y.shape}, shortcut {beside.shape}",
                             cause="" if "shortcut" in self.layers else "A 1 x 1 convolution as shortcut adapts x")
        return y + beside

    def settings(self) -> dict[str, Any]:
        return {"body": self.layers["body"], "shortcut": self.layers.get("shortcut")}


class Concatenate(Container):
    """y = [x, body(x)], beside each other along the last axis: nothing that was computed is lost (Huang et al. 2017).

    body        a Layer that leaves all axes but the last as they are. Several in a row are the block of a DenseNet
    Raises      ShapeError when the results differ in another axis

    >>> import numpy as np
    >>> from minilq.nn import Dense
    >>> block = Concatenate(Dense(3, 2, np.random.default_rng(0)))
    >>> block(Tensor(np.zeros((1, 3), np.float32))).shape, list(block.sites())
    ((1, 5), ['body.input', 'body.weight', 'body.bias'])
    """

    def __init__(self, body: Layer) -> None:
        self.layers = {"body": body}
        check_layers("Concatenate", self.layers.values())

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        y = self.layers["body"](x, training)
        if x.ndim == 0 or y.shape[:-1] != x.shape[:-1]:
            raise ShapeError("Concatenate", "body must leave all axes of x but the last as they are",
                             got=f"x {x.shape}, body {y.shape}")
        both: Tensor = concatenate([x, y], axis=-1)
        return both

    def settings(self) -> dict[str, Any]:
        return {"body": self.layers["body"]}


def check_layers(op: str, layers: Iterable[Any]) -> None:
    """ConfigError unless all are Layers."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise ConfigError(op, "every layer must be a Layer", got=shown(layer),
                              cause="Write ReLU(), not ReLU or relu")
