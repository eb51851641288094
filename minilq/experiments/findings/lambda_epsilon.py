"""Only lambda/epsilon counts: pairs with one ratio give one curve of scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from minilq.data import load
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number, percent
from minilq.experiments.findings.training import EPSILON, LR, MedianScale, ScaleOptimizer, train
from minilq.optim import SGD, Adam
from minilq.quantize import SCALE_MIN

PAIRS = ((1e-10, 1e-7), (1e-8, 1e-5), (1e-4, 1e-1))
OTHER = (1e-8, 1e-7)
NEAR, FAR = 1.3, 2.0
"""Ratios of median scales that count as the same, and as different."""


@dataclass(frozen=True)
class Curve:
    """The median scale of the first weight by step, for one lambda and one optimizer of the scales."""

    label: str
    steps: list[int]
    scales: list[float]
    integers: int
    accuracy: float

    @property
    def end(self) -> float:
        return self.scales[-1]


@dataclass(frozen=True)
class LambdaEpsilon:
    """alike: the pairs, and gradient descent with rate lr/epsilon; slow: gradient descent with rate lr; other: a pair
    with another ratio."""

    alike: list[Curve]
    slow: Curve
    other: Curve

    @property
    def spread(self) -> float:
        """The largest by the smallest median scale at the end of those that should agree."""
        ends = [curve.end for curve in self.alike]
        return max(ends) / min(ends)

    def setting(self) -> str:
        return (f"Median scale of the first weight after {self.slow.steps[-1]:,} steps on the embedded digits (raw, "
                f"row-wise, floor; the weights keep their own Adam). Scales begin at {number(SCALE_MIN)}.")

    def tables(self) -> list[Table]:
        return [[("scales trained with", "median scale", "integers", "accuracy"), *(
            (c.label, number(c.end), f"{c.integers:,}", percent(c.accuracy))
            for c in (*self.alike, self.other, self.slow))]]

    def checks(self) -> Mapping[str, Check]:
        highest = max(c.end for c in self.alike)
        return {"Equal λ/ε ends at equal scales": Check(
                    self.spread < NEAR, f"the largest is {self.spread:.2f} times the smallest; {NEAR} is allowed"),
                "Another λ/ε ends elsewhere": Check(
                    self.other.end > FAR * highest, f"at {number(self.other.end)}; those end at {number(highest)}"),
                "Gradient descent with rate lr never quantizes": Check(
                    self.slow.end < 1.1 * SCALE_MIN, f"its scales end at {number(self.slow.end)}, with "
                    f"{self.slow.integers:,} integers")}


def measure(seed: int = 42, epochs: int = 24) -> LambdaEpsilon:
    """Train with every pair and optimizer from the same weights and batches."""
    def curve(lam: float, label: str, optimizer: ScaleOptimizer) -> Curve:
        median = MedianScale()
        config = RunConfig(recipe="thesis", threshold=lam, epochs=epochs, seed=seed)
        trained = train(config, load("digits"), scale_optimizer=optimizer, watch=median)
        median.note(trained.steps, trained.model)
        return Curve(label, median.steps, median.scales, trained.integers().unique, trained.accuracy)

    def adam(lam: float, epsilon: float) -> Curve:
        return curve(lam, f"λ = {number(lam)}, ε = {number(epsilon)}", partial(Adam, lr=LR, epsilon=epsilon))

    def descent(name: str, rate: float) -> Curve:
        return curve(PAIRS[0][0], f"gradient descent with rate {name} = {number(rate)}", partial(SGD, lr=rate))

    return LambdaEpsilon([*(adam(*pair) for pair in PAIRS), descent("lr/ε", LR / EPSILON)], descent("lr", LR),
                         adam(*OTHER))


FINDING = Finding(
    "lambda-epsilon", "only lambda/epsilon counts: it is gradient descent with rate lr/epsilon",
    "Of the threshold λ of the nested layer and the ε of Adam only the ratio counts. The scales' gradients are about λ "
    "times the largest code; once √v lies far below ε, Adam's step lr·m/(√v + ε) is gradient descent with rate lr/ε, "
    "and s grows by (lr/ε)·λ times what depends on neither.",
    "Chinbat 2025, nested quantization layer; Adam: Kingma and Ba 2015, with ε outside the bias correction as in Keras",
    measure)
