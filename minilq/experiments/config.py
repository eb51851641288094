"""The settings of a run, complete and checked."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from minilq.errors import ConfigError, DataError
from minilq.files import read_text
from minilq.train.metrics import INPUTS

# Epochs that make about as many steps as the thesis' 37,500 (20 epochs of MNIST in batches of 32).
EPOCHS = {"digits": 100, "mnist": 20, "fashion": 20}
QUICK_EPOCHS = 20
QUICK_IMAGES = 2000
GRANULARITIES = ("row", "column", "scalar")
ROUNDINGS = ("floor", "nearest", "ceil", "trunc", "stochastic")


@dataclass(frozen=True)
class RunConfig:
    """Every setting of `minilq train`. The defaults are the thesis' recipe; epochs=None takes EPOCHS of the data set.

    Raises ConfigError for a setting that does not exist or makes no sense.
    """

    data: str = "digits"
    data_dir: str | None = None
    granularity: str = "row"
    threshold: float = 1e-10
    rounding: str = "floor"
    epochs: int | None = None
    batch: int = 32
    lr: float = 1e-4
    seed: int = 42
    input: str = "raw"
    start_from: str | None = None                # a checkpoint: post-training instead of from scratch
    quick: bool = False

    def __post_init__(self) -> None:
        for name, known in (("data", tuple(EPOCHS)), ("granularity", GRANULARITIES), ("rounding", ROUNDINGS),
                            ("input", tuple(INPUTS))):
            if getattr(self, name) not in known:
                raise ConfigError("train", f"{name} must be one of {', '.join(known)}", got=repr(getattr(self, name)))
        for name, least in (("epochs", 1), ("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ConfigError("train", f"{name} must be a whole number, at least {least}", got=repr(value))
        for name in ("threshold", "lr"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise ConfigError("train", f"{name} must be a number >= 0", got=repr(value))
        for name, kinds in (("data_dir", (str, type(None))), ("start_from", (str, type(None))), ("quick", (bool,))):
            if not isinstance(getattr(self, name), kinds):
                raise ConfigError("train", f"{name} must be a {kinds[0].__name__}", got=repr(getattr(self, name)))
        if self.data == "digits" and self.data_dir is not None:
            raise ConfigError("train", "the embedded digits have no data_dir", got=repr(self.data_dir),
                              cause="Leave it out, or choose mnist or fashion")
        if self.epochs is None:
            object.__setattr__(self, "epochs", QUICK_EPOCHS if self.quick else EPOCHS[self.data])

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def read_config(path: Path) -> RunConfig:
    """The settings in a run's config.json. Raises DataError when it is missing or damaged."""
    try:
        settings: Any = json.loads(read_text(path))
        known = {field.name for field in fields(RunConfig)}
        if not isinstance(settings, dict) or set(settings) != known:
            raise ValueError("other settings than a run has")
        return RunConfig(**settings)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(str(path), "the settings of a run were expected", got=str(error),
                        cause="Start the run again with minilq train") from error
