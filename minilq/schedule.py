"""Schedules of the learning rate: functions from the epoch to a factor, which can be pickled with what they train."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from minilq.arguments import check_whole, is_number, is_whole, shown
from minilq.errors import ConfigError

Schedule = Callable[[int], float]
"""Epoch (from 0) -> factor on every learning rate."""


def constant(epoch: int) -> float:
    """No schedule: factor 1."""
    return 1.0


def steps(factors: Mapping[int, float]) -> Schedule:
    """From each epoch on, multiply by its factor.

    >>> schedule = steps({40: 0.5, 60: 0.2})                     # the thesis' schedule for Imagenette
    >>> [schedule(epoch) for epoch in (0, 39, 40, 60)]
    [1.0, 1.0, 0.5, 0.1]
    """
    if not (isinstance(factors, Mapping) and all(is_whole(epoch, 0) and is_number(factor) and factor >= 0
                                                 for epoch, factor in factors.items())):
        raise ConfigError("steps", "wants a dict from epochs to factors >= 0", got=shown(factors),
                          cause="Write steps({40: 0.5})")
    return partial(_stepped, dict(factors))


def _stepped(factors: Mapping[int, float], epoch: int) -> float:
    check_whole("steps", "the epoch", epoch, 0)
    return math.prod((f for start, f in factors.items() if epoch >= start), start=1.0)


def cosine(epochs: int) -> Schedule:
    """Half a cosine from 1 to almost 0 over `epochs` epochs.

    >>> [round(cosine(4)(epoch), 3) for epoch in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    check_whole("cosine", "the number of epochs", epochs)
    return partial(_on_cosine, epochs)


def _on_cosine(epochs: int, epoch: int) -> float:
    check_whole("cosine", "the epoch", epoch, 0)
    return 0.5 * (1 + math.cos(math.pi * min(epoch, epochs) / epochs))
