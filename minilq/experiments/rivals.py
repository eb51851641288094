"""The rival of all points of a sweep: its best float network rounded to nearest, measured where that is trained.

    points/FLOAT/rounded.json     what no other rounding beats in one of the costs (experiments/rounded.py)
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minilq.data import Dataset
from minilq.errors import DataError
from minilq.experiments.build import quantized_sites
from minilq.experiments.config import RunConfig
from minilq.experiments.pareto import COSTS, Point
from minilq.experiments.rounded import rounded_front, score_on
from minilq.files import read_text, write_text
from minilq.nn import Sequential
from minilq.train.history import LARGEST

ROUNDED = "rounded.json"
SCHEME = "rounded"

OF_FLOAT = ("seed", "input", "data", "model", "epochs", "steps", "train_images", "validation_images", "variant",
            "parameters", "bytes_float32", "bytes_float32_zip", "command")
"""What a rounded network has of the float network that it was made of."""

COUNTS = ("unique_integers", "integer_min", "integer_max", "bits", "bits_unique", "scales", "bytes_packed",
          "bytes_entropy")
SHARES = ("accuracy", "zero_share")


def write_rounded(folder: Path, model: Sequential, data: Dataset, config: RunConfig) -> None:
    """Round the float network of a point and write what came out into the point's folder."""
    points = rounded_front(model, quantized_sites(config, model), score_on(data, config), each=8, costs=COSTS)
    write_text(folder / ROUNDED, json.dumps(points, indent=1) + "\n")


def rivals(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Of the points of a sweep that are done, the most accurate float network, rounded: each as a point of its own, the
    smallest first; none where that was not written.

    scheme      "rounded"; granularity as in `rounded_front`; strength: the reach; of: the name of the float network
    Raises      DataError when the file is damaged
    """
    floats = [point for point in points if point["scheme"] == "float"]
    if not floats:
        return []
    best = max(floats, key=lambda point: (point["accuracy"], point["name"]))
    path = best["folder"] / ROUNDED
    if not os.path.exists(path):
        return []
    own = {name: best[name] for name in OF_FLOAT if name in best}
    return [{"name": f"{best['name']}-{SCHEME}-{one['granularity']}-{one['reach']:.4g}", "scheme": SCHEME, **own,
             "of": best["name"], "strength": one.pop("reach"), "rounding": "nearest", **one}
            for one in _read(path)]


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        points = json.loads(read_text(path))
        if not isinstance(points, list):
            raise ValueError(f"a {type(points).__name__}")
        for point in points:
            wrong = [name for name in COUNTS if not (type(point[name]) is int and abs(point[name]) < 2**53)]
            wrong += [name for name in SHARES if not (_finite(point[name]) and 0 <= point[name] <= 1)]
            wrong += [name for name in ("entropy", "sqnr", "reach") if not _finite(point[name])]
            wrong += ["granularity"] * (not isinstance(point["granularity"], str))
            wrong += ["loss"] * (type(point["loss"]) not in (int, float) or LARGEST < abs(point["loss"]) < math.inf)
            wrong += ["bytes"] * (min(point["bytes_packed"], point["bytes_entropy"]) < 1)
            if wrong:
                raise ValueError(f"{wrong[0]} {point.get(wrong[0])}")
        return points
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(str(path), "a float network, rounded, was expected", got=f"{type(error).__name__}: {error}",
                        cause="Delete the folder that it is in and start the sweep again") from error


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST
