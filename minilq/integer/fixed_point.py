"""Fixed point: products with real factors, in integers alone.

A real factor becomes a whole number and a shift, M = m 2^-n. There are two ways in use to round a product with it:

    single      floor(v m 2^-n + 1/2): the product in 64 bits, rounded once, halves up
    gemmlowp    rounded twice, by 2^31 and then by 2^(n - 31), as the library of that name and TensorFlow Lite do, for
                processors to which 64-bit products are dear

Rounding twice gives another result for none to a quarter of all products, depending on M. minilq's engine rounds once;
the other stands here to compare with other engines.

Between two layers of a network everything that acts on each channel alone (scales, bias, batch normalisation, relu, the
borders of the next range) is one line with two ends, so one `Rescaling` does it all, with one rounding.

Source      Jacob et al. 2018 (arXiv 1712.05877), section 2.2; gemmlowp, fixedpoint/fixedpoint.h
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.kernels import twin

MOST_SHIFT = 48
"""The largest shift of a Rescaling: then the rounding of a factor moves no result by more than |v| 2^-49."""


def multiplier_of(M: float) -> tuple[int, int]:
    """(m, n) with M = m 2^-n, rounded to the 31 bits 2^30 <= m < 2^31.

    Raises ConfigError unless 2^-32 <= M <= 1 - 2^-31, so that 31 <= n <= 62

    >>> multiplier_of(0.75)
    (1610612736, 31)
    """
    if not 2.0**-32 <= M <= 1 - 2.0**-31:
        raise ConfigError("multiplier_of", "the factor must lie in 2^-32 <= M <= 1 - 2^-31", got=repr(M))
    fraction, exponent = np.frexp(M)                             # M = fraction 2^exponent, 1/2 <= fraction < 1
    m, n = round(float(fraction) * 2**31), 31 - int(exponent)
    return (m, n) if m < 2**31 else (2**30, n - 1)


def single(v: Array, m: int, n: int) -> Array:
    """v m 2^-n rounded once, halves up. v int32, m and n as `multiplier_of` gives them; int64.

    >>> single(np.array([2, 3, -2], np.int32), *multiplier_of(0.75))
    array([ 2,  2, -1])
    """
    return (v.astype(np.int64) * m + (1 << (n - 1))) >> n


def gemmlowp(v: Array, m: int, n: int) -> Array:
    """v m 2^-n rounded twice: v m 2^-31 halves up, and what it gives times 2^-(n-31) halves away from zero.

    v int32, m and n as `multiplier_of` gives them; int64

    >>> gemmlowp(np.array([2, 3, -2], np.int32), *multiplier_of(0.375)), -2 * 0.375
    (array([ 1,  1, -1]), -0.75)
    """
    high = (v.astype(np.int64) * m + (1 << 30)) >> 31
    rest, half = high & ((1 << (n - 31)) - 1), 1 << (n - 31) >> 1
    # >> goes down to the next whole number: one is added above half the way, and for what is not negative on half
    return np.asarray((high >> (n - 31)) + ((rest > half) | ((rest == half) & (half > 0) & (high >= 0))))


class Rescaling(NamedTuple):
    """The line from sums to codes, for each channel:  q = clip(sum_g m_g v_g + b, low, high) >> n.

    factor      m, one for each group of sums and channel: (G, ...) int64
    offset      b, with the half that makes >> a rounding, halves up; like low, high and shift of the channels' shape,
                int64
    dtype       of q
    """

    factor: Array
    offset: Array
    low: Array
    high: Array
    shift: Array
    dtype: type[Any]

    def __call__(self, sums: Iterable[Array]) -> Array:
        """sums: G arrays of int32 or uint8, whose last axes have the channels' shape."""
        sums = iter(sums)
        v, factor = next(sums), self.factor[0]
        if len(self.factor) > 1:
            total = np.zeros(v.shape, np.int64)
            for other, m in zip(itertools.chain([v], sums), self.factor, strict=True):
                add_product(total, other, m)
            v, factor = total, np.ones_like(factor)
        return rescaled(v, factor, self.offset, self.low, self.high, self.shift, self.dtype)


def rescaling(op: str, scale: Array, shift: Array, low: Array, high: Array, bound: Array,
              dtype: type[Any]) -> Rescaling:
    """The Rescaling that computes clip(sum_g scale_g v_g + shift, low, high), rounded, halves up.

    The shift n of a channel is the largest with all factors below 2^31, every sum on the way within 2^62, and
    n <= MOST_SHIFT. So |q - clip(...)| <= 1/2 + (1 + sum_g |v_g|) 2^-(n+1).

    scale       (G, ...) real factors of any sign; shift, low, high (...) reals, low <= high within dtype
    bound       (G, ...): no |v_g| is ever larger
    Raises      ConfigError, for `op`, where not even n = 1 does: codes far smaller than one step of the sums
    """
    scale = np.where(bound > 0, scale, 0)                        # of sums that are always 0 it may be anything
    whole = np.maximum(np.abs(shift), np.maximum(np.abs(low), np.abs(high))) + 1 + (np.abs(scale) * bound).sum(axis=0)
    room = np.minimum(31 - _bits(np.abs(scale).max(axis=0)), 62 - _bits(whole))
    n = np.minimum(room, MOST_SHIFT)
    if not (np.isfinite(whole).all() and (n >= 1).all()):
        raise ConfigError(op, "a factor must be below 2^30, and sums below 2^61",
                          got=f"factors up to {np.abs(scale).max():.3g}, sums up to {whole.max():.3g}",
                          cause="The range of the next layer's input is far smaller than one step of this layer's sums")
    unit = np.exp2(n)

    def whole_number(x: Array) -> Array:
        return np.rint(x * unit).astype(np.int64)

    return Rescaling(whole_number(scale), whole_number(shift + 0.5), whole_number(low + 0.5),
                     whole_number(high + 0.5), n.astype(np.int64), dtype)


def _bits(x: Array) -> Array:
    """The smallest e with x < 2^e, x = 0 giving 0 or less."""
    return np.frexp(x)[1]


@twin("rescale")
def rescaled(v: Array, factor: Array, offset: Array, low: Array, high: Array, shift: Array, dtype: type[Any]) -> Array:
    """clip(v factor + offset, low, high) >> shift, in 64 bits, as dtype.

    Shapes      v (N, ...), the others int64 of one shape, that of v's last axes or (1,)
    """
    return np.asarray(np.clip(v * factor + offset, low, high) >> shift).astype(dtype)


@twin("rescale")
def add_product(total: Array, v: Array, factor: Array) -> None:
    """total += v factor, in 64 bits, in place; total is contiguous, factor int64 of the shape of its last axes."""
    total += v * factor
