"""What the Difference penalty does, and what those penalties do that are what its name says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.parameter import Parameter, Within
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.data import Dataset, load
from minilq.experiments.build import trainer_for
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number, percent
from minilq.experiments.findings.training import WEIGHT, MedianScale, Trained, first_weight, latent_of, train
from minilq.nn import Sequential, codes_in
from minilq.objective import Objective, penalty_on
from minilq.optim import SGD
from minilq.quantize import SCALE_MIN, difference
from minilq.quantize.statistics import integers_together

IMAGES = 4000
STARTS = (0.1, 0.4, 2.0, 3.0)
PULL_STEPS, PULL_RATE = 4000, 0.3
RATES = (1e-7, 1e-3, 1e-2, 1e-1, 1.0)
ABSOLUTE_RATE, SQUARED_RATE = 10.0, 0.1
COARSE = 1e-8


@dataclass(frozen=True)
class Shrunk:
    """What a rate of Difference left of the first weight."""

    rate: float
    mean_size: float
    accuracy: float


@dataclass(frozen=True)
class Snapped:
    """A network on a coarse grid: P/s - round(P/s) and the median scale of the first weight; unique integers."""

    errors: Array
    integers: int
    scale: float
    accuracy: float

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(np.square(self.errors))))


@dataclass(frozen=True)
class Difference:
    """pull: the scales of four rows by step (PULL_STEPS + 1, 4), nothing else trained; shrunk: one for each of RATES;
    curves: penalty -> (steps, median scales); absolute_minimum: share of scales at their minimum under |P - q(P)|;
    absolute_integers: what is left there; before, stopped, free: a coarse network, and after training it further with
    the squared deviation, with the gradient to the scales stopped and not."""

    pull: Array
    shrunk: list[Shrunk]
    curves: dict[str, tuple[list[int], list[float]]]
    absolute_minimum: float
    absolute_integers: int
    before: Snapped
    stopped: Snapped
    free: Snapped

    def setting(self) -> str:
        return ("Scales of four rows with fixed weights, moved by Difference alone. Then networks trained on "
                f"{IMAGES:,} embedded digits (unit inputs, row-wise) with Difference. With |P - s floor(P/s)| at rate "
                f"{number(ABSOLUTE_RATE)}, {percent(self.absolute_minimum)} of the first weight's scales end at their "
                f"minimum, {number(SCALE_MIN)}, and {self.absolute_integers:,} integers are left. Last, a network "
                f"trained with nearest and then further with the squared deviation at rate {number(SQUARED_RATE)}, the "
                "gradient to s stopped or not.")

    def tables(self) -> list[Table]:
        states = {"before": self.before, "gradient to s stopped": self.stopped, "gradient to s": self.free}
        return [[("scale begins at", *(f"{start:g}" for start in STARTS)),
                 ("ends at", *(f"{end:.2f}" for end in self.pull[-1]))],
                [("rate of Difference", "mean|P| of the first weight", "accuracy"), *(
                    (number(s.rate), number(s.mean_size), percent(s.accuracy)) for s in self.shrunk)],
                [("squared deviation", "rms of P/s - round(P/s)", "integers", "median scale", "accuracy"), *(
                    (what, f"{state.rms:.3f}", str(state.integers), number(state.scale), percent(state.accuracy))
                    for what, state in states.items())]]

    def checks(self) -> Mapping[str, Check]:
        first, last, before = self.shrunk[0], self.shrunk[-1], self.before
        return {"Difference pulls s towards 1 from both sides": Check(
                    bool(np.all(np.abs(self.pull[-1] - 1) < 0.1)),
                    f"it ends at {self.pull[-1].min():.2f} to {self.pull[-1].max():.2f}"),
                "Large rates drive P to zero": Check(
                    last.mean_size < 0.1 * first.mean_size,
                    f"mean|P| is {number(last.mean_size)}, with the smallest {number(first.mean_size)}"),
                "|P - s floor(P/s)| keeps most scales at their minimum": Check(
                    self.absolute_minimum > 0.5, f"{percent(self.absolute_minimum)} of them"),
                "The squared deviation snaps weights to the grid": Check(
                    self.stopped.rms < 0.25 * before.rms, f"the rms falls from {before.rms:.3f} to "
                    f"{self.stopped.rms:.3f}"),
                "The squared deviation does not coarsen the grid": Check(
                    min(self.stopped.integers, self.free.integers) > 0.9 * before.integers
                    and self.free.scale < 1.1 * before.scale,
                    f"{self.stopped.integers} and {self.free.integers} integers, before {before.integers}; the median "
                    f"scale is {self.free.scale / before.scale:.2f} times what it was")}


def measure(seed: int = 42, epochs: int = 20) -> Difference:
    """Scales alone; then trainings with each penalty; then a coarse network trained further."""
    data = load("digits").head(IMAGES)
    shrunk = []
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for rate in RATES:
        trained, curve = _trained("difference", rate, data, epochs, seed)
        shrunk.append(Shrunk(rate, float(np.abs(latent_of(trained.model)).mean()), trained.accuracy))
        curves.setdefault("difference", curve)
    absolute, curves["absolute_deviation"] = _trained("absolute_deviation", ABSOLUTE_RATE, data, epochs, seed)
    config = RunConfig(recipe="thesis", threshold=COARSE, gate=False, rounding="nearest", input="unit", epochs=epochs,
                       seed=seed)
    coarse = train(config, data)
    stopped, free = (_further(coarse, to_scales, data, -(-epochs // 2), seed) for to_scales in (False, True))
    return Difference(_pull(seed), shrunk, curves, float(np.mean(absolute.scales() < 1.001 * SCALE_MIN)),
                      absolute.integers().unique, _snapped(coarse.model, coarse.accuracy), stopped, free)


def _pull(seed: int) -> Array:
    """Gradient descent on the scales of four rows under Difference alone."""
    P = Tensor(np.random.default_rng(seed).normal(0, 0.05, (len(STARTS), 128)))
    s = Parameter(np.array(STARTS)[:, None], Within(SCALE_MIN))
    descent = SGD([s], lr=PULL_RATE)
    path = [s.array.reshape(-1).copy()]
    for _ in range(PULL_STEPS):
        descent.zero_grad()
        difference([(P, s)]).backward()
        descent.step()
        path.append(s.array.reshape(-1).copy())
    return np.array(path)


def _trained(penalty: str, rate: float, data: Dataset, epochs: int, seed: int,
             ) -> tuple[Trained, tuple[list[int], list[float]]]:
    median = MedianScale()
    config = RunConfig(recipe="thesis", penalty=penalty, rate=rate, input="unit", epochs=epochs, seed=seed)
    trained = train(config, data, watch=median)
    median.note(trained.steps, trained.model)
    return trained, (median.steps, median.scales)


def _further(coarse: Trained, to_scales: bool, data: Dataset, epochs: int, seed: int) -> Snapped:
    """From a coarse network on, with the squared deviation and nothing else that moves the scales."""
    config = RunConfig(recipe="thesis", threshold=0.0, rounding="nearest", input="unit", epochs=epochs, seed=seed)
    trainer = trainer_for("quantized", config, data)
    trainer.model.load_state(dict(coarse.model.state()))                 # numbers alone: the rule is another
    trainer.objective = Objective({"squared_deviation": penalty_on(trainer.model, "squared_deviation", SQUARED_RATE,
                                                                   to_scales=to_scales)})
    trainer.run(epochs)
    return _snapped(trainer.model, float(trainer.rows[-1]["validation_accuracy"]))


def _snapped(model: Sequential, accuracy: float) -> Snapped:
    P, s, codes = latent_of(model), first_weight(model).scale, codes_in(model)
    assert s is not None
    return Snapped((P / s.array - codes[WEIGHT]).reshape(-1), integers_together(codes).unique,
                   float(np.median(s.array)), accuracy)


FINDING = Finding(
    "difference", "Difference pulls s towards 1; only real deviations see the grid",
    "Difference as published is |P - P/s| = |P|·|1 - 1/s|. It does not round, so it sees no grid: it pulls s towards "
    "1 from both sides, and P towards 0 with the strength γ|1 - 1/s|. What its name says is |P - s floor(P/s)|, but "
    "that is smallest for the finest grid and keeps s at its minimum; the squared deviation (P - s n)² with nearest "
    "snaps weights to the grid and leaves it as fine as it is.",
    "Chinbat 2025, loss penalties; squared deviation: its draft",
    measure)
