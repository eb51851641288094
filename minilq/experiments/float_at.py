"""The float network of a run folder or of a sweep's point, with the settings that it was trained with."""

from __future__ import annotations

import os
from pathlib import Path

from minilq.errors import ConfigError, DataError
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.run import CHECKPOINTS, CONFIG, trained
from minilq.experiments.sweep import POINTS, SWEEP, read_points
from minilq.nn import Sequential

SAME = ("seed", "input", "data", "model", "epochs", "train_images")
"""What a quantized point has in common with the float one beside which it stands."""


def float_at(path: Path, op: str = "sensitivity") -> tuple[Sequential, RunConfig]:
    """The float network at a path, and the settings of what stands there, which say what is quantized.

    Of a quantized point of a sweep, it is the float point that has the same settings.
    Raises ConfigError for a file and for a sweep's folder, which have no one float network; DataError for what is no
    run, and for one that has not come so far.
    """
    if path.is_file():
        raise ConfigError(op, "RUN must be a run folder or a point of a sweep", got=f"{path}, a file",
                          cause="A file holds integers, no float network; name the run that it was exported from")
    if os.path.exists(path / SWEEP):
        raise ConfigError(op, "RUN must be one network", got=f"{path}, a sweep",
                          cause=f"Name a point of it, such as {next(iter(sorted((path / POINTS).glob('*'))), POINTS)}")
    config = read_config(path / CONFIG)
    place = path
    if not os.path.exists(path / CHECKPOINTS["float"]) and path.parent.name == POINTS:
        points = {point["folder"].name: point for point in read_points(path.parent.parent)}
        own = points.get(path.name, {})
        beside = [point["folder"] for point in points.values() if point["scheme"] == "float"
                  and own and all(point.get(name) == own.get(name) for name in SAME)]
        place = beside[0] if beside else path
    if not os.path.exists(place / CHECKPOINTS["float"]):
        raise DataError(str(path), "a float network was expected", got="none",
                        cause="The run has not come so far: go on with --resume")
    return trained(place, "float"), config
