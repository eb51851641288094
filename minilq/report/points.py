"""The points of a sweep as text: all of them, and one beside its float network."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from minilq.experiments.config import read_config
from minilq.experiments.float_at import SAME
from minilq.experiments.result import read_point_result
from minilq.experiments.run import CONFIG
from minilq.experiments.sweep import POINTS, SWEEP, read_points, read_sweep
from minilq.report.table import aligned, table_of

HEAD = ("point", "accuracy", "integers", "kB")

def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / SWEEP).is_file()


def is_point(folder: Path) -> bool:
    """Whether a folder is that of a point of a sweep."""
    return folder.parent.name == POINTS and is_sweep(folder.parent.parent)


def listing(folder: Path, command: str) -> str:
    """Every quantized point that is done, and the command for one of them."""
    points = [point for point in read_points(folder) if "unique_integers" in point]
    rows = [HEAD, *((point["name"], f"{100 * point['accuracy']:.2f} %", f"{point['unique_integers']:,}",
                     f"{point['bytes_entropy'] / 1000:,.1f}") for point in points)]
    one = points[0]["name"] if points else "NAME"
    return (f"{folder} is a sweep of {len(read_sweep(folder)['points'])} networks; of its quantized ones {len(points)} "
            f"are done:\n\n{aligned(rows)}\n\nFor one of them, such as the first:\n"
            f"minilq {command} {shlex.quote(str(folder / POINTS / one))}")


def point_table(folder: Path, verbose: bool = False) -> str | None:
    """The table of a point of a sweep beside its float network, None when it is not done. Raises DataError."""
    result, config = read_point_result(folder), read_config(folder / CONFIG)
    if result is None:
        return None
    networks: dict[str, dict[str, Any]] = {}
    for point in read_points(folder.parent.parent):
        if point["scheme"] == "float" and all(point.get(name) == result.get(name) for name in SAME):
            networks["float"] = {"accuracy": point["accuracy"], "loss": point["loss"],
                                 "bytes_zip": point["bytes_float32_zip"]}
    if "unique_integers" in result:
        networks["quantized"] = result
    return table_of(networks, result, config.describe(), verbose)
