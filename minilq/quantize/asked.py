"""Asked: how a method makes codes of an input, found out by asking it, for graphs and files that know no methods."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.quantize.coded import Even
from minilq.quantize.method import Held, Quantizer
from minilq.quantize.rounding import ROUNDINGS

FAR = 2.0**40
"""Steps from 0 at which every bound of codes has been reached."""
SPREAD = 64
"""Codes at most around which a method is asked how it rounds."""
TOGETHER = 1 << 16
"""Numbers about which a method is asked at once, at most."""


class Steps(NamedTuple):
    """code = rounding(clip((x - offset) / scale, low - zero, high - zero)) + zero, on the grid; None for no bound."""

    grid: Even
    low: int | None
    high: int | None
    rounding: str


def steps_of(method: Quantizer, held: Held, shape: tuple[int, ...], dtype: Any = np.float32) -> Steps:
    """How a method makes codes of an input of this shape (as far as it is known, the batch as 1).

    Far out on either side it gives its lowest and its highest code; between them it shows how it rounds.

    Raises ConfigError for a grid that is no Even one or depends on the input, and for another rounding

    >>> from minilq.quantize.methods import PACT
    >>> method = PACT(bits=2, alpha=3.0)
    >>> steps_of(method, method.start(np.ones((1, 3))), (1, 3), np.float64)
    Steps(grid=Even(scale=array([1.]), zero=None, offset=None), low=0, high=3, rounding='nearest')
    """
    kind = type(method).__name__
    shape = probe_shape(shape, held)
    grids = [method.coded(np.full(shape, x, dtype), held).grid for x in (0, 1, -3)]
    even = grids[0]
    if not isinstance(even, Even):
        raise ConfigError("steps_of", "the values of an input must be evenly spaced", got=kind)
    if any(not np.array_equal(a, b) for grid in grids for a, b in zip(_parts(grid), _parts(even), strict=True)):
        raise ConfigError("steps_of", "the grid of an input must not depend on the input", got=kind,
                          cause="A range that was observed in training, or learned, is needed")
    scale, zero, offset = _parts(even)

    one = (-1, *[1] * len(shape))
    together = max(TOGETHER // max(math.prod(shape), 1), 1) if shape[0] == 1 else 1

    def codes(u: Array) -> Array:                # of each number, an input that is it everywhere: (len(u), *shape)
        parts = []
        for some in np.split(u, range(together, len(u), together)):
            x = np.broadcast_to((some.reshape(one) - zero) * scale.astype(np.float64) + offset, (len(some), *shape))
            with np.errstate(over="ignore"):
                x = np.clip(x.astype(dtype), -np.finfo(dtype).max, np.finfo(dtype).max)
            parts.append(method.coded(x.reshape(-1, *shape[1:]), held).codes.reshape(x.shape))
        return np.concatenate(parts)

    low, high = (int(k) for k in (codes(np.array([-FAR])).min(), codes(np.array([FAR])).max()))
    bounds = (None if low < -2**31 else low, None if high >= 2**31 else high)
    first, last = (max(low, -SPREAD), min(high, SPREAD)) if high - low > SPREAD else (low, high)
    middles = np.linspace(first, last, min(last - first + 1, SPREAD)).round()
    asked = np.add.outer(middles, [-0.4, -0.1, 0.1, 0.4]).reshape(-1)
    given = codes(asked)
    for rounding in ROUNDINGS:
        if (given == _code(asked.reshape(one), zero, bounds, rounding)).all():
            return Steps(even, *bounds, rounding)
    raise ConfigError("steps_of", f"the codes of an input must be rounded by one of {', '.join(ROUNDINGS)}", got=kind)


def probe_shape(shape: tuple[int, ...], held: Held) -> tuple[int, ...]:
    """The shape of an input as far as what is held for it tells more of it: a range of each pixel has its pixels."""
    try:
        return np.broadcast_shapes(shape, *(array.shape for array in held.values()))
    except ValueError:                           # not all of it follows the input
        return shape


def _code(u: Array, zero: Array, bounds: tuple[int | None, int | None], rounding: str) -> Array:
    low, high = bounds
    v = np.asarray(u - zero, np.float64)
    v = v if low is None else np.maximum(v, low - zero)
    v = v if high is None else np.minimum(v, high - zero)
    return np.asarray(ROUNDINGS[rounding](v) + zero)


def _parts(grid: Any) -> tuple[Array, Array, Array]:
    zero = np.zeros(1, np.int64) if grid.zero is None else np.asarray(grid.zero)
    offset = np.zeros(1, grid.scale.dtype) if grid.offset is None else np.asarray(grid.offset)
    return np.asarray(grid.scale), zero, offset
