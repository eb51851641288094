"""Methods of few levels, trained by one protocol each, beside what others reached: see docs/few-levels.md.

    mlp     784-128-10, with and without batch normalisation, and the accuracies of the same recipe in PyTorch
    deep    784-3x256-10, 15 epochs, and the column that Hou and Kwok (2018) published for 784-3x2048-10
    cnn     LeNet-5; beside its accuracy, what comes of it in a file and on integers

A network takes from seconds to minutes. Each is a line of benchmarks/few-levels/<set>.csv as soon as it is trained, and
what has a line is not trained again: a stopped run goes on when it is started once more.

    MINILQ_DATA=folder python benchmarks/few_levels.py mlp --seeds 1 2
    python benchmarks/few_levels.py mlp --seeds                   # the table alone
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import few_levels_tables
import numpy as np
from csv_table import add_row, rows_of
from few_levels_networks import PROTOCOLS, SETS, Experiment, Protocol, network

from minilq import Adam, Tensor, VecQ, nn, no_grad, use_threads
from minilq.data import Dataset, load
from minilq.experiments.rounded import nearest
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.kernels.blas import one_blas_thread
from minilq.store import modelfile
from minilq.train.metrics import evaluate, unit

FOLDER = Path(__file__).with_name("few-levels")


def to_input(experiment: Experiment):
    """Images -> what the network sees."""
    return (lambda images: unit(images)[..., None]) if experiment.network == "cnn" else unit


def started(experiment: Experiment, protocol: Protocol, seed: int) -> nn.Sequential:
    """The network before training, drawn from the seed."""
    rng = np.random.default_rng(seed)
    model = network(experiment, rng)
    for name, site in model.sites().items():
        if name.endswith("weight"):
            bound = protocol.bound(site.shape)
            wide = experiment.wide and experiment.method(name) is not None
            site.latent.array[...] = rng.uniform(-1, 1, site.shape) * (1 if wide else bound)
        elif name.endswith("bias"):
            site.latent.array[...] = rng.uniform(-bound, bound, site.shape) if protocol.biases else 0
    return nn.quantize(model, experiment.method)


def epochs_of(model: nn.Sequential, experiment: Experiment, protocol: Protocol, data: Dataset, seed: int,
              ) -> Iterator[None]:
    """Train; once for each epoch it is somebody else's turn."""
    rng, seen = np.random.default_rng([seed, 1]), to_input(experiment)
    adam = Adam(model.parameters().values(), experiment.lr, epsilon=1e-8, form="torch")
    n, batch = len(data.train_images), protocol.batch
    whole, total = n // batch, n // batch * protocol.epochs
    for _ in range(protocol.epochs):
        order = rng.permutation(n)
        for chosen in order[:whole * batch].reshape(whole, batch):
            adam.lr_factor = 0.1 ** sum(adam.steps >= share * total for share in protocol.decays)
            loss, _ = protocol.task(model, Tensor.wrap(seen(data.train_images[chosen])), data.train_labels[chosen])
            adam.zero_grad()
            loss.backward()
            adam.step()
        yield


@one_blas_thread()
def trained(experiment: Experiment, protocol: Protocol, data: Dataset, seed: int,
            ) -> tuple[nn.Sequential, float, float]:
    """The network of the best epoch, its test accuracy and, with a holdout, its validation accuracy."""
    model, seen = started(experiment, protocol, seed), to_input(experiment)
    part = data.holdout(protocol.holdout) if protocol.holdout else data
    best, state = -1.0, {}
    for _ in epochs_of(model, experiment, protocol, part, seed):
        if protocol.holdout:
            right = evaluate(model, part.validation_images, part.validation_labels, seen)[1]
            if right > best:
                best, state = right, model.state()
    if protocol.holdout:
        model.load_state(state)
    if experiment.real_test:
        nn.quantize(model, lambda name: None)
    return model, evaluate(model, data.validation_images, data.validation_labels, seen)[1], best


def untrained(model: nn.Sequential, weights: list[str]) -> Iterator[tuple[str, nn.Sequential]]:
    """A float network whose weights are put on few levels and not trained any more, the free rivals."""
    for levels in (3, 7):
        copied = copy.deepcopy(model)
        latents = {name: copied.sites()[name].latent.array for name in weights}
        for name, rounded in nearest(latents, "scalar", levels // 2).items():
            latents[name][...] = rounded.values
        yield f"float, rounded to {levels} levels", copied
    for bits in (1, 2, 3):
        copied = copy.deepcopy(model)
        for name in weights:
            copied.sites()[name].change(VecQ(bits))
        yield f"float, VecQ's levels of {bits} bit", copied


def on_integers(model: nn.Sequential, images: np.ndarray, training: np.ndarray) -> dict[str, object]:
    """Of how many images integers predict the class that the network predicts, and that the float twin predicts, in
    which weights without a method are rounded to 8 bits too; by way of a file, and its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlq"
        modelfile.save(path, model, "range")
        stored, size = modelfile.load(path), path.stat().st_size
    integers = convert(stored, training)
    result = compare(integers, FloatTwin(stored, integers), images)
    with no_grad():
        floats = np.concatenate([model(part).numpy().argmax(axis=1) for part in np.split(images, 10)])
    return {"same": int((result.predicted == floats).sum()),
            "as_twin": int((result.predicted == result.expected).sum()),
            "bytes": size}


def lines_of(experiment: Experiment, name: str, data: Dataset, seed: int) -> Iterator[dict[str, object]]:
    """The line of an experiment; those of the free rivals too, where it has no methods."""
    start, seen = time.process_time(), to_input(experiment)
    model, accuracy, validation = trained(experiment, PROTOCOLS[name], data, seed)
    more: dict[str, object] = {"seconds": f"{time.process_time() - start:.1f}"}
    if name == "deep":
        more["validation"] = f"{100 * validation:.2f}"
    if name == "cnn":
        more |= on_integers(model, seen(data.validation_images), seen(data.train_images[:1000]))
    if experiment.weight is None:
        weights = [site for site in model.sites() if site.endswith("weight")
                   and replace(experiment, weight=VecQ()).method(site) is not None]
        for method, other in untrained(model, weights):
            right = evaluate(other, data.validation_images, data.validation_labels, seen)[1]
            yield _row(experiment, method, seed, right)
    yield _row(experiment, experiment.name, seed, accuracy) | more


def _row(experiment: Experiment, method: str, seed: int, accuracy: float) -> dict[str, object]:
    return {"network": experiment.network, "method": method, "seed": seed, "accuracy": f"{100 * accuracy:.2f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETS, metavar="set", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, nargs="*", default=(1, 2), help="none: print the table of what there is")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of methods")
    options = parser.parse_args()
    use_threads(1)
    path = FOLDER / f"{options.name}.csv"
    FOLDER.mkdir(exist_ok=True)
    done = {(row["network"], row["method"], row["seed"]) for row in rows_of(path)}
    data = load("mnist") if options.seeds else None
    for seed in options.seeds:                   # all methods with one seed before any with the next
        for experiment in SETS[options.name]:
            if any(part in experiment.name for part in options.only):
                if (experiment.network, experiment.name, str(seed)) in done:
                    print(f"there already: {experiment.network}, {experiment.name}, seed {seed}", flush=True)
                    continue
                rows = list(lines_of(experiment, options.name, data, seed))
                for row in rows:
                    add_row(path, row)
                print(", ".join(str(value) for value in rows[-1].values()), flush=True)
    print(few_levels_tables.table(options.name, rows_of(path)))


if __name__ == "__main__":
    main()
