"""The networks of the thesis, and LeNet-5 for small experiments.

Each takes a Generator for the initial values and `quantizers`: one Quantizer for every layer that the thesis quantizes,
None for full precision, or a function from the name of a layer ("dense2", "residual1.body.conv2d1", as the model names
its parameters) to a Quantizer or None, so that any layer can have its own threshold or stay as it is. Biases have one
scale each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from minilq.errors import ConfigError
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)
from minilq.nn.layers import scalar
from minilq.quantize import Quantizer

Quantizers = Quantizer | None | Callable[[str], Quantizer | None]

# What a kernel keeps, and what corresponds to it in a dense weight: inputs are its rows, outputs its columns.
IN_DENSE = {"channel": "row", "filter": "column"}


def mnist_mlp(rng: np.random.Generator, quantizers: Quantizers = None) -> Sequential:
    """The thesis' MNIST network 784 - 128 relu - 10; both layers quantized.

    Weights and biases start normal with standard deviation 0.05. Input (N, 28, 28).
    """
    made = _Maker(rng, quantizers)
    return Sequential(Flatten(), made.dense(784, 128), ReLU(), made.dense(128, 10))


def cifar10_cnn(rng: np.random.Generator, quantizers: Quantizers = None,
                noise: np.random.Generator | None = None) -> Sequential:
    """The thesis' CIFAR-10 network: six 3 x 3 convolutions in three pairs, then two dense layers; input (N, 32, 32, 3).

    [conv relu bn] x 2, max pool 2, dropout, with 32, 64, 128 filters and rates .2, .3, .4; dense 128 relu, bn, dropout
    .5; dense 10. One Quantizer for all quantizes the convolutions only, as the thesis does; a function is asked for
    "dense1" and "dense2" too. `noise` is what dropout draws from; by default a child of rng.
    """
    noise = rng.spawn(1)[0] if noise is None else noise
    made = _Maker(rng, quantizers, only="conv2d")
    layers: list[Layer] = []
    for n_in, filters, rate in ((3, 32, 0.2), (32, 64, 0.3), (64, 128, 0.4)):
        layers += [made.conv(n_in, filters, 3), ReLU(), BatchNorm(filters),
                   made.conv(filters, filters, 3), ReLU(), BatchNorm(filters), MaxPool2D(2), Dropout(rate, noise)]
    return Sequential(*layers, Flatten(), made.dense(4 * 4 * 128, 128), ReLU(), BatchNorm(128), Dropout(0.5, noise),
                      made.dense(128, 10))


def imagenette_resnet(rng: np.random.Generator, quantizers: Quantizers = None,
                      noise: np.random.Generator | None = None, size: int = 224) -> Sequential:
    """The thesis' Imagenette network, a ResNet of twenty convolutions; input (N, size, size, 3), size at least 32.

    conv 7 x 7 - 64 stride 2, bn, relu, max pool 3 stride 2, dropout .2; residual blocks of 64, 64, 128, 128, 256, 256,
    512, 512 filters, each conv bn relu conv bn plus its shortcut, then relu; the first with 128, 256 and 512 has stride
    2 and a 1 x 1 convolution with bn as shortcut; dropout .3, global average pool, dropout .3, dense 10. Quantizers and
    noise as in `cifar10_cnn`.
    """
    if size < 32:
        raise ConfigError("imagenette_resnet", "size must be at least 32: the network halves the image five times",
                          got=str(size))
    noise = rng.spawn(1)[0] if noise is None else noise
    made = _Maker(rng, quantizers, only="conv2d")
    layers: list[Layer] = [made.conv(3, 64, 7, stride=2), BatchNorm(64), ReLU(), MaxPool2D(3, 2, "same"),
                           Dropout(0.2, noise)]
    n_in = 64
    for number, filters in enumerate((64, 64, 128, 128, 256, 256, 512, 512), start=1):
        stride = 1 if filters == n_in else 2
        inside, beside = made.part(f"residual{number}.body."), made.part(f"residual{number}.shortcut.")
        body = Sequential(inside.conv(n_in, filters, 3, stride), BatchNorm(filters), ReLU(),
                          inside.conv(filters, filters, 3), BatchNorm(filters))
        shortcut = None if stride == 1 else Sequential(beside.conv(n_in, filters, 1, stride), BatchNorm(filters))
        layers += [Residual(body, shortcut), ReLU()]
        n_in = filters
    return Sequential(*layers, Dropout(0.3, noise), GlobalAveragePool2D(), Dropout(0.3, noise), made.dense(512, 10))


def lenet(rng: np.random.Generator, quantizers: Quantizers = None, shape: tuple[int, int, int] = (28, 28, 1),
          ) -> Sequential:
    """LeNet-5 (LeCun et al. 1998) with relu: two convolutions, three dense layers, 61,706 parameters for grey images.

    conv 5 x 5 - 6, average pool 2, conv 5 x 5 - 16, average pool 2, dense 120, 84, 10; input (N, *shape), images of
    28 x 28 (with a border of 2) or 32 x 32. Every layer is quantized; in dense layers "channel" means row and "filter"
    column.
    """
    if shape[:2] not in ((28, 28), (32, 32)):
        raise ConfigError("lenet", "images must be 28 x 28 or 32 x 32", got=str(shape))
    made = _Maker(rng, quantizers)
    return Sequential(made.conv(shape[2], 6, 5, padding=(32 - shape[0]) // 2), ReLU(), AveragePool2D(2),
                      made.conv(6, 16, 5, padding="valid"), ReLU(), AveragePool2D(2), Flatten(),
                      made.dense(400, 120), ReLU(), made.dense(120, 84), ReLU(), made.dense(84, 10))


class _Maker:
    """Makes layers with their quantizers, and counts them by kind to know their names."""

    def __init__(self, rng: np.random.Generator, quantizers: Quantizers, only: str = "", prefix: str = "") -> None:
        self.rng, self.quantizers, self.only, self.prefix = rng, quantizers, only, prefix
        self.count = {"conv2d": 0, "dense": 0}

    def part(self, prefix: str) -> _Maker:
        """A maker for the layers of a container."""
        return _Maker(self.rng, self.quantizers, self.only, prefix)

    def _next(self, kind: str) -> Quantizer | None:
        self.count[kind] += 1
        if callable(self.quantizers):
            return self.quantizers(f"{self.prefix}{kind}{self.count[kind]}")
        return self.quantizers if kind.startswith(self.only) else None

    def conv(self, n_in: int, filters: int, size: int, stride: int = 1, padding: str | int = "same") -> Conv2D:
        q = self._next("conv2d")
        return Conv2D(n_in, filters, size, self.rng, q, scalar(q), stride, padding)

    def dense(self, n_in: int, n_out: int) -> Dense:
        q = self._next("dense")
        if q is not None and isinstance(q.granularity, str):
            q = replace(q, granularity=IN_DENSE.get(q.granularity, q.granularity))
        return Dense(n_in, n_out, self.rng, q, scalar(q))
