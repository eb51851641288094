"""Initial values of parameters and scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.quantize import SCALE_MIN
from minilq.quantize.positivity import positivity_named


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 0.05, dtype: Any = np.float32) -> Tensor:
    """A parameter drawn from a normal distribution with mean 0; std 0.05 is the thesis' for weights and biases.

    With std=0 nothing is drawn: zeros, for parameters that are filled afterwards.
    """
    draws = std * rng.standard_normal(shape) if std else np.zeros(shape, dtype)
    return Tensor(draws, requires_grad=True, dtype=dtype)


def initial_latent(positivity: str, shape: tuple[int, ...], dtype: Any) -> Tensor:
    """The latents of scales that are all SCALE_MIN: almost no quantization at first (thesis).

    With positivity "clamp" they are the scales. With "power_of_two" the scales are 2^-16 = 1.28 SCALE_MIN, the power
    nearest to it.
    """
    return Tensor(positivity_named(positivity).latent_of(np.full(shape, SCALE_MIN)), requires_grad=True, dtype=dtype)
