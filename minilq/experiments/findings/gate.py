"""Who votes in the threshold rule, and whether its gate is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.data import load
from minilq.experiments.config import RunConfig
from minilq.experiments.findings.finding import Check, Finding, Table, number, percent
from minilq.experiments.findings.training import Trained, train
from minilq.nn import Sequential, coded_in
from minilq.ops import softmax_cross_entropy
from minilq.quantize.branches import Branches, branches
from minilq.quantize.scale_rule import EPS32
from minilq.train.metrics import INPUTS

THRESHOLDS = (1e-10, 1e-9, 3e-9)
BATCHES, BATCH = 20, 32


@dataclass(frozen=True)
class Votes:
    """What the entries of one parameter did in some batches: branches, and what made the voters' gradients so small.

    pixel        the input is 0 in every image of the batch
    relu         in every image in which the input is not 0 the ReLU behind the weight is off
    saturated    what the loss sends back in the images that are left is so small that, all added up without regard to
                 sign, it would still be a vote
    other        none of these: large contributions that happen to cancel
    """

    branches: Branches
    pixel: int
    relu: int
    saturated: int
    other: int

    def __add__(self, more: Votes) -> Votes:
        return Votes(self.branches + more.branches, self.pixel + more.pixel, self.relu + more.relu,
                     self.saturated + more.saturated, self.other + more.other)


@dataclass(frozen=True)
class Pair:
    """The rule with its gate and without it, at one lambda and seed."""

    lam: float
    seed: int
    accuracy: tuple[float, float]
    integers: tuple[int, int]


@dataclass(frozen=True)
class Gate:
    """votes: by parameter, after training with the gate at the first lambda; pairs: gate and no gate."""

    votes: dict[str, Votes]
    pairs: list[Pair]
    images: int

    @property
    def gain(self) -> float:
        """By how much removing the gate changes the accuracy, on average over all pairs."""
        return float(np.mean([without - gated for gated, without in (pair.accuracy for pair in self.pairs)]))

    @property
    def error(self) -> float:
        """The standard error of one accuracy on the validation images."""
        p = float(np.mean([pair.accuracy[0] for pair in self.pairs]))
        return float(np.sqrt(p * (1 - p) / self.images))

    @property
    def total(self) -> Votes:
        """All parameters together."""
        first, *rest = self.votes.values()
        return sum(rest, first)

    def setting(self) -> str:
        return (f"Votes after training on the embedded digits (raw, row-wise, λ = {number(self.pairs[0].lam)}), in "
                f"{BATCHES} batches of {BATCH}. zero: of the voters, those with a gradient of exactly 0; pixel: behind "
                "pixels that are 0 in the whole batch; relu: beside ReLUs that are off wherever they matter; sure: "
                "those who see only samples so sure that the loss sends back next to nothing; none: the rest. full: "
                "groups without a voter, which get the full vote. Then networks trained with the gate and without it.")

    def tables(self) -> list[Table]:
        shares = [(name, percent(v.branches.voted / v.branches.entries), *(
            percent(count / max(v.branches.voted, 1)) for count in (
                v.branches.zero_gradient, v.pixel, v.relu, v.saturated, v.other)),
            percent(v.branches.full / v.branches.groups)) for name, v in {**self.votes, "all": self.total}.items()]
        return [[("parameter", "voted", "zero", "pixel", "relu", "sure", "none", "full"), *shares],
                [("λ", "seed", "with the gate", "integers", "without it", "integers"), *(
                    (number(p.lam), str(p.seed), percent(p.accuracy[0]), str(p.integers[0]), percent(p.accuracy[1]),
                     str(p.integers[1])) for p in self.pairs)]]

    def checks(self) -> Mapping[str, Check]:
        total, voted = self.total, max(self.total.branches.voted, 1)
        gated, without = (sum(p.integers[side] for p in self.pairs) for side in (0, 1))
        return {"Most voters have gradients of exactly 0": Check(
                    total.branches.zero_gradient > 0.5 * total.branches.voted,
                    f"{percent(total.branches.zero_gradient / voted)} of them"),
                "Dead pixels, dead ReLUs and saturated samples explain the votes": Check(
                    total.other < 0.01 * total.branches.voted, f"but for {percent(total.other / voted)} of them"),
                "Removing the gate costs no accuracy that could be measured": Check(
                    self.gain > -self.error, f"{100 * self.gain:+.1f} points on average; the standard error of one "
                    f"accuracy is {100 * self.error:.1f}"),
                "Without the gate there are no more integers": Check(
                    without <= gated, f"{without} in all of the trainings, with it {gated}")}


def measure(seed: int = 42, epochs: int = 15, thresholds: tuple[float, ...] = THRESHOLDS, seeds: int = 2) -> Gate:
    """Train with and without the gate, from `seeds` seeds, and count votes after the first training."""
    data = load("digits")
    found: dict[str, Votes] = {}
    pairs = []
    for lam in thresholds:
        for own in range(seed, seed + seeds):
            config = RunConfig(recipe="thesis", threshold=lam, epochs=epochs, seed=own)
            gated, without = train(config, data), train(replace(config, gate=False), data)
            if not found:
                found = _count(gated, lam)
            pairs.append(Pair(lam, own, (gated.accuracy, without.accuracy),
                              (gated.integers().unique, without.integers().unique)))
    return Gate(found, pairs, len(data.validation_images))


def _count(trained: Trained, lam: float) -> dict[str, Votes]:
    data = load("digits")
    total: dict[str, Votes] = {}
    for start in range(0, BATCHES * BATCH, BATCH):
        x = INPUTS["raw"](data.train_images[start:start + BATCH])
        now = votes_in(trained.model, x, data.train_labels[start:start + BATCH], lam)
        total = {name: total[name] + v if total else v for name, v in now.items()}
    return total


def votes_in(model: Sequential, x: Array, labels: Array, lam: float) -> dict[str, Votes]:
    """What every parameter of the thesis' MNIST network did in one batch."""
    for parameter in model.parameters().values():
        parameter.grad = None
    flat = model.layers["flatten1"](Tensor.wrap(x))
    hidden = model.layers["relu1"](model.layers["dense1"](flat))
    logits = model.layers["dense2"](hidden)
    softmax_cross_entropy(logits, labels).backward()
    # The same gradients once more, at the logits and behind the ReLU: leaves keep theirs.
    h, z = (Tensor(t.array, requires_grad=True) for t in (hidden, logits))
    softmax_cross_entropy(model.layers["dense2"](h), labels).backward()
    softmax_cross_entropy(z, labels).backward()
    assert h.grad is not None
    assert z.grad is not None
    on, ones, sent = hidden.array > 0, np.ones((len(labels), 1), np.float32), np.abs(z.grad)
    back = np.abs(h.grad) * on
    # parameter -> what reaches its rows, what is open behind its columns, what the loss sends back there: (N, .)
    reach = {"dense1.weight": (flat.array, on, back), "dense1.bias": (ones, on, back),
             "dense2.weight": (hidden.array, sent >= 0, sent), "dense2.bias": (ones, sent >= 0, sent)}
    result = {}
    for name, coded in coded_in(model).items():
        site = model.sites()[name]
        assert site.latent is not None
        assert site.latent.grad is not None
        assert site.scale is not None
        g, y = site.latent.grad, coded.values
        result[name] = _causes(name, branches(g, y, lam, site.scale.shape), np.atleast_2d(g), np.atleast_2d(y), lam,
                               *reach[name])
    return result


