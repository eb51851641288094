"""Layer normalisation: the numbers of each row get mean 0 and spread 1, and then what each channel has learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.ops.broadcast import check_reals


@primitive
def layer_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> WithResidual:
    """Layer normalisation over the last axis.

    Forward     y = gamma xhat + beta, xhat = (x - mu) r, r = (var + eps)^(-1/2), with mu and var = mean (x - mu)^2 of
                the C numbers of each row
    Derivative  kind: exact. dbeta = sum g, dgamma = sum g xhat over all rows, and with h = g gamma, in each row
                dx = r (h - mean h - xhat mean(h xhat))
    At kinks    a row of equal numbers gives beta; one number alone sends nothing back
    Shapes      x (..., C), gamma and beta (C,) -> x.shape
    Dtype       float32 or float64, one for all, preserved; mu and var are kept in float64
    Raises      ShapeError, DTypeError; ConfigError for eps <= 0
    Source      Ba, Kiros and Hinton 2016 (arXiv 1607.06450)

    >>> layer_norm(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2)).round(3).tolist()
    [[-1.0, 1.0]]
    """
    _check(x, gamma, beta, eps)
    mean = x.mean(axis=-1, keepdims=True, dtype=np.float64)
    inv_std = 1 / np.sqrt(np.square(x - mean).mean(axis=-1, keepdims=True) + eps)           # (..., 1), float64
    xhat = ((x - mean) * inv_std).astype(x.dtype)
    return WithResidual(xhat * gamma + beta, (xhat, inv_std.astype(x.dtype)))


@vjp_of(layer_norm, kind="exact", needs="gamma", at=normal((2, 3, 5), (5,), (5,)))
def layer_norm_vjp(g: Array, y: Array, x: Array, gamma: Array, beta: Array, eps: float = 1e-5, *,
                   residual: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    xhat, inv_std = residual
    rows = tuple(range(x.ndim - 1))
    # y_ic = gamma_c xhat_ic + beta_c   =>   dbeta_c = sum_i g_ic,  dgamma_c = sum_i g_ic xhat_ic
    dbeta, dgamma = g.sum(axis=rows), (g * xhat).sum(axis=rows)
    # dxhat_c = h_c = g_c gamma_c; x_c moves xhat_c by r, every xhat_d by -r/C, and, as dr = -r xhat_c r/C dx_c, by
    # -r xhat_c xhat_d/C               =>   dx_c = r (h_c - (sum_d h_d + xhat_c sum_d h_d xhat_d)/C)
    h = g * gamma
    dx = inv_std * (h - h.mean(axis=-1, keepdims=True) - xhat * (h * xhat).mean(axis=-1, keepdims=True))
    return dx, dgamma, dbeta


def _check(x: Any, gamma: Any, beta: Any, eps: float) -> None:
    check_reals("layer_norm", x=x, gamma=gamma, beta=beta)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError("layer_norm", "x must be (..., C), with at least one channel", got=f"x {x.shape}")
    for name, v in (("gamma", gamma), ("beta", beta)):
        if v.shape != x.shape[-1:]:
            raise ShapeError("layer_norm", f"{name} must have one number for each channel, the last axis of x",
                             got=f"{name} {v.shape}, x {x.shape}")
        if v.dtype != x.dtype:
            raise DTypeError("layer_norm", f"{name} must have the dtype of x", got=f"{v.dtype} beside {x.dtype}")
    if not is_number(eps) or not eps > 0:
        raise ConfigError("layer_norm", "eps must be a number > 0", got=shown(eps))
