"""Training as the findings need it: a network of the thesis whose scales may have an optimizer of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.data import Dataset
from minilq.experiments.build import trainer_for
from minilq.experiments.config import RunConfig
from minilq.nn import Sequential, Site, codes_in
from minilq.optim import Adam, Optimizer, Together
from minilq.quantize.statistics import Integers, integers_together

LR, EPSILON = 1e-4, 1e-7
"""Adam's learning rate in the thesis, and its epsilon there: the default of Keras."""

WEIGHT = "dense1.weight"
"""The parameter that the figures follow: 784 rows of 128 weights, 99 % of the network."""

ScaleOptimizer = Callable[[Sequence[Parameter]], Optimizer]
Watch = Callable[[int, Sequential], None]


@dataclass(frozen=True)
class Trained:
    """What a training ended with. accuracy: share of right answers on the validation images."""

    model: Sequential
    accuracy: float
    steps: int

    def integers(self) -> Integers:
        """Statistics of the codes of all quantized parameters together."""
        return integers_together(codes_in(self.model))

    def scales(self) -> Array:
        """The scales of WEIGHT as float64, one for each row."""
        return scales_of(self.model)


def train(config: RunConfig, data: Dataset, network: str = "quantized", scale_optimizer: ScaleOptimizer | None = None,
          watch: Watch | None = None) -> Trained:
    """Train a network from its first batch to the last epoch of the settings.

    scale_optimizer   Parameters of the scales -> their optimizer; None for the weights' own Adam
    watch             (number of the step, model) after each backward pass and before the update
    """
    trainer = trainer_for(network, config, data)
    model, optimizer = trainer.model, trainer.optimizer
    if scale_optimizer is not None:
        assert config.lr is not None
        latents = [p for name, p in model.parameters().items() if name.endswith(".latent")]
        scales = [p for name, p in model.parameters().items() if name.endswith(".scale")]
        optimizer = Together(Adam(latents, lr=config.lr), scale_optimizer(scales))
    trainer.optimizer = optimizer if watch is None else _Watched(optimizer, model, watch)
    assert config.epochs is not None
    trainer.run(config.epochs)
    steps = config.epochs * -(-len(data.train_images) // trainer.batch)
    return Trained(model, float(trainer.rows[-1]["validation_accuracy"]), steps)


class _Watched(Together):
    """An optimizer that lets someone look before each step."""

    def __init__(self, optimizer: Optimizer | Together, model: Sequential, watch: Watch) -> None:
        super().__init__(*(optimizer.optimizers if isinstance(optimizer, Together) else [optimizer]))
        self.model, self.watch, self.steps = model, watch, 0

    def step(self) -> None:
        self.watch(self.steps, self.model)
        super().step()
        self.steps += 1


class MedianScale:
    """A watch that records the median scale of WEIGHT at steps spread evenly over the logarithm of their number."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.scales: list[float] = []

    def __call__(self, step: int, model: Sequential) -> None:
        if step > 0 and step >= 1.05 * max(self.steps, default=0):
            self.note(step, model)

    def note(self, step: int, model: Sequential) -> None:
        """Record it, whatever the step."""
        self.steps.append(step)
        self.scales.append(float(np.median(scales_of(model))))


def first_weight(model: Sequential) -> Site:
    """The site WEIGHT."""
    return model.sites()[WEIGHT]


def latent_of(model: Sequential, name: str = WEIGHT) -> Array:
    """The latent of a weight or bias, by the name of its site."""
    return model.parameters()[f"{name}.latent"].array


def scales_of(model: Sequential) -> Array:
    """The scales of WEIGHT as float64, flat."""
    scale = first_weight(model).scale
    assert scale is not None
    flat: Array = scale.array.astype(np.float64).reshape(-1)
    return flat
