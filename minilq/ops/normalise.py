"""Batch normalisation: every channel gets the mean and the spread that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import check_flag, is_number, shown
from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.kernels import twin
from minilq.ops.broadcast import check_floats


@primitive
def batch_norm(x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any, training: bool = True,
               momentum: float = 0.99, eps: float = 1e-3) -> WithResidual:
    """Batch normalisation of each channel, over all other axes.

    Forward     y = gamma xhat + beta, xhat = (x - mu) r, r = (var + eps)^(-1/2)
                In training mu and var = (1/n) sum (x - mu)^2 are those of the batch, n numbers per channel, and
                running_mean and running_var follow in place:  running <- momentum running + (1 - momentum) batch.
                running_var follows var n/(n-1), the unbiased estimate, as in PyTorch and TensorFlow's fused kernel
                (var itself for n = 1). In inference mu and var are the running ones, and nothing is changed.
    Derivative  kind: exact. dbeta = sum g, dgamma = sum g xhat, and in training, where mu and var depend on x,
                dx = gamma r (g - (dbeta + xhat dgamma)/n); in inference dx = g gamma r. No gradient reaches the
                running statistics.
    Shapes      x (..., C) such as (N, C) or (N, H, W, C), the other four (C,) -> x.shape
    momentum    Keras' convention, the share that is kept; PyTorch's momentum is 1 minus this one
    Dtype       float32 or float64, preserved; mu, var and all sums over a channel are kept in float64
    Raises      ShapeError for lengths that do not match and for an empty batch in training; ConfigError for momentum
                outside [0, 1), for eps <= 0, and for running statistics that cannot be written in training; DTypeError
    Source      Ioffe and Szegedy 2015, algorithms 1 and 2

    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> mean, var = np.zeros(2), np.ones(2)
    >>> batch_norm(x, np.ones(2), np.zeros(2), mean, var, momentum=0.5).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> mean, var                                                # half of the way to (2, 20) and to (2, 200)
    (array([ 1., 10.]), array([  1.5, 100.5]))
    """
    check_batch_norm("batch_norm", x, gamma, beta, running_mean, running_var, training, momentum, eps)
    if training:
        mean, var = statistics(x)
        follow_batch(running_mean, running_var, mean, var, x.size // x.shape[-1], momentum)
    else:
        mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
    inv_std = 1 / np.sqrt(var + eps)                             # (C,), float64
    return WithResidual(normalised(x, mean, inv_std, gamma, beta), (mean, inv_std))


@vjp_of(batch_norm, kind="exact", needs="x gamma",
        at=normal((2, 2, 3, 3), (3,), (3,), running_mean=np.zeros(3), running_var=np.ones(3)))
def batch_norm_vjp(g: Array, y: Array, x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array,
                   training: bool = True, momentum: float = 0.99, eps: float = 1e-3, *,
                   residual: tuple[Array, Array], need: tuple[bool, ...] = (True, True, True),
                   ) -> tuple[Array | None, Array, Array]:
    mean, inv_std = residual
    # y_ic = gamma_c xhat_ic + beta_c   =>   dbeta_c = sum_i g_ic,  dgamma_c = sum_i g_ic xhat_ic
    dbeta, dgamma = gradient_sums(g, x, mean, inv_std)
    dx = None
    if need[0] and training:
        # xhat_i = (x_i - mu) r and dxhat_i = g_i gamma; x_i moves xhat_i by r, every xhat_j by -r dmu = -r/n, and, as
        # dr = -r^3/2 dvar and dvar = 2 (x_i - mu)/n dx_i = 2 xhat_i/(n r) dx_i, every xhat_j by -r xhat_i xhat_j/n
        #                               =>   dx_i = gamma r (g_i - (sum_j g_j + xhat_i sum_j g_j xhat_j)/n)
        dx = input_gradient(g, x, mean, inv_std, gamma, dgamma, dbeta)
    elif need[0]:
        # mu and r do not depend on x   =>   dx_ic = g_ic gamma_c r_c
        dx = g * (gamma * inv_std).astype(g.dtype)
    return dx, dgamma.astype(g.dtype), dbeta.astype(g.dtype)


@twin("normalise")
def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel, in float64. The mean comes first, so a large one does no harm."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes, dtype=np.result_type(x, np.float64))
    return mean, np.square(x - mean).mean(axis=axes)


@twin("normalise")
def normalised(x: Array, mean: Array, inv_std: Array, gamma: Array, beta: Array) -> Array:
    """gamma (x - mean) inv_std + beta."""
    return ((x - mean) * inv_std * gamma + beta).astype(np.result_type(x, gamma, beta))


@twin("normalise")
def gradient_sums(g: Array, x: Array, mean: Array, inv_std: Array) -> tuple[Array, Array]:
    """(sum g, sum g xhat) of each channel, in float64."""
    axes = tuple(range(x.ndim - 1))
    return g.sum(axis=axes, dtype=np.float64), (g * ((x - mean) * inv_std)).sum(axis=axes)


@twin("normalise")
def input_gradient(g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array, dgamma: Array, dbeta: Array) -> Array:
    """dx = gamma r (g - (sum g + xhat sum g xhat)/n)."""
    n = x.size // x.shape[-1]
    return (gamma * inv_std * (g - (dbeta + (x - mean) * inv_std * dgamma) / n)).astype(g.dtype)


def follow(running: Array, batch: Array, momentum: float) -> None:
    """The running statistics take in those of a batch."""
    running[...] = momentum * running + (1 - momentum) * np.real(batch)


def follow_batch(running_mean: Array, running_var: Array, mean: Array, var: Array, n: int, momentum: float) -> None:
    """The running mean and the running variance take in those of a batch of n numbers a channel."""
    follow(running_mean, mean, momentum)
    follow(running_var, var * (n / (n - 1)) if n > 1 else var, momentum)


def check_batch_norm(op: str, x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any, training: bool,
                     momentum: float, eps: float) -> None:
    """The errors of `batch_norm`, or of another op."""
    vectors = {"gamma": gamma, "beta": beta, "running_mean": running_mean, "running_var": running_var}
    check_floats(op, x=x, **vectors)
    if x.ndim < 2 or x.shape[-1] == 0:
        raise ShapeError(op, "x must be (N, C) or (N, H, W, C), with at least one channel",
                         got=f"x {x.shape}", cause="One sample needs a batch axis: x[None]" if x.ndim == 1 else "")
    for name, v in vectors.items():
        if v.shape != x.shape[-1:]:
            raise ShapeError(op, f"{name} must have one number for each channel, the last axis of x",
                             got=f"{name} {v.shape}, x {x.shape}",
                             cause="x seems to be (N, C, H, W): x.transpose(0, 2, 3, 1) puts the channels last"
                             if x.ndim == 4 and v.shape == x.shape[1:2] else "")
        if v.real.dtype != x.real.dtype:
            raise DTypeError(op, f"{name} must have the dtype of x", got=f"{v.dtype} beside {x.dtype}")
    check_settings(op, training, momentum, eps, running_mean, running_var)
    if training and x.size == 0:
        raise ShapeError(op, "a batch to train on must not be empty", got=f"x {x.shape}")


def check_settings(op: str, training: bool, momentum: float, eps: float, *running: Array) -> None:
    """ConfigError for settings that a batch normalisation cannot have, and in training for read-only statistics."""
    check_flag(op, "training", training)
    if not is_number(momentum) or not 0 <= momentum < 1:
        raise ConfigError(op, "momentum must be a number with 0 <= momentum < 1", got=shown(momentum),
                          cause="It is the share of the running statistics that is kept")
    if not is_number(eps) or not eps > 0:
        raise ConfigError(op, "eps must be a number > 0", got=shown(eps))
    if training and not all(a.flags.writeable for a in running):
        raise ConfigError(op, "running statistics must be writable in training: they are updated in place",
                          got="a read-only array, or one in the other byte order",
                          cause="Pass a copy, in the byte order of this machine")
