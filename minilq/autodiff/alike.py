"""What a saved state must be like: the same names, kinds of numbers and shapes as what takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minilq.arguments import shown
from minilq.autodiff.tape import Array
from minilq.errors import DataError, DTypeError, MinilqError, ShapeError


def check_alike(op: str, mine: Mapping[str, Array], state: Mapping[str, Any], what: str, cause: str,
                any_shape: tuple[str, ...] = (), others: Mapping[str, list[str]] | None = None) -> None:
    """Raise one error that lists every difference: DTypeError or ShapeError when kinds or shapes alone differ,
    otherwise DataError.

    any_shape       what names begin with whose shapes may differ
    others          differences that are known already, by what they are

    >>> check_alike("load", {"w": np.zeros(3), "b": np.zeros(1)}, {"w": np.zeros(2), "c": 0}, "a model", "")
    Traceback (most recent call last):
        ...
    minilq.errors.DataError: load: the saved state must be of a model that is made alike; got missing: b; too much: c; \
of another shape: w (2,), not (3,)
    """
    both = [(key, own, state[key]) for key, own in mine.items() if key in state]
    differences = {
        "missing": [key for key in mine if key not in state],
        "too much": [str(key) for key in state if key not in mine],
        "of another kind": [f"{key} {_kind(new)}, not {own.dtype}" for key, own, new in both
                            if not isinstance(new, np.ndarray) or new.dtype.kind != own.dtype.kind],
        "of another shape": [f"{key} {new.shape}, not {own.shape}" for key, own, new in both
                             if isinstance(new, np.ndarray) and new.shape != own.shape
                             and not key.startswith(any_shape)], **(others or {})}
    found = {words: names for words, names in differences.items() if names}
    if found:
        error: type[MinilqError] = DataError
        if len(found) == 1:
            error = {"of another kind": DTypeError, "of another shape": ShapeError}.get(next(iter(found)), DataError)
        raise error(op, f"the saved state must be of {what} that is made alike",
                    got="; ".join(f"{words}: {', '.join(names)}" for words, names in found.items()), cause=cause)


def check_state(op: str, state: Any) -> None:
    """Raise DataError for what is no dict of arrays."""
    if not isinstance(state, Mapping):
        raise DataError(op, "a saved state must be a dict of arrays", got=shown(state))
    for key, array in state.items():
        if not isinstance(array, np.ndarray) or isinstance(array, (np.ma.MaskedArray, np.matrix)):
            raise DataError(op, "a saved state must be a dict of arrays", got=f"{key!r}: {shown(array)}")


def _kind(new: Any) -> str:
    return str(new.dtype) if isinstance(new, np.ndarray) else f"a {type(new).__name__}"
