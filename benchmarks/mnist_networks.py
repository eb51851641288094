"""What the trainings on MNIST here share: networks by name, float training, and what a network comes to in the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from minilq import Adam, Conv2D, Dense, Flatten, MaxPool2D, Parameter, ReLU, Sequential
from minilq.coding.sizes import entropy_coded
from minilq.data import Dataset
from minilq.nn import coded_in
from minilq.objective import Objective, l2
from minilq.schedule import cosine
from minilq.store.modelfile import contents
from minilq.train.loop import Trainer
from minilq.train.metrics import ToInput, evaluate, unit
from minilq.train.stage import Stage

HELD_OUT = 10_000
"""Training images that choose, and do not train."""
BATCH = 128
LR = 1e-3
DECAY = 3e-4
"""The rate of L2 in float trainings: the largest of 2e-5, 1e-4, 3e-4, 1e-3 that cost 784-128-10 no accuracy."""


def dense(*sizes: int) -> Callable[[np.random.Generator], Sequential]:
    """Dense layers with relu between, weights normal with standard deviation sqrt(2 / inputs) at first."""
    def made(rng: np.random.Generator) -> Sequential:
        layers = [layer for m, n in pairwise(sizes) for layer in (Dense(m, n, rng, math.sqrt(2 / m)), ReLU())]
        return Sequential(Flatten(), *layers[:-1])
    return made


def lenet5(rng: np.random.Generator) -> Sequential:
    """20 and 50 kernels of 5 x 5, 500 units: 431,080 numbers, the LeNet-5 of papers about compression."""
    return Sequential(Conv2D(1, 20, 5, rng, padding="valid", std=math.sqrt(2 / 25)), MaxPool2D(2),
                      Conv2D(20, 50, 5, rng, padding="valid", std=math.sqrt(2 / 500)), MaxPool2D(2), Flatten(),
                      Dense(800, 500, rng, std=math.sqrt(2 / 800)), ReLU(), Dense(500, 10, rng))


NETWORKS = {"784-128-10": dense(784, 128, 10), "784-1000-10": dense(784, 1000, 10),
            "lenet-300-100": dense(784, 300, 100, 10), "lenet-5": lenet5}


def seen(images: np.ndarray) -> np.ndarray:
    """Pixels 0 .. 1, with an axis for the one channel."""
    return unit(images)[..., None]


def train(model: Sequential, data: Dataset, epochs: int, seed: int, parts: dict[str, Any] | None = None,
          stages: Sequence[Stage] = (), more: Iterable[Parameter] = ()) -> Sequential:
    """The same network, trained: Adam, its rate down a cosine, on the cross entropy and what `parts` add to it.

    more        parameters beside those of the network
    """
    rng = np.random.default_rng([seed, 1])
    adam = Adam([*model.parameters().values(), *more], LR)
    Trainer(model, adam, data, seen, BATCH, {"shuffle": rng}, cosine(epochs),
            objective=Objective(parts or {}), stages=stages).run(epochs)
    return model


def float_network(name: str, data: Dataset, epochs: int, seed: int, decay: float = DECAY) -> Sequential:
    """Trained in floats, with L2 on weights: without it those of pixels that are always 0 stay where they began, and
    what is rounded takes three times as many bytes."""
    model = NETWORKS[name](np.random.default_rng(seed))
    latents = [site.latent for site_name, site in model.sites().items() if site_name.endswith("weight")]
    return train(model, data, epochs, seed, {"l2": partial(l2, latents, decay)} if decay else {})


def accuracy(model: Sequential, data: Dataset, to_input: ToInput = seen) -> float:
    """On the validation images, which for MNIST are those of the test, or on what is held out in their place."""
    return evaluate(model, data.validation_images, data.validation_labels, to_input)[1]


def bytes_of(model: Sequential) -> dict[str, int]:
    """Of the whole .mlq file, of the codes at their entropy with tables, scales and headers, and of all in float32."""
    coded = coded_in(model)
    floats = 4 * sum(site.latent.size for site in model.sites().values() if site.latent is not None)
    return {"file": len(contents(model)), "entropy": entropy_coded(coded) if coded else floats, "float32": floats}


def nonzero(model: Sequential) -> int:
    """Weights that the network multiplies with, which are not 0."""
    return sum(int(np.count_nonzero(site().numpy())) for name, site in model.sites().items() if name.endswith("weight"))
