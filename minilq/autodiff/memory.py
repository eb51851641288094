"""What a replayed program remembers: the numbers that a smooth program holds where they were.

While a replay runs (replay.py), primitives with a smooth program run it in place of their forward. Every `keep(value)`
in it records the value on the first pass, and returns the recorded one on the passes after it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minilq.errors import ConfigError

Keep = Callable[[Any], Any]


class Memory:
    """The values kept by the smooth programs of one function, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.position: int | None = None         # None while recording
        self.heuristics: list[str] = []          # gradients that were asked for and are the derivative of nothing

    def keep(self, value: Any) -> Any:
        """Recording: keep a copy of the value, and return it. Afterwards: return what was kept, whatever the value."""
        if self.position is None:
            self.values.append(np.array(value) if isinstance(value, np.ndarray) else value)
            return self.values[-1]
        if self.position >= len(self.values):
            raise ConfigError("replay_check", "f must call the same operations each time",
                              got="more calls than on the first run")
        self.position += 1
        return self.values[self.position - 1]

    def rewind(self) -> None:
        """Begin a pass that replays."""
        self.position = 0

    def check_finished(self) -> None:
        """ConfigError when a pass asked for fewer values than the first."""
        if self.position != len(self.values):
            raise ConfigError("replay_check", "f must call the same operations each time",
                              got="fewer calls than on the first run")


class _Active(threading.local):
    memory: Memory | None = None


active = _Active()
"""Of this thread: the memory of the replay that runs in it, None outside one."""


@contextlib.contextmanager
def replaying(memory: Memory | None) -> Iterator[None]:
    """A block in which primitives of this thread run their smooth programs with this memory; None: their forwards."""
    before, active.memory = active.memory, memory
    try:
        yield
    finally:
        active.memory = before


@contextlib.contextmanager
def same_draws(*arguments: Any) -> Iterator[None]:
    """A block after which the random generators within these arguments are as before it, to draw the same again."""
    states = [(rng, rng.bit_generator.state) for rng in generators_in(arguments)]
    try:
        yield
    finally:
        for rng, state in states:
            rng.bit_generator.state = state


def generators_in(thing: Any, depth: int = 5) -> Iterator[np.random.Generator]:
    """Generators in containers, attributes and closures, so many steps away; some are found twice."""
    if isinstance(thing, np.random.Generator):
        yield thing
    elif depth and not isinstance(thing, (np.ndarray, str)):
        if isinstance(thing, (tuple, list)):
            parts = list(thing)
        else:
            parts = [*(thing if isinstance(thing, dict) else getattr(thing, "__dict__", {})).values(),
                     *(cell.cell_contents for cell in getattr(thing, "__closure__", None) or ())]
        for part in parts:
            yield from generators_in(part, depth - 1)
