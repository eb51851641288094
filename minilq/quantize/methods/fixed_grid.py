"""FixedGrid: what remains of a method when only its codes and their grid are known, as from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError, meant
from minilq.kernels import twin
from minilq.quantize.buckets import Buckets, of_each
from minilq.quantize.coded import Coded, Even, Grid, Table, narrowed
from minilq.quantize.granularity import check_spread
from minilq.quantize.method import Held, Quantizer, holds, plain, remembered, seen
from minilq.quantize.methods.lsq import checked, codable
from minilq.quantize.pretend import pretend
from minilq.quantize.rounding import ROUNDINGS


@dataclass(frozen=True)
class FixedGrid(Quantizer):
    """Every number becomes one of a grid that stays as it is; gradients pass straight through.

    low, high   bounds of the codes; None for no bound
    rounding    floor, nearest, ceil, trunc, sign: of (x - offset) / scale; a table always takes the nearest level

    Remembers the grid: `scale`, and `zero` and `offset` where there are any, or `levels`, or what `Buckets` store.
    Started from data it is max |x| / high, scalar (without a bound, 1).

    Raises ConfigError for bounds that are no whole numbers, low > high, and an unknown rounding; NonFiniteError for a
    NaN and, where there is no bound, for what lies 2^63 steps from 0 or farther.

    >>> method = FixedGrid(low=-1, high=1)
    >>> held = {"scale": np.array([0.5]), "offset": np.array([0.1])}
    >>> method(Tensor([0.2, 0.4, 9.0], dtype=np.float64), held).numpy().tolist()
    [0.1, 0.6, 0.6]
    >>> method(Tensor([0.2, 0.4, 9.0], dtype=np.float64), {"levels": np.array([0.3, -1.0])}).numpy().tolist()
    [0.3, 0.3, 0.3]
    """

    low: int | None = -128
    high: int | None = 127
    rounding: str = "nearest"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"low": 0, "high": 3, "rounding": "floor"}, {"low": None, "high": None})

    def __post_init__(self) -> None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is not None and (type(bound) is not int or abs(bound) >= 2**31):
                raise ConfigError("FixedGrid", f"{name} must be a whole number of 32 bits, or None", got=repr(bound))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError("FixedGrid", "low must not be above high", got=f"low={self.low}, high={self.high}")
        if not isinstance(self.rounding, str) or self.rounding not in ROUNDINGS:
            raise ConfigError("FixedGrid", f"rounding must be one of {', '.join(ROUNDINGS)}", got=repr(self.rounding),
                              cause=meant(self.rounding, ROUNDINGS))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("FixedGrid", plain(x))
        most = np.abs(x).max() / self.high if self.high is not None and self.high > 0 else 1.0
        return {"scale": np.full(1, most if most > 0 else 1, x.dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        y: Tensor = pretend(x, self.coded(x.array, held).values)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("FixedGrid", plain(x))
        if holds(held, "size"):
            return self._in_buckets(x, Buckets(**{name: remembered(held, name).copy() for name in held}))
        if holds(held, "levels"):
            levels = remembered(held, "levels").copy()
            return Coded(narrowed(nearest_level(x, levels)), Table(levels))
        scale, zero, offset = remembered(held, "scale").copy(), _maybe(held, "zero"), _maybe(held, "offset")
        for part in (scale, zero, offset):
            if part is not None:
                check_spread(x, part)
        v = (x if offset is None else x - offset) / scale
        if zero is None:
            return Coded(narrowed(self._rounded(v, self.low, self.high)), Even(scale, offset=offset))
        z = zero.astype(x.dtype)
        k = self._rounded(v, None if self.low is None else self.low - z, None if self.high is None else self.high - z)
        return Coded(narrowed(k + z), Even(scale, zero, offset))

    def _in_buckets(self, x: Array, grid: Buckets) -> Coded:
        size = int(grid.size[0])
        v = (x - of_each(grid.offset, size, x)) / of_each(grid.scale, size, x)
        k = self._rounded(v, self.low, self.high) if grid.levels is None else nearest_level(v, grid.levels)
        return Coded(narrowed(k), grid)

    def _rounded(self, v: Array, low: Any, high: Any) -> Array:
        if low is not None:
            v = np.maximum(v, np.asarray(low, v.dtype))
        if high is not None:
            v = np.minimum(v, np.asarray(high, v.dtype))
        far = np.abs(v) >= 2.0**63
        if far.any():
            raise NonFiniteError("FixedGrid", "without a bound, x must lie within 2^63 steps of 0",
                                 got=f"{far.sum()} of {far.size} farther out",
                                 cause="Training has diverged, or the scale is far too small")
        return ROUNDINGS[self.rounding](v)


def of_grid(coded: Coded) -> tuple[FixedGrid, dict[str, Parameter | Array]]:
    """The method that stays on the grid of these codes, between the smallest and the largest of them; what it holds."""
    codes, grid = coded
    low, high = (int(codes.min()), int(codes.max())) if codes.size else (0, 0)
    return FixedGrid(low, high), held_of(grid)


def held_of(grid: Grid) -> dict[str, Parameter | Array]:
    """What a FixedGrid holds for a grid: copies of what the grid stores."""
    return {name: array.copy() for name, array in grid.stored().items()}


@twin("levels")
def nearest_level(x: Array, levels: Array) -> Array:
    """For each x the code of the nearest level, of the lower of two as near; levels as in a Table.

    >>> nearest_level(np.array([0.2, 0.9, -3.0]), np.array([1.0, 0.0, -1.0])).tolist()
    [1, 0, 2]
    """
    if levels.ndim == 1:
        order = np.argsort(levels, kind="stable")
        ascending = levels[order]
        above = np.clip(np.searchsorted(ascending, x), 1, max(len(levels) - 1, 1))
        below, above = above - 1, np.minimum(above, len(levels) - 1)
        return np.asarray(order[np.where(x - ascending[below] <= ascending[above] - x, below, above)])
    groups = np.broadcast_to(np.arange(levels[0].size).reshape(levels.shape[1:]), x.shape).reshape(-1)
    order, codes = np.argsort(groups, kind="stable"), np.empty(x.size, np.intp)
    members = np.split(order, np.searchsorted(groups[order], np.arange(1, levels[0].size)))
    for own, of_group in zip(levels.reshape(len(levels), -1).T, members, strict=True):
        codes[of_group] = nearest_level(x.reshape(-1)[of_group], own)
    return codes.reshape(x.shape)


def _maybe(held: Held, name: str) -> Array | None:
    return remembered(held, name).copy() if holds(held, name) else None
