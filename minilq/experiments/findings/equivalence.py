"""Three penalties, one network: with matched rates MaxBin, Inverse and Difference agree code by code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from minilq.data import load
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number, percent
from minilq.experiments.findings.growth_penalties import QUICK, SIZES, TITLES
from minilq.experiments.findings.training import LR, MedianScale, Trained, latent_of, train
from minilq.nn import codes_in
from minilq.optim import Adam
from minilq.train.diagnostics import flips

RATE = 1e-9
LAYERS = ("dense1", "dense2")


@dataclass(frozen=True)
class Network:
    """A trained network beside the one that the Inverse penalty gives.

    equal      share of all codes that are the same as there
    ratio      its scales by those there, first weight: below which 5, 50 and 95 percent of the rows lie
    """

    title: str
    equal: float
    ratio: tuple[float, float, float]
    integers: int
    accuracy: float
    steps: list[int]
    scales: list[float]


@dataclass(frozen=True)
class Equivalence:
    """inverse: the reference; matched, same: the other penalties with rates for the same c, and at its own rate; seed:
    Inverse from other weights and batches."""

    inverse: Network
    matched: list[Network]
    same: list[Network]
    seed: Network
    images: int

    def setting(self) -> str:
        return (f"On the embedded digits (raw, row-wise, β₂ = {QUICK:g} for the scales' Adam to keep the freeze short; "
                f"{self.images:,} validation images). Inverse has the rate {number(RATE)}. Matched: the rates of the "
                "others were divided, layer by layer, by the mean of max|P| and of mean|P| over the rows of Inverse's "
                "weights.")

    def tables(self) -> list[Table]:
        return [[("network", "equal codes", "scales / Inverse's", "integers", "accuracy"),
                 ("Inverse", "-", "-", str(self.inverse.integers), percent(self.inverse.accuracy)),
                 *(_row(f"{n.title}, matched", n) for n in self.matched),
                 *(_row(f"{n.title}, same rate", n) for n in self.same), _row("Inverse, another seed", self.seed)]]

    def checks(self) -> Mapping[str, Check]:
        error = (self.inverse.accuracy * (1 - self.inverse.accuracy) / self.images) ** 0.5
        checks = {}
        for n, unmatched in zip(self.matched, self.same, strict=True):
            apart = n.accuracy - self.inverse.accuracy
            checks[f"Matched {n.title} gives nearly the codes of Inverse"] = Check(
                n.equal > 0.8, f"{percent(n.equal)} are equal")
            checks[f"Unmatched {n.title} gives other codes"] = Check(
                unmatched.equal < 0.5, f"{percent(unmatched.equal)} are equal")
            checks[f"Matched {n.title} is as accurate as Inverse"] = Check(
                abs(apart) < 2 * error, f"{100 * apart:+.1f} points; the standard error is {100 * error:.1f}")
        return checks


def _row(what: str, n: Network) -> tuple[str, ...]:
    low, middle, high = n.ratio
    return what, percent(n.equal), f"{middle:.2f} ({low:.2f} to {high:.2f})", str(n.integers), percent(n.accuracy)


def measure(seed: int = 42, epochs: int = 20) -> Equivalence:
    """Train with Inverse, measure its weights, and train with the other penalties at matched and at equal rates."""
    def trained(penalty: str, seed: int = seed, factors: Mapping[str, float] | None = None,
                ) -> tuple[Trained, MedianScale]:
        median = MedianScale()
        rates = {layer: RATE / factor for layer, factor in (factors or {}).items()}
        config = RunConfig(recipe="thesis", penalty=penalty, rate=RATE, layer_rates=rates, epochs=epochs, seed=seed)
        result = train(config, data, scale_optimizer=partial(Adam, lr=LR, beta2=QUICK), watch=median)
        median.note(result.steps, result.model)
        return result, median

    def beside(title: str, result: Trained, median: MedianScale) -> Network:
        mine, theirs = codes_in(result.model), codes_in(reference.model)
        equal = 1 - flips(theirs, mine)
        low, middle, high = np.quantile(result.scales() / reference.scales(), [0.05, 0.5, 0.95]).tolist()
        return Network(title, equal, (low, middle, high), result.integers().unique, result.accuracy,
                       median.steps, median.scales)

    data = load("digits")
    reference, median = trained("inverse")
    weights = {layer: np.abs(latent_of(reference.model, f"{layer}.weight")) for layer in LAYERS}
    matched, same = [], []
    for penalty in ("maxbin", "difference"):
        factors = {layer: float(SIZES[penalty](a).mean()) for layer, a in weights.items()}
        matched.append(beside(TITLES[penalty], *trained(penalty, factors=factors)))
        same.append(beside(TITLES[penalty], *trained(penalty)))
    return Equivalence(beside(TITLES["inverse"], reference, median), matched, same,
                       beside("Inverse, another seed", *trained("inverse", seed + 1)), len(data.validation_images))


FINDING = Finding(
    "equivalence", "with matched rates the three penalties give the same network",
    "MaxBin, Inverse and Difference are one penalty with three names for its rate: below s = 1 each pushes a scale by "
    "ds = -c/s², and with the same c the three give the same network.",
    "Chinbat 2025, loss penalties; the comparison is derived and measured here",
    measure)
