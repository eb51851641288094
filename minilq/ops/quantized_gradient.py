"""An identity whose gradient is quantized: DoReFa's gradients of few bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats


@primitive
def quantized_gradient(x: Any, bits: int, rng: np.random.Generator) -> Array:
    """The same array, x; on the way back a gradient of 2^bits levels.

    Forward     y = x
    Derivative  kind: heuristic, unbiased. With n = 2^bits - 1, m = max |g| of each sample, u uniform in [0, 1):
                    dx = 2m (round(n clip(g / 2m + 1/2 + (u - 1/2) / n, 0, 1)) / n - 1/2),  halves to even
                so that E dx = g, up to the bounds +-m: what the clip takes from the noise, less than half a level, the
                rounding would have taken. A sample without a gradient sends none (the authors' code divides 0 by 0)
    Shapes      x (N, ...) -> the same array
    Dtype       float32 or float64, preserved
    rng         a numpy.random.Generator, from which every backward pass draws
    Raises      ConfigError for bits that are no whole number in 1 .. 16 and for what is no Generator; DTypeError
    Source      Zhou et al. 2016 (arXiv 1606.06160), equation 12

    >>> from minilq import Tensor
    >>> x = Tensor(np.zeros((1, 3)), requires_grad=True)
    >>> quantized_gradient(x, 1, np.random.default_rng(0)).backward(np.array([[0.1, -2.0, 1.9]]))
    >>> x.grad.tolist()
    [[2.0, -2.0, 2.0]]
    """
    check_floats("quantized_gradient", x=x)
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= 16:
        raise ConfigError("quantized_gradient", "bits must be a whole number in 1..16", got=repr(bits))
    if not isinstance(rng, np.random.Generator):
        raise ConfigError("quantized_gradient", "rng must be a numpy.random.Generator", got=type(rng).__name__,
                          cause="Write np.random.default_rng(42)")
    return x


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((3, 4))], {"bits": 2, "rng": rng.spawn(1)[0]}


@vjp_of(quantized_gradient, kind="heuristic", needs="", at=_at)
def quantized_gradient_vjp(g: Array, y: Array, x: Array, bits: int, rng: np.random.Generator) -> tuple[Array]:
    return (few_levels(g, bits, np.asarray(rng.random(g.shape, g.dtype))),)


def few_levels(g: Array, bits: int, u: Array) -> Array:
    """The gradient of few bits, for given noise."""
    n = g.dtype.type(2**bits - 1)
    m = np.abs(g).max(axis=tuple(range(1, g.ndim)), keepdims=True, initial=0)
    width = np.where(m == 0, g.dtype.type(1), 2 * m)
    shifted = np.clip(g / width + g.dtype.type(0.5) + (u - g.dtype.type(0.5)) / n, 0, 1)
    return np.asarray(2 * m * (np.rint(n * shifted) / n - g.dtype.type(0.5)), g.dtype)
