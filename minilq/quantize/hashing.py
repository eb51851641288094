"""Hashing: the grid of HashedNets, where a place in the tensor alone says which number stands there, and its sign."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.quantize.coded import Plane, check_codes, of_scale

MOST_SEED = 2**31 - 1
STEP, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Hashed(NamedTuple):
    """The grid of hashed weights: value at place i, counted row by row, = sign(i) weights[bucket(i)].

    weights     (K,), float32 or float64
    seed        (1,), a whole number >= 0: with it `places` gives buckets and signs
    codes       0 everywhere: they say nothing but the shape, and take no bits

    >>> grid = Hashed(np.array([0.5, 2.0]), np.array([0]))
    >>> np.abs(grid.values(np.zeros((2, 3), int)))
    array([[2. , 0.5, 2. ],
           [0.5, 2. , 2. ]])
    """

    weights: Array
    seed: Array

    def values(self, codes: Array) -> Array:
        """What stands in each place."""
        check_codes(codes)
        if codes.any():
            raise ConfigError("codes", "must be 0 where a place alone says its number",
                              got=f"{codes.min()}..{codes.max()}")
        buckets, signs = places(int(self.seed[0]), codes.shape, len(self.weights))
        return self.weights[buckets] * signs

    def planes(self, codes: Array) -> list[Plane]:
        """Signs, and sizes as their scale."""
        y = self.values(codes)
        signs = of_scale(np.sign(y), np.abs(y))
        return signs.planes

    def stored(self) -> dict[str, Array]:
        """The weights and the seed."""
        return {"weights": self.weights, "seed": self.seed}


@functools.lru_cache(maxsize=32)
def places(seed: int, shape: tuple[int, ...], K: int) -> tuple[Array, Array]:
    """The bucket 0 .. K - 1 and the sign of each place of a tensor. What is returned is read-only.

    Place i, counted row by row, has the number z that SplitMix64 (Steele, Lea and Flood 2014) gives from the seed 0 in
    its step i + 1 + 2^32 seed: the sign is - where z is odd, the bucket z // 2 mod K. It is part of the file format.

    >>> buckets, signs = places(1, (2, 4), 3)
    >>> buckets.tolist(), signs.tolist()
    ([[1, 1, 2, 1], [2, 2, 1, 1]], [[1, -1, -1, -1], [1, -1, 1, 1]])
    """
    z = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) + np.uint64(seed << 32)
    z *= np.uint64(STEP)                         # modulo 2^64
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    z ^= z >> np.uint64(31)
    buckets = (z // np.uint64(2) % np.uint64(K)).astype(np.intp).reshape(shape)
    signs = (1 - 2 * (z % np.uint64(2)).astype(np.int8)).reshape(shape)
    for array in (buckets, signs):
        array.flags.writeable = False
    return buckets, signs
