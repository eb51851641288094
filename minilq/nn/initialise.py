"""Initial values of parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.autodiff.parameter import Parameter


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 0.05, dtype: Any = np.float32) -> Parameter:
    """A parameter drawn from a normal distribution with mean 0; std 0.05 is the thesis' for weights and biases.

    With std=0 nothing is drawn: zeros, for parameters that are filled afterwards.
    """
    return Parameter(std * rng.standard_normal(shape) if std else np.zeros(shape, dtype), dtype=dtype)


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, int], dtype: Any = np.float32) -> Parameter:
    """A parameter drawn uniformly within +- sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010)."""
    bound = math.sqrt(6 / sum(shape))
    return Parameter(rng.uniform(-bound, bound, shape), dtype=dtype)


def constant(value: float, shape: tuple[int, ...], dtype: Any = np.float32) -> Parameter:
    """A parameter of one number."""
    return Parameter(np.full(shape, value), dtype=dtype)
