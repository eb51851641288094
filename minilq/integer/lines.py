"""Lines: what the integers of a network stand for, and what layers that act on each channel alone make of it.

    y = clip(sum over groups g of scale_g v_g + shift, low, high)

Each such layer only changes the numbers of the line, all float64 and all before the network runs. Nothing is rounded
until the line becomes a Rescaling.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.integer.fixed_point import Rescaling, rescaling
from minilq.integer.grid import Grid, Levels

LARGEST = 2.0**30
"""What int32 numbers between products stay within: the sum of two branches, and its rounding, fit as well."""


class Line(NamedTuple):
    """y = clip(sum_g scale_g v_g + shift, low, high) of integers v_g in least_g .. most_g.

    Shapes      scale, least, most (G, ...), shift, low, high (...), where (...) is broadcast to the last axes of y
    """

    scale: Array
    shift: Array
    low: Array
    high: Array
    least: Array
    most: Array

    @property
    def plain(self) -> bool:
        """Whether there is one integer for each y, and the larger the one the larger the other."""
        return bool(len(self.scale) == 1 and (self.scale > 0).all() and np.isinf(self.low).all()
                    and np.isinf(self.high).all())

    @property
    def ends(self) -> tuple[Array, Array]:
        """The smallest and the largest y that there can be."""
        products = self.scale * self.least, self.scale * self.most
        sums = (f(*products).sum(axis=0) + self.shift for f in (np.minimum, np.maximum))
        low, high = (np.clip(end, self.low, self.high) for end in sums)
        return low, high

    @property
    def largest(self) -> Array:
        """A bound of |y|."""
        low, high = self.ends
        return np.maximum(np.abs(low), np.abs(high))

    @property
    def unit(self) -> Array:
        """A unit for y as int32: no |y| comes to more than LARGEST, and a step of v to no more than half of that."""
        unit = np.maximum(self.largest, 2 * np.abs(self.scale).max(axis=0)) / LARGEST
        return np.maximum(unit, np.finfo(np.float32).tiny)

    def rectified(self) -> Line:
        """max(y, 0)."""
        y = self._replace(low=np.maximum(self.low, 0), high=np.maximum(self.high, 0))
        low, high = y.ends
        alive = low < high                       # else nothing is left of the sums, however large they are
        return y._replace(scale=y.scale * alive, shift=np.where(alive, y.shift, low))

    def affine(self, factor: Array, offset: Array) -> Line:
        """factor y + offset, for factors of any sign; where one is 0, the constant."""
        ends = [np.where(factor == 0, end, np.where(factor == 0, 0, end) * factor + offset)
                for end in (self.low, self.high)]
        # A constant needs no ends; those of y belong to another number.
        low = np.where(factor == 0, -np.inf, np.minimum(*ends))
        high = np.where(factor == 0, np.inf, np.maximum(*ends))
        return self._replace(scale=self.scale * factor, shift=self.shift * factor + offset, low=low, high=high)

    def spread(self, shape: tuple[int, ...]) -> Line:
        """The same for inputs of this shape made flat; one group only."""
        def flat(a: Array) -> Array:
            return np.broadcast_to(a, shape).reshape(-1)

        return Line(flat(self.scale[0])[None], flat(self.shift), flat(self.low), flat(self.high),
                    flat(self.least[0])[None], flat(self.most[0])[None])

    def rescaling(self, name: str, unit: Array, zero: Array, dtype: type[Any], top: int | Array | None = None,
                  ) -> Rescaling:
        """Integers q = y / unit + zero, rounded, halves up, and what is beyond 0 .. top, or the ends of dtype, set to
        them. zero may be any real numbers."""
        info = np.iinfo(dtype)
        least, most = (info.min, info.max) if top is None else (0, top)
        y = self.affine(1 / unit, zero)
        shape = np.broadcast_shapes(y.scale.shape[1:], y.shift.shape, y.low.shape)
        low, high = (np.broadcast_to(np.clip(end, least, most), shape) for end in (y.low, y.high))
        return rescaling(name, np.broadcast_to(y.scale, (len(y.scale), *shape)), np.broadcast_to(y.shift, shape), low,
                         high, np.maximum(np.abs(y.least), np.abs(y.most)), dtype)

    def coding(self, name: str, grid: Grid) -> Rescaling:
        """The codes of y on a grid: q = floor((y - offset) / scale + half) + zero within 0 .. top."""
        moved = grid.zero - grid.offset / grid.scale + grid.half - 0.5
        return self.rescaling(name, grid.scale, np.asarray(moved), grid.dtype, grid.top)


def codes_of_grid(grid: Grid | Levels) -> Line:
    """The line of the codes of a grid. (Nothing but a product takes codes of Levels, and that as bits.)"""
    scale = grid.scale.reshape(1, -1)
    return integers(scale, grid.base.reshape(-1), np.zeros((1, 1)), np.full((1, 1), float(grid.top)))


def integers(scale: Array, shift: Array, least: Array, most: Array) -> Line:
    """The line of integers without ends; scale, least and most (G, ...), shift (...)."""
    return Line(scale, shift, np.array(-np.inf), np.array(np.inf), least, most)
