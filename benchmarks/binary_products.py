"""A binary network on integers against the same sizes in floats: time and size, in one process, on one thread.

784-2048-2048-10, batches of 256. On one side a float network of dense layers and relu, float32 BLAS. On the other dense
layers with weights (BWN) and inputs (BNN) of one bit and batch normalisation, as `convert` makes them integers: counted
bits and a rescaling for each layer. Its time is that of `predict`, from float images to classes, the packing of inputs
and the encoding of images included; beside it the same from codes of images, and with `int8_product` in the place of
counted bits. All take turns, the time is that of the processor; what counts is the ratio in each round.

    OPENBLAS_NUM_THREADS=1 python benchmarks/binary_products.py
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import minilq
from minilq import BNN, BWN, Sequential, nn
from minilq.integer.engine import IntegerNetwork, convert
from minilq.integer.steps import Product
from minilq.store.modelfile import save

BATCH = 256
SIZES = (784, 2048, 2048, 10)


def layers(rng, between):
    """Dense layers of these sizes, with what `between` makes of a number of features after each but the last."""
    row = []
    for n_in, n_out in itertools.pairwise(SIZES):
        row += [nn.Dense(n_in, n_out, rng), between(n_out)]
    return Sequential(row[:-1])


def binary(rng, images):
    model = nn.quantize(layers(rng, nn.BatchNorm), lambda name: BWN() if name.endswith("weight") else
                        BNN() if name.endswith("input") else None)
    for _ in range(20):                          # batch normalisation learns the means and variances
        model(minilq.Tensor(images), training=True)
    return model


def by_bytes(network: IntegerNetwork) -> IntegerNetwork:
    steps = [replace(step, parts=[part._replace(planes=None) for part in step.parts])
             if isinstance(step, Product) else step for step in network.steps]
    return IntegerNetwork(network.grid, network.grids, network.coded, network.rounded, network.logits_scale,
                          network.shape, steps)


def seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    minilq.use_threads(1)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((BATCH, SIZES[0]), np.float32)
    floats, model = layers(rng, lambda n: nn.ReLU()), binary(rng, images)
    network = convert(model)
    bytewise, codes = by_bytes(network), network.grid.codes(images)
    with minilq.no_grad():
        calls = {
            "float32 network": lambda: floats(images),
            "bits, from images": lambda: network.predict(images),
            "bits, from codes": lambda: network(codes),
            "int8, from codes": lambda: bytewise(codes),
            "trained network": lambda: model(images),
        }
        same = network.predict(images) == model(images).numpy().argmax(axis=1)
        assert (network(codes) == bytewise(codes)).all()
        times = {name: [] for name in calls}
        for _ in range(rounds + 2):
            for name, call in calls.items():
                times[name].append(seconds(call))
    print(f"numpy {np.__version__}, one thread, {'-'.join(map(str, SIZES))}, batch {BATCH}, {rounds} rounds; "
          f"{same.sum()} of {BATCH} classes as in the trained network")
    for name, taken in times.items():
        ratios = [a / b for a, b in zip(times["float32 network"][2:], taken[2:], strict=True)]
        print(f"    {name:18} {statistics.median(taken[2:]) * 1e3:7.2f} ms   {statistics.median(ratios):5.2f} times "
              f"the float network's speed (from {min(ratios):.2f} to {max(ratios):.2f})")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlq"
        save(path, model)
        size = path.stat().st_size
    weights = sum(a * b for a, b in itertools.pairwise(SIZES)) / 8
    outputs = sum(SIZES[1:])
    kept = 4 * (2 * outputs + 4 * sum(SIZES[1:-1]))      # a bias and an alpha of each output, batch normalisation
    print(f"    file {size:,} bytes: one bit a weight {weights:,.0f}, biases, alphas and normalisation {kept:,}; "
          f"{size / (weights + kept):.4f} times both")


if __name__ == "__main__":
    main()
