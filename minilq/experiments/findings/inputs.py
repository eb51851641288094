"""Raw or unit inputs: what the scale of the pixels does to a quantized network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from minilq.data import load
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number, percent
from minilq.experiments.findings.growth_penalties import QUICK
from minilq.experiments.findings.training import LR, train
from minilq.optim import Adam
from minilq.quantize.statistics import Integers

LAMBDA, RATE = 3e-9, 3e-6
SCHEMES: dict[str, dict[str, Any]] = {
    "nested": {"threshold": LAMBDA}, "nested without gate": {"threshold": LAMBDA, "gate": False},
    "Difference": {"penalty": "difference", "rate": RATE}}
TITLES = {"raw": "raw inputs (0..255)", "unit": "unit inputs (0..1)"}


@dataclass(frozen=True)
class Point:
    accuracy: float
    integers: Integers


@dataclass(frozen=True)
class Inputs:
    """floats: input -> accuracy of the float network; points: input -> scheme -> what came out."""

    floats: dict[str, float]
    points: dict[str, dict[str, Point]]
    images: int

    def loss(self, which: str, scheme: str) -> float:
        """By how much less the quantized network gets right than the float network with the same inputs."""
        return self.floats[which] - self.points[which][scheme].accuracy

    def setting(self) -> str:
        return (f"On the embedded digits ({self.images:,} validation images, row-wise, floor; λ = {number(LAMBDA)}, "
                f"Difference at rate {number(RATE)}, β₂ = {QUICK:g} for the scales' Adam to keep the freeze short).")

    def tables(self) -> list[Table]:
        rows: Table = [("inputs", "network", "accuracy", "integers", "range")]
        for which, title in TITLES.items():
            rows.append((title, "float", percent(self.floats[which]), "-", "-"))
            rows += [("", scheme, percent(p.accuracy), str(p.integers.unique),
                      f"{p.integers.minimum}..{p.integers.maximum}") for scheme, p in self.points[which].items()]
        return [rows]

    def checks(self) -> Mapping[str, Check]:
        unit, sparing = self.points["unit"], ("nested without gate", "Difference")
        lost = {which: [100 * self.loss(which, scheme) for scheme in SCHEMES] for which in TITLES}
        few = [unit[scheme].integers.unique for scheme in sparing]
        return {"Unit inputs give the better float network": Check(
                    self.floats["unit"] > self.floats["raw"],
                    f"{percent(self.floats['unit'])} against {percent(self.floats['raw'])}"),
                "Quantization costs raw inputs more than unit inputs": Check(
                    all(raw > unit for raw, unit in zip(lost["raw"], lost["unit"], strict=True)),
                    " and ".join(f"{raw:.1f} against {unit:.1f}" for raw, unit in zip(
                        lost["raw"], lost["unit"], strict=True)) + " points"),
                "With unit inputs quantization costs less than a point": Check(
                    max(lost["unit"]) < 1, f"{max(lost['unit']):.1f} points at most"),
                "With unit inputs the rule without its gate and Difference need fewer integers than the rule": Check(
                    max(few) < unit["nested"].integers.unique,
                    f"{few[0]} and {few[1]} against {unit['nested'].integers.unique}")}


def measure(seed: int = 42, epochs: int = 20) -> Inputs:
    """Train float and with every scheme, on raw and on unit inputs."""
    data = load("digits")
    quick = partial(Adam, lr=LR, beta2=QUICK)
    thesis = partial(RunConfig, recipe="thesis", epochs=epochs, seed=seed)
    floats = {which: train(thesis(input=which), data, network="float").accuracy for which in TITLES}
    points: dict[str, dict[str, Point]] = {which: {} for which in TITLES}
    for which, own in points.items():
        for scheme, settings in SCHEMES.items():
            trained = train(thesis(input=which, **settings), data, scale_optimizer=quick)
            own[scheme] = Point(trained.accuracy, trained.integers())
    return Inputs(floats, points, len(data.validation_images))


FINDING = Finding(
    "inputs", "unit inputs lose nothing where raw inputs lose points, with as few integers",
    "The thesis feeds raw pixels, 0..255. With pixels divided by 255 the same network with weights of the same size "
    "forgives coarse scales: the error of a neuron's input is Σ x (P_hat - P), about s/2 Σ x with floor, 255 times as "
    "large for raw pixels, while the cross-entropy counts differences of the logits of about 1. With unit inputs the "
    "rule without its gate, or Difference, loses nothing at few integers.",
    "Chinbat 2025, MNIST recipe; unit inputs are measured here",
    measure)
