"""Sparse: the grid of pruned weights, a mask of codes 0 and 1, and the numbers that are left."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.quantize.coded import Plane, check_codes, of_scale


def at_least(share: float, n: int) -> int:
    """ceil(share n), where a share such as 0.07, which no float is, may be meant exactly.

    >>> at_least(0.07, 100), at_least(0.071, 100), 0.07 * 100
    (7, 8, 7.000000000000001)
    """
    return math.ceil(share * n * (1 - 2.0**-50))


class Sparse(NamedTuple):
    """The grid of few numbers: the next of them where the code is 1, row by row, and 0 where it is 0.

    numbers     (n,), float32 or float64: one for each code 1

    >>> Sparse(np.array([0.5, 2.0])).values(np.array([[0, 1], [1, 0]]))
    array([[0. , 0.5],
           [2. , 0. ]])
    """

    numbers: Array

    def values(self, codes: Array) -> Array:
        """What stands in each place."""
        check_codes(codes)
        mask = codes != 0
        if np.count_nonzero(mask) != len(self.numbers) or (codes[mask] != 1).any():
            raise ConfigError("codes", f"must be 1 in {len(self.numbers)} places, one for each number, else 0",
                              got=f"{np.count_nonzero(mask)} that are not 0")
        y = np.zeros(codes.shape, self.numbers.dtype)
        y[mask] = self.numbers
        return y

    def planes(self, codes: Array) -> list[Plane]:
        """Signs, and sizes as their scale."""
        y = self.values(codes)
        return of_scale(np.sign(y), np.abs(y)).planes

    def stored(self) -> dict[str, Array]:
        """The numbers."""
        return {"numbers": self.numbers}
