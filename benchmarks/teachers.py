"""What a second network, or time, teaches a network of two bits: see docs/teachers.md.

    recipe      784-128-10, and the accuracies of the same recipe in PyTorch
    student     784-30-10 of two bits, with and without a teacher 784-300-100-10
    qgt         784-128-10, drawn to a grid while it is trained, and then put on it
    two         784-128-128-128-10, weights and inputs of two bits: direct, in stages, distilled, guided by a twin

A network takes from five seconds to half a minute. Each is a line of benchmarks/teachers/<set>.csv as soon as it is
trained, and what has a line is not trained again: a stopped run goes on when it is started once more.

    MINILQ_DATA=folder python benchmarks/teachers.py student --seeds 1 2 3 4 5
    python benchmarks/teachers.py student --seeds                 # the table alone
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from csv_table import add_row, rows_of
from few_levels_networks import dense_layers, fan_in
from teachers_table import table

from minilq import (
    LSQ,
    Adam,
    Affine,
    BatchNorm,
    DoReFa,
    DoReFaInput,
    Polino,
    PolinoPoints,
    ReLU,
    Tensor,
    Twins,
    VecQ,
    quantize,
    use_threads,
)
from minilq.data import Dataset, load
from minilq.experiments.rounded import nearest
from minilq.nn import Sequential
from minilq.objective import Objective, qgt_on
from minilq.quantize import Quantizer
from minilq.schedule import Schedule, constant, steps
from minilq.train.loop import Trainer
from minilq.train.metrics import evaluate, unit
from minilq.train.stage import Stage, progressive
from minilq.train.task import Task, cross_entropy
from minilq.train.teacher import Distillation, Guided, half_square

FOLDER = Path(__file__).with_name("teachers")
Choose = Callable[[str], Quantizer | None]


def fresh(sizes: tuple[int, ...], seed: int, normalised: bool = False) -> Sequential:
    """Dense layers in floats, uniform within 1/sqrt(inputs)."""
    rng = np.random.default_rng(seed)
    between = (BatchNorm, ReLU) if normalised else (ReLU,)
    model = dense_layers(rng, sizes, *between)
    for name, site in model.sites().items():
        if site.latent is not None:
            bound = fan_in(site.shape) if name.endswith("weight") else fan_in(model.sites()[f"{name[:-4]}weight"].shape)
            site.latent.data[...] = rng.uniform(-bound, bound, site.shape)
    return model


def on_weights(method: Quantizer) -> Choose:
    return lambda name: method if name.endswith("weight") else None


def trained(model: Sequential | Twins, data: Dataset, seed: int, epochs: int, task: Task = cross_entropy,
            stages: Iterable[Stage] = (), schedule: Schedule = constant, lr: float = 1e-3,
            only: Iterable[Tensor] | None = None, objective: Objective | None = None) -> float:
    """Test accuracy after the last epoch, in %; the model is trained then."""
    adam = Adam(model.parameters().values() if only is None else only, lr, epsilon=1e-8, form="torch")
    trainer = Trainer(model, adam, data, unit, 128, {"shuffle": np.random.default_rng([seed, 1])}, schedule,
                      objective=objective, task=task, stages=list(stages))
    trainer.run(epochs)
    return 100 * float(trainer.rows[-1]["validation_accuracy"])


def rounded(model: Sequential, data: Dataset, reach: int) -> float:
    """Test accuracy in % of a float network whose weights are put on 2 reach + 1 even levels, and not trained."""
    copied = copy.deepcopy(model)
    latents = {name: site.latent.array for name, site in copied.sites().items() if name.endswith("weight")}
    for name, coded in nearest(latents, "scalar", reach).items():
        latents[name][...] = coded.values
    return accuracy(copied, data)


def accuracy(model: Sequential, data: Dataset) -> float:
    return 100 * evaluate(model, data.validation_images, data.validation_labels, unit)[1]


def recipe(data: Dataset, seed: int) -> Iterable[tuple[str, Callable[[], float]]]:
    """Cards with references: quantized distillation, learned points, two stages."""
    teacher = fresh((784, 128, 10), seed)
    yield "float", lambda: trained(teacher, data, seed, 5)
    for bits in (2, 4):
        yield f"quantized distillation W{bits}", lambda bits=bits: trained(
            quantize(fresh((784, 128, 10), seed), on_weights(Polino(2**bits))), data, seed, 5, Distillation(teacher))
    for bits in (2, 4):
        yield f"learned points W{bits}", lambda bits=bits: of_points(copy.deepcopy(teacher), bits, data, seed)

    def stages() -> list[Stage]:
        first = {"dense1.weight": DoReFa(2, "stopped"), "dense2.weight": DoReFa(2, "stopped")}
        return [Stage(2, {**first, "dense2.input": DoReFaInput(16)}.get),
                Stage(3, {**first, "dense2.input": DoReFaInput(2)}.get)]

    yield "two stages, W2 then W2A2", lambda: trained(fresh((784, 128, 10), seed), data, seed, 5, stages=stages())


    def in_training(bits: int, granularity: str) -> Choose:
        """Ranges of weights anew in every step, that of the input averaged, and quantized after 200 batches."""
        methods = {"weight": Affine(bits, symmetric=True, narrow=True, granularity=granularity),
                   "input": Affine(bits, signed=False, ranges="average", delay=200)}
        return lambda name: None if name == "dense1.input" else methods.get(name.rpartition(".")[2])

    for name, bits, granularity in (("Affine W8A8", 8, "scalar"), ("Affine W4A4", 4, "scalar"),
                                    ("Affine W4A4, scales of outputs", 4, "column")):
        yield name, lambda bits=bits, granularity=granularity: trained(
            quantize(fresh((784, 128, 10), seed), in_training(bits, granularity)), data, seed, 5)


def of_points(model: Sequential, bits: int, data: Dataset, seed: int) -> float:
    """Differentiable quantization: the weights stay, their points are learned."""
    quantize(model, on_weights(PolinoPoints(2**bits)))
    points = [p for name, p in model.parameters().items() if name.endswith("points")]
    return trained(model, data, seed, 5, lr=1e-4, only=points)


def student(data: Dataset, seed: int) -> Iterable[tuple[str, Callable[[], float]]]:
    """Students of one hidden layer of 30 units; all alike but for the method and the teacher."""
    kept: dict[str, Sequential] = {}

    def run(method: Quantizer | None, taught: bool) -> float:
        model = fresh((784, 30, 10), seed)
        kept["last"] = model
        if method is not None:
            quantize(model, on_weights(method))
        return trained(model, data, seed, 10, Distillation(kept["teacher"]) if taught else cross_entropy,
                       schedule=steps({7: 0.1}))

    def teacher() -> float:
        kept["teacher"] = fresh((784, 300, 100, 10), seed)
        return trained(kept["teacher"], data, seed, 10, schedule=steps({7: 0.1}))

    yield "teacher", teacher
    for taught in (False, True):
        word = "taught" if taught else "alone"
        yield f"float, {word}", lambda taught=taught: run(None, taught)
        yield f"rounded to 3 levels, {word}", lambda: rounded(kept["last"], data, 1)
        for name, method in (("Polino's 4 levels", Polino(4)), ("VecQ's 4 levels", VecQ(2))):
            yield f"put on {name}, {word}", lambda method=method: accuracy(
                quantize(copy.deepcopy(kept["last"]), on_weights(method)), data)
        for name, method in (("Polino", Polino(4)), ("LSQ", LSQ(2))):
            yield f"{name} W2, {word}", lambda method=method, taught=taught: run(method, taught)


def two(data: Dataset, seed: int) -> Iterable[tuple[str, Callable[[], float]]]:
    """Weights and inputs of two bits, but for the first and the last layer: ways to get there in as many epochs."""
    sizes, epochs, decay, kept = (784, 128, 128, 128, 10), 10, steps({7: 0.1}), {}

    def choose(name: str, bits: int, weights: int | None = 2) -> Quantizer | None:
        layer, _, kind = name.partition(".")
        if layer not in ("dense2", "dense3") or kind == "bias":
            return None
        return DoReFaInput(bits) if kind == "input" else DoReFa(weights or bits)

    def of_bits(name: str, bits: int) -> Quantizer | None:
        return choose(name, bits, None)

    def direct(name: str) -> Quantizer | None:
        return choose(name, 2)

    def run(task: Task = cross_entropy, stages: Iterable[Stage] = (Stage(epochs, direct),), twin: bool = False,
            ) -> float:
        model = fresh(sizes, seed, normalised=True)
        network = Twins(model, fresh(sizes, seed, normalised=True)) if twin else model
        kept["last"] = model
        return trained(network, data, seed, epochs, task, stages, decay)

    def floats() -> float:
        right = run(stages=())
        kept["float"] = kept["last"]
        return right

    yield "float", floats
    yield "rounded to 3 levels, inputs in floats", lambda: rounded(kept["float"], data, 1)
    yield "put on VecQ's 4 levels, inputs in floats", lambda: accuracy(
        quantize(copy.deepcopy(kept["float"]), on_weights(VecQ(2))), data)
    yield "direct", run
    yield "two stages", lambda: run(stages=progressive(choose, (16, 2), (5, 5)))
    yield "progressive", lambda: run(stages=progressive(of_bits, (16, 8, 4, 2), (2, 2, 2, 4)))
    yield "distilled", lambda: run(Distillation(kept["float"]))
    yield "guided, logits", lambda: run(Guided(0.1, shares=(0.3, 1.0)), twin=True)
    yield "guided, maps", lambda: run(Guided(1e-4, ("relu2", "relu3"), DoReFaInput(2), half_square), twin=True)


def qgt(data: Dataset, seed: int) -> Iterable[tuple[str, Callable[[], float]]]:
    """Weights in full precision that are drawn to a grid, by rates; 0 is rounding after training."""
    def run(bits: int, rate: float) -> float:
        model = fresh((784, 128, 10), seed)
        choose = on_weights(Affine(bits, symmetric=True, narrow=True))
        trained(model, data, seed, 5, schedule=steps({3: 0.1}), objective=Objective(
            {"qgt": qgt_on(model, choose, rate)} if rate else {}))
        return accuracy(quantize(model, choose), data)

    for bits in (2, 3):
        for rate in (0.0, 1e-3, 1e-2, 1e-1):
            yield f"{bits} bits, rate {rate:g}", lambda bits=bits, rate=rate: run(bits, rate)


SETS: Mapping[str, Callable[[Dataset, int], Iterable[tuple[str, Callable[[], float]]]]] = {
    "recipe": recipe, "student": student, "qgt": qgt, "two": two}
NEEDED = ("float", "teacher", "float, alone", "float, taught")
"""Networks that others of their seed begin with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SETS, metavar="set", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, nargs="*", default=(1, 2, 3, 4, 5), help="none: print the table alone")
    options = parser.parse_args()
    use_threads(1)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{options.name}.csv"
    data = load("mnist") if options.seeds else None
    for seed in options.seeds:
        done = {row["method"] for row in rows_of(path) if row["seed"] == str(seed)}
        todo = list(SETS[options.name](data, seed))
        missing = {name for name, _ in todo} - done
        for name, run in todo:
            if missing and (name in missing or name in NEEDED):
                start = time.process_time()
                right = run()
                if name in missing:
                    add_row(path, {"method": name, "seed": seed, "accuracy": f"{right:.2f}",
                                  "seconds": f"{time.process_time() - start:.1f}"})
                    print(f"{options.name}, {name}, seed {seed}: {right:.2f}", flush=True)
    print(table(options.name, rows_of(path)))


if __name__ == "__main__":
    main()
