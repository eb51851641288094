"""One batch: its loss and the gradients, by the tape, or by a plan of what the tape did for the batches before.

A plan is made when two batches of one shape did the same, in a network of which nothing else is to be expected: its
layers, methods, task and penalties are among those that are listed here, which do nothing but call operations, the
same for all numbers. Everything else runs by the tape, as does a batch of another shape, or one that goes wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from minilq.autodiff.memory import active
from minilq.autodiff.tape import Array, Call, mode, noting
from minilq.autodiff.tensor import Tensor
from minilq.errors import NonFiniteError
from minilq.kernels import capture_in_use
from minilq.kernels.planned import right_answers
from minilq.nn import Dense, Dropout, Flatten, Layer, ReLU, Residual, Sequential, Site
from minilq.nn.parts import Part, walk
from minilq.objective import Objective, Penalty
from minilq.optim import Optimizer, Together
from minilq.quantize.methods import LSQ, Nested, Scaled
from minilq.train.plan import CannotPlan, Plan, alike
from minilq.train.task import Task, cross_entropy, right_in

PLAIN = (Sequential, Residual, Dense, ReLU, Flatten, Dropout, Site)
METHODS = (Nested, Scaled, LSQ)
PENALTIES = ("maxbin", "inverse", "difference")


DIVERGED = "Lower the learning rate, or look at the inputs"


class Outcome(NamedTuple):
    """What is known of a batch: its loss, how many answers are right, and what was added to the loss."""

    loss: float
    right: int
    parts: dict[str, float]


class _Ran(NamedTuple):
    """What the tape made of a batch; its arrays are those of a plan, where there is one."""

    loss: Tensor
    right: Callable[[], int]
    terms: dict[str, Tensor]
    total: Tensor
    calls: Sequence[Call] = ()

    def outcome(self) -> Outcome:
        return Outcome(self.loss.item(), self.right(), {name: term.item() for name, term in self.terms.items()})


class Step:
    """Leaves the gradients of a batch at what the optimizer trains. To be made anew whenever the model is changed.

    plan    what runs in place of the tape, once there is one
    """

    def __init__(self, model: Layer, optimizer: Optimizer | Together, objective: Objective, task: Task) -> None:
        self.model, self.optimizer, self.objective, self.task = model, optimizer, objective, task
        self.plan: Plan | None = None
        self._willing = task is cross_entropy and all(
            type(part) is Penalty and part.name in PENALTIES for part in objective.parts.values()) and all(
                type(part) in PLAIN for _, part in walk("", model, set()) if isinstance(part, Part))
        self._sites = [(site, site.method, site.held) for site in model.sites().values()]
        self._willing = self._willing and all(m is None or type(m) in METHODS for _, m, _ in self._sites)
        self._arrays = [(p, p.array) for p in model.parameters().values()]
        self._batch: tuple[Array, Array] | None = None           # where a plan finds its batch
        self._ran: _Ran | None = None                            # what the tape did for the batch before

    def __call__(self, x: Array, t: Array, where: str) -> Outcome:
        """Raises NonFiniteError, which says where, for a loss that is not finite; gradients mean nothing then."""
        if not (self._willing and capture_in_use() and self._is_as_it_was()):
            return self._by_tape(x, t, where).outcome()
        if self._batch is None or not (_alike(x, self._batch[0]) and _alike(t, self._batch[1])):
            self._batch, self._ran, self.plan = (x.copy("C"), t.copy("C")), None, None
        else:
            self._batch[0][...], self._batch[1][...] = x, t
        if self.plan is not None:
            assert self._ran is not None
            self.optimizer.zero_grad()
            if self.plan.run():
                return self._ran.outcome()
            self.plan = None                     # the tape will say what is wrong
        before = self._ran
        with noting() as calls:
            self._ran = self._by_tape(*self._batch, where)
        self._ran = self._ran._replace(calls=calls)
        if before is not None:
            self._make_plan(before.calls)
        return self._ran.outcome()

    def _by_tape(self, x: Array, t: Array, where: str) -> _Ran:
        try:
            loss, right = self.task(self.model, Tensor.wrap(x), t)
        except NonFiniteError as error:
            raise NonFiniteError(f"training, {where}", str(error)) from error
        if not math.isfinite(loss.item()):
            raise NonFiniteError("training", "the loss must stay finite", got=f"{loss.item()} in {where}",
                                 cause=DIVERGED)
        self.optimizer.zero_grad()
        total, terms = self.objective.added_to(loss)
        total.backward()
        return _Ran(loss, lambda: right, terms, total)

    def _make_plan(self, before: Sequence[Call]) -> None:
        assert self._ran is not None
        assert self._batch is not None
        self._willing = False
        if not alike(before, self._ran.calls):
            return
        try:
            plan = Plan(self._ran.calls, self._ran.total, [*self._batch, *(a for _, a in self._arrays)])
        except CannotPlan:
            return
        trained = {id(p) for optimizer in getattr(self.optimizer, "optimizers", [self.optimizer])
                   for p in optimizer.tensors}
        logits = next(call.inputs[0] for call in self._ran.calls if call.result is self._ran.loss)
        if logits is not None and all(id(leaf) in trained for leaf, _ in plan.leaves):
            self.plan, self._willing = plan, True
            right = right_answers(logits.array, self._batch[1]) or partial(right_in, logits, self._batch[1])
            self._ran = self._ran._replace(right=right)

    def _is_as_it_was(self) -> bool:
        """Whether nobody has changed the network since, or watches it."""
        for site, method, held in self._sites:   # loops, because this runs before every batch
            if site.method is not method or site.held is not held or site.watch is not None or site.calibrating or not (
                    site.started or method is None):
                return False
        for p, a in self._arrays:
            if p.array is not a:
                return False
        return not mode.checking and active.memory is None


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype
