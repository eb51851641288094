"""Sensitivity: which parameters of a float network may be stored coarsely, by three measures, and what each is worth.

Only one site is rounded to nearest, everything else stays float:

    measured     by how much the loss grows
    hessian      1/2 tr(H) / n |delta|^2, the growth to second order if the Hessian of the site were a multiple of the
                 identity; delta = P_hat - P, tr(H) by Hutchinson's estimator (post/hessian.py). Dong et al. 2020
    gradient     sum_i |g_i delta_i|, the growth to first order at worst, which is what `post.adaptive` spends.
                 Khoram and Li 2018

All on training images. An allocation gives every site bits or a step of its own: the least sum of one of these with at
most as many bytes as rounding all sites alike. It is judged on validation images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.coding.sizes import entropy_coded
from minilq.data import Dataset
from minilq.data.augment import center_crop
from minilq.errors import ConfigError
from minilq.experiments.build import inputs_for, quantized_sites
from minilq.experiments.config import RunConfig
from minilq.experiments.rounded import Rounder, score_on
from minilq.nn import Sequential
from minilq.ops import softmax_cross_entropy
from minilq.post.hessian import Trace, gradient_at, hessian_trace
from minilq.quantize import SCALE_MIN, Coded, Even
from minilq.quantize.coded import narrowed

MEASURES = ("measured", "hessian", "gradient")
UNIFORM = "uniform"
BITS = tuple(2 + quarter / 4 for quarter in range(25))
"""2 to 8, by quarters: what is entropy-coded may have any number of codes."""
FINER = tuple(-2 + quarter / 4 for quarter in range(25))
"""Steps that an allocation may choose are the one asked for by 2^-FINER."""

Ladders = Mapping[str, Sequence[float]]
"""Name of a site -> a number for each rung, from coarse to fine: by how much the loss grows, or bytes."""


@dataclass(frozen=True)
class Rungs:
    """What a site can be rounded to, from coarse to fine: bits, each step max|P| / (2^(bits - 1) - 1), or steps.

    >>> Rungs(bits=3).label(2), Rungs(step=0.5).label(1), Rungs(step=0.5).step_of(np.ones(3), 0)
    ('2.5 bits', '1.682', 2.0)
    """

    bits: float | None = None
    step: float | None = None

    @property
    def asked(self) -> int:
        """The rung that was asked for."""
        return FINER.index(0) if self.bits is None else BITS.index(self.bits)

    def label(self, rung: int) -> str:
        return f"{BITS[rung]:g} bits" if self.step is None else f"{self.step * 2.0 ** -FINER[rung]:.4g}"

    def step_of(self, P: Array, rung: int) -> float:
        if self.step is not None:
            return max(self.step * 2.0 ** -FINER[rung], SCALE_MIN)
        return max(float(np.abs(P).max()) / (2 ** (BITS[rung] - 1) - 1), SCALE_MIN)

    def coded(self, P: Array, rung: int) -> Coded:
        """P rounded to nearest."""
        s = np.full(1, self.step_of(P, rung), P.dtype)
        return Coded(narrowed(np.rint(P / s)), Even(s))


@dataclass(frozen=True)
class Site:
    """One site on the rung that was asked for: accuracy and growth of the loss with nothing else rounded, and what the
    other measures say of that growth."""

    numbers: int
    bytes: int
    accuracy: float
    trace: Trace
    growth: dict[str, float]


@dataclass(frozen=True)
class Allocation:
    """A rung for every site, and what comes of it on validation images."""

    rungs: dict[str, int]
    bytes: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Sensitivity:
    """sites on the training images that were looked at; allocations, the first of which is uniform, on validation
    images; float_accuracy and float_loss on both, training first."""

    rungs: Rungs
    images: int
    float_accuracy: tuple[float, float]
    float_loss: tuple[float, float]
    sites: dict[str, Site]
    allocations: dict[str, Allocation]


def sensitivity(model: Sequential, data: Dataset, config: RunConfig, rungs: Rungs, images: int = 500, samples: int = 16,
                seed: int = 0, budget: int | None = None) -> Sensitivity:
    """How sensitive each site of a float network is that the settings quantize, and allocations by each measure.

    images      training images that are looked at
    samples     of Hutchinson's estimator, seeded
    budget      bytes that an allocation may take, entropy-coded; by default those of the rung that was asked for.
                Uniform is the finest rung of all that fits
    Raises      ConfigError for a network with methods, and when not even the coarsest rung fits
    """
    seen, labels = data.train_images[:images], data.train_labels[:images]
    if config.data == "imagenette":
        seen = center_crop(seen, config.image_shape[0])
    x = Tensor.wrap(inputs_for(config)(seen))

    def loss_of(network: Sequential) -> tuple[Tensor, float]:
        logits = network(x)
        return softmax_cross_entropy(logits, labels), float(np.mean(logits.array.argmax(axis=1) == labels))

    def score(network: Sequential) -> tuple[float, float]:
        with no_grad():
            loss, right = loss_of(network)
        return loss.item(), right

    rounder = Rounder(model, quantized_sites(config, model), score)
    loss, accuracy = score(model)
    rng = np.random.default_rng(seed)
    growth: dict[str, dict[str, list[float]]] = {measure: {} for measure in MEASURES}
    sizes: dict[str, list[int]] = {}
    sites = {}
    for name, P in rounder.latents.items():
        every = [rungs.coded(P, rung) for rung in range(len(BITS))]
        judged = [rounder.judge({name: one}) for one in every]
        rounder.put({name: P})
        latent = rounder.parameters[name]
        trace = hessian_trace(lambda: loss_of(rounder.model)[0], latent, rng, samples)
        g = gradient_at(lambda: loss_of(rounder.model)[0], latent, P)
        deltas = [one.values.astype(np.float64) - P for one in every]
        sizes[name] = [entropy_coded({name: one}) for one in every]
        growth["measured"][name] = [one["loss"] - loss for one in judged]
        growth["hessian"][name] = [0.5 * trace.mean / P.size * float(np.vdot(d, d)) for d in deltas]
        growth["gradient"][name] = [float(np.abs(g * d).sum()) for d in deltas]
        sites[name] = Site(P.size, int(sizes[name][rungs.asked]), judged[rungs.asked]["accuracy"], trace,
                           {measure: ladders[name][rungs.asked] for measure, ladders in growth.items()})
    rounder.score = score_on(data, config)
    validation_loss, validation_accuracy = rounder.score(model)
    return Sensitivity(rungs, len(labels), (accuracy, validation_accuracy), (loss, validation_loss), sites,
                       _allocations(rounder, rungs, growth, sizes, budget))


def _allocations(rounder: Rounder, rungs: Rungs, growth: Mapping[str, Ladders], sizes: Ladders,
                 budget: int | None) -> dict[str, Allocation]:
    """All sites alike, and what each measure makes of the bytes of that or of a budget."""
    alike = [sum(ladder[rung] for ladder in sizes.values()) for rung in range(len(BITS))]
    if budget is None:
        budget, rung = int(alike[rungs.asked]), rungs.asked
    else:
        fitting = [rung for rung, size in enumerate(alike) if size <= budget]
        if not fitting:
            raise ConfigError("sensitivity", f"the budget must hold {rungs.label(0)} for every site",
                              got=f"{budget / 1000:.1f} kB, where that takes {alike[0] / 1000:.1f} kB")
        rung = fitting[-1]
    chosen = {UNIFORM: dict.fromkeys(sizes, rung),
              **{measure: allocate(ladders, sizes, budget) for measure, ladders in growth.items()}}
    return {name: _allocation(rounder, rungs, own) for name, own in chosen.items()}


def _allocation(rounder: Rounder, rungs: Rungs, own: dict[str, int]) -> Allocation:
    coded = {name: rungs.coded(rounder.latents[name], rung) for name, rung in own.items()}
    judged = rounder.judge(coded)
    return Allocation(own, entropy_coded(coded), judged["accuracy"], judged["loss"])


def allocate(growth: Ladders, sizes: Ladders, budget: float) -> dict[str, int]:
    """A rung for every site: the least sum of growths that a price per byte can find within a budget.

    For each price lambda every site takes its least growth + lambda bytes; of all prices at which a site changes its
    mind the best that is within the budget. What is left then goes, rung by rung, to who gains the most for a byte.
    Raises ConfigError when nothing is within the budget
    Source      Shoham and Gersho 1988, Efficient bit allocation for an arbitrary set of quantizers

    >>> allocate({"a": [4.0, 1.0, 0.0], "b": [9.0, 8.5, 8.0]}, {"a": [1, 2, 3], "b": [1, 2, 3]}, budget=4)
    {'a': 2, 'b': 0}
    """
    prices = {(g - h) / (m - n) for name in growth
              for g, n in zip(growth[name], sizes[name], strict=True)
              for h, m in zip(growth[name], sizes[name], strict=True) if m > n and g > h}
    found = [_at_price(growth, sizes, price) for price in (0.0, *sorted(prices), np.inf)]
    fitting = [own for own in found if _sum(sizes, own) <= budget]
    if not fitting:
        raise ConfigError("allocate", "the budget must hold the coarsest rungs", got=f"{budget:g} bytes")
    best = min(fitting, key=lambda own: (_sum(growth, own), _sum(sizes, own)))
    while True:
        left = budget - _sum(sizes, best)
        steps = [((growth[name][rung] - growth[name][finer]) / max(sizes[name][finer] - sizes[name][rung], 1e-9), name,
                  finer) for name, rung in best.items() for finer in range(len(sizes[name]))
                 if sizes[name][finer] - sizes[name][rung] <= left and growth[name][finer] < growth[name][rung]]
        if not steps:
            return best
        _, name, finer = max(steps)
        best = {**best, name: finer}


def _at_price(growth: Ladders, sizes: Ladders, price: float) -> dict[str, int]:
    """What every site takes when a byte costs so much loss; at an infinite price, the smallest."""
    def cost(name: str, rung: int) -> tuple[float, float]:
        size, loss = sizes[name][rung], growth[name][rung]
        return (size, loss) if price == np.inf else (loss + price * size, size)

    return {name: min(range(len(ladder)), key=lambda rung, name=name: cost(name, rung))  # type: ignore[misc]
            for name, ladder in growth.items()}


def _sum(ladders: Ladders, own: Mapping[str, int]) -> float:
    return sum(ladders[name][rung] for name, rung in own.items())
