"""The penalties in a plan, as planned.py says: their gradient of P is added to the one that the loss sends.

What is small, a number for each group, is done in the few calls that give the very bits of the operation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array, Call
from minilq.kernels import planned
from minilq.kernels.planned import Calls
from minilq.train.arrival import Gradients, Onto, Planned


def difference_term(call: Call) -> Planned | None:
    P, s, weight = call.args
    y, sizes, c, pulls, terms = call.result.array, *(np.empty_like(s) for _ in range(4))
    sums = planned.sum_of_sizes(P, sizes)
    if sums is None:
        return None
    flat = s.ravel(), sizes.ravel(), pulls.ravel()

    def value() -> bool:
        good = planned.difference_pulls(*flat, terms.reshape(-1))
        y[...] = weight / max(P.size, 1) * np.add.reduce(terms, None)
        return bool(good) and math.isfinite(y)

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients]:
        dP, ds = made

        def gradients() -> None:
            share = P.dtype.type(float(g) * weight / max(P.size, 1))
            planned.difference_gradients(*flat, share, c.reshape(-1), ds.reshape(-1))

        return [(gradients, ())], [Onto(dP, lambda to, adding: planned.signed(P, c, to, adding)), ds]

    return Planned([*sums, (value, ())], backward)


def maxbin_term(call: Call) -> Planned | None:
    P, s, weight = call.args
    y, m, c = call.result.array, np.empty_like(s), np.empty_like(s)
    maxima = planned.largest(P, m)
    if maxima is None:
        return None

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients]:
        dP, ds = made

        def gradients() -> None:
            share = P.dtype.type(float(g) * weight / s.size)
            np.divide(share, s, c)
            np.multiply(-share, m, ds)
            np.divide(ds, s, ds)
            np.divide(ds, s, ds)

        return [(gradients, ())], [Onto(dP, lambda to, adding: planned.on_the_largest(P, m, c, to, adding)), ds]

    return Planned([*maxima, (_mean_of_quotients, (m, s, weight, np.empty_like(s), y))], backward)


def inverse_term(call: Call) -> Planned:
    s, weight = call.args

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients]:
        ds, = made

        def gradients() -> None:
            np.divide(-s.dtype.type(float(g) * weight / s.size), s, ds)
            np.divide(ds, s, ds)

        return [(gradients, ())], [ds]

    return Planned([(_mean_of_quotients, (1, s, weight, np.empty_like(s), call.result.array))], backward)


def _mean_of_quotients(a: Any, s: Array, weight: float, terms: Array, y: Array) -> bool:
    """y = weight / K sum_k a / s_k; whether it is finite and all s > 0."""
    np.divide(a, s, terms)
    y[...] = weight / s.size * np.add.reduce(terms, None)
    return bool(np.minimum.reduce(s, None) > 0) and math.isfinite(y)
