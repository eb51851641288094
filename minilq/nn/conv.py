"""Layers for images: convolution and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.nn.layer import Layer
from minilq.nn.layers import Weighted
from minilq.ops import average_pool2d, conv2d, global_average_pool2d, max_pool2d
from minilq.ops.pool import check_borders
from minilq.ops.window import Padding, geometry, pair, sides_of

Size = int | tuple[int, int]


class Conv2D(Weighted):
    """Convolution of images; see `minilq.conv2d`.

    n_in, n_out         numbers of channels of x and of y (filters)
    size                KH = KW, or (KH, KW)
    rng                 a numpy.random.Generator, for the initial values
    stride, padding     as in `minilq.conv2d`
    std                 standard deviation of the initial weight and bias (thesis: 0.05)
    Shapes              x (N, H, W, n_in) -> (N, OH, OW, n_out); the weight is the kernel (KH, KW, n_in, n_out)

    >>> layer = Conv2D(3, 8, 5, np.random.default_rng(0), stride=2)
    >>> layer.weight.latent.shape, layer(Tensor(np.zeros((1, 9, 9, 3), np.float32))).shape
    ((5, 5, 3, 8), (1, 5, 5, 8))
    """

    def __init__(self, n_in: int, n_out: int, size: Size, rng: np.random.Generator, stride: Size = 1,
                 padding: Padding = "same", std: float = 0.05, dtype: Any = np.float32) -> None:
        size = pair("Conv2D", "size", size)
        self.stride, self.padding = pair("Conv2D", "stride", stride), padding
        geometry("Conv2D", *size, size, self.stride, padding)            # a padding that there is not is found out now
        super().__init__((*size, n_in, n_out), (1, 1, 1, n_in), rng, std, dtype)
        self.weight.transformed = True

    def product(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return conv2d(x, w, b, self.stride, self.padding)

    def settings(self) -> dict[str, Any]:
        KH, KW, n_in, n_out = self.weight.shape
        return {"n_in": n_in, "n_out": n_out, **window_settings((KH, KW), self.stride, self.padding)}

    @classmethod
    def made(cls, **settings: Any) -> Conv2D:
        return cls(**settings, rng=np.random.default_rng(0), std=0)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        n_in, n_out = settings["n_in"], settings["n_out"]
        return {"weight.latent": (*settings["size"], n_in, n_out), "bias.latent": (n_out,)}


class Pool(Layer):
    """What pools share: their windows. stride=None moves by the size of the window.

    Raises      ConfigError for a size, stride or padding that makes no windows
    """

    def __init__(self, size: Size, stride: Size | None = None, padding: Padding = "valid") -> None:
        self.size, self.padding = pair(type(self).__name__, "size", size), padding
        self.stride = self.size if stride is None else pair(type(self).__name__, "stride", stride)
        op = type(self).__name__
        check_borders(op, geometry(op, *self.size, self.size, self.stride, padding), padding)


class MaxPool2D(Pool):
    """The largest number of each window; see `minilq.max_pool2d`. stride=None moves by the size of the window."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return max_pool2d(x, self.size, self.stride, self.padding)

    def settings(self) -> dict[str, Any]:
        return window_settings(self.size, self.stride, self.padding)


class AveragePool2D(Pool):
    """The mean of each window; see `minilq.average_pool2d`. stride=None moves by the size of the window."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return average_pool2d(x, self.size, self.stride, self.padding)

    def settings(self) -> dict[str, Any]:
        return window_settings(self.size, self.stride, self.padding)


class GlobalAveragePool2D(Layer):
    """The mean of each channel over the image: (N, H, W, C) -> (N, C)."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return global_average_pool2d(x)

    def settings(self) -> dict[str, Any]:
        return {}


def window_settings(size: tuple[int, ...], stride: tuple[int, int], padding: Padding) -> dict[str, Any]:
    """Size, stride and padding with two numbers each, of a padding that is no word, four."""
    if padding not in ("same", "valid"):
        top, bottom, left, right = sides_of("settings", padding)
        padding = ((top, bottom), (left, right))
    return {"size": size, "stride": stride, "padding": padding}
