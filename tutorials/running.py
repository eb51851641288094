"""The network that runs through the course: 784-128-10 on the digits, and the table that grows with it.

    network = float_network()                    trained in floats, as well as it can be
    points = do_nothing(network)                 merely rounded to nearest, nothing trained: what learning must beat
    running("06", (accuracy, bytes))             the table up to notebook 06, with what you measured in its last row
"""

from __future__ import annotations

import csv
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minilq import Adam, Sequential
from minilq.data import load
from minilq.experiments.models import mnist_mlp
from minilq.experiments.rounded import rounded_front
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS, evaluate

TABLE = Path(__file__).resolve().parent / "running.csv"
QUICK = os.environ.get("MINILQ_QUICK") == "1"


def float_network(epochs: int = 20) -> Sequential:
    """The network in floats: pixels of 0 to 1, Adam with a rate of 0.001, and no method anywhere."""
    model = mnist_mlp(np.random.default_rng(1))
    Trainer(model, Adam(model.parameters().values(), lr=1e-3), load("digits"), INPUTS["unit"], 32,
            {"shuffle": np.random.default_rng(2)}).run(3 if QUICK else epochs)
    return model


def share_right(model: Sequential, pixels: str = "unit") -> float:
    """The share of the 2000 validation images that a network reads."""
    digits = load("digits")
    return float(evaluate(model, digits.validation_images, digits.validation_labels, INPUTS[pixels])[1])


def do_nothing(model: Sequential, pixels: str = "unit") -> list[dict[str, Any]]:
    """The front of a float network that is merely rounded to nearest, coarser and coarser: accuracy, bytes_entropy,
    unique_integers and more of each point. Nothing is trained."""
    digits = load("digits")
    score = partial(evaluate, images=INPUTS[pixels](digits.validation_images), labels=digits.validation_labels,
                    to_input=np.asarray)
    return rounded_front(model, [name for name, site in model.sites().items() if site.latent is not None], score)


def running(notebook: str, *measured: tuple[float, float]) -> None:
    """Print the table up to a notebook, whose rows are what you measured: an accuracy and a number of bytes for each.

    Raises AssertionError if the measured rows are not those of the table, by 2 points or 5 % of the bytes; in quick
    mode they may differ. Seconds of training are those of the table, which `seconds.py` measures on one processor.
    """
    with TABLE.open(encoding="utf-8") as file:
        table: list[dict[str, Any]] = [row for row in csv.DictReader(file) if row["notebook"] <= notebook]
    own = [row for row in table if row["notebook"] == notebook]
    for row, (accuracy, size) in zip(own, measured, strict=True):
        near = abs(accuracy - float(row["accuracy"])) < 0.02 and abs(size / float(row["bytes"]) - 1) < 0.05
        assert QUICK or near, f"{row['network']}: {accuracy:.4f}, {size:.0f} bytes; the table has {row}"
        row["accuracy"], row["bytes"] = accuracy, size
    print(f"{'notebook':10}{'784-128-10':48}{'right':>7}{'bytes':>10}{'trained':>10}")
    for row in table:
        print(f"{row['notebook']:10}{row['network']:48}{float(row['accuracy']):7.1%}{float(row['bytes']):10,.0f}"
              f"{float(row['seconds']):8.1f} s")
