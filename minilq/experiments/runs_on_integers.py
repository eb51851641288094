"""Whether integers alone run the network of a point, and how fast.

    points/NAME/integers.json     {"same": share, "images": n, "microseconds": a, "of_floats": b}, or {"why": message}
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from minilq.autodiff.tape import no_grad
from minilq.autodiff.tensor import Tensor
from minilq.data import Dataset
from minilq.errors import DataError, MinilqError
from minilq.experiments.build import inputs_for
from minilq.experiments.config import RunConfig
from minilq.experiments.stored import CALIBRATION
from minilq.files import read_text, write_text
from minilq.integer.engine import convert
from minilq.nn import Sequential

INTEGERS = "integers.json"
IMAGES, TIMES = 1000, 3


@dataclass(frozen=True)
class OnIntegers:
    """What integers make of a network.

    same            the share of images to which they give the class that the network gives
    images          how many were judged
    microseconds    for each image on integers; of_floats: in floats. Medians, of one thread
    why             why they cannot run it; then the rest is 0
    """

    same: float = 0.0
    images: int = 0
    microseconds: float = 0.0
    of_floats: float = 0.0
    why: str = ""


def write_integers(folder: Path, model: Sequential, data: Dataset, config: RunConfig) -> None:
    """Convert the network of a point, run it beside itself, and write what came out into the point's folder."""
    to_input = inputs_for(config)
    images = to_input(data.validation_images[:IMAGES])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")      # of inputs that never vary
            network = convert(model, to_input(data.train_images[:CALIBRATION]))
        pixels = network.grid.codes(images)
        with no_grad():
            x = Tensor.wrap(images)
            floats = model(x).numpy().argmax(axis=-1)
            told: dict[str, Any] = {
                "same": float((network(pixels).argmax(axis=-1) == floats).mean()), "images": len(images),
                "microseconds": _microseconds(lambda: network(pixels), len(images)),
                "of_floats": _microseconds(lambda: model(x), len(images))}
    except MinilqError as error:
        told = {"why": str(error)}
    write_text(folder / INTEGERS, json.dumps(told, indent=1) + "\n")


def _microseconds(run: Callable[[], object], images: int) -> float:
    """For each image; the first run, just before, was the one that compiles."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return round(1e6 * median(taken) / images, 2)


def read_integers(folder: Path) -> OnIntegers | None:
    """What was written, None where nothing was. Raises DataError when it is damaged."""
    path = folder / INTEGERS
    if not os.path.exists(path):
        return None
    try:
        told = json.loads(read_text(path))
        if not isinstance(told, dict) or not (set(told) == {"why"} or set(told) == {
                "same", "images", "microseconds", "of_floats"}):
            raise ValueError("other names")
        if not all(isinstance(value, str) if name == "why" else type(value) in (int, float) and 0 <= value < 1e12
                   for name, value in told.items()):
            raise ValueError("numbers that make no sense")
        return OnIntegers(**told)
    except (ValueError, RecursionError) as error:
        raise DataError(str(path), "what integers make of a network was expected", got=str(error),
                        cause="Delete the folder that it is in and start the sweep again") from error
