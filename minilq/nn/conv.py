"""Layers for images: convolution and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.nn.layers import Layer, Weighted
from minilq.ops import average_pool2d, conv2d, global_average_pool2d, max_pool2d
from minilq.ops.window import Padding, pair
from minilq.quantize import Quantizer

Size = int | tuple[int, int]


class Conv2D(Weighted):
    """Convolution of images whose kernel and bias may each pass a quantizer first; see `minilq.conv2d`.

    n_in, n_out         numbers of channels of x and of y (filters)
    size                KH = KW, or (KH, KW)
    rng                 a numpy.random.Generator, for the initial values
    kernel_quantizer    a Quantizer or None (full precision); of the kernel (KH, KW, n_in, n_out) "row" keeps KH,
                        "column" KW, "channel" n_in and "filter" n_out
    bias_quantizer      a Quantizer or None, with granularity "scalar": `minilq.nn.scalar(kernel_quantizer)`
    stride, padding     as in `minilq.conv2d`
    std                 standard deviation of the initial kernel and bias (thesis: 0.05)
    Shapes              x (N, H, W, n_in) -> (N, OH, OW, n_out)

    >>> layer = Conv2D(3, 8, 5, np.random.default_rng(0), Quantizer(granularity="channel"), stride=2)
    >>> layer.scales()["kernel"].shape, layer(Tensor(np.zeros((1, 9, 9, 3), np.float32))).shape
    ((1, 1, 3, 1), (1, 5, 5, 8))
    """

    def __init__(self, n_in: int, n_out: int, size: Size, rng: np.random.Generator,
                 kernel_quantizer: Quantizer | None = None, bias_quantizer: Quantizer | None = None,
                 stride: Size = 1, padding: Padding = "same", std: float = 0.05, dtype: Any = np.float32) -> None:
        if n_in < 1 or n_out < 1:
            raise ConfigError("Conv2D", "n_in and n_out must be at least 1", got=f"n_in={n_in}, n_out={n_out}")
        shape = (*pair("Conv2D", "size", size), n_in, n_out)
        super().__init__("kernel", shape, rng, kernel_quantizer, bias_quantizer, std, dtype)
        self.stride, self.padding = pair("Conv2D", "stride", stride), padding

    @property
    def kernel(self) -> Tensor:
        return self._parameters["kernel"]

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return conv2d(x, self.seen("kernel"), self.seen("bias"), self.stride, self.padding)


class MaxPool2D(Layer):
    """The largest number of each window; see `minilq.max_pool2d`. stride=None moves by the size of the window."""

    def __init__(self, size: Size, stride: Size | None = None, padding: Padding = "valid") -> None:
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return max_pool2d(x, self.size, self.stride, self.padding)


class AveragePool2D(Layer):
    """The mean of each window; see `minilq.average_pool2d`. stride=None moves by the size of the window."""

    def __init__(self, size: Size, stride: Size | None = None, padding: Padding = "valid") -> None:
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return average_pool2d(x, self.size, self.stride, self.padding)


class GlobalAveragePool2D(Layer):
    """The mean of each channel over the image: (N, H, W, C) -> (N, C)."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return global_average_pool2d(x)
