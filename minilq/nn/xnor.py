"""XNORConv2D: a convolution whose outputs are scaled by how large the inputs of each window are."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.nn.conv import Size, window_settings
from minilq.nn.layers import Weighted
from minilq.ops import conv2d
from minilq.ops.window import Padding, geometry, pair
from minilq.quantize import hold


class XNORConv2D(Weighted):
    """The convolution of XNOR-Net: I * W is about (sgn(I) * sgn(W)) K alpha.

    y = conv2d(input, weight) K + bias, with BNN() for the method of the input, BWN() for that of the weight, and K the
    mean of |x| over the channels and each window, of the input before its method: one number for each pixel of y. For
    derivatives K is a constant. The released code leaves K out, which is a Conv2D. `convert` refuses it: K is real.

    n_in, n_out, size, rng, stride, padding, std     as for Conv2D. What is padded is 0, not +-1
    Shapes      x (N, H, W, n_in) -> (N, OH, OW, n_out)
    Source      Rastegari et al. 2016 (arXiv 1603.05279), equations 10 and 11

    >>> layer = XNORConv2D(3, 8, 5, np.random.default_rng(0))
    >>> layer(Tensor(np.zeros((1, 9, 9, 3), np.float32))).shape
    (1, 9, 9, 8)
    """

    def __init__(self, n_in: int, n_out: int, size: Size, rng: np.random.Generator, stride: Size = 1,
                 padding: Padding = "same", std: float = 0.05, dtype: Any = np.float32) -> None:
        size = pair("XNORConv2D", "size", size)
        self.stride, self.padding = pair("XNORConv2D", "stride", stride), padding
        geometry("XNORConv2D", *size, size, self.stride, padding)
        super().__init__((*size, n_in, n_out), (1, 1, 1, n_in), rng, std, dtype)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        no_bias = Tensor(np.zeros(self.weight.shape[-1], x.dtype))
        y = conv2d(self.input(x, training), self.weight(training=training), no_bias, self.stride, self.padding)
        scaled: Tensor = y * hold(self.window_means(x)) + self.bias(training=training)
        return scaled

    def window_means(self, x: Tensor) -> Tensor:
        """K (N, OH, OW, 1)."""
        KH, KW, *_ = self.weight.shape
        box = Tensor(np.full((KH, KW, 1, 1), 1 / (KH * KW), x.dtype))
        means: Tensor = conv2d(abs(x).mean(axis=3, keepdims=True), box, Tensor(np.zeros(1, x.dtype)), self.stride,
                               self.padding)
        return means

    def settings(self) -> dict[str, Any]:
        KH, KW, n_in, n_out = self.weight.shape
        return {"n_in": n_in, "n_out": n_out, **window_settings((KH, KW), self.stride, self.padding)}

    @classmethod
    def made(cls, **settings: Any) -> XNORConv2D:
        return cls(**settings, rng=np.random.default_rng(0), std=0)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        n_in, n_out = settings["n_in"], settings["n_out"]
        return {"weight.latent": (*settings["size"], n_in, n_out), "bias.latent": (n_out,)}
