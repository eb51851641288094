"""Grid: what the codes that integer products multiply stand for, and the grids of inputs that no method has trained."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import as_array, check_reals
from minilq.autodiff.tape import Array
from minilq.errors import NonFiniteError, ShapeError
from minilq.kernels import twin

DOWN = 2.0**-16
"""The `half` of codes that are rounded down: what is a code but for the last bits of the factors stays one."""


class Grid(NamedTuple):
    """The real numbers scale (q - zero) + offset that codes q = 0 .. top stand for.

    scale   > 0, float64, () or one for each channel (C,)
    zero    a whole number, or one for each channel; below 0 or above top where 0 is beyond the codes
    top     up to 255, codes of one byte, or up to 65535, codes of two
    offset  a real number, or one for each channel; where it is not 0, 0 need not be on the grid
    half    what is added before floor makes a code: 1/2 for the nearest, DOWN for the next below
    """

    scale: Array
    zero: int | Array
    top: int = 255
    offset: float | Array = 0.0
    half: float = 0.5

    @property
    def dtype(self) -> type[Any]:
        """Of the codes."""
        return np.uint8 if self.top <= 255 else np.uint16

    @property
    def base(self) -> Array:
        """What the code 0 stands for, () or (C,)."""
        return np.asarray(self.offset - self.scale * self.zero)

    @property
    def code_of_zero(self) -> int | None:
        """The code of the number 0, None where it is not on the grid or not the same in all channels."""
        if np.any(self.offset) or np.size(self.zero) != 1 or not 0 <= self.zero <= self.top:
            return None
        return int(self.zero)

    def codes(self, x: Array) -> Array:
        """The codes nearest to x, halves up (with half = DOWN the next below), beyond the ends those of the ends.

        >>> Grid(np.array(0.5), 10).codes(np.array([-99, 0, 0.25, 0.74, 1.0])).tolist()
        [0, 10, 11, 11, 12]
        """
        return _numbers(x, *self.codes_and_finite(x))

    def codes_and_finite(self, x: Array) -> tuple[Array, bool]:
        """The codes, and whether there is neither NaN, whose codes mean nothing, nor infinity."""
        x = as_array("grid", x)
        check_reals("grid", "x", x)
        _check_spread(x, self.scale)
        if self.top == 1:                        # without a sum that x near to its end, as signs near 0, is lost in
            above = x >= self.scale * (1 - self.zero - self.half) + self.offset
            return np.asarray(above).astype(self.dtype), bool(np.isfinite(x).all())
        return codes_on(x, self.scale, self.zero, self.offset, self.half, self.top, self.dtype)

    def spread(self, shape: tuple[int, ...]) -> Grid:
        """The same for inputs of this shape made flat: one scale for each feature."""
        def flat(part: float | Array) -> Array:
            return np.broadcast_to(part, shape).reshape(-1)

        return self._replace(scale=flat(self.scale), zero=flat(self.zero), offset=flat(self.offset))

    def reals(self, q: Array) -> Array:
        """What the codes stand for, float64."""
        q = as_array("grid", q, "codes")
        check_reals("grid", "codes", q)
        _check_spread(q, self.scale)
        return self.scale * (q.astype(np.float64) - self.zero) + self.offset


class Levels(NamedTuple):
    """Real numbers that are not evenly spaced, of codes q = 0, 1 ..: what a method with a Table has trained.

        x = levels[0] + sum_k (levels[k] - levels[k - 1]) [q >= k]

    so that a product with x is one with zeros and ones for each level but the lowest.

    levels  (K,) float64, ascending, two at least
    """

    levels: Array

    @property
    def top(self) -> int:
        """The highest code."""
        return len(self.levels) - 1

    @property
    def dtype(self) -> type[Any]:
        """Of the codes."""
        return np.uint8

    @property
    def scale(self) -> Array:
        """1: what the steps between levels are multiplied by."""
        return np.ones(())

    @property
    def base(self) -> Array:
        """What the code 0 stands for."""
        return self.levels[0].reshape(())

    @property
    def half(self) -> float:
        """Codes are those of the nearest."""
        return 0.5

    @property
    def middles(self) -> Array:
        """Beyond which the next code begins, (K - 1,)."""
        return (self.levels[1:] + self.levels[:-1]) / 2

    @property
    def code_of_zero(self) -> int | None:
        """The code of the number 0, None where it is no level."""
        return next(iter(np.flatnonzero(self.levels == 0).tolist()), None)

    def codes(self, x: Array) -> Array:
        """The codes of the nearest levels, of the lower of two as near.

        >>> Levels(np.array([0.0, 1.0, 4.0])).codes(np.array([-3.0, 0.5, 0.6, 9.0])).tolist()
        [0, 0, 1, 2]
        """
        return _numbers(x, *self.codes_and_finite(x))

    def codes_and_finite(self, x: Array) -> tuple[Array, bool]:
        """As of a Grid."""
        x = as_array("grid", x)
        check_reals("grid", "x", x)
        return np.searchsorted(self.middles, x, side="left").astype(self.dtype), bool(np.isfinite(x).all())

    def reals(self, q: Array) -> Array:
        """What the codes stand for, float64."""
        return np.asarray(self.levels[q])


@twin("grid")
def codes_on(x: Array, scale: Array, zero: int | Array, offset: float | Array, half: float, top: int,
             dtype: type[Any]) -> tuple[Array, bool]:
    """floor((x - offset) / scale + half) + zero, in float64, and what is beyond 0 .. top set to them, NaN to 0; and
    whether x is finite."""
    q = np.floor((x.astype(np.float64) - offset) / scale + half) + zero
    return np.asarray(np.fmin(np.fmax(q, 0), top)).astype(dtype), bool(np.isfinite(x).all())


def _numbers(x: Array, codes: Array, finite: bool) -> Array:
    """The codes of x, which may be infinite; NonFiniteError for NaN."""
    if not finite and np.isnan(x).any():
        raise NonFiniteError("grid", "x must be numbers, for which there are codes", got="NaN")
    return codes


def _check_spread(x: Array, scale: Array) -> None:
    if scale.ndim and x.shape[-1:] != scale.shape:
        raise ShapeError("grid", f"the last axis must have the scales' length, {len(scale)}", got=str(x.shape))


def grid_over(low: float, high: float, top: int = 255) -> Grid:
    """The grid over low..high, widened so that it holds 0 and moved by less than half a step so that 0 is on it.

        scale = (high - low) / top,  zero = round(-low / scale)

    >>> grid_over(-1.0, 4.1)[:3]
    (array(0.02), 50, 255)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return Grid(np.array(1.0), 0, top)
    scale = max((high - low) / top, float(np.finfo(np.float32).tiny))
    return Grid(np.array(scale), round(-low / scale), top)


def grid_of_pixels(images: Array) -> Grid | None:
    """The grid of pixels, which are codes already, as 0 .. 255 or as 0 .. 1; None for images of other numbers.

    >>> grid_of_pixels(np.array([[0.0, 7.0, 255.0]]))[:2], grid_of_pixels(np.array([0.5]))
    ((array(1.), 0), None)
    """
    low, high = float(images.min()), float(images.max())
    scale = 1 / 255 if high <= 1 else 1.0
    codes = images / np.float64(scale)
    if low >= 0 and high <= 255 * scale and np.allclose(codes, np.rint(codes), rtol=0, atol=1e-4):
        return Grid(np.array(scale), 0)
    return None


def usual_range(x: Array, outside: float) -> tuple[float, float]:
    """Between which numbers x lies, but for a share `outside` of them at either end.

    >>> usual_range(np.arange(1001.0), 0.01), usual_range(np.arange(1001.0), 0)
    ((10.0, 990.0), (0.0, 1000.0))
    """
    low, high = np.quantile(x, [outside, 1 - outside])
    return float(low), float(high)
