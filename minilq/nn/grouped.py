"""Grouped and depthwise convolution, and a block of mobile networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.nn.conv import Conv2D, Size, window_settings
from minilq.nn.layers import ReLU, Weighted
from minilq.nn.model import Sequential
from minilq.nn.normalise import BatchNorm
from minilq.ops import grouped_conv2d
from minilq.ops.grouped_conv import check_groups
from minilq.ops.window import Padding, geometry, pair


class GroupedConv2D(Weighted):
    """Convolution in which each filter sees the channels of its own group; see `minilq.grouped_conv2d`.

    n_in, n_out         numbers of channels of x and of y (filters)
    groups              how many; n_in of them are a depthwise convolution
    size, rng, stride, padding, std     as for Conv2D
    Shapes              x (N, H, W, n_in) -> (N, OH, OW, n_out); the weight is (KH, KW, n_in / groups, n_out)
    Raises              ConfigError for groups that divide n_in or n_out with a rest

    >>> layer = GroupedConv2D(4, 8, 3, 4, np.random.default_rng(0))
    >>> layer.weight.latent.shape, layer(Tensor(np.zeros((1, 9, 9, 4), np.float32))).shape
    ((3, 3, 1, 8), (1, 9, 9, 8))
    """

    def __init__(self, n_in: int, n_out: int, size: Size, groups: int, rng: np.random.Generator, stride: Size = 1,
                 padding: Padding = "same", std: float = 0.05, dtype: Any = np.float32) -> None:
        size = pair("GroupedConv2D", "size", size)
        self.stride, self.padding = pair("GroupedConv2D", "stride", stride), padding
        geometry("GroupedConv2D", *size, size, self.stride, padding)
        pair("GroupedConv2D", "numbers of channels", (n_in, n_out))
        check_groups("GroupedConv2D", groups, n_in, n_out)
        self.groups = groups
        super().__init__((*size, n_in // groups, n_out), (1, 1, 1, n_in), rng, std, dtype)

    def product(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return grouped_conv2d(x, w, b, self.groups, self.stride, self.padding)

    def settings(self) -> dict[str, Any]:
        KH, KW, inner, n_out = self.weight.shape
        return {"n_in": inner * self.groups, "n_out": n_out, "groups": self.groups,
                **window_settings((KH, KW), self.stride, self.padding)}

    @classmethod
    def made(cls, **settings: Any) -> GroupedConv2D:
        return cls(**settings, rng=np.random.default_rng(0), std=0)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        n_out = settings["n_out"]
        return {"weight.latent": (*settings["size"], settings["n_in"] // settings["groups"], n_out),
                "bias.latent": (n_out,)}


def separable(n_in: int, n_out: int, rng: np.random.Generator, stride: Size = 1, std: float = 0.3) -> Sequential:
    """MobileNet's block: 3 x 3 of each channel alone, then 1 x 1 of all of them, each with batch norm and ReLU.

    Source      Howard et al. 2017 (arXiv 1704.04861), figure 3

    >>> separable(4, 8, np.random.default_rng(0))
    Sequential(groupedconv2d1, batchnorm1, relu1, conv2d1, batchnorm2, relu2)
    """
    return Sequential(GroupedConv2D(n_in, n_in, 3, n_in, rng, stride, std=std), BatchNorm(n_in), ReLU(),
                      Conv2D(n_in, n_out, 1, rng, std=std), BatchNorm(n_out), ReLU())
