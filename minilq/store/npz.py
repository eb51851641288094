"""Codes and grids in a plain .npz, which NumPy alone can read: `np.load(path)["dense1.weight.codes"]`.

The keys are those of `arrays_of` (arrays.py). One more, "meta", is a 0-d text: JSON with the list of the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minilq.autodiff.tape import Array
from minilq.errors import DataError
from minilq.quantize import Coded
from minilq.store.arrays import arrays_of, parts_of
from minilq.train.checkpoint import load_checkpoint, save_checkpoint

HOLDS = "codes"


def to_npz(coded: Mapping[str, Coded], path: str | Path, floats: Mapping[str, Array] = {}) -> None:
    """Write codes, grids and `floats`, atomically and without pickle. Raises UnwritableError."""
    save_checkpoint(path, arrays_of(coded, floats), {"holds": HOLDS})


def from_npz(path: str | Path) -> tuple[dict[str, Coded], dict[str, Array]]:
    """The codes and the floats that `to_npz` wrote. Raises DataError for any other file, damaged or not."""
    arrays, meta = load_checkpoint(path)
    try:
        if meta.get("holds") != HOLDS:
            raise ValueError("arrays of another kind")
        return parts_of(arrays)
    except (ValueError, KeyError) as error:
        raise DataError(str(path), "codes with their grids were expected, as to_npz writes them", got=str(error),
                        cause="It is a checkpoint of a training run, or was written by another program") from error
