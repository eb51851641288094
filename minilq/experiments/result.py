"""What result.json of a run holds, read back and checked."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minilq.errors import DataError
from minilq.files import as_path, read_text
from minilq.train.history import LARGEST

RESULT = "result.json"

# What the table needs: of each quantized network, and of the whole run. Names of whole numbers begin with COUNTS.
MEASURED = ("accuracy", "loss", "unique_integers", "integer_min", "integer_max", "bits", "bytes_int8_zip",
            "bytes_packed", "bytes_entropy", "bytes_lzma", "integer_type")
COUNTED = ("parameters", "scales", "bytes_float32", "bytes_float32_zip")
COMPARED = ("baseline_accuracy", "baseline_loss", *COUNTED)
NETWORKS = ("float", "quantized")
COUNTS = ("unique", "integer", "bits", "bytes", "parameters", "scales")


def read_result(folder: str | Path) -> dict[str, Any] | None:
    """What result.json holds, None when the run has not come so far. Raises DataError when it is damaged."""
    return _read(folder, lambda result: ((result, (*MEASURED, *COMPARED)), (result["rounded"], MEASURED),
                                         (result["seconds_each"], NETWORKS)))


def read_point_result(folder: str | Path) -> dict[str, Any] | None:
    """The same for a point of a sweep, which is one network; a float one has accuracy, loss and COUNTED alone."""
    return _read(folder, lambda result: (
        (result, (*(MEASURED if "unique_integers" in result else MEASURED[:2]), *COUNTED)),))


def read_accuracy(folder: str | Path) -> float | None:
    """The accuracy alone, whatever else is there."""
    result = _read(folder, lambda result: ((result, ("accuracy",)),))
    return None if result is None else float(result["accuracy"])


def _read(folder: str | Path, parts: Callable[[dict[str, Any]], Sequence[tuple[Mapping[str, Any], Sequence[str]]]],
          ) -> dict[str, Any] | None:
    path = as_path(folder) / RESULT
    if not os.path.exists(path):
        return None
    try:
        result: dict[str, Any] = json.loads(read_text(path))
        for part, names in parts(result):
            for name in names:
                if not _makes_sense(name, part[name]):
                    raise ValueError(f"{name} {part[name]}")
        return result
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(str(path), "the result of a run was expected", got=f"{type(error).__name__}: {error}",
                        cause="Delete it and go on with minilq train --resume") from error


def _makes_sense(name: str, value: Any) -> bool:
    if name == "integer_type":
        return isinstance(value, str) and re.fullmatch("u?int(8|16|32|64)", value) is not None
    if name.startswith(COUNTS):
        least = 1 if name.startswith("bytes") else -2**63 if name in ("integer_min", "integer_max") else 0
        return type(value) is int and least <= value < 2**63
    if name.endswith("loss"):                    # of a training that went wrong, it is infinite or no number
        return type(value) in (int, float) and not LARGEST < abs(value) < math.inf
    return type(value) in (int, float) and 0 <= value <= (1 if name.endswith("accuracy") else 2**63)
