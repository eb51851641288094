"""The networks of `few_levels.py`, and what is trained on them: a protocol and a table of experiments for each set."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from minilq import BNN, BWN, LAB, LAQ, LAT, LSQ, TTQ, TWN, BinaryConnect, DoReFa, DoReFaInput, LQNets, VecQ, nn
from minilq.quantize import Quantizer
from minilq.quantize.methods.binary_connect import glorot
from minilq.train.task import Task, cross_entropy, squared_hinge


@dataclass(frozen=True)
class Protocol:
    """How every network of a set is trained: Adam in the PyTorch form, whole batches only, pixels 0 .. 1.

    bound       of a weight's shape: weights are uniform in -bound .. bound at first
    biases      whether the biases are too; else they are 0
    holdout     so many of the training images, the last, choose the best epoch; 0: the last epoch counts
    decays      shares of the training after which the rate is divided by ten
    """

    epochs: int
    batch: int
    task: Task
    bound: Callable[[tuple[int, ...]], float]
    biases: bool = True
    holdout: int = 0
    decays: tuple[float, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """A network, and the methods of its weights and inputs. The network's own input and its biases have none.

    reference   what others reached, in %: accuracies of two seeds; of set deep errors, published, then of a pilot
    gradient    bits of the gradient of the hidden layer's output, None for a float
    wide        quantized weights are uniform in -1 .. 1 at first
    real_test   predictions are made with the real weights
    """

    network: str
    name: str
    weight: Quantizer | None = None
    input: Quantizer | None = None
    reference: tuple[float, ...] = ()
    lr: float = 1e-3
    gradient: int | None = None
    wide: bool = False
    real_test: bool = False

    def method(self, site: str) -> Quantizer | None:
        """What the site of this name gets."""
        layer, _, kind = site.partition(".")
        if layer in REAL.get(self.network, ()) or (layer == "dense1" and kind == "input" and self.network != "cnn"):
            return None
        return {"weight": self.weight, "input": self.input}.get(kind)


REAL = {"cnn": ("conv2d1", "dense3")}
"""Layers without methods, by network."""


def fan_in(shape: tuple[int, ...]) -> float:
    """1 / sqrt(inputs), PyTorch's bound."""
    return 1 / math.sqrt(math.prod(shape[:-1]))


def dense_layers(rng: np.random.Generator, sizes: tuple[int, ...], *between: type[nn.Layer], last: bool = False,
                 gradient: int | None = None) -> nn.Sequential:
    """Dense layers with something between them; last: there is batch normalisation behind the last one too."""
    layers: list[nn.Layer] = [nn.Flatten()]
    for n_in, n_out in itertools.pairwise(sizes):
        hidden = n_out != sizes[-1]
        layers.append(nn.Dense(n_in, n_out, rng))
        if gradient is not None and hidden:
            layers.append(nn.QuantizedGradient(gradient, rng))
        for kind in between if hidden else (nn.BatchNorm,) * last:
            layers.append(nn.BatchNorm(n_out, momentum=0.9, eps=1e-5) if kind is nn.BatchNorm else kind())
    return nn.Sequential(layers)


def network(experiment: Experiment, rng: np.random.Generator) -> nn.Sequential:
    """In floats, for images (N, 28, 28) or, of cnn, (N, 28, 28, 1)."""
    if experiment.network == "cnn":
        return nn.Sequential(
            nn.Conv2D(1, 6, 5, rng, padding=2), nn.MaxPool2D(2), nn.ReLU(),
            nn.Conv2D(6, 16, 5, rng, padding="valid"), nn.MaxPool2D(2), nn.ReLU(), nn.Flatten(),
            nn.Dense(400, 120, rng), nn.ReLU(), nn.Dense(120, 84, rng), nn.ReLU(), nn.Dense(84, 10, rng))
    if experiment.network == "mlp3":
        return dense_layers(rng, (784, 256, 256, 256, 10), nn.BatchNorm, nn.ReLU, last=True)
    between: list[type[nn.Layer]] = [nn.BatchNorm] if experiment.network == "mlp_bn" else []
    if not isinstance(experiment.input, BNN):                    # a sign comes in the place of relu
        between.append(nn.ReLU)
    return dense_layers(rng, (784, 128, 10), *between, gradient=experiment.gradient)


PROTOCOLS = {
    "mlp": Protocol(5, 128, cross_entropy, fan_in),
    "cnn": Protocol(3, 128, cross_entropy, fan_in),
    "deep": Protocol(15, 100, squared_hinge, glorot, biases=False, holdout=10_000, decays=(0.5, 0.8)),
}

