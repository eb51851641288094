"""The networks of the thesis, LeNet-5, a vision transformer and recurrent ones for small experiments; all in floats,
for `quantize`.

Each takes a Generator for the initial values.
"""

from __future__ import annotations

import numpy as np

from minilq.errors import ConfigError
from minilq.nn import (
    GRU,
    LSTM,
    RNN,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Layer,
    LayerNorm,
    MaxPool2D,
    Position,
    ReLU,
    Residual,
    Sequential,
    transformer_block,
)


def mnist_mlp(rng: np.random.Generator) -> Sequential:
    """The thesis' MNIST network 784 - 128 relu - 10.

    Weights and biases start normal with standard deviation 0.05. Input (N, 28, 28).
    """
    return Sequential(Flatten(), Dense(784, 128, rng), ReLU(), Dense(128, 10, rng))


def cifar10_cnn(rng: np.random.Generator,
                noise: np.random.Generator | None = None) -> Sequential:
    """The thesis' CIFAR-10 network: six 3 x 3 convolutions in three pairs, then two dense layers; input (N, 32, 32, 3).

    [conv relu bn] x 2, max pool 2, dropout, with 32, 64, 128 filters and rates .2, .3, .4; dense 128 relu, bn, dropout
    .5; dense 10. The thesis quantizes the convolutions only. `noise` is what dropout draws from; by default a child of
    rng.
    """
    noise = rng.spawn(1)[0] if noise is None else noise
    layers: list[Layer] = []
    for n_in, filters, rate in ((3, 32, 0.2), (32, 64, 0.3), (64, 128, 0.4)):
        layers += [Conv2D(n_in, filters, 3, rng), ReLU(), BatchNorm(filters),
                   Conv2D(filters, filters, 3, rng), ReLU(), BatchNorm(filters), MaxPool2D(2), Dropout(rate, noise)]
    return Sequential(*layers, Flatten(), Dense(4 * 4 * 128, 128, rng), ReLU(), BatchNorm(128), Dropout(0.5, noise),
                      Dense(128, 10, rng))


def imagenette_resnet(rng: np.random.Generator,
                      noise: np.random.Generator | None = None, size: int = 224) -> Sequential:
    """The thesis' Imagenette network, a ResNet of twenty convolutions; input (N, size, size, 3), size at least 32.

    conv 7 x 7 - 64 stride 2, bn, relu, max pool 3 stride 2, dropout .2; residual blocks of 64, 64, 128, 128, 256, 256,
    512, 512 filters, each conv bn relu conv bn plus its shortcut, then relu; the first with 128, 256 and 512 has stride
    2 and a 1 x 1 convolution with bn as shortcut; dropout .3, global average pool, dropout .3, dense 10. The thesis
    quantizes the convolutions only. noise as in `cifar10_cnn`.
    """
    if size < 32:
        raise ConfigError("imagenette_resnet", "size must be at least 32: the network halves the image five times",
                          got=str(size))
    noise = rng.spawn(1)[0] if noise is None else noise
    layers: list[Layer] = [Conv2D(3, 64, 7, rng, 2), BatchNorm(64), ReLU(), MaxPool2D(3, 2, "same"),
                           Dropout(0.2, noise)]
    n_in = 64
    for filters in (64, 64, 128, 128, 256, 256, 512, 512):
        stride = 1 if filters == n_in else 2
        body = Sequential(Conv2D(n_in, filters, 3, rng, stride), BatchNorm(filters), ReLU(),
                          Conv2D(filters, filters, 3, rng), BatchNorm(filters))
        shortcut = None if stride == 1 else Sequential(Conv2D(n_in, filters, 1, rng, stride), BatchNorm(filters))
        layers += [Residual(body, shortcut), ReLU()]
        n_in = filters
    return Sequential(*layers, Dropout(0.3, noise), GlobalAveragePool2D(), Dropout(0.3, noise), Dense(512, 10, rng))


def lenet(rng: np.random.Generator, shape: tuple[int, int, int] = (28, 28, 1),
          ) -> Sequential:
    """LeNet-5 (LeCun et al. 1998) with relu: two convolutions, three dense layers, 61,706 parameters for grey images.

    conv 5 x 5 - 6, average pool 2, conv 5 x 5 - 16, average pool 2, dense 120, 84, 10; input (N, *shape), images of
    28 x 28 (with a border of 2) or 32 x 32.
    """
    if shape[:2] not in ((28, 28), (32, 32)):
        raise ConfigError("lenet", "images must be 28 x 28 or 32 x 32", got=str(shape))
    return Sequential(Conv2D(shape[2], 6, 5, rng, padding=(32 - shape[0]) // 2), ReLU(), AveragePool2D(2),
                      Conv2D(6, 16, 5, rng, padding="valid"), ReLU(), AveragePool2D(2), Flatten(),
                      Dense(400, 120, rng), ReLU(), Dense(120, 84, rng), ReLU(), Dense(84, 10, rng))


RECURRENT = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def over_rows(kind: str, rng: np.random.Generator, columns: int = 28) -> Sequential:
    """A recurrent network that reads a grey image row by row: 128 units, and on the last state dense 10; input
    (N, rows, columns).

    kind    one of RECURRENT
    """
    return Sequential(RECURRENT[kind](columns, 128, rng), Dense(128, 10, rng))


def vit(rng: np.random.Generator, shape: tuple[int, int, int] = (28, 28, 1), channels: int = 64, heads: int = 4,
        hidden: int = 128) -> Sequential:
    """A vision transformer of one block, 38,474 parameters for grey images of 28 x 28.

    Patches of 7 x 7 (8 x 8 where 7 does not divide the sides) become tokens by one convolution, and a place is added to
    each; the block; layer norm, the mean of all tokens, dense 10. Input (N, *shape).
    Source  Dosovitskiy et al. 2021 (arXiv 2010.11929), with the mean in the place of a token of its own
    """
    height, width, n_in = shape
    side = 7 if height % 7 == width % 7 == 0 else 8
    if height % side or width % side:
        raise ConfigError("vit", "sides of images must be multiples of 7, or of 8", got=str(shape))
    return Sequential(Conv2D(n_in, channels, side, rng, side, "valid"),
                      Position((height // side, width // side, channels), rng),
                      transformer_block(channels, heads, hidden, rng), LayerNorm(channels), GlobalAveragePool2D(),
                      Dense(channels, 10, rng))
