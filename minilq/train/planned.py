"""Operations that a plan knows better than by calling them: the same kernels, without what leads to them.

A function of PLANNED is given a Call of its operation. It returns the calls of its forward, and a function of g and of
arrays for the gradients that gives the calls of its derivative and the arrays in which the gradients are then; None for
what it does not know. Numbers are those of the operation to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array, Call
from minilq.kernels import planned
from minilq.kernels.planned import Calls
from minilq.quantize.methods.scaled import Scaled
from minilq.quantize.scale_rule import Frozen, Threshold
from minilq.quantize.surrogate import STRAIGHT_THROUGH, surrogate_named
from minilq.train import planned_penalties as penalties
from minilq.train.arrival import Gradients, Planned


def dense(call: Call) -> Planned | None:
    x, w, b = call.args
    y, (first, weight, _) = call.result.array, call.inputs
    if x.ndim != 2:
        return None

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients]:
        dx, dw, db = made
        wanted = first is not None and first.requires_grad
        return [*(planned.product(g, w.T, dx) if wanted else []), *planned.product(x.T, g, dw),
                *planned.bias_gradient(g, db)], made

    # of what a method gives that is finite, or the plan has ended
    finite = weight is not None and weight.node is not None and weight.node.primitive.name == fake_quantize.__name__
    return Planned([*planned.product(x, w, y, finite), *planned.add_bias(y, b)], backward)


def relu(call: Call) -> Planned | None:
    (x,), y = call.args, call.result.array

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients] | None:
        calls = planned.where_positive(g, y, made[0])
        return None if calls is None else (calls, made)

    forward = planned.rectified(x, y)
    return None if forward is None else Planned(forward, backward)


def softmax_cross_entropy(call: Call) -> Planned | None:
    logits, labels = call.args

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients] | None:
        calls = planned.mean_cross_entropy_gradient(g, logits, labels, made[0])
        return None if calls is None else (calls, made)

    forward = planned.mean_cross_entropy(logits, labels, call.result.array)
    return None if forward is None else Planned(forward, backward)


def fake_quantize(call: Call) -> Planned | None:
    P, s, quantizer = call.args
    y = call.result.array
    assert isinstance(quantizer, Scaled)
    rule = quantizer.scale_rule
    if (quantizer.qmin, quantizer.qmax) != (None, None) or type(rule) not in (Frozen, Threshold) or (
            surrogate_named(quantizer.surrogate) is not STRAIGHT_THROUGH):
        return None

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients] | None:
        if not isinstance(rule, Threshold):
            return [(made[1].fill, (0,))], [g, made[1]]
        calls = planned.threshold_scale_gradient(g, y, s, rule.lam, rule.gate, made[1])
        return None if calls is None else (calls, [g, made[1]])

    forward = planned.round_trip(P, s, quantizer.rounding, y)
    return None if forward is None else Planned(forward, backward, isinstance(rule, Threshold))


def lsq(call: Call) -> Planned | None:
    x, s, low, high, factor, mask = call.args

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients] | None:
        calls = planned.lsq_backward(g, x, s, low, high, factor, mask, *made)
        return None if calls is None else (calls, made)

    forward = planned.lsq_forward(x, s, low, high, call.result.array)
    return None if forward is None else Planned(forward, backward, False)


def add_up(call: Call) -> Planned | None:
    """Of numbers, as the terms of a penalty are."""
    y = call.result.array
    if y.ndim:
        return None
    first, *others = call.args
    forward: Calls = [(np.copyto, (y, first)), *((np.add, (y, x, y)) for x in others)]
    return Planned(forward, lambda g, made: ([], [g] * len(made)))


def add(call: Call) -> Planned | None:
    return add_up(call) if np.shape(call.args[0]) == np.shape(call.args[1]) else None


PLANNED: dict[str, Callable[[Call], Planned | None]] = {f.__name__: f for f in (
    dense, relu, softmax_cross_entropy, fake_quantize, lsq, add_up, add, penalties.difference_term,
    penalties.maxbin_term, penalties.inverse_term)}

IN_PLACE = {"dense": 1}
"""Operation -> the argument that its derivative does not read any more when it writes the gradient of it."""
