"""One point of a sweep: one network, trained, measured and written into a folder of its own.

    config.json     every setting               history.csv     one row per epoch
    float.npz | quantized.npz                   result.json     what was measured
    DONE            written last                FAILED          the error instead, if there was one
    rounded.json    of a float one: what it comes to when it is merely rounded (experiments/rivals.py)
    integers.json   where the grid asks: whether integers alone run it, and how fast (experiments/runs_on_integers.py)
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from minilq.data import Dataset
from minilq.errors import ConfigError, MinilqError, UnwritableError
from minilq.experiments.build import flag_of_weights, trainer_for
from minilq.experiments.claim import claimed
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.grid import Point
from minilq.experiments.measure import counted, measure
from minilq.experiments.result import RESULT
from minilq.experiments.rivals import write_rounded
from minilq.experiments.run import CHECKPOINTS, CONFIG, DONE, HISTORY, data_of
from minilq.experiments.runs_on_integers import write_integers
from minilq.experiments.training import train
from minilq.files import unwritable, write_text
from minilq.nn import Sequential
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import write_history
from minilq.train.interrupt import Interrupt

FAILED = "FAILED"
SECONDS_BETWEEN_CHECKPOINTS = 20.0

Stop = Callable[[], bool]

_asked_to_stop: Stop = lambda: False  # noqa: E731


def stop_when(asked: Stop) -> None:
    """From now on, points of this process stop after the batch in which asked() becomes true."""
    global _asked_to_stop  # noqa: PLW0603 - one for the process: a function cannot be sent to it with each point
    _asked_to_stop = asked


def asked_to_stop() -> bool:
    """Whether the points of this process are to stop."""
    return _asked_to_stop()


def run_point(point: Point, parent: Path) -> str | None:
    """Train and measure one point in parent/NAME, from where an earlier attempt was left. Returns what went wrong, None
    when all is well; a point that is done already is left alone.

    Raises InUse when another process has the point; UnwritableError, which would meet every other point too, and
    ConfigError when the folder holds a point of other settings. When asked to stop, also by a signal, it saves what is
    done and returns None with the point unfinished.
    """
    folder = parent / point.name
    if asked_to_stop():
        return None
    with claimed(folder, "sweep"), Interrupt() as interrupt:
        check_same(point, parent)
        if os.path.exists(folder / DONE):
            return None
        try:
            _remove(folder / FAILED)
            write_text(folder / CONFIG, settings_of(point).to_json())
            _train_and_measure(point, parent, folder, lambda: interrupt.wished or asked_to_stop())
        except UnwritableError:
            raise
        except Exception as error:               # whatever it is, the other points go on
            message = str(error) if isinstance(error, MinilqError) else f"{type(error).__name__}: {error}"
            with contextlib.suppress(MinilqError):
                write_text(folder / FAILED, f"{message}\n")
            return message
    return None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def settings_of(point: Point) -> RunConfig:
    """The settings that config.json holds: where the point starts is named from its folder."""
    return point.config if point.start is None else replace(point.config, start_from=f"../{point.start}")


def check_same(point: Point, parent: Path) -> None:
    """Raise ConfigError when parent/NAME holds a point of other settings, of which something has been trained."""
    folder = parent / point.name
    if not (os.path.exists(folder / CONFIG) and os.path.exists(folder / CHECKPOINTS[point.network])):
        return
    there, mine = asdict(read_config(folder / CONFIG)), asdict(settings_of(point))
    different = [name for name in mine if there[name] != mine[name] and name != "data_dir"]
    if different:
        raise ConfigError("sweep", f"{folder} holds a point of other settings",
                          got=", ".join(f"{name} {there[name]}, not {mine[name]}" for name in different),
                          cause="Choose another --out, or go on with the command that began the sweep")


def _train_and_measure(point: Point, parent: Path, folder: Path, stop: Stop) -> None:
    config, path = point.config, folder / CHECKPOINTS[point.network]
    if not _is_small(folder, path):
        data = data_for_point(config)
        start = None if point.start is None else parent / point.start / CHECKPOINTS["float"]
        trainer = trainer_for(point.network, config, data, start)
        if not train(point.network, config, trainer, path, stop, SECONDS_BETWEEN_CHECKPOINTS):
            return
        write_history(folder / HISTORY, [{"network": point.network, **row} for row in trainer.rows])
        if point.network == "float":
            write_rounded(folder, trainer.model, data, config)
        if point.integers:
            write_integers(folder, trainer.model, data, config)
        write_text(folder / RESULT, json.dumps(_result(point, trainer.model, data), indent=1) + "\n")
        # The model alone is a third of the whole state, from which the point would have gone on until now.
        save_checkpoint(path, {f"model/{name}": a for name, a in trainer.model.state().items()}, {})
    write_text(folder / DONE, "")


def _is_small(folder: Path, checkpoint: Path) -> bool:
    """Whether nothing but DONE is missing: all is measured, and the model alone is left of the checkpoint."""
    return os.path.exists(folder / RESULT) and "place" not in load_checkpoint(checkpoint)[1]


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
            "validation_images": len(data.validation_images),
            **measure(model, data, config), **counted(config, model, model)}


def _of_method(config: RunConfig) -> dict[str, str]:
    """Granularity and rounding of the weights; "own" where the method has no such flag."""
    words = {}
    for name in ("granularity", "rounding"):
        value = flag_of_weights(config, name)
        words[name] = ("own" if value is None else "stochastic" if callable(value) else value if isinstance(value, str)
                       else ",".join(map(str, value)) or "scalar")
    return words


def data_for_point(config: RunConfig) -> Dataset:
    """The images of a point, read once by each process."""
    return _data(*(getattr(config, name) for name in (
        "data", "data_dir", "limit", "holdout", "image_size", "skip_damaged", "quick")))


@functools.lru_cache(maxsize=1)
def _data(data: str, data_dir: str | None, limit: int | None, holdout: int | None, image_size: int | None,
          skip_damaged: bool, quick: bool) -> Dataset:
    return data_of(RunConfig(data=data, data_dir=data_dir, limit=limit, holdout=holdout, image_size=image_size,
                             skip_damaged=skip_damaged, quick=quick))
