"""Dropout: numbers that are switched off at random in training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.arguments import check_flag, check_generator, is_number, shown
from minilq.autodiff.primitive import WithResidual, primitive, vjp_of
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.kernels import twin
from minilq.ops.broadcast import check_floats

LEVELS = 1 << 16
"""A number is dropped by comparing 16 random bits with the rate, which so counts in steps of 1 / 65536."""


@primitive
def dropout(x: Any, rate: float, rng: np.random.Generator, training: bool = True) -> Array | WithResidual:
    """Inverted dropout: in training each number is set to 0 with probability `rate`, the others grow to keep the mean.

    Forward     y = x m / (1 - rate), with m = 0 with probability `rate`, else 1, so that E y = x.
                Without training, and for rate 0, y = x: the same array, and nothing is drawn from rng.
    Derivative  kind: exact, at the m that was drawn. dx = g m / (1 - rate)
    Shapes      x any -> the same
    rate        0 <= rate < 1, rounded to a multiple of 1/65536 for the draw (16 random bits decide; four numbers
                share one draw of 64, which is three times as fast as uniform floats)
    rng         a numpy.random.Generator; equal states drop equal numbers
    Dtype       float32 or float64, preserved
    Raises      ConfigError for a rate outside [0, 1) and for an rng that is no Generator; DTypeError
    Source      Srivastava et al. 2014

    >>> dropout(np.ones(6), 0.5, np.random.default_rng(3))
    array([2., 2., 0., 0., 2., 0.])
    """
    check_floats("dropout", x=x)
    check_flag("dropout", "training", training)
    if not is_number(rate) or not 0 <= rate < 1:
        raise ConfigError("dropout", "rate must be a number with 0 <= rate < 1", got=shown(rate),
                          cause="It is the share that is dropped, not the share that is kept")
    check_generator("dropout", rng)
    if not training or rate == 0:
        return x
    mask = drawn(x.shape, rate, rng)
    return WithResidual(masked(x, mask, 1 - rate), mask)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((4, 5))], {"rate": 0.4, "rng": rng.spawn(1)[0]}


@vjp_of(dropout, kind="exact", needs="", at=_at)
def dropout_vjp(g: Array, y: Array, x: Array, rate: float, rng: np.random.Generator, training: bool = True,
                residual: Array | None = None) -> tuple[Array]:
    # y_i = x_i m_i / (1 - rate)   =>   dx_i = g_i m_i / (1 - rate);   y = x without a mask
    return (g if residual is None else masked(g, residual, 1 - rate),)


def drawn(shape: tuple[int, ...], rate: float, rng: np.random.Generator) -> Array:
    """m: False with probability `rate`, else True."""
    n = math.prod(shape)
    words = rng.integers(1 << 64, size=-(-n // 4), dtype=np.uint64).astype("<u8", copy=False)
    bits = words.view("<u2")[:n].reshape(shape)                  # uniform in 0 .. LEVELS - 1
    return np.asarray(bits >= min(round(float(rate) * LEVELS), LEVELS - 1))


@twin("dropout")
def masked(x: Array, mask: Array, keep: float) -> Array:
    """x m / keep. A product, so that a dropped infinity becomes NaN."""
    return x * mask / keep
