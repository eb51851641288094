"""Operations that a plan knows better than by calling them: the same kernels, without what leads to them.

A function of PLANNED is given a Call of its operation. It returns the calls of its forward, and a function of g and of
arrays for the gradients that gives the calls of its derivative and the arrays in which the gradients are then; None for
what it does not know. Numbers are those of the operation to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array, Call
from minilq.kernels import planned
from minilq.kernels.planned import Calls
from minilq.quantize.methods.scaled import Scaled
from minilq.quantize.scale_rule import Frozen, Threshold
from minilq.quantize.surrogate import STRAIGHT_THROUGH, surrogate_named

Gradients = list[Array]
Backward = Callable[[Array, Gradients], tuple[Calls, Gradients] | None]
Planned = tuple[Calls, Backward] | None


def dense(call: Call) -> Planned:
    x, w, b = call.args
    y, (first, _, _) = call.result.array, call.inputs
    if x.ndim != 2:
        return None

    def backward(g: Array, made: Gradients) -> tuple[Calls, Gradients]:
        dx, dw, db = made
        wanted = first is not None and first.requires_grad
        return [*([(np.dot, (g, w.T, dx))] if wanted else []), *planned.product(x.T, g, dw),
                (np.add.reduce, (g, 0, None, db))], made

    return [*planned.product(x, w, y), (np.add, (y, b, y))], backward


def relu(call: Call) -> Planned:
    (x,), y = call.args, call.result.array

    def backward(g: Array, made: Gradients) -> tuple[Calls, Gradients] | None:
        calls = planned.where_positive(g, y, made[0])
        return None if calls is None else (calls, made)

    forward = planned.rectified(x, y)
    return None if forward is None else (forward, backward)


def softmax_cross_entropy(call: Call) -> Planned:
    logits, labels = call.args

    def backward(g: Array, made: Gradients) -> tuple[Calls, Gradients] | None:
        calls = planned.mean_cross_entropy_gradient(g, logits, labels, made[0])
        return None if calls is None else (calls, made)

    forward = planned.mean_cross_entropy(logits, labels, call.result.array)
    return None if forward is None else (forward, backward)


def fake_quantize(call: Call) -> Planned:
    P, s, quantizer = call.args
    y = call.result.array
    assert isinstance(quantizer, Scaled)
    rule = quantizer.scale_rule
    if (quantizer.qmin, quantizer.qmax) != (None, None) or type(rule) not in (Frozen, Threshold) or (
            surrogate_named(quantizer.surrogate) is not STRAIGHT_THROUGH):
        return None

    def backward(g: Array, made: Gradients) -> tuple[Calls, Gradients] | None:
        if not isinstance(rule, Threshold):
            return [], [g, np.zeros_like(s)]
        calls = planned.threshold_scale_gradient(g, y, s, rule.lam, rule.gate, made[1])
        return None if calls is None else (calls, [g, made[1]])

    forward = planned.round_trip(P, s, quantizer.rounding, y)
    return None if forward is None else (forward, backward)


def lsq(call: Call) -> Planned:
    x, s, low, high, factor, mask = call.args

    def backward(g: Array, made: Gradients) -> tuple[Calls, Gradients] | None:
        calls = planned.lsq_backward(g, x, s, low, high, factor, mask, *made)
        return None if calls is None else (calls, made)

    forward = planned.lsq_forward(x, s, low, high, call.result.array)
    return None if forward is None else (forward, backward)


def difference_term(call: Call) -> Planned:
    P, s, weight = call.args
    y, sizes, c = call.result.array, np.empty_like(s), np.empty_like(s)
    sums = planned.sum_of_sizes(P, sizes)
    if sums is None:
        return None

    def value() -> bool:
        y[...] = weight / max(P.size, 1) * np.sum(sizes * np.abs(1 - 1 / s))
        return bool(s.min() > 0) and math.isfinite(y)

    def backward(g: Array, made: Gradients) -> tuple[Calls, Gradients] | None:
        dP, ds = made

        def pulls() -> None:
            pull, share = 1 - 1 / s, P.dtype.type(float(g) * weight / max(P.size, 1))
            c[...] = share * np.abs(pull)
            ds[...] = share * np.sign(pull) / s / s * sizes

        calls = planned.signed(P, c, dP)
        return None if calls is None else ([(pulls, ()), *calls], made)

    return [*sums, (value, ())], backward


def maxbin_term(call: Call) -> Planned:
    P, s, weight = call.args
    y, m, c = call.result.array, np.empty_like(s), np.empty_like(s)
    maxima = planned.largest(P, m)
    if maxima is None:
        return None

    def value() -> bool:
        y[...] = weight / s.size * np.sum(m / s)
        return bool(s.min() > 0) and math.isfinite(y)

    def backward(g: Array, made: Gradients) -> tuple[Calls, Gradients] | None:
        dP, ds = made

        def pulls() -> None:
            share = P.dtype.type(float(g) * weight / s.size)
            c[...] = share / s
            ds[...] = -share * m / s / s

        calls = planned.on_the_largest(P, m, c, dP)
        return None if calls is None else ([(pulls, ()), *calls], made)

    return [*maxima, (value, ())], backward


PLANNED: dict[str, Callable[[Call], Planned]] = {
    f.__name__: f for f in (dense, relu, softmax_cross_entropy, fake_quantize, lsq, difference_term, maxbin_term)}
