"""Coded: integer codes and the grid that says what they stand for. Files, sizes and integers know these, not methods.

    Even     value = scale (code - zero) + offset
    Table    value = levels[code]
    others   each in a file of its own: buckets.py, vectors.py, hashing.py, sparse.py

A grid answers three questions: the `values` of codes; their `planes`, scaled int8 arrays that add up to the values, for
products of integers; and what a file must have `stored` beside the codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from minilq.arguments import check_plain, check_reals, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, NonFiniteError
from minilq.quantize.granularity import check_spread

Plane = tuple[Array, Array]
"""(scale, int8 codes), one of the scaled arrays of bytes that add up to a tensor; the scale is broadcast to
the codes."""


class Grid(Protocol):
    """What a grid is: see the top of this file."""

    def values(self, codes: Array) -> Array: ...

    def planes(self, codes: Array) -> list[Plane]: ...

    def stored(self) -> dict[str, Array]: ...


class Even(NamedTuple):
    """Evenly spaced values, scale (code - zero) + offset.

    scale       the step from a value to the next, > 0; float32 or float64, the shape by granularity: broadcast to the
                codes
    zero        integers of that shape or (), the codes of `offset`; None for 0
    offset      floats of that shape or (); None for 0

    >>> grid = Even(np.array([0.5]), np.array([3]))
    >>> grid.values(np.array([3, 5, 0]))
    array([ 0. ,  1. , -1.5])
    """

    scale: Array
    zero: Array | None = None
    offset: Array | None = None

    def values(self, codes: Array) -> Array:
        """What codes stand for, in the dtype of the scale: the same bits as rounding and multiplying back."""
        check_codes(codes)
        k = codes if self.zero is None else codes.astype(np.int64) - self.zero
        scale = np.asarray(self.scale)
        y: Array = k.astype(scale.dtype) * scale
        return y if self.offset is None else y + self.offset

    def planes(self, codes: Array) -> list[Plane]:
        """code - zero as bytes, low + 256 high + ..., and a plane of ones for an offset.

        >>> [(float(s[0]), k.tolist()) for s, k in Even(np.array([0.5])).planes(np.array([-3, 300]))]
        [(0.5, [-3, 44]), (128.0, [0, 1])]
        """
        check_codes(codes)
        rest = codes.astype(np.int64) - (0 if self.zero is None else self.zero)
        scale = self.scale
        planes: list[Plane] = []
        while not planes or rest.any():
            high = (rest + 128) >> 8             # low = rest - 256 high lies in -128 .. 127
            planes.append((scale, (rest - 256 * high).astype(np.int8)))
            scale, rest = scale * 256, high
        return planes if self.offset is None else [*planes, (self.offset, np.ones(codes.shape, np.int8))]

    def stored(self) -> dict[str, Array]:
        """scale, and zero and offset where there are any."""
        parts = {"scale": self.scale, "zero": self.zero, "offset": self.offset}
        return {name: np.asarray(part) for name, part in parts.items() if part is not None}


class Table(NamedTuple):
    """Any values: levels[code].

    levels      (K,), or (K, ...) with a table for each group: what follows K is broadcast to the codes
    codes       0 .. K - 1

    >>> Table(np.array([-0.7, 0.0, 0.9])).values(np.array([[0, 2], [1, 1]]))
    array([[-0.7,  0.9],
           [ 0. ,  0. ]])
    """

    levels: Array

    def values(self, codes: Array) -> Array:
        """The level of each code, to the bit."""
        check_codes(codes)
        if codes.size and not 0 <= codes.min() <= codes.max() < len(self.levels):
            raise ConfigError("codes", f"must lie in 0..{len(self.levels) - 1}, one for each level",
                              got=f"{codes.min()}..{codes.max()}")
        if self.levels.ndim == 1:
            return np.asarray(self.levels[codes])
        K, *groups = self.levels.shape
        each = self.levels.reshape(K, *(1,) * (codes.ndim - len(groups)), *groups)
        return np.take_along_axis(np.broadcast_to(each, (K, *codes.shape)), codes[None].astype(np.intp), 0)[0]

    def planes(self, codes: Array) -> list[Plane]:
        """For each level that is not 0 everywhere, where its code stands."""
        return [(np.atleast_1d(level), (codes == k).astype(np.int8)) for k, level in enumerate(self.levels)
                if np.any(level)]

    def stored(self) -> dict[str, Array]:
        """The levels."""
        return {"levels": self.levels}


class Coded(NamedTuple):
    """A tensor as integers: what the network sees is `values`.

    codes       the whole numbers that are stored: the tensor's shape, the narrowest signed integers that hold them all;
                of Vectors one for each vector
    grid        Even, Table, ...

    >>> weight = Coded(np.array([[-2, 3]], np.int8), Even(np.array([[0.25]], np.float32)))
    >>> weight.values
    array([[-0.5 ,  0.75]], dtype=float32)
    """

    codes: Array
    grid: Grid

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        own: tuple[int, ...] | None = getattr(self.grid, "shape", None)
        return self.codes.shape if own is None else own

    @property
    def values(self) -> Array:
        """What the codes stand for: bit for bit what the quantizer gave."""
        return self.grid.values(self.codes)

    @property
    def planes(self) -> list[Plane]:
        """Scaled int8 arrays that add up to the values, but for rounding."""
        return self.grid.planes(self.codes)

    def copy(self) -> Coded:
        """The same in arrays of its own, which stay what they are when a method's go on."""
        grid = self.grid
        return Coded(self.codes.copy(), type(grid)(**{name: part.copy() for name, part in grid.stored().items()}))


