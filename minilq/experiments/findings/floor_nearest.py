"""What floor costs: its bias of half a step, in rounding a trained network and in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from minilq.autodiff.tape import Array
from minilq.data import load
from minilq.experiments.build import built, inputs_for, quantized_sites
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number, percent
from minilq.experiments.findings.training import WEIGHT, Trained, latent_of, train
from minilq.experiments.rounded import smallest_scale
from minilq.quantize import Scaled, fake_quantize, scale_shape
from minilq.train.metrics import evaluate

METHODS = {"floor": ("floor", 0.0), "nearest": ("nearest", 0.0), "floor + 1/2": ("floor", 0.5)}
"""Rounding of P/s, and what is added to the code when it is multiplied back."""

BITS = (2, 3, 4, 5, 6, 7)
SHOWN = 3
"""Bits of which the errors are shown: 8 levels."""

THRESHOLDS = (3e-9, 1e-8)


@dataclass(frozen=True)
class FloorNearest:
    """accuracy: method -> one for each of BITS, nothing trained after rounding; errors: method -> (P_hat - P)/s of the
    first weight at SHOWN bits; learned: lambda -> {rounding: accuracy for each seed}."""

    float_accuracy: float
    accuracy: dict[str, list[float]]
    errors: dict[str, Array]
    learned: dict[float, dict[str, list[float]]]

    def shown(self, method: str) -> float:
        """Accuracy at SHOWN bits."""
        return self.accuracy[method][BITS.index(SHOWN)]

    def levels_needed(self, method: str) -> str:
        """The fewest of the levels tried that lose less than a point."""
        enough = [2**b for b, a in zip(BITS, self.accuracy[method], strict=True) if a > self.float_accuracy - 0.01]
        return str(enough[0]) if enough else f"more than {2**BITS[-1]}"

    def setting(self) -> str:
        seeds = len(next(iter(self.learned.values()))["floor"])
        return (f"A float network trained on the embedded digits (raw) gets {percent(self.float_accuracy)} right. Its "
                f"weights were rounded row by row to {2**SHOWN} levels, nothing trained afterwards, with the smallest "
                "scales that clip nothing. Levels needed: to lose less than a point. Then networks trained with the "
                f"threshold rule, row-wise; the mean of {seeds} seed{'s' * (seeds > 1)}.")

    def tables(self) -> list[Table]:
        return [[("rounding", "mean error", "accuracy", "levels needed"), *(
                    (method, f"{self.errors[method].mean():+.2f} s", percent(self.shown(method)),
                     self.levels_needed(method)) for method in METHODS)],
                [("trained with λ", "floor", "nearest"), *(
                    (number(lam), percent(fmean(a["floor"])), percent(fmean(a["nearest"])))
                    for lam, a in self.learned.items())]]

    def checks(self) -> Mapping[str, Check]:
        floor, nearest, half = (self.shown(method) for method in METHODS)
        biases = {method: float(error.mean()) for method, error in self.errors.items()}
        gains = [fmean(a["nearest"]) - fmean(a["floor"]) for a in self.learned.values()]
        return {"Floor rounds down by half a step on average": Check(
                    abs(biases["floor"] + 0.5) < 0.05, f"its error is {biases['floor']:+.2f} s"),
                "Nearest and floor + 1/2 have no such bias": Check(
                    max(abs(biases["nearest"]), abs(biases["floor + 1/2"])) < 0.05,
                    f"{biases['nearest']:+.2f} s and {biases['floor + 1/2']:+.2f} s"),
                f"Floor loses against nearest at {2**SHOWN} levels": Check(
                    nearest - floor > 0.1, f"{percent(floor)} against {percent(nearest)}"),
                "Floor + 1/2 behaves like nearest": Check(
                    half - floor > 0.8 * (nearest - floor) > 0, f"{percent(half)}"),
                "Nearest is better in training at a coarse λ too": Check(
                    all(gain > 0 for gain in gains), " and ".join(f"{100 * gain:+.1f}" for gain in gains) + " points")}


def measure(seed: int = 42, epochs: int = 15, thresholds: tuple[float, ...] = THRESHOLDS, seeds: int = 2,
            ) -> FloorNearest:
    """Train a float network and round it; train with both roundings."""
    data = load("digits")
    config = RunConfig(recipe="thesis", epochs=epochs, seed=seed)
    baseline = train(config, data, network="float")
    accuracy: dict[str, list[float]] = {method: [] for method in METHODS}
    errors = {}
    for method in METHODS:
        for bits in BITS:
            rounded = _rounded(baseline, config, method, bits)
            model, _ = built(config)
            model.load_state(rounded)
            _, right = evaluate(model, data.validation_images, data.validation_labels, inputs_for(config))
            accuracy[method].append(right)
            if bits == SHOWN:
                P = latent_of(baseline.model)
                errors[method] = ((rounded[f"{WEIGHT}.latent"] - P) / _scale(P, (len(P), 1), bits)).reshape(-1)
    learned: dict[float, dict[str, list[float]]] = {lam: {"floor": [], "nearest": []} for lam in thresholds}
    for lam, of_rounding in learned.items():
        for rounding, accuracies in of_rounding.items():
            for own in range(seed, seed + seeds):
                config = RunConfig(recipe="thesis", threshold=lam, rounding=rounding, epochs=epochs, seed=own)
                accuracies.append(train(config, data).accuracy)
    return FloorNearest(baseline.accuracy, accuracy, errors, learned)


def _rounded(baseline: Trained, config: RunConfig, method: str, bits: int) -> dict[str, Array]:
    """The state of a float network whose parameters stand on the grid."""
    rounding, shift = METHODS[method]
    state = dict(baseline.model.state())
    for name in quantized_sites(config, baseline.model):
        P, granularity = latent_of(baseline.model, name), "scalar" if name.endswith("bias") else config.granularity
        assert granularity is not None
        s = _scale(P, scale_shape(granularity, P.shape), bits)
        fixed = Scaled(rounding, granularity=granularity, qmin=-2**(bits - 1), qmax=2**(bits - 1) - 1)
        state[f"{name}.latent"] = fake_quantize(P, s, fixed) + P.dtype.type(shift) * s
    return state


def _scale(P: Array, shape: tuple[int, ...], bits: int) -> Array:
    return smallest_scale(P, shape, -2**(bits - 1), 2**(bits - 1) - 1)


FINDING = Finding(
    "floor-nearest", "floor costs accuracy through its bias of -s/2",
    "floor(P/s)·s lies below P by s/2 on average, and since all weights of a neuron err on one side the errors add up "
    "instead of cancelling: its input moves by -(s/2) Σ x. Nearest has an error of the same width around 0, and so has "
    "floor when the code is multiplied back with 1/2 added, s·(floor(P/s) + 1/2).",
    "Chinbat 2025, nested quantization layer with floor; the comparison is measured here",
    measure)
