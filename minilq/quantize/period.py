"""WaveQ: a sine whose period is learned, and a price for every bit that a shorter period takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops import add_up
from minilq.quantize.granularity import reduced_axes
from minilq.quantize.penalties import Pairs, check_pair, check_pairs, finite


@primitive
def waveq_term(P: Any, s: Any, rate: float = 1.0, bit_rate: float = 1.0) -> Array:
    """WaveQ of one tensor.

    Forward     y = rate sum_i sin^2(pi P_i / s_k) / 2^b_k + bit_rate sum_k b_k,  2^b_k - 1 = 1 / s_k: so many steps s
                from 0 to 1, b bits
    Derivative  kind: exact. With u = s / (1 + s) = 2^-b:
                dP_i = g rate u pi / s sin(2 pi P_i / s)
                ds_k = g rate sum_i (sin^2(pi P_i / s) / (1 + s)^2 - u pi P_i / s^2 sin(2 pi P_i / s))
                       - g bit_rate / (ln 2 s (1 + s))
    Shapes      P any, s by granularity; returns ()
    Dtype       float32 or float64, preserved
    Raises      ShapeError, NonFiniteError; ConfigError for s <= 0
    Source      Elthakeb et al. 2020 (arXiv 2003.00146), equation 2, with the period in units of s

    >>> round(float(waveq_term(np.array([0.25, 1.0]), np.array([1 / 3]), bit_rate=0.5)), 6)      # 1/2 / 4 + 2/2
    1.125
    """
    check_pair("waveq", P, s)
    b = np.log2(1 + 1 / s)
    waves = np.square(np.sin(np.pi * (P / s))) * (s / (1 + s))
    return finite("waveq", rate * np.sum(waves) + bit_rate * np.sum(b), P, s)


@vjp_of(waveq_term, kind="exact", needs="P s",
        at=lambda rng: ([rng.standard_normal((3, 4)), rng.uniform(0.5, 2, (1, 4))], {"rate": 0.7, "bit_rate": 0.3}))
def waveq_term_vjp(g: Array, y: Array, P: Array, s: Array, rate: float = 1.0, bit_rate: float = 1.0,
                   ) -> tuple[Array, Array]:
    v, u, G = P / s, s / (1 + s), float(g)
    # y = rate sum u sin^2(pi v) + bit_rate sum b   =>   du/ds = 1 / (1 + s)^2,  dv/ds = -v / s,
    # db/ds = -1 / (ln 2 s (1 + s))
    slope = np.pi * np.sin(2 * np.pi * v) * u / s
    dP = P.dtype.type(G * rate) * slope
    of_waves = np.square(np.sin(np.pi * v)) / (1 + s) ** 2 - slope * v
    ds = G * rate * of_waves.sum(axis=reduced_axes(P.shape, s.shape), keepdims=True).reshape(s.shape)
    return dP, np.asarray(ds - G * bit_rate / (math.log(2) * s * (1 + s)), s.dtype)


def waveq(pairs: Pairs, rate: float = 1.0, bit_rate: float = 1.0) -> Tensor:
    """WaveQ of several tensors and their scales, the sum of their terms: see `waveq_term`.

    It is 0 for P on whole steps and a price of no bits. A large bit_rate makes steps long and bits few; what the waves
    then pull P to is left to the rate.

    Raises ConfigError for no pair, what the terms raise

    >>> P, s = Tensor([0.0, 1.0]), Tensor([0.5])
    >>> round(waveq([(P, s)], bit_rate=0.0).item(), 9)
    0.0
    """
    check_pairs("waveq", pairs)
    if not pairs:
        raise ConfigError("waveq", "there must be a pair (P, s)", got="none", cause="Is any parameter quantized?")
    for name, number in (("rate", rate), ("bit_rate", bit_rate)):
        if not is_number(number):
            raise ConfigError("waveq", f"{name} must be a number", got=shown(number))
    total: Tensor = add_up(*[waveq_term(P, s, rate, bit_rate) for P, s in pairs])
    return total
