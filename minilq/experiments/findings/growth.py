"""A law of growth followed through a training: what scales should be, by the law, against what they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.experiments.findings.finding import Check
from minilq.experiments.findings.training import EPSILON, LR, scales_of
from minilq.nn import Sequential
from minilq.optim import Adam, Optimizer

FORGOTTEN = 0.2
"""The law is followed from the step on at which the median sqrt(v) of the scales is below so much of Adam's epsilon,
and 2/(1 - beta2) steps are done: before, Adam's step is smaller by the factor sqrt(1 - beta2^t) that corrects v."""

WHEN = f"from the step on at which 2/(1 - β₂) steps are done and the median √v of the scales is below {FORGOTTEN:g} ε"
"""The same in words."""


@dataclass(frozen=True)
class Followed:
    """Scales of the first weight through a training, and by the law.

    begin                 the step from which the law is followed; None if that never came
    steps                 at which the medians below were noted
    memory                median sqrt(v) / epsilon of Adam: above 1 the scales are frozen
    observed, predicted   median scale; predicted is NaN before `begin`
    ratio                 observed / predicted at the end, for each row; empty without `begin`
    grown                 median of s_end / s_begin
    rows                  how many scales there are
    """

    begin: int | None
    steps: list[int]
    memory: list[float]
    observed: list[float]
    predicted: list[float]
    ratio: Array
    grown: float
    rows: int

    def quantiles(self) -> tuple[float, float, float]:
        """Of the ratio: below which 5, 50 and 95 percent of the rows lie."""
        low, middle, high = np.quantile(self.ratio, [0.05, 0.5, 0.95])
        return float(low), float(middle), float(high)


class Growth:
    """Follows s^p = s_b^p + p (lr / epsilon) sum_t drive_t of every row, from the step b on; a watch of a training.

    power     p
    drive     model -> what the law adds up in one step, a number for each row
    beta2     of Adam for the scales
    """

    EVERY: ClassVar[int] = 10                    # steps between two looks

    def __init__(self, power: int, drive: Callable[[Sequential], Array], beta2: float = 0.999) -> None:
        self.power, self.drive, self.beta2 = power, drive, beta2
        self.begin: int | None = None
        self.steps: list[int] = []
        self.memory: list[float] = []
        self.observed: list[float] = []
        self.predicted: list[float] = []
        self.start: Array = np.zeros(1)
        self.sum: Array = np.zeros(1)

    def optimizer(self, scales: Sequence[Parameter]) -> Optimizer:
        """Adam for the scales, remembered so that its v can be read."""
        self.adam = Adam(scales, lr=LR, beta2=self.beta2, epsilon=EPSILON)
        return self.adam

    def __call__(self, step: int, model: Sequential) -> None:
        if step % self.EVERY:
            return
        memory = float(np.median(np.sqrt(self.adam.state()["0/v"]))) / EPSILON
        if self.begin is None and step >= 2 / (1 - self.beta2) and memory < FORGOTTEN:
            self.begin, self.start = step, scales_of(model)
        self.steps.append(step)
        self.memory.append(memory)
        self.observed.append(float(np.median(scales_of(model))))
        self.predicted.append(float("nan") if self.begin is None else float(np.median(self._by_law())))
        if self.begin is not None:
            self.sum = self.sum + self.EVERY * self.drive(model)

    def _by_law(self) -> Array:
        p = self.power
        grown: Array = (self.start**p + p * LR / EPSILON * self.sum) ** (1 / p)
        return grown

    def finish(self, model: Sequential) -> Followed:
        """What was followed, with the scales after the last step; call it after a multiple of EVERY steps."""
        s = scales_of(model)
        followed = self.begin is not None
        return Followed(self.begin, self.steps, self.memory, self.observed, self.predicted,
                        s / self._by_law() if followed else np.empty(0),
                        float(np.median(s / self.start)) if followed else 1.0, s.size)


def as_predicted(run: Followed) -> bool:
    """Whether scales grew by a quarter at least, and 90 percent of the rows ended within 15 percent of the law, their
    median within 5."""
    if run.begin is None or run.grown < 1.25:
        return False
    low, middle, high = run.quantiles()
    return low > 0.85 and high < 1.15 and abs(middle - 1) < 0.05


LAW_HEAD = ("first weight", "steps", "grown", "of the law", "90 % of the rows")
"""Of a table of `law_row`s."""


def law_row(what: str, run: Followed) -> tuple[str, ...]:
    """What came out of following a law, under LAW_HEAD."""
    end = run.steps[-1] + Growth.EVERY
    if run.begin is None:
        return (what, f"never, of {end:,}", "-", "-", "-")
    low, middle, high = run.quantiles()
    return (what, f"{run.begin:,}..{end:,}", f"{run.grown:.2f}-fold", f"{middle:.2f}", f"{low:.2f} to {high:.2f}")


def law_check(run: Followed) -> Check:
    """`as_predicted` with its numbers."""
    if run.begin is None:
        return Check(False, f"the law's time never came in {run.steps[-1] + Growth.EVERY:,} steps")
    low, middle, high = run.quantiles()
    return Check(as_predicted(run), f"{middle:.2f} of the law in the median, {low:.2f} to {high:.2f} for 90 % of the "
                 "rows; 0.95 to 1.05 and 0.85 to 1.15 are allowed")
