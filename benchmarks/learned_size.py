"""How small MNIST's 784-128-10 becomes when the bits of its codes are a part of the loss (`minilq.code_size`).

A float network, unit inputs, a few epochs; then one scale for each weight and bias, rounded to the nearest, trained by
the cross entropy and a price for every bit, both of which move weights and scales. The price grows over the first
quarter of the epochs. One line for each price and seed: accuracy on 10,000 training images held out, by which to
choose, on the 10,000 test images, and bytes: of the whole .mlq file on the disk, and at the entropy of the codes with
tables, scales and headers.

    OPENBLAS_NUM_THREADS=1 python benchmarks/learned_size.py --prices 1e-6 2e-6 5e-6 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from minilq import (
    Adam,
    Dense,
    Flatten,
    Objective,
    ReLU,
    Scaled,
    Sequential,
    Tensor,
    chain_rule,
    penalty_on,
    quantize,
)
from minilq.coding.sizes import entropy_coded
from minilq.data import Dataset, load
from minilq.nn import coded_in
from minilq.schedule import cosine
from minilq.store.modelfile import save
from minilq.train.loop import Trainer
from minilq.train.metrics import evaluate, unit

HELD_OUT = 10_000
BATCH = 128
WEIGHT_STEP, BIAS_STEP = 0.05, 0.1
SLOW = 0.1
"""On the learning rate of scales, beside that of weights."""
WARM = 0.25
"""The share of the epochs over which the price grows."""


def float_network(data: Dataset, hidden: list[int], epochs: int, seed: int) -> Sequential:
    rng, sizes = np.random.default_rng(seed), [784, *hidden]
    layers = [layer for pair in pairwise(sizes) for layer in (Dense(*pair, rng), ReLU())]
    model = Sequential(Flatten(), *layers, Dense(sizes[-1], 10, rng))
    Trainer(model, Adam(model.parameters().values(), 1e-3), data, unit, BATCH, {"shuffle": rng}).run(epochs)
    return model


def on_scales(model: Sequential) -> Sequential:
    """The same network with a scale for each weight and bias."""
    method = Scaled("nearest", granularity="scalar", scale_rule=chain_rule())
    model = quantize(copy.deepcopy(model), lambda name: None if name.endswith("input") else method)
    for name, tensor in model.parameters().items():
        if name.endswith("scale"):
            tensor.data[...] = WEIGHT_STEP if "weight" in name else BIAS_STEP
            tensor.lr = SLOW
    return model


def trained(model: Sequential, data: Dataset, price: float, epochs: int, seed: int) -> Sequential:
    """The network after a training that pays `price` for every bit."""
    model = on_scales(model)
    rng, bits = np.random.default_rng(1000 + seed), penalty_on(model, "code_size", 1.0)
    batches = -(-len(data.train_images) // BATCH)
    seen = 0

    def paid() -> Tensor:
        nonlocal seen
        seen += 1
        return price * min(1.0, seen / (WARM * epochs * batches)) * bits()

    Trainer(model, Adam(model.parameters().values(), 1e-3), data, unit, BATCH, {"shuffle": rng}, cosine(epochs),
            objective=Objective({"bits": paid})).run(epochs)
    return model


def bytes_of(model: Sequential) -> tuple[int, int]:
    """Of the file, and at the entropy of the codes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlq"
        save(path, model)
        return path.stat().st_size, entropy_coded(coded_in(model))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prices", type=float, nargs="+", default=[1e-6, 2e-6, 5e-6], help="of a bit")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[128], help="300 100 for LeNet-300-100")
    parser.add_argument("--float-epochs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--data", type=Path, help="the folder of MNIST (where minilq keeps it)")
    options = parser.parse_args()
    whole = load("mnist", options.data)
    data = whole.holdout(HELD_OUT)
    print("price    seed  held out  test    file B  entropy B  weights that are not 0")
    for seed in options.seeds:
        start = float_network(data, options.hidden, options.float_epochs, seed)
        for price in options.prices:
            model = trained(start, data, price, options.epochs, seed)
            held_out, test = (evaluate(model, images, labels, unit)[1] for images, labels in (
                (data.validation_images, data.validation_labels), (whole.validation_images, whole.validation_labels)))
            left = sum(np.count_nonzero(one.codes) for name, one in coded_in(model).items() if "weight" in name)
            file, entropy = bytes_of(model)
            print(f"{price:7.1e} {seed:5} {held_out:9.2%} {test:7.2%} {file:7} {entropy:10} {left:7}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
