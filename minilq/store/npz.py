"""Codes and scales in a plain .npz, which NumPy alone can read: `np.load(path)["dense1.weight.codes"]`.

The keys are those of `arrays_of` (arrays.py). One more, "meta", is a 0-d text: JSON with the granularity of each
parameter and the list of the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minilq.autodiff.tape import Array
from minilq.errors import DataError
from minilq.quantize import Coded
from minilq.store.arrays import arrays_of, parts_of
from minilq.train.checkpoint import load_checkpoint, save_checkpoint


def to_npz(coded: Mapping[str, Coded], path: str | Path, floats: Mapping[str, Array] = {}) -> None:
    """Write codes, scales and `floats`, atomically and without pickle. Raises UnwritableError."""
    arrays, granularities = arrays_of(coded, floats)
    save_checkpoint(Path(path), arrays, {"granularity": granularities})


def from_npz(path: str | Path) -> tuple[dict[str, Coded], dict[str, Array]]:
    """The codes and the floats that `to_npz` wrote. Raises DataError for any other file, damaged or not."""
    arrays, meta = load_checkpoint(Path(path))
    try:
        return parts_of(arrays, meta["granularity"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(str(path), "codes with scales were expected, as to_npz writes them", got=str(error),
                        cause="It is a checkpoint of a training run, or was written by another program") from error
