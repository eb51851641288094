"""A program that ran on the tape, as one flat list of calls: the same kernels into the arrays of the first time.

What the tape does again for every batch is left out: layers and sites, checks of arguments, nodes, the way back and new
memory. An operation that planned.py does not know is called as it stands, and its results are copied.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minilq.autodiff.primitive import WithResidual
from minilq.autodiff.tape import Array, Call, Node
from minilq.autodiff.tensor import Tensor
from minilq.kernels.planned import Calls
from minilq.quantize.methods.scaled import Scaled
from minilq.train.arrival import Backward, Gradient, Gradients, Onto, Planned
from minilq.train.planned import IN_PLACE, PLANNED

CONSTANTS = (int, float, str, type(None), np.random.Generator, Scaled)
"""What operations may be given beside arrays: nothing that changes between two batches."""


class Plan:
    """All calls that lead to a loss and to the gradients of all leaves behind it.

    calls       what was noted of the program
    total       what `backward` was called on
    known       the arrays that it began with; each of its other arrays was made by one of the calls
    Raises      CannotPlan
    """

    def __init__(self, calls: Sequence[Call], total: Tensor, known: Iterable[Array]) -> None:
        known = list(known)                      # alive, so that no id is given twice
        seen = {id(a) for a in known}
        self.calls: Calls = []
        backwards: list[tuple[Call, Backward]] = []
        self._spare: set[int] = set()            # results that only those read that take them
        self._taken = Counter(id(a) for call in calls for a in call.args if isinstance(a, np.ndarray))
        for call in calls:
            self._check(call, seen)
            seen.add(id(call.result.array))
            forward, backward, reads_result = _planned(call)
            self.calls += forward
            backwards.append((call, backward))
            if not reads_result:
                self._spare.add(id(call.result.array))
        self.calls.append((_finite, (total.array,)))
        self.leaves = self._back(backwards, total)

    def run(self) -> bool:
        """Everything again, with what its arrays hold now. False when it went wrong: the tape knows why."""
        for function, arguments in self.calls:
            if (result := function(*arguments)) is False or result is np.False_:     # as kernels without the JIT say it
                return False
        for leaf, g in self.leaves:
            leaf.grad = g
        return True

    def _check(self, call: Call, seen: set[int]) -> None:
        op, y = call.primitive, call.result.array
        if not (op.own and op.trusted and y.flags.writeable):
            raise CannotPlan(f"{op.name} is not minilq's own")
        if any(name != "residual" for name in call.options):
            raise CannotPlan(f"{op.name} has options")
        for a in call.args:
            if isinstance(a, np.ndarray):
                if id(a) not in seen:
                    raise CannotPlan(f"{op.name} takes an array that no operation has made")
            elif not _is_constant(a):
                raise CannotPlan(f"{op.name} takes a {type(a).__name__}")

    def _back(self, backwards: list[tuple[Call, Backward]], total: Tensor) -> list[tuple[Tensor, Array]]:
        """As `walk_back` in tape.py: the latest operation first, and gradients added up in the order of arrival."""
        assert total.node is not None
        pending: dict[Node | Tensor, Gradient] = {total.node: np.array(1, total.dtype).reshape(total.shape)}
        leaves: list[Tensor] = []
        for call, backward in reversed(backwards):
            node = call.result.node
            if node is None or node not in pending:
                continue
            found = backward(self._whole(pending.pop(node)), self._places(call))
            if found is None:
                raise CannotPlan(f"the derivative of {call.primitive.name}")
            calls, gradients = found
            self.calls += calls
            for number, (tensor, dx) in enumerate(zip(call.inputs, gradients, strict=False)):
                if tensor is None or not tensor.requires_grad:
                    continue
                target = tensor if tensor.node is None else tensor.node
                if target in pending:
                    others = [*pending.values(), *gradients[:number], *gradients[number + 1:]]
                    pending[target] = self._sum(pending[target], dx, others)
                    continue
                pending[target] = dx
                if tensor.node is None:
                    leaves.append(tensor)
        grads = [self._whole(pending[leaf]) for leaf in leaves]
        if any(np.shares_memory(a, b) for a, b in itertools.combinations(grads, 2)):
            raise CannotPlan("two leaves share a gradient")
        return list(zip(leaves, grads, strict=True))

    def _places(self, call: Call) -> list[Array]:
        """Where the gradients of the arguments go: of a quantized weight over itself when nobody will read that, since
        what a step touches is to fit into the caches."""
        arrays = [a for a in call.args if isinstance(a, np.ndarray)]
        places = [np.empty(np.shape(a), call.result.dtype) for a in arrays]
        i = IN_PLACE.get(call.primitive.name)
        if i is not None and id(arrays[i]) in self._spare and self._taken[id(arrays[i])] == 1:
            places[i] = arrays[i]
        return places

    def _whole(self, g: Gradient) -> Array:
        """A gradient as an array."""
        if not isinstance(g, Onto):
            return g
        self.calls += g.added(g.alone, False)
        return g.alone

    def _sum(self, before: Gradient, dx: Gradient, others: Sequence[Gradient]) -> Array:
        """Of two gradients, in the memory of the second unless one of the others is there too."""
        dx = self._whole(dx)
        shared = any(np.shares_memory(dx, g) for g in others if not isinstance(g, Onto))
        if isinstance(before, Onto) and not shared:
            self.calls += before.added(dx, True)
            return dx
        total = np.empty_like(dx) if shared else dx
        self.calls.append((np.add, (self._whole(before), dx, total)))
        return total


class CannotPlan(Exception):
    """What is in the way of a plan."""


def alike(one: Sequence[Call], other: Sequence[Call]) -> bool:
    """Whether two runs of a program, on the same arrays at first, did the same with what they made of them."""
    places: list[dict[int, int]] = [{}, {}]
    if len(one) != len(other):
        return False
    for number, calls in enumerate(zip(one, other, strict=True)):
        a, b = calls
        if a.primitive is not b.primitive or len(a.args) != len(b.args) or a.result.shape != b.result.shape:
            return False
        for x, y in zip(a.args, b.args, strict=True):
            if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
                if places[0].get(id(x), id(x)) != places[1].get(id(y), id(y)):
                    return False
            elif type(x) is not type(y) or not (x is y or x == y):
                return False
        for place, call in zip(places, calls, strict=True):
            place[id(call.result.array)] = -1 - number
    return True


def _is_constant(a: Any) -> bool:
    return all(map(_is_constant, a)) if isinstance(a, tuple) else isinstance(a, CONSTANTS)


def _planned(call: Call) -> Planned:
    known = PLANNED.get(call.primitive.name)
    found = None if known is None else known(call)
    return _as_it_stands(call) if found is None else found


def _as_it_stands(call: Call) -> Planned:
    """The forward and the derivative themselves."""
    op, args, y = call.primitive, call.args, call.result.array
    residual = [call.options["residual"]] if "residual" in call.options else []
    need = tuple(t is not None and t.requires_grad for t in call.inputs)
    options: dict[str, Any] = {"need": need} if op.vjp_takes_need else {}

    def forward() -> None:
        result = op.forward(*args)
        if isinstance(result, WithResidual):
            residual[0], result = result.residual, result.y
        y[...] = result

    def backward(g: Array, made: list[Array]) -> tuple[Calls, Gradients]:
        fresh = iter(made)
        places = [next(fresh) if isinstance(a, np.ndarray) else None for a in args]
        assert op.vjp is not None
        vjp = op.vjp

        def derivative() -> None:
            kept = {**options, "residual": residual[0]} if residual else options
            for place, dx, wanted in zip(places, vjp(g, y, *args, **kept), need, strict=False):
                if wanted and place is not None:
                    place[...] = dx

        return [(derivative, ())], places  # type: ignore[return-value]

    if any(isinstance(a, np.ndarray) and (y is a or (y.base is not None and np.may_share_memory(y, a))) for a in args):
        return Planned([], backward)             # a view, of numbers that change by themselves
    return Planned([(forward, ())], backward)


def _finite(y: Array) -> bool:
    return math.isfinite(y)
