"""How scales grow under the threshold rule: their squares, with lambda, votes and steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from minilq.autodiff.tape import Array
from minilq.data import load
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number
from minilq.experiments.findings.growth import LAW_HEAD, WHEN, Followed, Growth, law_check, law_row
from minilq.experiments.findings.training import first_weight, latent_of, train
from minilq.nn import Sequential
from minilq.quantize.scale_rule import EPS32

THRESHOLDS = (1e-11, 1e-10, 1e-9)


@dataclass(frozen=True)
class GrowthNested:
    """What was followed, for each lambda."""

    runs: dict[float, Followed]

    def setting(self) -> str:
        return (f"M and f were read in every {Growth.EVERY}th step of a training on the embedded digits (raw, "
                f"row-wise), {WHEN}; the law was compared with each of the {self.rows} rows of the first weight.")

    def tables(self) -> list[Table]:
        return [[LAW_HEAD, *(law_row(f"λ = {number(lam)}", run) for lam, run in self.runs.items())]]

    @property
    def rows(self) -> int:
        return next(iter(self.runs.values())).rows

    def checks(self) -> Mapping[str, Check]:
        return {f"Rows grow by the law at λ = {number(lam)}": law_check(run) for lam, run in self.runs.items()}


def measure(seed: int = 42, epochs: int = 40, thresholds: tuple[float, ...] = THRESHOLDS) -> GrowthNested:
    """Train once for each lambda, and follow the law beside the scales."""
    runs = {}
    for lam in thresholds:
        growth = Growth(2, partial(drive, lam))
        config = RunConfig(recipe="thesis", threshold=lam, epochs=epochs, seed=seed)
        trained = train(config, load("digits"), scale_optimizer=growth.optimizer, watch=growth)
        runs[lam] = growth.finish(trained.model)
    return GrowthNested(runs)


def drive(lam: float, model: Sequential) -> Array:
    """lambda f M of each row."""
    return lam * votes(model, lam) * largest(model)


def votes(model: Sequential, lam: float) -> Array:
    """f: the share of the entries of each row that vote, r = |g| / |y| < lambda; 1 where none does: the full vote."""
    site = first_weight(model)
    P, y = site.latent, site.coded().values
    assert P is not None
    assert P.grad is not None
    f: Array = (np.abs(P.grad) / np.where(y == 0, EPS32, np.abs(y)) < lam).mean(axis=1)
    return np.where(f == 0, 1, f)


def largest(model: Sequential) -> Array:
    """M: max |P| of each row."""
    m: Array = np.abs(latent_of(model)).max(axis=1)
    return m


FINDING = Finding(
    "growth-nested", "the law of the nested layer: s² = s0² + 2 (lr/ε) λ f M t",
    "Under the threshold rule scales never settle; their squares grow with the steps, s² = s0² + 2 (lr/ε) λ f M t, "
    "where M = max|P| of the group and f is the share of its entries that vote. The rule gives ds = -λ f max|n| with "
    "max|n| = M/s, so s ds/dt is constant, and s grows as √t: it does not converge, it slows down.",
    "Chinbat 2025, nested quantization layer; the law is derived and measured here",
    measure)
