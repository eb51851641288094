"""Recurrent networks of few levels, after Ott et al. (2016): see docs/over-time.md.

    rows    an image of MNIST is read row by row, as in the recipe that was run in PyTorch too
    adding  the adding problem over 40 steps, without data: two marked numbers are to be remembered and added
    gates   no training: what comes into the gates of a GRU before it, for the embedded digits

A network takes from seconds to a minute or two. Each is a line of benchmarks/recurrent/<set>.csv as soon as it is
trained, and what has a line is not trained again: a stopped run goes on when it is started once more.

    MINILQ_DATA=folder python benchmarks/recurrent.py rows --seeds 1 2 3 4 5
    python benchmarks/recurrent.py adding --seeds 1 2 3
    python benchmarks/recurrent.py rows --seeds                   # the table alone
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from csv_table import add_row, rows_of

from minilq import (
    GRU,
    LSTM,
    RNN,
    TWN,
    Adam,
    BinaryConnect,
    Dense,
    DualCopy,
    Exponential,
    Quantizer,
    Sequential,
    Tensor,
    Ternary,
    no_grad,
    quantize,
    softmax_cross_entropy,
    use_threads,
)
from minilq.data import Dataset, load
from minilq.data.sequences import adding
from minilq.kernels.blas import one_blas_thread
from minilq.ops import gru_after
from minilq.quantize.methods.binary_connect import glorot
from minilq.train.metrics import evaluate, unit

FOLDER = Path(__file__).with_name("recurrent")
CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
EPOCHS, BATCH = 2, 128
STEPS, UPDATES, SEQUENCES = 40, 1500, 50
TEST = 10_000

Method = Callable[[tuple[int, ...]], Quantizer | None]


@dataclass(frozen=True)
class Experiment:
    """A network, and the method of both matrices of each of its gates; biases and the dense layer have none.

    method      of a matrix, from its shape
    reference   accuracies of two seeds in PyTorch, in %
    """

    network: str
    name: str
    method: Method = lambda shape: None
    reference: tuple[float, ...] = ()


def glorot_binary(shape: tuple[int, ...]) -> Quantizer:
    """+-H, H the Glorot bound of the matrix, within which the weights start."""
    return BinaryConnect(2 * glorot(shape))


METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    "float": (lambda shape: None, (97.03, 96.90)),
    "ternary": (lambda shape: Ternary(), (96.38, 96.65)),
    "ternary, stochastic": (lambda shape: Ternary(stochastic=True), (93.73, 94.08)),
    "exponential": (lambda shape: Exponential(), (96.56, 96.61)),
    "exponential, stochastic": (lambda shape: Exponential(stochastic=True), (96.46, 96.41)),
    "dual copy": (lambda shape: DualCopy(), ()),
    "binary, H Glorot": (glorot_binary, (96.94, 96.90)),
    "binary, H = 1": (lambda shape: BinaryConnect(), ()),
    "TWN": (lambda shape: TWN(), ()),
}
SETS = {
    "rows": [Experiment(network, name, method, reference if network == "gru" else ())
             for network in ("gru", "rnn", "lstm") for name, (method, reference) in METHODS.items()],
    "adding": [Experiment(network, name, method) for network in ("gru", "lstm")
               for name, (method, _) in METHODS.items() if "stochastic" not in name],
}


def started(experiment: Experiment, n_in: int, units: int, outputs: int, seed: int) -> Sequential:
    """The network before training: Glorot in the cell, +- 1 / sqrt(inputs) in the dense layer, as in PyTorch."""
    rng = np.random.default_rng(seed)
    model = Sequential(CELLS[experiment.network](n_in, units, rng), Dense(units, outputs, rng))
    sites = model.sites()
    for name in ("dense1.weight", "dense1.bias"):
        sites[name].latent.array[...] = rng.uniform(-1, 1, sites[name].shape) / math.sqrt(units)
    return quantize(model, lambda name: experiment.method(sites[name].shape)
                    if name.endswith("weight") and not name.startswith("dense") else None)


def of_rows(experiment: Experiment, data: Dataset | None, seed: int) -> float:
    """Accuracy on the test images in %, after the last of two epochs."""
    assert data is not None
    model, rng = started(experiment, 28, 128, 10, seed), np.random.default_rng([seed, 1])
    adam = Adam(model.parameters().values(), 1e-3, epsilon=1e-8, form="torch")
    whole = len(data.train_images) // BATCH
    for _ in range(EPOCHS):
        for chosen in rng.permutation(len(data.train_images))[:whole * BATCH].reshape(whole, BATCH):
            x = Tensor.wrap(unit(data.train_images[chosen]))
            loss = softmax_cross_entropy(model(x, training=True), data.train_labels[chosen])
            adam.zero_grad()
            loss.backward()
            adam.step()
    return 100 * evaluate(model, data.validation_images, data.validation_labels, unit)[1]


def of_adding(experiment: Experiment, data: Dataset | None, seed: int) -> float:
    """The mean squared error on sequences that were not trained on; 1/6 is that of a constant."""
    model, rng = started(experiment, 2, 64, 1, seed), np.random.default_rng([seed, 1])
    adam = Adam(model.parameters().values(), 2e-3, epsilon=1e-8, form="torch")
    for _ in range(UPDATES):
        x, y = adding(rng, SEQUENCES, STEPS)
        apart = model(Tensor.wrap(x), training=True) - y
        adam.zero_grad()
        (apart * apart).mean().backward()
        adam.step()
    x, y = adding(np.random.default_rng(0), TEST, STEPS)
    with no_grad():
        return float(np.mean(np.square(model(Tensor.wrap(x)).numpy() - y)))


def into_gates() -> Iterator[str]:
    """A table of what comes into the reset and update gates of an untrained GRU, at all steps of 200 digits."""
    x = unit(load("digits").validation_images[:200])
    yield "| weights | standard deviation | beyond -4 .. 4 | gradient that passes |"
    yield "|---|---|---|---|"
    for name, (method, _) in METHODS.items():
        if "stochastic" in name:
            continue
        layer = started(Experiment("gru", name, method), 28, 128, 10, 1).layers["gru1"]
        W, U, b, c = (part.numpy() for part in layer.seen(False))
        h, sums = np.zeros((len(x), 128), np.float32), []
        for t in range(x.shape[1]):
            a, p = x[:, t] @ W + b, h @ U
            sums.append((a + p)[:, :256])
            h = gru_after(a, p, c, h)
        v = np.array(sums)
        slope = np.mean(1 - np.square(np.tanh(v / 2)))           # 4 sigma (1 - sigma)
        yield f"| {name} | {v.std():.2f} | {100 * np.mean(np.abs(v) > 4):.0f} % | {100 * slope:.0f} % |"


TRAINED = {"rows": of_rows, "adding": of_adding}


def table(name: str, rows: list[dict[str, str]]) -> Iterator[str]:
    """In Markdown, of what has been trained so far."""
    measured: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        measured[row["network"], row["method"]].append(float(row["result"]))
    digits = 2 if name == "rows" else 4
    beside = " PyTorch, two seeds | apart | allowed |" if name == "rows" else ""
    yield f"| network | method | its seeds | mean | beside float |{beside}"
    yield "|---" * (8 if beside else 5) + "|"
    for experiment in SETS[name]:
        if values := measured[experiment.network, experiment.name]:
            floats = measured[experiment.network, "float"]
            apart = f"{fmean(values) - fmean(floats):+.{digits}f}" if floats and values is not floats else ""
            theirs = of_pytorch(fmean(values), experiment.reference) if beside else ""
            yield (f"| {experiment.network} | {experiment.name} | "
                   f"{', '.join(f'{value:.{digits}f}' for value in values)} | {mean_of(values, digits)} | {apart} |"
                   f"{theirs}")


def of_pytorch(mean: float, reference: tuple[float, ...]) -> str:
    """The rest of a row: accuracies in PyTorch, how far the mean is from theirs, and how far it may be."""
    if not reference:
        return " | | |"
    allowed = max(1.0, 2 * abs(reference[0] - reference[1]))
    return f" {', '.join(f'{value:.2f}' for value in reference)} | {mean - fmean(reference):+.2f} | {allowed:.2f} |"


def mean_of(values: list[float], digits: int) -> str:
    """Mean, and its standard error where there is one."""
    error = f" +- {stdev(values) / math.sqrt(len(values)):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{error}"


@one_blas_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*SETS, "gates"], metavar="set", help=", ".join([*SETS, "gates"]))
    parser.add_argument("--seeds", type=int, nargs="*", default=(1,), help="none: print the table of what there is")
    parser.add_argument("--networks", nargs="+", default=list(CELLS), metavar="NAME", help=", ".join(CELLS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help="; ".join(METHODS))
    options = parser.parse_args()
    use_threads(1)
    if options.name == "gates":
        print("\n".join(into_gates()))
        return
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{options.name}.csv"
    done = {(row["network"], row["method"], row["seed"]) for row in rows_of(path)}
    data = load("mnist") if options.name == "rows" and options.seeds else None
    for seed in options.seeds:                   # all methods with one seed before any with the next
        for experiment in SETS[options.name]:
            if ((experiment.network, experiment.name, str(seed)) in done or experiment.network not in options.networks
                    or experiment.name not in options.methods):
                continue
            start = time.process_time()
            result = TRAINED[options.name](experiment, data, seed)
            add_row(path, {"network": experiment.network, "method": experiment.name, "seed": seed,
                          "result": f"{result:.6g}", "seconds": f"{time.process_time() - start:.1f}"})
            print(f"{experiment.network}, {experiment.name}, seed {seed}: {result:.6g}", flush=True)
    print("\n".join(table(options.name, rows_of(path))))


if __name__ == "__main__":
    main()
