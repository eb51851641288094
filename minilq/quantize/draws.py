"""Draws: the uniform numbers of a stochastic method, told by two whole numbers that it remembers.

`draw` is an array of a seed and a count. In training the count grows by one each time, so that every batch draws anew;
whoever has the same two numbers draws the same, as after a checkpoint.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.quantize.method import Held, remembered


def first_draw(x: Array) -> Array:
    """The seed of what starts from x, which is another for other numbers, and a count of 0.

    >>> int(first_draw(np.ones(3))[1]), bool(first_draw(np.ones(3))[0] == first_draw(np.zeros(3))[0])
    (0, False)
    """
    return np.array([zlib.crc32(np.ascontiguousarray(x).tobytes()), 0], np.int64)


def fresh_draws(held: Held, x: Array) -> Array:
    """Numbers uniform in [0, 1), of the shape and dtype of a batch x in training; the next batch gets others."""
    u = draws_of(held, x.shape, x.dtype)
    next_draw(held)
    return u


def draws_of(held: Held, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """Numbers uniform in [0, 1) of this shape and float dtype.

    >>> held = {"draw": np.array([7, 0])}
    >>> bool((draws_of(held, (3,)) == draws_of(held, (3,))).all())
    True
    """
    return np.asarray(generator_of(held).random(shape, dtype))


def generator_of(held: Held) -> np.random.Generator:
    """The generator that `draw` tells, always as it is at first."""
    return np.random.default_rng(remembered(held, "draw"))


def next_draw(held: Held) -> None:
    """From now on other numbers."""
    remembered(held, "draw")[1] += 1
