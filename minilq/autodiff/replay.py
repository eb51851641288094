"""The replay check: honest finite differences for programs that round.

A rounding is flat almost everywhere, so finite differences of the program itself say nothing about a straight-through
gradient. What the surrogate claims is another program: one that at the recorded point has the same value, but in which
the rounding moves along the surrogate's own smooth curve sigma,

    k(u) = k0 + sigma(u) - sigma(u0),        k0, u0: code and normalised value at the recorded point.

That program is differentiable, and the surrogate gradient is its derivative. `replay_check` builds it by running the
same f again while every quantizer replays its recorded k0 and u0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from minilq.autodiff.gradcheck import (
    RTOL,
    GradientReport,
    as_float64,
    central_differences,
    compare,
    on_arrays,
    tape_gradients,
)
from minilq.errors import ConfigError

T = TypeVar("T")


class Replay:
    """What the quantizers of one program remembered, in the order in which they were called."""

    def __init__(self) -> None:
        self.memory: list[Any] = []
        self.position: int | None = None         # None while recording

    def remember(self, value: Callable[[], T]) -> T:
        """While recording: compute, keep and return the value. While replaying: return what was kept."""
        if self.position is None:
            self.memory.append(value())
            return self.memory[-1]
        if self.position >= len(self.memory):
            raise ConfigError("replay_check", "f must call the same quantizers each time",
                              got="more calls than on the first run")
        self.position += 1
        return self.memory[self.position - 1]


class _Active(threading.local):
    replay: Replay | None = None


_active = _Active()


def active_replay() -> Replay | None:
    """The replay that quantizers of this thread have to ask, if one is running."""
    return _active.replay


def replay_check(f: Callable[..., Any], *inputs: Any, g: Any = None, seed: int = 0, rtol: float = RTOL,
                 raises: bool = True) -> GradientReport:
    """Check surrogate gradients of f, quantizers inside included, against central differences of the replayed program.

    f, inputs, g, seed, rtol, raises: as in `gradcheck`; f takes Tensors. Scales may be among the inputs when their
    rule is `chain_rule` or `frozen`; a heuristic such as `threshold` is the derivative of nothing, and asking for it
    is a ConfigError.

    >>> import numpy as np
    >>> from minilq import Quantizer, chain_rule, fake_quantize
    >>> lsq = Quantizer("nearest", scale_rule=chain_rule(), granularity="scalar", qmin=-4, qmax=3)
    >>> P, s = np.array([0.33, -1.21, 7.7]), np.array([0.5])
    >>> bool(replay_check(lambda P, s: fake_quantize(P, s, lsq), P, s))
    True
    """
    arrays = as_float64("replay_check", inputs)
    replay = Replay()
    before, _active.replay = _active.replay, replay
    try:
        _, g, yours = tape_gradients(f, arrays, g, seed)
        plain = on_arrays(f)

        def replayed(*moved: Any) -> Any:
            replay.position = 0
            y = plain(*moved)
            if replay.position != len(replay.memory):
                raise ConfigError("replay_check", "f must call the same quantizers each time",
                                  got="fewer calls than on the first run")
            return y

        expected, noise = central_differences(replayed, arrays, g)
    finally:
        _active.replay = before
    return compare("replay_check", yours, expected, noise, rtol=rtol, raises=raises)
