"""Training a network of a run or of a sweep to its end, from its checkpoint if there is one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minilq.errors import ConfigError, DataError, MinilqError, NonFiniteError, UnwritableError
from minilq.experiments.config import RunConfig
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import Row
from minilq.train.loop import Trainer

CHECKPOINTS = {"float": "float.npz", "quantized": "quantized.npz"}
"""Of a run, in its folder."""

OF_QUANTIZERS = ("weights", "inputs", "own", "quantize", "granularity", "threshold", "layer_thresholds", "gate",
                 "rounding", "penalty", "rate", "layer_rates", "teacher")
"""Settings that a float network does not have."""

FREE = ("data_dir", "start_from", "epochs")
"""Settings that may change between two parts of a training: where things lie, and how long it goes on. But whether it
starts from a checkpoint at all must stay."""


def train(name: str, config: RunConfig, trainer: Trainer, path: Path, stop: Callable[[], bool], seconds: float,
          before: Callable[[int], None] = lambda epoch: None, after_epoch: Callable[[Row], None] = lambda row: None,
          after_save: Callable[[], None] = lambda: None) -> bool:
    """Train the "float" or "quantized" network of a run until its epochs are done, from the checkpoint at `path` if
    there is one. Returns whether all epochs are done.

    A checkpoint is saved after an epoch when the last one is older than `seconds`, at the end, and when `stop()` says
    so. Raises ConfigError for a checkpoint that was trained with other settings; NonFiniteError when the network
    diverges, which is never saved.

    before      called with the number of epochs that are done already
    """
    settings = settings_that_matter(name, config)
    if path.exists():
        arrays, meta = load_checkpoint(path)
        check_same(settings, meta.get("settings", {}), path)
        try:
            trainer.load_state(arrays, meta)
        except MinilqError as error:
            raise DataError(f"{path}: {error}") from error
    assert config.epochs is not None
    epochs, saved = config.epochs, time.monotonic()
    before(trainer.place.epoch)

    def save() -> None:
        nonlocal saved
        arrays, meta = trainer.state()
        save_checkpoint(path, arrays, {**meta, "settings": settings})
        after_save()
        saved = time.monotonic()

    def after(row: Row) -> None:
        after_epoch(row)
        if time.monotonic() - saved > seconds or row["epoch"] == epochs:
            save()

    try:
        with np.errstate(all="ignore"):          # what comes of it is looked at
            finished = trainer.run(epochs, after, stop)
        if not finished:
            save()
    except (BrokenPipeError, UnwritableError):   # nobody reads any more what is told: saved, as after Ctrl-C
        save()
        raise
    except NonFiniteError as error:
        after_save()
        assert config.lr is not None
        hint = f"Begin another run, with --lr {config.lr / 10:g} for example; this one keeps {len(trainer.rows)} epochs"
        raise NonFiniteError(f"{name} network", str(error), cause=hint) from error
    return finished


def settings_that_matter(name: str, config: RunConfig) -> dict[str, Any]:
    """The settings that a training must keep from its first batch to its last."""
    others = (*FREE, *(OF_QUANTIZERS if name == "float" else ()))
    same = {setting: value for setting, value in asdict(config).items() if setting not in others}
    return {**same, "start_from": None if config.start_from is None else "a checkpoint"}


def check_same(settings: dict[str, Any], there: Any, path: Path) -> None:
    """ConfigError that names the settings in which a checkpoint was trained otherwise; DataError for what is none."""
    if not isinstance(there, dict):
        raise DataError(str(path), "the settings of a training were expected", got=repr(there))
    if different := [name for name in settings if name in there and there[name] != settings[name]]:
        raise ConfigError("train", f"{path} was trained with other settings",
                          got=", ".join(f"{name} {settings[name]}, there {there[name]}" for name in different),
                          cause="Change config.json back, or start another run")
