"""Pool: the arrays that sites hold and their grids store, each distinct one in a file once, under a number.

A file says of each array [type, shape], in the order of the numbers. Types are NumPy's: "f4", "f8", and for whole
numbers the narrowest of "i1", "i2", "i4", "i8" that holds them all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, NonFiniteError
from minilq.quantize.coded import narrowed
from minilq.store.checks import wrong
from minilq.store.numbers import Numbers

TYPES = ("f4", "f8", "i1", "i2", "i4", "i8")
MAX_AXES = 32
MAX_SHAPE = 2**48
"""The product of the other lengths of an array without numbers stays below that: NumPy has no larger ones."""


class Pool:
    """Arrays to be written.

    >>> pool = Pool()
    >>> pool.number("a", np.array([1.0, 2.0], np.float32)), pool.number("b", np.array([1.0, 2.0], np.float32))
    (0, 0)
    >>> pool.entries
    [['f4', [2]]]
    """

    def __init__(self) -> None:
        self.entries: list[list[Any]] = []
        self.arrays: list[Array] = []
        self._numbers: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def number(self, name: str, array: Array) -> int:
        """The number of an array, which is added unless there is one of the same type, shape and bytes.

        Raises DTypeError for what is no array of real numbers, NonFiniteError for NaN and infinity; with the name
        """
        if array.dtype.kind in "iub":
            array = narrowed(array.astype(np.int64))
        kind = array.dtype.str[1:]
        if kind not in TYPES:
            raise DTypeError("save", f"arrays must be of {', '.join(TYPES)}", got=f"{name} of {array.dtype}")
        check_finite(name, array)
        key = kind, array.shape, array.tobytes()
        if key not in self._numbers:
            self._numbers[key] = len(self.entries)
            self.entries.append([kind, list(array.shape)])
            self.arrays.append(array)
        return self._numbers[key]


def check_finite(name: str, array: Array) -> None:
    """NonFiniteError, with the name, for NaN and infinity."""
    if not np.isfinite(array).all():
        raise NonFiniteError("save", "every number must be finite", got=f"NaN or infinity in {name}",
                             cause="Training has diverged; save an earlier state")


def pooled(entries: Any, numbers: Numbers) -> list[Array]:
    """The arrays that a header lists, finite. Nothing is trusted. Raises DataError"""
    if not isinstance(entries, list):
        raise wrong("arrays", "a list", entries)
    arrays = []
    for number, entry in enumerate(entries):
        where = f"array {number}"
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] in TYPES and isinstance(entry[1], list)
                and len(entry[1]) <= MAX_AXES and all(type(n) is int and 0 <= n < 2**31 for n in entry[1])
                and (0 not in entry[1] or math.prod(n or 1 for n in entry[1]) < MAX_SHAPE)):
            raise wrong(where, f"a type, one of {', '.join(TYPES)}, and a shape", entry)
        arrays.append(numbers.take(where, entry[0], tuple(entry[1])))
    return arrays
