"""Recipes that other people's programs ran in PyTorch, with two seeds each, run here: see docs/league.md.

784-128-10 on full MNIST, pixels 0 .. 1, PyTorch's initial values, 5 epochs in batches of 128, Adam 1e-3. Set mlp of
`few_levels.py` has the methods of few levels; here is the rest: steps and ranges that are learned or averaged, a
teacher, two stages, sparsity; and what is made of the float network of the seed without training, or with little. A
line of benchmarks/references/references.csv for each network as soon as it is there; what has a line is not run again.

    MINILQ_DATA=folder python benchmarks/references.py --seeds 1 2
    python benchmarks/references.py --seeds                   # the table alone
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from csv_table import add_row, rows_of
from few_levels import started
from few_levels_networks import PROTOCOLS, Experiment
from few_levels_tables import compared, formatted

from minilq import (
    LSQ,
    PACT,
    Adam,
    Affine,
    DeepCompression,
    DoReFa,
    DoReFaInput,
    Flatten,
    LSQPlus,
    Polino,
    PolinoPoints,
    Pruned,
    Sequential,
    Tensor,
    VectorQuantization,
    quantize,
    softmax_cross_entropy,
    use_threads,
)
from minilq.data import Dataset, load
from minilq.kernels.blas import one_blas_thread
from minilq.nn import Layer
from minilq.objective import Objective, sparsity_on
from minilq.ops import sigmoid
from minilq.post import calibrate_ranges, water_filling
from minilq.post.aciq import aciq
from minilq.quantize import Quantizer
from minilq.train.loop import Trainer
from minilq.train.metrics import evaluate, unit
from minilq.train.stage import Stage, two_stage
from minilq.train.teacher import Distillation

TABLE = Path(__file__).with_name("references") / "references.csv"
EPOCHS, BATCH, LR = 5, 128, 1e-3
SMALL = 1e-4
"""The rate where little is trained."""

Recipe = Callable[[Dataset, int, Sequential], Sequential]
"""Data, seed, the float network of the seed -> the network."""


def begun(seed: int) -> Sequential:
    """784-128-10 before any training."""
    return started(Experiment("mlp", "float"), PROTOCOLS["mlp"], seed)


def train(model: Sequential, data: Dataset, seed: int, epochs: int = EPOCHS, only: str = "", lr: float = LR,
          **settings: Any) -> Sequential:
    """The same network, trained. only: parameters whose names end so."""
    learned = [p for name, p in model.parameters().items() if name.endswith(only)]
    Trainer(model, Adam(learned, lr, epsilon=1e-8, form="torch"), data, unit, BATCH,
            {"shuffle": np.random.default_rng([seed, 1])}, **settings).run(epochs)
    return model


def chosen(weights: Quantizer | None, inputs: Quantizer | None = None) -> Callable[[str], Quantizer | None]:
    """A method for the weights, and one for what comes into the second layer. Biases, and the images, have none."""
    return lambda name: weights if name.endswith("weight") else inputs if name == "dense2.input" else None


# --- trained --------------------------------------------------------------------------------------------------------

def floats(data: Dataset, seed: int, start: Sequential) -> Sequential:
    return start


def methods(weights: Quantizer, inputs: Quantizer | None = None) -> Recipe:
    return lambda data, seed, start: train(quantize(begun(seed), chosen(weights, inputs)), data, seed)


def lsq(bits: int, mask: str) -> Recipe:
    return methods(LSQ(bits, mask=mask), LSQ(bits, signed=False, mask=mask, count="features"))


def averaged(bits: int, granularity: str = "scalar") -> Recipe:
    """Weights by their largest number, inputs by a moving average that counts after 200 steps."""
    return methods(Affine(bits, symmetric=True, narrow=True, granularity=granularity),
                   Affine(bits, signed=False, ranges="average", delay=200))


class SiLU(Layer):
    """x sigmoid(x)."""

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return x * sigmoid(x)


def with_silu(bits: int) -> Recipe:
    def made(data: Dataset, seed: int, start: Sequential) -> Sequential:
        _, first, _, second = begun(seed).layers.values()
        model = Sequential(Flatten(), first, SiLU(), second)
        return train(quantize(model, chosen(LSQPlus(bits, offset=False), LSQPlus(bits))), data, seed)
    return made


def stages(data: Dataset, seed: int, start: Sequential) -> Sequential:
    parts = two_stage(chosen(DoReFa(2, "stopped"), DoReFaInput(2)), (EPOCHS // 2, EPOCHS - EPOCHS // 2))
    return train(begun(seed), data, seed, stages=parts)


def taught(levels: int) -> Recipe:
    return lambda data, seed, start: train(
        quantize(begun(seed), chosen(Polino(levels))), data, seed, task=Distillation(start))


def deep_compression(bits: int) -> Recipe:
    """Three epochs in floats, one of what is not below a standard deviation, one of levels and biases alone."""
    def made(data: Dataset, seed: int, start: Sequential) -> Sequential:
        model = train(begun(seed), data, seed, EPOCHS - 1, stages=[
            Stage(EPOCHS - 2), Stage(1, chosen(Pruned(quality=1.0)))])
        return train(quantize(model, chosen(DeepCompression(2**bits - 1))), data, seed, 1, lr=SMALL)
    return made


def sparse(rate: float) -> Recipe:
    """Hoyer-square from the start; what is below 1e-3 in the end is 0."""
    def made(data: Dataset, seed: int, start: Sequential) -> Sequential:
        model = begun(seed)
        train(model, data, seed, objective=Objective({"hoyer": sparsity_on(model, "hoyer_square", rate)}))
        return changed(model, lambda w: np.where(abs(w) < 1e-3, 0, w))
    return made


def points(bits: int, lr: float) -> Recipe:
    """From the float network; only the points are learned."""
    return lambda data, seed, start: train(
        quantize(copy.deepcopy(start), chosen(PolinoPoints(2**bits))), data, seed, only="points", lr=lr)


# --- from the float network, without training -----------------------------------------------------------------------

def changed(model: Sequential, made: Callable[[np.ndarray], np.ndarray]) -> Sequential:
    """The same network, its weights changed."""
    for name, site in model.sites().items():
        if name.endswith("weight"):
            site.latent.array[...] = made(site.latent.array)
            site.latent.changed_in_place()
    return model


def rounded(bits: int, granularity: str = "scalar") -> Recipe:
    """Symmetric, up to the largest number."""
    method = Affine(bits, symmetric=True, narrow=True, granularity=granularity)
    return lambda data, seed, start: quantize(copy.deepcopy(start), chosen(method))


def clipped(bits: int, rule: str) -> Recipe:
    """Symmetric, up to where the rule clips."""
    def made(data: Dataset, seed: int, start: Sequential) -> Sequential:
        method = Affine(bits, symmetric=True, narrow=True, ranges="data")
        model = quantize(copy.deepcopy(start), chosen(method))
        if rule == "mse":
            return calibrate_ranges(model, unit(data.train_images[:1]), "min-max", "mse")
        for site in model.sites().values():
            if site.method is not None:
                site.held["low"][...], site.held["high"][...] = aciq(site.latent.array, bits, "gauss", "symmetric")
        return model
    return made


def clustered(method: Quantizer) -> Recipe:
    return lambda data, seed, start: quantize(copy.deepcopy(start), chosen(method))


def vectors(data: Dataset, seed: int, start: Sequential) -> Sequential:
    """Of every four inputs a book of 64 vectors, for all outputs; of ten outputs each has its own."""
    def near(w: np.ndarray) -> np.ndarray:
        method = VectorQuantization(64, len(w) // 4)
        return method(Tensor(w.T), method.start(w.T)).numpy().T
    return changed(copy.deepcopy(start), near)


def eight_bits(data: Dataset, seed: int, start: Sequential) -> Sequential:
    """Weights of 8 bits by their largest number, all inputs by the range of the batch."""
    method = Affine(8, symmetric=True, narrow=True)
    return quantize(copy.deepcopy(start), lambda name: method if name.endswith("weight") else Affine(
        8, signed=False) if name.endswith("input") else None)


def filled(budget: float, box: float = 0.05) -> Recipe:
    """One gradient on 10,000 images; every weight on the grid of the fewest bits that is within its tolerance."""
    def made(data: Dataset, seed: int, start: Sequential) -> Sequential:
        model = copy.deepcopy(start)
        weights = [site.latent for name, site in model.sites().items() if name.endswith("weight")]
        softmax_cross_entropy(model(unit(data.train_images[:10_000])), data.train_labels[:10_000]).backward()
        tolerances = iter(water_filling(np.concatenate([w.grad.reshape(-1) for w in weights]), budget, box))
        return changed(model, lambda w: on_grids(w, np.fromiter(tolerances, float, w.size).reshape(w.shape)))
    return made


def on_grids(w: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """Rounded to the widest step 2^-k that moves no number farther than its tolerance."""
    step = 2.0 ** np.floor(np.log2(2 * tolerance))
    return np.rint(w / step) * step


RECIPES: dict[str, tuple[Recipe, tuple[float, float]]] = {
    "float": (floats, (97.05, 97.21)),
    "LSQ W2": (methods(LSQ(2, mask="clip_first")), (96.61, 96.56)),
    "LSQ W2A2": (lsq(2, "clip_first"), (96.48, 96.18)),
    "LSQ W2A2, round first": (lsq(2, "round_first"), (96.58, 96.56)),
    "LSQ W3A3": (lsq(3, "clip_first"), (96.95, 96.70)),
    "LSQ W4A4": (lsq(4, "clip_first"), (97.13, 96.93)),
    "LSQ+ W2A2, silu": (with_silu(2), (96.33, 96.55)),
    "LSQ+ W4A4, silu": (with_silu(4), (97.00, 97.15)),
    "DoReFa W2, PACT A2": (methods(DoReFa(2), PACT(2, 3.0, decay=1e-4)), (94.51, 93.44)),
    "DoReFa W2, PACT A2, consistent": (methods(DoReFa(2), PACT(2, 3.0, "consistent", 1e-4)), (93.43, 94.36)),
    "DoReFa W4, PACT A4": (methods(DoReFa(4), PACT(4, 3.0, decay=1e-4)), (95.76, 95.82)),
    "averaged ranges W8A8": (averaged(8), (97.09, 97.21)),
    "averaged ranges W4A4": (averaged(4), (96.87, 96.95)),
    "averaged ranges W4A4, by channel": (averaged(4, "filter"), (96.84, 97.11)),
    "two stages, W2 then W2A2": (stages, (93.68, 93.35)),
    "teacher, W2 in buckets": (taught(4), (96.33, 96.08)),
    "teacher, W4 in buckets": (taught(16), (96.88, 96.92)),
    "Deep Compression, 3 bits": (deep_compression(3), (96.19, 96.43)),
    "Deep Compression, 5 bits": (deep_compression(5), (96.31, 96.61)),
    "Hoyer-square 1e-4": (sparse(1e-4), (94.77, 94.49)),
    "Hoyer-square 1e-3": (sparse(1e-3), (89.00, 89.00)),
    "learned points W2": (points(2, LR), (37.92, 27.69)),
    "learned points W2, 1e-4": (points(2, SMALL), (75.11, 92.55)),
    "learned points W4, 1e-4": (points(4, SMALL), (97.14, 97.12)),
    **{f"largest, W{bits}": (rounded(bits), theirs) for bits, theirs in (
        (2, (7.55, 10.10)), (3, (90.42, 82.03)), (4, (96.82, 96.36)), (8, (97.07, 97.19)))},
    **{f"largest of a channel, W{bits}": (rounded(bits, "filter"), theirs) for bits, theirs in (
        (2, (14.03, 43.33)), (3, (95.01, 94.94)), (4, (96.97, 96.91)), (8, (97.08, 97.21)))},
    **{f"ACIQ, W{bits}": (clipped(bits, "aciq"), theirs) for bits, theirs in (
        (2, (75.03, 82.03)), (3, (96.55, 96.40)), (4, (96.88, 96.82)), (8, (97.08, 97.10)))},
    **{f"least squared error, W{bits}": (clipped(bits, "mse"), theirs) for bits, theirs in (
        (2, (83.60, 86.20)), (3, (96.57, 96.44)), (4, (96.96, 96.89)), (8, (97.06, 97.21)))},
    **{f"k-means, {k} values": (clustered(DeepCompression(k)), theirs) for k, theirs in (
        (2, (68.82, 63.36)), (4, (93.89, 91.40)), (8, (96.41, 96.26)), (16, (96.95, 97.08)))},
    "k-means, 64 vectors of 4": (vectors, (97.02, 97.22)),
    "dynamic W8A8": (eight_bits, (97.04, 97.18)),
    **{f"water-filling, {budget:g}": (filled(budget), theirs) for budget, theirs in (
        (0.001, (97.05, 97.20)), (0.01, (97.06, 97.24)), (0.1, (97.10, 97.16)))},
}


def table(rows: list[dict[str, str]]) -> Iterator[str]:
    yield from formatted("recipe | PyTorch, two seeds | minilq, its seeds | mean | apart | allowed | verdict", [
        compared(Experiment("", name, reference=theirs), [
            float(row["accuracy"]) for row in rows if row["recipe"] == name])[1:]
        for name, (_, theirs) in RECIPES.items()])


@one_blas_thread()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=(1, 2), help="none: print the table of what there is")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of recipes")
    options = parser.parse_args(arguments)
    use_threads(1)
    data = load("mnist") if options.seeds else None
    for seed in options.seeds:
        done = {row["recipe"] for row in rows_of(TABLE) if row["seed"] == str(seed)}
        wanted = [name for name in RECIPES if name not in done and any(part in name for part in options.only)]
        start = train(begun(seed), data, seed) if wanted else None
        for name in wanted:
            model = RECIPES[name][0](data, seed, start)
            right = evaluate(model, data.validation_images, data.validation_labels, unit)[1]
            add_row(TABLE, {"recipe": name, "seed": seed, "accuracy": f"{100 * right:.2f}"})
            print(f"{name}, seed {seed}: {right:.2%}", flush=True)
    print("\n".join(table(rows_of(TABLE))))


if __name__ == "__main__":
    main()
