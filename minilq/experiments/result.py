"""What result.json of a run holds, read back and checked."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minilq.errors import DataError
from minilq.files import read_text

RESULT = "result.json"

# Numbers that the table needs: of each quantized network, and of the whole run.
MEASURED = ("accuracy", "loss", "unique_integers", "integer_min", "integer_max", "bits", "bytes_int8_zip",
            "bytes_packed", "bytes_entropy", "bytes_lzma")
COUNTED = ("parameters", "scales", "bytes_float32", "bytes_float32_zip")
COMPARED = ("baseline_accuracy", "baseline_loss", *COUNTED)
NETWORKS = ("float", "quantized")


def read_result(folder: Path) -> dict[str, Any] | None:
    """What result.json holds, None when the run has not come so far. Raises DataError when it is damaged."""
    return _read(folder, lambda result: ((result, (*MEASURED, *COMPARED)), (result["rounded"], MEASURED),
                                         (result["seconds_each"], NETWORKS)))


def read_point_result(folder: Path) -> dict[str, Any] | None:
    """The same for a point of a sweep, which is one network; a float one has accuracy, loss and COUNTED alone."""
    return _read(folder, lambda result: (
        (result, (*(MEASURED if "unique_integers" in result else MEASURED[:2]), *COUNTED)),))


def _read(folder: Path, parts: Callable[[dict[str, Any]], Sequence[tuple[Mapping[str, Any], Sequence[str]]]],
          ) -> dict[str, Any] | None:
    path = folder / RESULT
    if not os.path.exists(path):
        return None
    try:
        result: dict[str, Any] = json.loads(read_text(path))
        for part, names in parts(result):
            for name in names:
                least = 1 if name.startswith("bytes") else -math.inf
                if isinstance(part[name], str) or not float(part[name]) >= least:
                    raise ValueError(f"{name} {part[name]}")
            if "bits" in names and not isinstance(part["integer_type"], str):
                raise ValueError("integer_type is no text")
        return result
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(str(path), "the result of a run was expected", got=f"{type(error).__name__}: {error}",
                        cause="Delete it and go on with minilq train --resume") from error
