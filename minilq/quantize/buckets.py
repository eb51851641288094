"""Buckets: so many entries of a tensor after each other, whatever its axes, that share a scale and an offset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.quantize.coded import Plane, check_codes

FLAT = 1e-10
"""A bucket that is narrower counts as one of equal numbers."""


class Buckets(NamedTuple):
    """The grid of buckets: value = scale[b] code + offset[b], or scale[b] levels[code] + offset[b], b = i // size.

    scale, offset   (buckets,), float32 or float64, scale > 0; i counts the entries row by row
    size            (1,), a whole number > 0: the entries of a bucket. The last one may have fewer
    levels          (K,) of the same dtype, or None where codes are multiplied themselves

    >>> grid = Buckets(np.array([1.0, 0.5]), np.array([0.0, 10.0]), np.array([2]))
    >>> grid.values(np.array([[3, 0, 1]]))
    array([[ 3. ,  0. , 10.5]])
    """

    scale: Array
    offset: Array
    size: Array
    levels: Array | None = None

    def values(self, codes: Array) -> Array:
        """What codes stand for."""
        multiples = self._multiples(codes)
        return np.asarray(self._spread(self.scale, codes) * multiples + self._spread(self.offset, codes))

    def planes(self, codes: Array) -> list[Plane]:
        """A plane for the codes, or for each level that is not 0, and one of ones for the offsets."""
        multiples = self._multiples(codes)
        scale, offset = self._spread(self.scale, codes), self._spread(self.offset, codes)
        ones = (offset, np.ones(codes.shape, np.int8))
        if self.levels is None and (not codes.size or -128 <= codes.min() <= codes.max() <= 127):
            return [(scale, codes.astype(np.int8)), ones]
        return [*((scale * m, (multiples == m).astype(np.int8)) for m in np.unique(multiples) if m != 0), ones]

    def stored(self) -> dict[str, Array]:
        """All four, without levels where there are none."""
        return {name: part for name, part in zip(self._fields, self, strict=True) if part is not None}

    def _multiples(self, codes: Array) -> Array:
        check_codes(codes)
        if self.levels is None:
            return codes.astype(self.scale.dtype)
        if codes.size and not 0 <= codes.min() <= codes.max() < len(self.levels):
            raise ConfigError("codes", f"must lie in 0..{len(self.levels) - 1}, one for each level",
                              got=f"{codes.min()}..{codes.max()}")
        return np.asarray(self.levels[codes])

    def _spread(self, part: Array, codes: Array) -> Array:
        return of_each(part, int(self.size[0]), codes)


def of_each(part: Array, size: int, x: Array) -> Array:
    """A number of each bucket for every entry of x, in its shape. Raises ConfigError for another number of buckets.

    >>> of_each(np.array([7, 8]), 2, np.zeros((1, 3)))
    array([[7, 7, 8]])
    """
    if len(part) != bucket_count(x.size, size):
        raise ConfigError("buckets", f"{x.size} entries make {bucket_count(x.size, size)} buckets of {size}",
                          got=f"the numbers of {len(part)}")
    # a size from a file may be any number: one bucket then holds everything
    return np.asarray(np.repeat(part, min(size, x.size))[:x.size].reshape(x.shape))


def bucket_count(entries: int, size: int) -> int:
    """How many buckets of this size so many entries fill, the last one perhaps in part; one for none."""
    return max(-(-entries // size), 1)


def in_buckets(x: Array, size: int) -> Array:
    """The entries as rows (buckets, size), the last one filled up with the last entry; one shorter row where x is.

    >>> in_buckets(np.array([1, 2, 3]), 2).tolist(), in_buckets(np.array([1, 2, 3]), 8).tolist()
    ([[1, 2], [3, 3]], [[1, 2, 3]])
    """
    flat = x.reshape(-1)
    size = min(size, flat.size)
    return np.pad(flat, (0, -flat.size % size), mode="edge").reshape(-1, size)


def scaling(x: Array, size: int) -> tuple[Array, Array]:
    """alpha = max - min of each bucket, 1 where that is below 1e-10, and beta = min.

    >>> scaling(np.array([1.0, 3.0, 5.0]), 2)
    (array([2., 1.]), array([1., 5.]))
    """
    if not x.size:
        return np.ones(1, x.dtype), np.zeros(1, x.dtype)
    rows = in_buckets(x, size)
    beta = rows.min(axis=1)
    alpha = rows.max(axis=1) - beta
    return np.where(alpha < FLAT, x.dtype.type(1), alpha), beta


def of_stored(stored: Mapping[str, Array], codes: Array) -> Buckets | None:
    """The grid of buckets that these arrays, from a file, are of, once they fit these codes; None for other names.

    Raises ConfigError for arrays that no grid of these codes has
    """
    if not {"scale", "offset", "size"} <= stored.keys() <= {*Buckets._fields}:
        return None
    grid = Buckets(**stored)
    size = int(grid.size[0]) if grid.size.shape == (1,) else 0
    if size < 1 or grid.scale.shape != (bucket_count(codes.size, size),) or grid.offset.shape != grid.scale.shape:
        raise ConfigError("buckets", f"of {codes.size} codes, buckets must have a size, a scale and an offset each",
                          got=", ".join(f"{name} {part.shape}" for name, part in stored.items()))
    if not (grid.scale > 0).all():
        raise ConfigError("buckets", "scales must be > 0", got=str(grid.scale.min()))
    if grid.levels is not None and (grid.levels.ndim != 1 or (
            codes.size and not 0 <= codes.min() <= codes.max() < len(grid.levels))):
        raise ConfigError("buckets", "there must be a level for each code", got=f"levels {grid.levels.shape}")
    return grid
