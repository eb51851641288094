"""Initial values of parameters and scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.quantize import SCALE_MIN, Quantizer, scale_shape


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 0.05, dtype: Any = np.float32) -> Tensor:
    """A parameter drawn from a normal distribution with mean 0; std 0.05 is the thesis' for weights and biases."""
    draws = std * rng.standard_normal(shape)
    return Tensor(draws, requires_grad=True, dtype=dtype)


def initial_scale(quantizer: Quantizer, parameter: Tensor) -> Tensor:
    """Scales for a parameter, all SCALE_MIN: almost no quantization at first (thesis)."""
    shape = scale_shape(quantizer.granularity, parameter.shape)
    return Tensor(np.full(shape, SCALE_MIN), requires_grad=True, dtype=parameter.dtype)
