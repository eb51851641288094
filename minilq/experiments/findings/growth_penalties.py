"""How scales grow under the thesis' penalties: their cubes, after a freeze.

    freeze    the steps in which a scale hardly moves because Adam's v remembers its first, enormous gradients: until
              sqrt(v) has come down to epsilon
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array
from minilq.data import load
from minilq.experiments.build import built, methods_for
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number
from minilq.experiments.findings.growth import LAW_HEAD, WHEN, Followed, Growth, law_check, law_row
from minilq.experiments.findings.training import EPSILON, LR, latent_of, scales_of, train
from minilq.nn import Sequential, codes_in, quantize

RATES = {"inverse": 1e-9, "maxbin": 1e-8, "difference": 3e-8}
"""Rates with about the same c: a trained row has max|P| of about 0.14 and mean|P| of about 0.04."""

TITLES = {"inverse": "Inverse", "maxbin": "MaxBin", "difference": "Difference"}
SIZES: dict[str, Callable[[Array], Array]] = {
    "inverse": lambda a: np.ones(len(a)), "maxbin": lambda a: a.max(axis=1), "difference": lambda a: a.mean(axis=1)}
"""|P| -> what multiplies rate w / K in the c of each row."""

QUICK, THESIS = 0.99, 0.999
"""beta2 of the scales' Adam: one that forgets ten times as fast, and the thesis'."""


@dataclass(frozen=True)
class GrowthPenalties:
    """What was followed, for each penalty with a short memory, and for Inverse with the thesis' Adam; its c."""

    runs: dict[str, Followed]
    thesis: Followed
    c: float

    def setting(self) -> str:
        return (f"On the embedded digits. The thesis' Adam (β₂ = {THESIS:g}) forgets slowly: half-way through its "
                f"freeze the median scale is {number(self.held)}, where the law alone would have it at "
                f"{number(self.free)}. So that a quick run need not wait, the law was followed with β₂ = {QUICK:g}, "
                f"{WHEN}.")

    def tables(self) -> list[Table]:
        freezes = [(f"β₂ = {beta2:g}", f"{max(run.memory):,.0f} ε", f"{thawed(run):,}", f"{expected(run, beta2):,.0f}")
                   for beta2, run in self._freezes()]
        return [[("Inverse", "peak of √v", "steps until √v < ε", "2/(1 - β₂) ln(peak/ε)"), *freezes],
                [LAW_HEAD, *(law_row(f"{TITLES[name]}, rate {number(RATES[name])}", run)
                             for name, run in self.runs.items())]]

    def _freezes(self) -> list[tuple[float, Followed]]:
        return [(QUICK, self.runs["inverse"]), (THESIS, self.thesis)]

    @property
    def held(self) -> float:
        """The median scale in the middle of the freeze with the thesis' Adam."""
        return self.thesis.observed[self.thesis.steps.index(thawed(self.thesis)) // 2]

    @property
    def free(self) -> float:
        """What the law alone would make of it by then."""
        return float(np.cbrt(3 * LR / EPSILON * self.c * thawed(self.thesis) / 2))

    def checks(self) -> Mapping[str, Check]:
        laws = {f"Rows grow by the law of {TITLES[name]}": law_check(run) for name, run in self.runs.items()}
        for beta2, run in self._freezes():
            ratio = thawed(run) / expected(run, beta2)
            laws[f"The freeze with β₂ = {beta2:g} is as long as Adam's memory says"] = Check(
                0.8 < ratio < 1.2, f"{ratio:.2f} times as long; 0.8 to 1.2 is allowed")
        return laws


def measure(seed: int = 42, epochs: int = 24, frozen_epochs: int = 66) -> GrowthPenalties:
    """Train once for each penalty, and once longer with the thesis' Adam for the scales."""
    runs = {name: _followed(name, QUICK, epochs, seed) for name in RATES}
    thesis = _followed("inverse", THESIS, frozen_epochs, seed)
    config = RunConfig(recipe="thesis", seed=seed)
    model, generators = built(config)
    quantize(model, methods_for(config, model, generators))
    return GrowthPenalties(runs, thesis, float(push("inverse", model)[0]))


def _followed(name: str, beta2: float, epochs: int, seed: int) -> Followed:
    growth = Growth(3, lambda model: push(name, model), beta2)
    config = RunConfig(recipe="thesis", penalty=name, rate=RATES[name], epochs=epochs, seed=seed)
    return growth.finish(train(config, load("digits"), scale_optimizer=growth.optimizer, watch=growth).model)


def push(name: str, model: Sequential) -> Array:
    """c of each row."""
    P = latent_of(model)
    w = P.size / sum(codes.size for codes in codes_in(model).values())
    return np.asarray(RATES[name] * w / scales_of(model).size * SIZES[name](np.abs(P)))


def thawed(run: Followed) -> int:
    """The first step noted after the last one with sqrt(v) above epsilon; the last when that is still to come."""
    above = [i for i, memory in enumerate(run.memory) if memory > 1]
    return run.steps[min(above[-1] + 1, len(run.steps) - 1)] if above else run.steps[0]


def expected(run: Followed, beta2: float) -> float:
    """After how many steps v, at its largest in the beginning and multiplied by beta2 from then on, is epsilon^2."""
    return 2 / (1 - beta2) * math.log(max(run.memory))


FINDING = Finding(
    "growth-penalties", "the law of the penalties: s³ grows as 3 (lr/ε) c t, after a freeze",
    "Below s = 1 the penalties all give ds = -c/s², with c = γw/K for Inverse, times max|P| for MaxBin and times "
    "mean|P| for Difference (w: the parameter's share of all entries, K: its number of scales), so that s³ grows as 3 "
    "(lr/ε) c t. But scales start near 1e-5, where c/s² is enormous for a few steps; Adam's v remembers that, and "
    "until √v has decayed below ε, by a factor √β₂ in every step, the scales lag far behind the law.",
    "Chinbat 2025, loss penalties; the law and the length of the freeze are derived and measured here",
    measure)
