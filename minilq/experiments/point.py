"""One point of a sweep: one network, trained, measured and written into a folder of its own.

    config.json     every setting               history.csv     one row per epoch
    float.npz | quantized.npz                   result.json     what was measured
    DONE            written last                FAILED          the error instead, if there was one
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from minilq.data import Dataset
from minilq.errors import ConfigError, MinilqError, UnwritableError
from minilq.experiments.build import trainer_for
from minilq.experiments.choices import method_from
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.grid import Point
from minilq.experiments.measure import counted, measure
from minilq.experiments.result import RESULT
from minilq.experiments.run import CHECKPOINTS, CONFIG, DONE, HISTORY, data_of
from minilq.experiments.training import train
from minilq.files import make_folder, write_text
from minilq.nn import Sequential
from minilq.train.checkpoint import save_checkpoint
from minilq.train.history import write_history

FAILED = "FAILED"
SECONDS_BETWEEN_CHECKPOINTS = 20.0

Stop = Callable[[], bool]

_asked_to_stop: Stop = lambda: False  # noqa: E731


def stop_when(asked: Stop) -> None:
    """From now on, points of this process stop after the batch in which asked() becomes true."""
    global _asked_to_stop  # noqa: PLW0603 - one for the process: a function cannot be sent to it with each point
    _asked_to_stop = asked


def run_point(point: Point, parent: Path) -> str | None:
    """Train and measure one point in parent/NAME, from where an earlier attempt was left. Returns what went wrong, None
    when all is well; a point that is done already is left alone.

    Raises UnwritableError, which would meet every other point too, and ConfigError when the folder holds a point of
    other settings. When asked to stop, it saves what is done and returns None with the point unfinished.
    """
    folder = parent / point.name
    check_same(point, parent)
    if (folder / DONE).exists() or _asked_to_stop():
        return None
    try:
        make_folder(folder)
        for leftover in (folder / FAILED, *folder.glob(".*.part")):
            leftover.unlink(missing_ok=True)
        write_text(folder / CONFIG, settings_of(point).to_json())
        _train_and_measure(point, parent, folder)
    except UnwritableError:
        raise
    except Exception as error:                   # whatever it is, the other points go on
        message = str(error) if isinstance(error, MinilqError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(MinilqError):
            write_text(folder / FAILED, f"{message}\n")
        return message
    return None


def settings_of(point: Point) -> RunConfig:
    """The settings that config.json holds: where the point starts is named from its folder."""
    return point.config if point.start is None else replace(point.config, start_from=f"../{point.start}")


def check_same(point: Point, parent: Path) -> None:
    """Raise ConfigError when parent/NAME holds a point of other settings."""
    path = parent / point.name / CONFIG
    if not path.exists():
        return
    there, mine = asdict(read_config(path)), asdict(settings_of(point))
    different = [name for name in mine if there[name] != mine[name] and name != "data_dir"]
    if different:
        raise ConfigError("sweep", f"{path.parent} holds a point of other settings",
                          got=", ".join(f"{name} {there[name]}, not {mine[name]}" for name in different),
                          cause="Choose another --out, or go on with the command that began the sweep")


def _train_and_measure(point: Point, parent: Path, folder: Path) -> None:
    config, data = point.config, data_for_point(point.config)
    start = None if point.start is None else parent / point.start / CHECKPOINTS["float"]
    path = folder / CHECKPOINTS[point.network]
    trainer = trainer_for(point.network, config, data, start)
    if not train(point.network, config, trainer, path, _asked_to_stop, SECONDS_BETWEEN_CHECKPOINTS):
        return
    write_history(folder / HISTORY, [{"network": point.network, **row} for row in trainer.rows])
    write_text(folder / RESULT, json.dumps(_result(point, trainer.model, data), indent=1) + "\n")
    write_text(folder / DONE, "")
    # Only now: killed before, the point goes on from the whole state. The model alone is a third of it.
    save_checkpoint(path, {f"model/{name}": a for name, a in trainer.model.state().items()}, {})


def _result(point: Point, model: Sequential, data: Dataset) -> dict[str, Any]:
    config = point.config
    assert config.epochs is not None
    assert config.batch is not None
    steps = config.epochs * math.ceil(len(data.train_images) / config.batch)
    what: dict[str, Any] = {"name": point.name, "scheme": point.scheme}
    if point.network == "quantized":
        what |= {**_of_method(config), "strength": point.strength, "start": "post" if point.start else "scratch"}
    if point.variant:
        what["variant"] = point.variant
    return {**what, "seed": config.seed, "input": config.input, "data": config.data, "model": config.model,
            "epochs": config.epochs, "steps": steps, "train_images": len(data.train_images),
            **measure(model, data, config), **counted(config, model, model)}


def _of_method(config: RunConfig) -> dict[str, str]:
    """Granularity and rounding of the weights; "own" where the method has no such flag."""
    if config.nested:
        return {"granularity": str(config.granularity), "rounding": str(config.rounding)}
    method = None if config.weights is None else method_from(config.weights, np.random.default_rng(0))
    named = {name: getattr(method, name, "own") for name in ("granularity", "rounding")}
    return {name: value if isinstance(value, str) else "stochastic" if callable(value) else ",".join(map(str, value))
            for name, value in named.items()}


def data_for_point(config: RunConfig) -> Dataset:
    """The images of a point, read once by each process."""
    return _data(*(getattr(config, name) for name in (
        "data", "data_dir", "limit", "holdout", "image_size", "skip_damaged", "quick")))


@functools.lru_cache(maxsize=1)
def _data(data: str, data_dir: str | None, limit: int | None, holdout: int | None, image_size: int | None,
          skip_damaged: bool, quick: bool) -> Dataset:
    return data_of(RunConfig(data=data, data_dir=data_dir, limit=limit, holdout=holdout, image_size=image_size,
                             skip_damaged=skip_damaged, quick=quick))
