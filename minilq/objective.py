"""What is added to the task loss."""

from __future__ import annotations

from collections.abc import Iterable

from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops import sum_of_squares


def l2(parameters: Iterable[Tensor], rate: float) -> Tensor:
    """Weight decay as a loss: rate * sum over all parameters of sum_i P_i^2, a scalar Tensor; dP = 2 rate P.

    Of the latent values, not of what quantizers make of them. Raises ConfigError without a parameter.
    Source      the thesis' Imagenette recipe: rate 1e-4 on kernels and biases of the residual blocks

    >>> l2([Tensor([1.0, 2.0]), Tensor([[3.0]])], rate=0.5).item()
    7.0
    """
    squares = [sum_of_squares(p) for p in parameters]
    if not squares:
        raise ConfigError("l2", "there must be a parameter", got="none")
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return rate * total