def check_codes(codes: Any) -> None:
    """DTypeError unless codes are an array of integers."""
    check_plain("codes", codes)
    if not isinstance(codes, np.ndarray) or codes.dtype.kind not in "iu":
        raise DTypeError("codes", "must be an array of integers", got=shown(codes))


def check_codes_of(op: str, codes: Any) -> None:
    """ConfigError unless this is a dict of codes by their names, DTypeError unless all are arrays of integers."""
    if not isinstance(codes, Mapping):
        raise ConfigError(op, "codes must be a dict of arrays by their names", got=shown(codes),
                          cause="codes_in(model) gives it")
    for k in codes.values():
        check_codes(k)


def check_coded(op: str, coded: Any) -> None:
    """ConfigError unless this is a dict of Coded by the names of their sites, DTypeError for codes that are none."""
    if not isinstance(coded, Mapping) or not all(
            isinstance(name, str) and isinstance(one, Coded) and callable(getattr(one.grid, "stored", None))
            for name, one in coded.items()):
        raise ConfigError(op, "coded must be a dict of Coded by the names of their sites", got=shown(coded),
                          cause="coded_in(model) gives it")
    for name, one in coded.items():
        check_codes(one.codes)
        for part, array in one.grid.stored().items():
            check_reals(op, f"{part} of {name}", array)


def narrowed(k: Array) -> Array:
    """Whole numbers in the narrowest signed integers that hold them all. NonFiniteError for floats beyond 64 bits.

    >>> narrowed(np.array([3.0, -129.0]))
    array([   3, -129], dtype=int16)
    """
    low, high = (k.min(), k.max()) if k.size else (0, 0)
    for width in (np.int8, np.int16, np.int32):
        if np.iinfo(width).min <= low and high <= np.iinfo(width).max:
            return k.astype(width)
    if k.dtype.kind == "f" and not -2.0**63 <= low <= high < 2.0**63:
        raise NonFiniteError("codes", "every code must be a number within 2^63 of 0", got=f"{low:g}..{high:g}",
                             cause="Training has diverged, or the scale is far too small")
    return k.astype(np.int64)


def even_codes(x: Array, scale: Array, low: float, high: float) -> Coded:
    """round(clip(x / scale, low, high)), halves to even, on the grid of that scale.

    >>> even_codes(np.array([0.26, -9.0]), np.array([0.5]), -4, 3).codes
    array([ 1, -4], dtype=int8)
    """
    check_spread(x, scale)
    return Coded(narrowed(np.rint(np.clip(x / scale, low, high))), Even(scale.copy()))


def of_scale(k: Array, scale: Array) -> Coded:
    """Whole numbers k on the grid k scale. Scales of a grid are > 0, so that one of 0 counts as 1, its codes as 0.

    >>> of_scale(np.array([[1.0, -1.0]]), np.array([[0.5, 0.0]])).codes
    array([[1, 0]], dtype=int8)
    """
    nothing = scale == 0
    return Coded(narrowed(np.where(nothing, 0, k)), Even(np.where(nothing, scale.dtype.type(1), scale)))
