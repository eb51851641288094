"""One network, MNIST, 784-128-10, by every method that makes it smaller: accuracy against bytes, seeds as error bars.

A float network of each seed, unit inputs, trained on 50,000 images; then each method at some strengths, from that
network, as many epochs again, the same optimizer for all (`front_methods.py`); the thesis' schemes by its own recipe.
Beside them what costs nothing: a float network that was trained as long, rounded to nearest, by any step and
granularity; also without L2 in its training. A line of benchmarks/front/front.csv each: accuracy on 10,000 training
images held out, by which what is drawn is chosen, on the 10,000 test images, and bytes of the whole .mlq file, with all
that it holds. What has a line is not trained again: a stopped run goes on when it is started once more.

    MINILQ_DATA=folder python benchmarks/front.py --seeds 0 1 2
    python benchmarks/front.py --seeds                   # the table and the picture of the README alone
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from csv_table import add_row, rows_of
from front_methods import METHODS
from front_table import FLOAT, draw, table
from mnist_networks import DECAY, HELD_OUT, accuracy, bytes_of, float_network, nonzero, seen

from minilq import Sequential
from minilq.data import Dataset, load
from minilq.experiments.rounded import Rounder
from minilq.quantize.methods.fixed_grid import of_grid
from minilq.train.metrics import ToInput

TABLE = Path(__file__).with_name("front") / "front.csv"
NETWORK = "784-128-10"
EPOCHS = 20
FINEST, EACH = 32.0, 4
"""Of rounding: reaches up to so many steps, so many until they have doubled."""


def rounded(start: Sequential, held_out: Dataset) -> Iterator[tuple[str, Sequential]]:
    """The float network rounded to nearest, as coarsely and as finely as it makes sense."""
    rounder = Rounder(start, [name for name, site in start.sites().items() if site.latent is not None],
                      lambda model: (0.0, accuracy(model, held_out)))
    for point in rounder.every(EACH, FINEST):
        model = copy.deepcopy(start)
        for name, coded in rounder.coded(point["granularity"], point["reach"]).items():
            site = model.sites()[name]
            site.latent.array[...] = coded.values
            site.latent.changed_in_place()
            site.method, site.held = of_grid(coded)
        yield f"{point['granularity']} {point['reach']:.3g}", model


def spelled(setting: Any) -> str:
    """A setting as it stands in the table.

    >>> spelled({"rate": 1e-09, "granularity": "row"}), spelled((0.05, 8)), spelled(1e-05)
    ('rate 1e-09, granularity row', '0.05, 8', '1e-05')
    """
    if isinstance(setting, dict):
        return ", ".join(f"{name} {value}" for name, value in setting.items() if not isinstance(value, dict))
    return ", ".join(map(str, setting)) if isinstance(setting, tuple) else str(setting)


def measured(method: str, setting: Any, seed: int, model: Sequential, whole: Dataset, held_out: Dataset,
             seconds: float, to_input: ToInput = seen) -> dict[str, Any]:
    size = bytes_of(model)
    row = {"method": method, "setting": setting, "seed": seed, "held_out": f"{accuracy(model, held_out, to_input):.4f}",
           "test": f"{accuracy(model, whole, to_input):.4f}", "file": size["file"], "entropy": size["entropy"],
           "nonzero": nonzero(model), "seconds": f"{seconds:.1f}"}
    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def one(seed: int, chosen: list[str], whole: Dataset, epochs: int) -> None:
    """Everything of a seed that has no line yet."""
    held_out = whole.holdout(HELD_OUT)
    known = {(row["method"], row["setting"], int(row["seed"])) for row in rows_of(TABLE)}
    begun = time.process_time()
    start = float_network(NETWORK, held_out, epochs, seed)
    if ("float", "", seed) not in known:
        add_row(TABLE, measured("float", "", seed, start, whole, held_out, time.process_time() - begun))
    for method, decay in (("rounded", DECAY), ("rounded, no L2", 0.0)):
        if (method, FLOAT, seed) not in known:
            begun = time.process_time()
            rival = float_network(NETWORK, held_out, 2 * epochs, seed, decay)
            for setting, model in rounded(rival, held_out):
                add_row(TABLE, measured(method, setting, seed, model, whole, held_out, 0.0))
            add_row(TABLE, measured(method, FLOAT, seed, rival, whole, held_out, time.process_time() - begun))
    for method in chosen:
        for setting in METHODS[method].settings:
            if (method, spelled(setting), seed) in known:
                continue
            begun = time.process_time()
            model = METHODS[method].make(start, held_out, epochs, seed, setting)
            seconds = time.process_time() - begun
            add_row(TABLE, measured(method, spelled(setting), seed, model, whole, held_out, seconds,
                                    METHODS[method].to_input))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--data", type=Path, help="the folder of MNIST (where minilq keeps it)")
    options = parser.parse_args()
    for seed in options.seeds:
        one(seed, options.methods, load("mnist", options.data), options.epochs)
    print(table(rows_of(TABLE)))
    draw(rows_of(TABLE))


if __name__ == "__main__":
    main()
