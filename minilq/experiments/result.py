"""What result.json of a run holds, read back and checked."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from minilq.errors import DataError
from minilq.files import read_text

RESULT = "result.json"

# Numbers that the table needs: of each quantized network, and of the whole run.
MEASURED = ("accuracy", "loss", "unique_integers", "integer_min", "integer_max", "bits", "bytes_int8_zip",
            "bytes_packed")
COMPARED = ("baseline_accuracy", "baseline_loss", "parameters", "scales", "bytes_float32", "bytes_float32_zip")
NETWORKS = ("float", "quantized")


def read_result(folder: Path) -> dict[str, Any] | None:
    """What result.json holds, None when the run has not come so far. Raises DataError when it is damaged."""
    path = folder / RESULT
    if not os.path.exists(path):
        return None
    try:
        result: dict[str, Any] = json.loads(read_text(path))
        for part, names in ((result, (*MEASURED, *COMPARED)), (result["rounded"], MEASURED),
                            (result["seconds_each"], NETWORKS)):
            for name in names:
                least = 1 if name.startswith("bytes") else -math.inf
                if isinstance(part[name], str) or not float(part[name]) >= least:
                    raise ValueError(f"{name} {part[name]}")
        if not all(isinstance(part["integer_type"], str) for part in (result, result["rounded"])):
            raise ValueError("integer_type is no text")
        return result
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(str(path), "the result of a run was expected", got=f"{type(error).__name__}: {error}",
                        cause="Delete it and go on with minilq train --resume") from error
