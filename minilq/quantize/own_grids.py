"""Own grids: vectors, hashed and pruned weights from the arrays that they store, which are not trusted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.quantize.coded import Grid
from minilq.quantize.hashing import MOST_SEED, Hashed
from minilq.quantize.sparse import Sparse
from minilq.quantize.vectors import MOST_STAGES, Vectors

NAMES = tuple(frozenset(grid._fields) for grid in (Vectors, Hashed, Sparse))
WHOLE = ("tensor", "seed")
"""Names of arrays of whole numbers."""


def is_own(stored: Mapping[str, Array]) -> bool:
    """Whether arrays have the names of one of these grids."""
    return frozenset(stored) in NAMES


def of_stored(stored: Mapping[str, Array]) -> Grid:
    """The grid of arrays whose names are those of one. Raises ConfigError for arrays that none has.

    >>> of_stored({"numbers": np.array([0.5])})
    Sparse(numbers=array([0.5]))
    """
    for name, array in stored.items():
        if array.dtype.kind != ("i" if name in WHOLE else "f"):
            raise ConfigError("grid", f"{name} must be {'whole numbers' if name in WHOLE else 'floats'}",
                              got=str(array.dtype))
    if "books" in stored:
        books, tensor = stored["books"], stored["tensor"].astype(np.int64)
        if books.ndim != 4 or not 1 <= len(books) <= MOST_STAGES or not books.size:
            raise ConfigError("grid", f"books must be of 1 to {MOST_STAGES} stages of blocks of vectors",
                              got=str(books.shape))
        if tensor.ndim != 1 or not tensor.size or (tensor < 1).any() or (
                books.shape[1] * books.shape[3] != tensor[-1]):
            raise ConfigError("grid", "books must be as wide as a row of their tensor",
                              got=f"{books.shape}, a tensor {tensor.tolist()}")
        return Vectors(books, tensor)
    if "seed" in stored:
        weights, seed = stored["weights"], stored["seed"].astype(np.int64)
        if weights.ndim != 1 or not weights.size or seed.shape != (1,) or not 0 <= seed[0] <= MOST_SEED:
            raise ConfigError("grid", f"hashed weights must stand on one axis, with a seed in 0..{MOST_SEED}",
                              got=f"weights {weights.shape}, seed {seed.tolist()}")
        return Hashed(weights, seed)
    if stored["numbers"].ndim != 1:
        raise ConfigError("grid", "numbers must stand on one axis", got=str(stored["numbers"].shape))
    return Sparse(stored["numbers"])
