"""The block of a DenseNet: every layer sees what all before it have made."""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_whole
from minilq.nn.conv import Conv2D
from minilq.nn.layers import ReLU
from minilq.nn.model import Concatenate, Sequential
from minilq.nn.normalise import BatchNorm


def dense_block(n_in: int, growth: int, count: int, rng: np.random.Generator, std: float = 0.1) -> Sequential:
    """`count` layers of batch norm, ReLU and a 3 x 3 convolution, each of which adds `growth` channels to its input.

    Shapes      x (N, H, W, n_in) -> (N, H, W, n_in + count growth)
    Source      Huang et al. 2017 (arXiv 1608.06993), section 3

    >>> from minilq import Tensor
    >>> block = dense_block(4, 3, 2, np.random.default_rng(0))
    >>> block, block(Tensor(np.zeros((1, 5, 5, 4), np.float32))).shape
    (Sequential(concatenate1, concatenate2), (1, 5, 5, 10))
    """
    for name, n in (("n_in", n_in), ("growth", growth), ("count", count)):
        check_whole("dense_block", name, n)
    channels = range(n_in, n_in + count * growth, growth)
    return Sequential(*[Concatenate(Sequential(BatchNorm(n), ReLU(), Conv2D(n, growth, 3, rng, std=std)))
                        for n in channels])
