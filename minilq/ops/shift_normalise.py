"""Shift-based batch normalisation: every multiplication is one by a power of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import WithResidual, primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.ops.broadcast import check_floats
from minilq.ops.normalise import check_settings
from minilq.ops.powers import ap2


@primitive
def shift_batch_norm(x: Any, gamma: Any, beta: Any, running_mean: Array, running_inverse: Array, training: bool = True,
                     momentum: float = 0.875, eps: float = 1e-5) -> WithResidual:
    """Batch normalisation of each channel with shifts in place of products.

    Forward     c = x - mu,  r = (mean(c AP2(c)) + eps)^(-1/2),  y = c AP2(r) AP2(gamma) + beta, AP2 the nearest power
                of two. In training mu and r are those of the batch, and running_mean and running_inverse follow them in
                place: running <- momentum running + (1 - momentum) batch. In inference they are taken
    Derivative  kind: surrogate. With p = AP2(r), G = AP2(gamma), A = AP2(c):
                    dbeta = sum g,  dgamma = sum g A p
                    dx = G p (g - mean g - A p^2 mean(g A)) in training, as if the powers were what they stand for;
                    dx = G p g in inference
    Shapes      x (..., C), the others (C,) -> x.shape
    Dtype       float32 or float64, one for all, preserved
    Raises      ShapeError, DTypeError
    Source      Hubara et al. 2016 (arXiv 1602.02830), algorithm 3; what is averaged: github.com/itayhubara/BinaryNet

    >>> shift_batch_norm(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), np.zeros(1), np.ones(1)).ravel().tolist()
    [-1.0, 1.0]
    """
    check_floats("shift_batch_norm", x=x, gamma=gamma, beta=beta, running_mean=running_mean,
                 running_inverse=running_inverse)
    if x.ndim == 0 or any(a.shape != x.shape[-1:] for a in (gamma, beta, running_mean, running_inverse)) or not x.size:
        raise ShapeError("shift_batch_norm", "x must be (..., C), not empty, and the others (C,)",
                         got=f"x {x.shape}, gamma {gamma.shape}, beta {beta.shape}")
    check_settings("shift_batch_norm", training, momentum, eps, running_mean, running_inverse)
    mean, inverse = running_mean.copy(), running_inverse.copy()
    if training:
        mean, inverse = shift_statistics(x, eps)
        for running, batch in ((running_mean, mean), (running_inverse, inverse)):
            running[...] = momentum * running + (1 - momentum) * batch
    return WithResidual(shifted(x, mean, inverse, gamma, beta), (mean, inverse))


@vjp_of(shift_batch_norm, kind="surrogate", needs="x gamma",
        at=normal((5, 3), (3,), (3,), running_mean=np.zeros(3), running_inverse=np.ones(3)))
def shift_batch_norm_vjp(g: Array, y: Array, x: Array, gamma: Array, beta: Array, running_mean: Array,
                         running_inverse: Array, training: bool = True, momentum: float = 0.875, eps: float = 1e-5, *,
                         residual: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    mean, inverse = residual
    p, G, A = ap2(inverse), ap2(gamma), ap2(x - mean)
    axes = tuple(range(x.ndim - 1))
    dx = g
    if training:                                 # c_i moves by dx_i - mean dx, and p by -p^3 mean(A dc)
        dx = g - g.mean(axis=axes) - A * p**2 * (g * A).mean(axis=axes)
    return G * p * dx, (g * A * p).sum(axis=axes), g.sum(axis=axes)


@smooth_of(shift_batch_norm)
def shift_batch_norm_smooth(keep: Keep, x: Array, gamma: Array, beta: Array, running_mean: Array,
                            running_inverse: Array, training: bool = True, momentum: float = 0.875, eps: float = 1e-5,
                            ) -> WithResidual:
    """Powers of two are held; r moves as the inverse root of mean c^2 does, gamma as a factor of A p."""
    axes = tuple(range(x.ndim - 1))
    mean, inverse = keep(shift_statistics(x, eps) if training else (running_mean.copy(), running_inverse.copy()))
    value, p, G, A = (keep(a) for a in (shifted(x, mean, inverse, gamma, beta), ap2(inverse), ap2(gamma),
                                        ap2(x - mean)))
    dx = x - keep(x)
    if training:
        dx = dx - dx.mean(axis=axes) - A * p**2 * (A * dx).mean(axis=axes)
    y = value + G * p * dx + (gamma - keep(gamma)) * A * p + (beta - keep(beta))
    return WithResidual(y, (mean, inverse))


def shift_statistics(x: Array, eps: float) -> tuple[Array, Array]:
    """mu and r of each channel."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    c = x - mean
    return mean, np.asarray(1 / np.sqrt((c * ap2(c)).mean(axis=axes) + eps), x.dtype)


def shifted(x: Array, mean: Array, inverse: Array, gamma: Array, beta: Array) -> Array:
    return np.asarray((x - mean) * ap2(inverse) * ap2(gamma) + beta)
