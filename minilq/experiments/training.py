"""Training a network of a run or of a sweep to its end, from its checkpoint if there is one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import Row
from minilq.train.loop import Trainer


def resumed(trainer: Trainer, path: Path) -> Trainer:
    """The trainer, in the state of the checkpoint at `path` if there is one."""
    if path.exists():
        trainer.load_state(*load_checkpoint(path))
    return trainer


def train(trainer: Trainer, path: Path, epochs: int, stop: Callable[[], bool], seconds: float,
          after_epoch: Callable[[Row], None] = lambda row: None, after_save: Callable[[], None] = lambda: None) -> bool:
    """Train until `epochs` epochs are done, with a checkpoint at `path` after an epoch when the last one is older than
    `seconds`, at the end, and when `stop()` says so. Returns whether all epochs are done."""
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        save_checkpoint(path, *trainer.state())
        after_save()
        saved = time.monotonic()

    def after(row: Row) -> None:
        after_epoch(row)
        if time.monotonic() - saved > seconds or row["epoch"] == epochs:
            save()

    finished = trainer.run(epochs, after, stop)
    if not finished:
        save()
    return finished
