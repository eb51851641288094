"""Where scales for each channel matter: a network of MobileNet's blocks beside one of ordinary convolutions.

Both are trained in floats with batch normalisation on MNIST, which then is folded into the weights. These are rounded
to nearest with one scale for each layer or for each filter; or trained on for an epoch as such, while batch norm is
folded (`Folded`). Prints the table of docs/teachers.md.

    MINILQ_DATA=folder python benchmarks/mobile_block.py --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics

import numpy as np

from minilq import Adam, Affine, quantize, use_threads
from minilq.data import Dataset, load
from minilq.nn import (
    BatchNorm,
    Conv2D,
    Dense,
    GlobalAveragePool2D,
    GroupedConv2D,
    Layer,
    ReLU,
    Sequential,
    fold,
    for_inference,
    separable,
)
from minilq.train.loop import Trainer
from minilq.train.metrics import evaluate, unit

IMAGES = 20_000


def seen(images: np.ndarray) -> np.ndarray:
    return unit(images)[..., None]


def ordinary(n_in: int, n_out: int, rng: np.random.Generator, stride: int = 1) -> list[Layer]:
    return [Conv2D(n_in, n_out, 3, rng, stride, std=math.sqrt(2 / (9 * n_in))), BatchNorm(n_out, 0.9), ReLU()]


def mobile(n_in: int, n_out: int, rng: np.random.Generator, stride: int = 1) -> list[Layer]:
    layers = list(separable(n_in, n_out, rng, stride).layers.values())
    for layer in layers:
        if isinstance(layer, BatchNorm):
            layer.momentum = 0.9
    return layers


def network(block: str, rng: np.random.Generator) -> Sequential:
    make = {"ordinary": ordinary, "mobile": mobile}[block]
    return Sequential(*ordinary(1, 16, rng, 2), *make(16, 24, rng), *make(24, 32, rng, 2), *make(32, 32, rng),
                      GlobalAveragePool2D(), Dense(32, 10, rng, 0.2))


def trained(model: Sequential, data: Dataset, seed: int, epochs: int, lr: float) -> Sequential:
    adam = Adam(model.parameters().values(), lr, epsilon=1e-8, form="torch")
    Trainer(model, adam, data.head(IMAGES), seen, 64, {"shuffle": np.random.default_rng([seed, 1])}).run(epochs)
    return model


def accuracy(model: Sequential, data: Dataset) -> float:
    return 100 * evaluate(model, data.validation_images, data.validation_labels, seen)[1]


def on_weights(model: Sequential, bits: int, granularity: str) -> Sequential:
    """Every weight rounded to nearest, max |w| the last code; the last layer keeps 8 bits."""
    last = [name for name in model.sites() if name.endswith("weight")][-1]
    return quantize(model, lambda name: Affine(8 if name == last else bits, symmetric=True, narrow=True,
                                               granularity="filter" if granularity == "filter" and name != last
                                               else "scalar") if name.endswith("weight") else None)


def spread(model: Sequential) -> float:
    """The largest over the smallest reach of a channel of the grouped layers, or of all convolutions, in the median."""
    layers = [layer for layer in model.layers.values() if isinstance(layer, (Conv2D, GroupedConv2D))]
    layers = [layer for layer in layers if isinstance(layer, GroupedConv2D)] or layers
    reach = [np.abs(layer.weight.latent.array).max(axis=(0, 1, 2)) for layer in layers]
    return statistics.median(float(r.max() / max(r.min(), 1e-9)) for r in reach)


def rows_of(block: str, data: Dataset, seed: int) -> dict[str, float]:
    model = trained(network(block, np.random.default_rng(seed)), data, seed, 4, 3e-3)
    folded = fold(model)
    rows = {"float": accuracy(model, data), "float, folded": accuracy(folded, data),
            "largest / smallest reach of a channel": spread(folded)}
    for bits in (8, 6, 4, 3):
        for granularity in ("scalar", "filter"):
            rows[f"W{bits}, {granularity}"] = accuracy(on_weights(copy.deepcopy(folded), bits, granularity), data)
    for granularity in ("scalar", "filter"):
        during = trained(on_weights(fold(model, during=True), 3, granularity), data, seed, 1, 1e-3)
        rows[f"W3, {granularity}, an epoch folded"] = accuracy(for_inference(during), data)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    options = parser.parse_args()
    use_threads(1)
    data = load("mnist")
    found = {block: [rows_of(block, data, seed) for seed in options.seeds] for block in ("ordinary", "mobile")}
    print("| | " + " | ".join(found) + " |\n|---|---|---|")
    for name in found["mobile"][0]:
        cells = []
        for runs in found.values():
            values = [run[name] for run in runs]
            error = f" +- {statistics.stdev(values) / math.sqrt(len(values)):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{error}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