def _causes(name: str, own: Branches, g: Array, y: Array, lam: float, x: Array, opens: Array, sent: Array) -> Votes:
    """Sort the entries (i, j) that vote. The gradient is a sum over samples: |g_ij| <= sum_n |x_ni| |sent_nj|."""
    size = lam * np.where(y == 0, EPS32, np.abs(y))
    votes = np.abs(g) < size
    reached = (x != 0).any(axis=0)[:, None]
    # (N, I), (N, J) -> (I, J): whether in some sample both are open
    opened = (x != 0).T.astype(np.float32) @ opens.astype(np.float32) > 0
    small = np.abs(x).T @ sent < size
    blocked, off = votes & ~reached, votes & reached & ~opened
    pixel, relu = (blocked, off) if name.startswith("dense1") else (blocked & False, blocked | off)
    rest = votes & opened
    return Votes(own, *(int(np.count_nonzero(part)) for part in (pixel, relu, rest & small, rest & ~small)))


FINDING = Finding(
    "gate", "the gate only detects dead pixels, dead ReLUs and saturated samples",
    "The threshold rule lets an entry vote for a coarser scale where r = |g|/|P| < λ, as if to ask how sensitive the "
    "loss is. At the thesis' λ it asks no such thing: it detects gradients that are 0 or next to it, of dead pixels, "
    "dead ReLUs and saturated samples, and removing it costs no accuracy, while fewer integers are left.",
    "Chinbat 2025, nested quantization layer; the count of its branches is measured here",
    measure)
