"""Rival gradients of one paper: how far apart they point, and whether a few seeds can tell what comes of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.data import Dataset, load
from minilq.experiments.build import streams
from minilq.experiments.findings.finding import Check, Finding, Table, listed, number, percent
from minilq.experiments.findings.rival_flags import Rivals, rivals
from minilq.nn import BatchNorm, Dense, Flatten, ReLU, Sequential, quantize
from minilq.ops import softmax_cross_entropy
from minilq.optim import Adam
from minilq.quantize import Quantizer
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS

WEIGHT = "w"
"""What the tables call the first weight."""

WIDTH, BATCH, RATE, PROBED = 32, 100, 2e-3, 500
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57}
"""Number of seeds -> how many standard errors a mean of differences must be from 0, to be told from it at 95 %."""

Gradients = dict[str, Array]


@dataclass(frozen=True)
class Pair:
    """Two rivals on the same trained network and batch.

    of          the parameter whose two gradients are the furthest apart
    cosine      of the angle between these; nan where one of them is 0 everywhere
    apart       |g - h| / max(|g|, |h|)
    same        whether the network gave the same outputs, bit for bit
    gaps        accuracy of the first minus that of the second, for each seed
    """

    one: str
    other: str
    of: str
    cosine: float
    apart: float
    same: bool
    gaps: list[float]

    @property
    def gap(self) -> float:
        return fmean(self.gaps)

    @property
    def error(self) -> float:
        """The standard error of the mean gap."""
        return _error(self.gaps)

    @property
    def told(self) -> bool:
        """Whether the seeds tell the accuracies apart, at 95 %."""
        return abs(self.gap) > STUDENT[len(self.gaps)] * self.error

    @property
    def silent(self) -> bool:
        """Whether one of them tells the first weight nothing."""
        return self.of == WEIGHT and bool(np.isnan(self.cosine))

    @property
    def of_size_alone(self) -> bool:
        """Whether they point into one direction, and differ in length."""
        return self.cosine > 0.9999 and self.apart > 0.1


@dataclass(frozen=True)
class Measured:
    """pairs: of each flag; accuracy: of each flag, value -> one for each seed."""

    rivals: list[Rivals]
    pairs: dict[str, list[Pair]]
    accuracy: dict[str, dict[str, list[float]]]
    epochs: int

    @property
    def all(self) -> list[Pair]:
        return [pair for pairs in self.pairs.values() for pair in pairs]

    @property
    def seeds(self) -> int:
        return len(self.all[0].gaps)

    def setting(self) -> str:
        others = "; ".join(f"{one.name} with {one.others()}" for one in self.rivals if one.others())
        inside = listed([one.name for one in self.rivals if one.on_inputs()])
        return (f"Networks 784 - {WIDTH} - 10 with batch normalisation, {self.epochs} epoch{'s' * (self.epochs > 1)} "
                f"of the embedded digits, Adam, {self.seeds} seeds: each rival in turn as the method of the first "
                f"weight, or of the activations ({inside}), from the same start through the same batches. {others}. "
                f"Gradients are of the network trained with the first rival, of {PROBED} images, and of the parameter "
                "where the two are the furthest apart: |g - h| over the longer of them. Points: accuracy of the first "
                "minus that of the second, with its standard error; told apart at 95 %.")

    def tables(self) -> list[Table]:
        tables: list[Table] = [[("rival", "accuracy", "standard error"), *(
            (f"{name} {value}", percent(fmean(rights)), f"{100 * _error(rights):.1f}")
            for name, of_values in self.accuracy.items() for value, rights in of_values.items())]]
        for name, pairs in self.pairs.items():
            tables.append([(name, "of", "cosine", "apart", "points", "told apart"), *(
                (f"{p.one}, {p.other}", p.of, "-" if np.isnan(p.cosine) else f"{p.cosine:.3f}", number(p.apart),
                 f"{100 * p.gap:+.1f} ± {100 * p.error:.1f}", "yes" if p.told else "no") for p in pairs)])
        return tables

    def checks(self) -> Mapping[str, Check]:
        everyone, same = self.all, sum(pair.same for pair in self.all)
        silent = [pair for pair in everyone if pair.silent]
        heard = [pair for pair in everyone if pair.apart > 0 and not pair.silent]
        found, scaled = [pair for pair in heard if pair.told], [pair for pair in heard if pair.of_size_alone]
        lowest = min((pair for pair in heard if not np.isnan(pair.cosine)), key=lambda pair: pair.cosine)
        hidden = STUDENT[self.seeds] * float(np.median([pair.error for pair in heard]))
        widest = max(abs(pair.gap) for pair in scaled)
        return {"Rivals let the network see the same numbers, bit for bit": Check(
                    same == len(everyone), f"{same} of {len(everyone)} pairs"),
                "They differ in the gradient, and still point to the same side: every cosine is above 0": Check(
                    lowest.cosine > 0, f"{sum(pair.apart > 0 for pair in everyone)} pairs differ; the smallest cosine "
                    f"is {lowest.cosine:.3f}, of {lowest.one} and {lowest.other}"),
                f"{self.seeds} seeds tell a gradient of zeros from each of its rivals": Check(
                    all(pair.told for pair in silent), f"{sum(pair.told for pair in silent)} of {len(silent)} pairs"),
                "They cannot tell most of the other pairs that differ": Check(
                    2 * len(found) < len(heard), f"{len(found)} of {len(heard)} told apart, where chance alone gives "
                    f"{0.05 * len(heard):.0f}; a gap below {100 * hidden:.1f} points is usually hidden from them"),
                "A gradient longer or shorter than its rival is the same to Adam, within 2 points": Check(
                    widest < 0.02, f"at most {100 * widest:.1f} points in {len(scaled)} pairs of cosine 1")}


def _error(accuracies: list[float]) -> float:
    """The standard error of a mean."""
    return float(np.std(accuracies, ddof=1) / len(accuracies) ** 0.5)


def network(rivals: Rivals, value: str, rng: np.random.Generator) -> Sequential:
    """A small network with one of them in its place: for the first weight, or for the activations between the layers,
    where it is the nonlinearity too."""
    method, inside = rivals.method(value), rivals.on_inputs()
    layers = [Dense(784, WIDTH, rng), BatchNorm(WIDTH), *([] if inside else [ReLU()]), Dense(WIDTH, 10, rng)]
    place = "dense2.input" if inside else "dense1.weight"
    return quantize(Sequential(Flatten(), *layers), lambda name: method if name == place else None)


def train(rivals: Rivals, value: str, data: Dataset, seed: int, epochs: int) -> tuple[Sequential, float]:
    """The trained network, and its accuracy on the validation images."""
    generators = streams(seed)
    model = network(rivals, value, generators["init"])
    trainer = Trainer(model, Adam(model.parameters().values(), lr=RATE), data, INPUTS["unit"], BATCH, generators)
    trainer.run(epochs)
    return model, float(trainer.rows[-1]["validation_accuracy"])


def gradients(model: Sequential, method: Quantizer, images: Array, labels: Array) -> tuple[Array, Gradients]:
    """What a network answers with another method in the place of its own, everything else as it is; and the gradients
    of the first weight and of what the method learns."""
    site = next(site for site in model.sites().values() if site.method is not None)
    before, site.method = site.method, method
    learned = {WEIGHT: model.sites()["dense1.weight"].latent,
               **{name: value for name, value in site.held.items() if isinstance(value, Parameter)}}
    for parameter in model.parameters().values():
        parameter.grad = None
    logits = model(Tensor(INPUTS["unit"](images)))
    softmax_cross_entropy(logits, labels).backward()
    site.method = before
    return logits.numpy(), {name: np.zeros(p.shape) if p.grad is None else p.grad.astype(np.float64)
                            for name, p in learned.items() if p is not None}


def compared(g: Array, h: Array) -> tuple[float, float]:
    """Cosine and relative difference of two gradients."""
    lengths = float(np.linalg.norm(g)), float(np.linalg.norm(h))
    longer, product = max(lengths), lengths[0] * lengths[1]
    return (float((g * h).sum()) / product if product else float("nan"),
            float(np.linalg.norm(g - h)) / longer if longer else 0.0)


def pairs(rivals: Rivals, model: Sequential, data: Dataset, accuracy: Mapping[str, list[float]]) -> Iterator[Pair]:
    """Each two rivals, at a network that was trained with one of them."""
    images, labels = data.train_images[:PROBED], data.train_labels[:PROBED]
    told = {value: gradients(model, rivals.method(value), images, labels) for value in rivals.values}
    for one, other in itertools.combinations(rivals.values, 2):
        (y, g), (z, h) = told[one], told[other]
        of_each = {name: compared(g[name], h[name]) for name in g}
        of = max(of_each, key=lambda name: of_each[name][1])
        gaps = [a - b for a, b in zip(accuracy[one], accuracy[other], strict=True)]
        yield Pair(one, other, of, *of_each[of], np.array_equal(y, z), gaps)


def measure(seed: int = 42, epochs: int = 2, seeds: int = 4) -> Measured:
    """Train with every rival, and compare the gradients of each pair on the first network of the first."""
    data, found = load("digits"), rivals()
    of_pairs, accuracy = {}, {}
    for one in found:
        trained = {value: [train(one, value, data, own, epochs) for own in range(seed, seed + seeds)]
                   for value in one.values}
        accuracy[one.name] = {value: [right for _, right in of_seeds] for value, of_seeds in trained.items()}
        first, _ = trained[one.values[0]][0]
        of_pairs[one.name] = list(pairs(one, first, data, accuracy[one.name]))
    return Measured(found, of_pairs, accuracy, epochs)


FINDING = Finding(
    "rivals", "rival gradients of one paper: their angle, and what comes of either",
    "Papers and released code give the same forward y = q(w) different derivatives: what counts as in range, whether a "
    "scale is a constant, by what a gradient is divided, which curve σ(u) stands in for a sign. Such rivals are "
    "different methods: their gradients g and h have an angle, cos = g·h / (|g| |h|). A few seeds see what a gradient "
    "of zeros costs; what most of the others cost is less than seeds differ, and accuracy alone does not say which of "
    "two is right.",
    "the papers of each method, see minilq methods NAME; the comparison is measured here",
    measure)
