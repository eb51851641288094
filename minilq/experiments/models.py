"""The networks of the thesis."""

from __future__ import annotations

import numpy as np

from minilq.nn import Dense, Flatten, ReLU, Sequential
from minilq.nn.layers import scalar
from minilq.quantize import Quantizer


def mnist_mlp(rng: np.random.Generator, quantizer: Quantizer | None = None) -> Sequential:
    """The thesis' MNIST network 784 - 128 relu - 10; weights as the quantizer says, biases with one scale each.

    Weights and biases start normal with standard deviation 0.05. Input (N, 28, 28).
    """
    return Sequential(Flatten(), Dense(784, 128, rng, quantizer, scalar(quantizer)), ReLU(),
                      Dense(128, 10, rng, quantizer, scalar(quantizer)))
