"""Initial values of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.parameter import Parameter


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 0.05, dtype: Any = np.float32) -> Parameter:
    """A parameter drawn from a normal distribution with mean 0; std 0.05 is the thesis' for weights and biases.

    With std=0 nothing is drawn: zeros, for parameters that are filled afterwards.
    """
    return Parameter(std * rng.standard_normal(shape) if std else np.zeros(shape, dtype), dtype=dtype)
