"""How sharply the loss bends in a parameter: the trace of its block of the Hessian, by Hutchinson's estimator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minilq.arguments import check_function, check_generator, check_instance, check_whole, is_number, shown
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError
from minilq.post.gradient import loss_and_gradients


class Trace(NamedTuple):
    """The mean over the samples, and its standard error."""

    mean: float
    error: float


def hessian_trace(loss_of: Callable[[], Tensor], latent: Parameter, rng: np.random.Generator, samples: int = 32,
                  step: float = 1e-2) -> Trace:
    """tr H of the block of one parameter: the mean of v . H v over random signs v, all other parameters held.

        E[v_i v_j] = [i = j]:  E[v . H v] = sum_ij H_ij E[v_i v_j] = tr H
        H v by central differences of gradients,  H v = (g(P + h v) - g(P - h v)) / 2h,  h = step rms(P)

    At kinks, as of a relu, differences see by how much the slope changes within h, which a second derivative does not.

    loss_of     () -> the loss of the model as it is now, a scalar Tensor, the same whenever the model is the same
    latent      the Parameter, which is as it was when this returns; no `.grad` is touched
    rng         what draws the signs
    samples     how many v, at least 2: two gradients each
    step        > 0; in float32 a smaller one drowns in the rounding of gradients
    Raises      ConfigError for other arguments; ShapeError when the loss is not one number; NonFiniteError for
                gradients that are none
    Source      Hutchinson 1989, A stochastic estimator of the trace of the influence matrix; for networks Dong et al.
                2020 (HAWQ-V2, NeurIPS)

    >>> from minilq import Parameter, sum_of_squares
    >>> P = Parameter(np.array([1.0, -2.0, 0.5]))
    >>> trace = hessian_trace(lambda: sum_of_squares(P), P, np.random.default_rng(0), samples=4)
    >>> round(trace.mean, 9), round(trace.error, 9)            # H = 2 times the identity
    (6.0, 0.0)
    """
    check_function("hessian_trace", "loss_of", loss_of, " of nothing")
    check_instance("hessian_trace", "latent", latent, Parameter, "a Parameter")
    check_generator("hessian_trace", rng)
    check_whole("hessian_trace", "samples", samples, 2)
    if not is_number(step) or not step > 0:
        raise ConfigError("hessian_trace", "step must be a number > 0", got=shown(step))
    P = latent.array.copy()
    h = step * (float(np.sqrt(np.mean(np.square(P, dtype=np.float64)))) or 1.0)
    found = []
    try:
        for _ in range(samples):
            v = rng.integers(0, 2, P.shape) * 2.0 - 1
            above, below = (gradient_at(loss_of, latent, (P + sign * h * v).astype(P.dtype)) for sign in (1, -1))
            if not (np.isfinite(above).all() and np.isfinite(below).all()):
                raise NonFiniteError("hessian_trace", "gradients must be finite", got="nan or an infinity")
            found.append(float(np.vdot(v, above - below)) / (2 * h))
    finally:
        _put(latent, P)
    return Trace(float(np.mean(found)), float(np.std(found, ddof=1)) / math.sqrt(samples))


def gradient_at(loss_of: Callable[[], Tensor], latent: Parameter, P: Array) -> Array:
    """The gradient of the loss in one parameter where that is P, float64. The parameter keeps this value."""
    _put(latent, P)
    return loss_and_gradients("hessian_trace", loss_of, [latent])[1][0]


def _put(latent: Parameter, P: Array) -> None:
    latent.array[...] = P
    latent.changed_in_place()