MLP = [
    Experiment("mlp", "float", reference=(97.05, 97.21)),
    Experiment("mlp", "DoReFa W1A2", DoReFa(1), DoReFaInput(2), (95.15, 94.62)),
    Experiment("mlp", "DoReFa W1A2G6", DoReFa(1), DoReFaInput(2), (94.85, 94.85), gradient=6),
    Experiment("mlp", "DoReFa W2A2", DoReFa(2), DoReFaInput(2), (93.73, 93.91)),
    Experiment("mlp", "DoReFa W2A2, stopped", DoReFa(2, "stopped"), DoReFaInput(2), (94.19, 94.21)),
    Experiment("mlp", "DoReFa W4A4", DoReFa(4), DoReFaInput(4), (96.33, 96.15)),
    Experiment("mlp", "TWN", TWN(), None, (95.94, 96.04)),
    Experiment("mlp", "TTQ", TTQ(), None, (96.62, 96.98)),
    Experiment("mlp", "LQ-Nets W1A2", LQNets(1), LQNets(2, signed=False), (94.40, 94.03)),
    Experiment("mlp", "LQ-Nets W2A2", LQNets(2), LQNets(2, signed=False), (95.96, 96.08)),
    Experiment("mlp", "LQ-Nets W3A3", LQNets(3), LQNets(3, signed=False), (96.60, 96.59)),
    Experiment("mlp_bn", "float", reference=(97.59, 97.55)),
    Experiment("mlp_bn", "BinaryConnect", BinaryConnect(rate="glorot"), None, (95.94, 95.79), wide=True),
    Experiment("mlp_bn", "BinaryConnect, stochastic", BinaryConnect(stochastic=True, rate="glorot"), None,
               (96.19, 96.10), wide=True, real_test=True),
    Experiment("mlp_bn", "BNN W1A1", BinaryConnect(rate="glorot"), BNN(), (89.73, 90.98), wide=True),
    Experiment("mlp_bn", "BWN, exact", BWN(gradient="exact"), None, (96.46, 96.36)),
    Experiment("mlp_bn", "BWN, paper", BWN(), None, (96.30, 96.07)),
    Experiment("mlp_bn", "XNOR W1A1, paper", BWN(), BNN(), (94.37, 94.04)),
]

CNN = [
    Experiment("cnn", "float"),
    Experiment("cnn", "BinaryConnect", BinaryConnect(rate="glorot"), wide=True),
    Experiment("cnn", "BWN", BWN()),
    Experiment("cnn", "TWN", TWN()),
    Experiment("cnn", "TTQ", TTQ()),
    Experiment("cnn", "DoReFa W2A2", DoReFa(2), DoReFaInput(2)),
    Experiment("cnn", "LQ-Nets W2A2", LQNets(2), LQNets(2, signed=False)),
]

DEEP = [replace(row, network="mlp3") for row in (
    Experiment("", "float", reference=(1.11, 1.31, 1.35), lr=0.003),
    Experiment("", "BinaryConnect", BinaryConnect(rate="glorot"), None, (1.28, 1.68, 1.78), lr=0.001),
    Experiment("", "BWN", BWN(), None, (1.31, 1.58, 1.58), lr=0.01),
    Experiment("", "LAB", LAB(), None, (1.18, 1.50, 1.66), lr=0.01),
    Experiment("", "TWN", TWN(), None, (1.23, 1.44, 1.55), lr=0.01),
    Experiment("", "LAT", LAT(), None, (1.15, 1.44, 1.51), lr=0.01),
    Experiment("", "TTQ, t 0.005", TTQ(t=0.005), None, (1.20,), lr=0.01),
    Experiment("", "TTQ, t 0.05", TTQ(), None, (), lr=0.01),
    Experiment("", "DoReFa 2 bit", DoReFa(2), None, (1.31, 1.50, 1.33), lr=0.01),
    Experiment("", "LAQ 3 bit, linear", LAQ(3), None, (1.20, 1.48, 1.42), lr=0.01),
    Experiment("", "VecQ 2 bit", VecQ(2), None, (math.nan, 1.40, 1.40), lr=0.01),
    Experiment("", "VecQ 3 bit", VecQ(3), None, (math.nan, 1.36, 1.41), lr=0.01),
    Experiment("", "LSQ 2 bit", LSQ(2), None, (), lr=0.01),
)]

SETS = {"mlp": MLP, "deep": DEEP, "cnn": CNN}
