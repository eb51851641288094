"""What quantization without training costs, and what helps: equalization, bias correction, AdaRound, GPTQ.

Float networks, trained once for each seed and kept in --folder: LeNet-300-100 and LeNet-5 on MNIST; and those of run
folders, such as the CIFAR-10 network of a short run. Then, without any more training, errors on the test images, in
percent, a line for each network and seed:

    rescaled    hidden units multiplied by 10^U(-1.5, 1.5), which leaves the function: weights of 8 bits with one scale
                for each weight, without and with equalization (LeNet-300-100)
    w8a8        weights and inputs of 8 bits, by every rule of calibration
    w4a8        weights of 4 bits, one scale each, rounded to nearest, by GPTQ and by AdaRound; by each rule for the
                weights' ranges, and with corrected biases
    w3a8        the same of 3 bits

    OPENBLAS_NUM_THREADS=1 python benchmarks/without_training.py --networks lenet-300-100 lenet-5 --seeds 0 1 2
    minilq train --data cifar10 --input unit --epochs 5 --lr 1e-3 --adam torch --out runs/cifar10
    OPENBLAS_NUM_THREADS=1 python benchmarks/without_training.py --runs runs/cifar10 --tables w8a8 w4a8
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from minilq import Adam, Affine, Dense, Flatten, ReLU, Sequential, quantize
from minilq.data import Dataset, load
from minilq.experiments.build import inputs_for
from minilq.experiments.config import read_config
from minilq.experiments.models import lenet
from minilq.experiments.run import trained as of_run
from minilq.kernels.blas import one_blas_thread
from minilq.post import calibrate_ranges, correct_biases, equalize, fold_batch_norms, round_layers
from minilq.post.calibration import RULES
from minilq.post.layerwise import HOW
from minilq.post.pairs import divide_channels, pairs
from minilq.schedule import cosine
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.loop import Trainer
from minilq.train.metrics import ToInput, evaluate, unit

IMAGES = 1000
"""Training images that the methods look at."""
DECADES = 1.5
KINDS = ("rescaled", "w8a8", "w4a8", "w3a8")

Errors = Iterator[tuple[str, float]]


def lenet_300_100(rng: np.random.Generator) -> Sequential:
    return Sequential(Flatten(), Dense(784, 300, rng), ReLU(), Dense(300, 100, rng), ReLU(), Dense(100, 10, rng))


def grey(images: np.ndarray) -> np.ndarray:
    return unit(images)[..., None]


NETWORKS: dict[str, tuple[str, Callable[[np.random.Generator], Sequential], ToInput, int]] = {
    "lenet-300-100": ("mnist", lenet_300_100, unit, 10), "lenet-5": ("mnist", lenet, grey, 8)}
"""Data, network, what it sees, epochs."""


def trained(name: str, seed: int, folder: Path, data: Dataset) -> Sequential:
    """The float network, from its file, or trained now and written there."""
    _, make, to_input, epochs = NETWORKS[name]
    model, path = make(np.random.default_rng(seed)), folder / f"{name}-{seed}.npz"
    if path.exists():
        model.load_state(load_checkpoint(path)[0])
        return model
    trainer = Trainer(model, Adam(model.parameters().values(), 1e-3), data, to_input, 128,
                      {"shuffle": np.random.default_rng([seed, 1])}, cosine(epochs))
    trainer.run(epochs, lambda row: print(f"{name} {seed}: epoch {row['epoch']}, {row['validation_accuracy']:.4f}",
                                          file=sys.stderr, flush=True))
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, model.state(), {})
    return model


class Judge:
    """The error on the test images, in percent, and the images that methods look at."""

    def __init__(self, data: Dataset, to_input: ToInput, test: int | None, rules: list[str], how: list[str]) -> None:
        self.images, self.to_input = to_input(data.train_images[:IMAGES]), to_input
        self.test, self.labels = data.validation_images[:test], data.validation_labels[:test]
        self.rules, self.how = rules, how

    def __call__(self, model: Sequential) -> float:
        return 100 * (1 - evaluate(model, self.test, self.labels, self.to_input)[1])


def with_methods(model: Sequential, judge: Judge, bits: int, rule: str = "mse", weights: str = "min-max",
                 inputs: bool = True) -> Sequential:
    """A copy with weights of so many bits around 0, one scale each, and inputs of 8."""
    of_weights, of_inputs = Affine(bits, symmetric=True, ranges="data"), Affine(8, signed=False, ranges="data")
    quantized = quantize(copy.deepcopy(model), lambda name: of_weights if name.endswith("weight") else (
        of_inputs if name.endswith("input") and inputs else None))
    return calibrate_ranges(quantized, judge.images, rule, weights)


def rescaled(model: Sequential, judge: Judge, seed: int) -> Errors:
    yield "float", judge(model)
    yield "8 bits", judge(with_methods(model, judge, 8, inputs=False))
    crooked, rng = copy.deepcopy(model), np.random.default_rng([seed, 2])
    for pair in pairs(crooked):
        divide_channels(pair, 10 ** rng.uniform(-DECADES, DECADES, pair.channels))
    yield "rescaled, float", judge(crooked)
    yield "rescaled, 8 bits", judge(with_methods(crooked, judge, 8, inputs=False))
    equalize(crooked)
    yield "equalized, 8 bits", judge(with_methods(crooked, judge, 8, inputs=False))
    yield "equalized, w8a8", judge(with_methods(crooked, judge, 8))


def eight_bits(model: Sequential, judge: Judge, seed: int) -> Errors:
    yield "float", judge(model)
    for rule in judge.rules:
        yield rule, judge(with_methods(model, judge, 8, rule))


def few_bits(bits: int) -> Callable[[Sequential, Judge, int], Errors]:
    def errors(model: Sequential, judge: Judge, seed: int) -> Errors:
        yield "float", judge(model)
        folded = copy.deepcopy(model)
        fold_batch_norms(folded)
        for weights in sorted({"min-max", "mse"} & set(judge.rules)):
            near = with_methods(folded, judge, bits, weights=weights)
            yield f"{weights}: nearest", judge(near)
            yield "+ bias", judge(correct_biases(copy.deepcopy(near), judge.images))
            for how in judge.how:
                chosen = round_layers(copy.deepcopy(near), judge.images, how)
                yield how, judge(chosen)
                yield "+ bias", judge(correct_biases(chosen, judge.images))
    return errors


TABLES: dict[str, Callable[[Sequential, Judge, int], Errors]] = {
    "rescaled": rescaled, "w8a8": eight_bits, "w4a8": few_bits(4), "w3a8": few_bits(3)}


@one_blas_thread()
def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--networks", nargs="+", default=[], choices=list(NETWORKS))
    ask.add_argument("--runs", nargs="+", type=Path, default=[])
    ask.add_argument("--tables", nargs="+", default=list(KINDS), choices=KINDS)
    ask.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    ask.add_argument("--rules", nargs="+", default=list(RULES), choices=list(RULES))
    ask.add_argument("--how", nargs="+", default=list(HOW), choices=HOW)
    ask.add_argument("--test", type=int, help="the first so many test images (all)")
    ask.add_argument("--data-dir")
    ask.add_argument("--folder", type=Path, default=Path("runs/without-training"))
    options = ask.parse_args()
    asked = options.test, options.rules, options.how
    for name in options.networks:
        data = load(NETWORKS[name][0], options.data_dir)
        judge = Judge(data, NETWORKS[name][2], *asked)
        for seed in options.seeds:
            tell(f"{name} {seed}", trained(name, seed, options.folder, data), judge, seed, options.tables)
    for run in options.runs:
        config = read_config(run / "config.json")
        data = load(config.data, options.data_dir)
        judge = Judge(data, inputs_for(config), *asked)
        tell(run.name, of_run(run, "float"), judge, config.seed, options.tables)


def tell(name: str, model: Sequential, judge: Judge, seed: int, tables: list[str]) -> None:
    for table in tables:
        if table != "rescaled" or name.startswith("lenet-300-100"):
            cells = [f"{what} {error:.2f}" for what, error in TABLES[table](model, judge, seed)]
            print(f"{name} {table}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
