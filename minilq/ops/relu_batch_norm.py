"""relu and batch normalisation in one: what lies between them, as large as x, is neither written nor kept (by the
kernels, of an x whose numbers lie side by side)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import away_from
from minilq.autodiff.tape import Array
from minilq.kernels import twin
from minilq.ops.elementwise import rectified, where_positive
from minilq.ops.normalise import (
    check_batch_norm,
    follow_batch,
    gradient_sums,
    input_gradient,
    normalised,
    statistics,
)


@primitive
def relu_batch_norm(x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any, training: bool = True,
                    momentum: float = 0.99, eps: float = 1e-3) -> WithResidual:
    """`batch_norm` of `relu(x)`, to the last bit: what a Sequential makes of a ReLU and the BatchNorm behind it.

    Forward     y = gamma xhat + beta, xhat = (z - mu) r, z = max(x, 0); mu, r and the rest as in `batch_norm`, of z
    Derivative  kind: exact. dbeta = sum g, dgamma = sum g xhat; dx = dz of `batch_norm` where x > 0, else 0
    At kinks    relu'(0) = 0.
    Shapes, dtype, errors and source as in `batch_norm`.

    >>> x = np.array([[-1.0], [3.0]])
    >>> relu_batch_norm(x, np.ones(1), np.zeros(1), np.zeros(1), np.ones(1)).round(3)
    array([[-1.],
           [ 1.]])
    """
    check_batch_norm("relu_batch_norm", x, gamma, beta, running_mean, running_var, training, momentum, eps)
    if training:
        mean, var = rectified_statistics(x)
        follow_batch(running_mean, running_var, mean, var, x.size // x.shape[-1], momentum)
    else:
        mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
    inv_std = 1 / np.sqrt(var + eps)                             # (C,), float64
    return WithResidual(rectified_normalised(x, mean, inv_std, gamma, beta), (mean, inv_std))


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Array]]:
    x = away_from(np.arange(-3.0, 3.0), rng, (2, 2, 3, 3))
    return [x, *rng.standard_normal((2, 3))], {"running_mean": np.zeros(3), "running_var": np.ones(3)}


@vjp_of(relu_batch_norm, kind="exact", needs="x gamma", at=_at)
def relu_batch_norm_vjp(g: Array, y: Array, x: Array, gamma: Array, beta: Array, running_mean: Array,
                        running_var: Array, training: bool = True, momentum: float = 0.99, eps: float = 1e-3, *,
                        residual: tuple[Array, Array], need: tuple[bool, ...] = (True, True, True),
                        ) -> tuple[Array | None, Array, Array]:
    mean, inv_std = residual
    # y = batch_norm(z), z = max(x, 0)   =>   dgamma and dbeta as there,  dx = dz [x > 0]
    dbeta, dgamma = rectified_gradient_sums(g, x, mean, inv_std)
    dx = None
    if need[0] and training:
        dx = rectified_input_gradient(g, x, mean, inv_std, gamma, dgamma, dbeta)
    elif need[0]:
        dx = where_positive(g * (gamma * inv_std).astype(g.dtype), x)
    return dx, dgamma.astype(g.dtype), dbeta.astype(g.dtype)


@twin("normalise")
def rectified_statistics(x: Array) -> tuple[Array, Array]:
    """`statistics` of max(x, 0)."""
    return statistics(rectified(x))


@twin("normalise")
def rectified_normalised(x: Array, mean: Array, inv_std: Array, gamma: Array, beta: Array) -> Array:
    """`normalised` of max(x, 0)."""
    return normalised(rectified(x), mean, inv_std, gamma, beta)


@twin("normalise")
def rectified_gradient_sums(g: Array, x: Array, mean: Array, inv_std: Array) -> tuple[Array, Array]:
    """`gradient_sums` of max(x, 0)."""
    return gradient_sums(g, rectified(x), mean, inv_std)


@twin("normalise")
def rectified_input_gradient(g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array, dgamma: Array,
                             dbeta: Array) -> Array:
    """`input_gradient` of max(x, 0), where x > 0, else 0."""
    return where_positive(input_gradient(g, rectified(x), mean, inv_std, gamma, dgamma, dbeta), x)
