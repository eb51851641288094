"""The history of a run: one row for every epoch of every network, kept as a table of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from minilq.errors import DataError
from minilq.files import read_text, write_text
from minilq.nn import Sequential
from minilq.train.metrics import codes_in, integers_of, integers_together

Row = dict[str, float | int | str]


def integer_columns(model: Sequential) -> Row:
    """The integers and scales of a model as columns: pooled, and for each quantized parameter.

    integers/<name>/{unique,min,max}    codes of one parameter
    scale/<name>/{min,median,max}       its scales
    """
    row: Row = {}
    codes = codes_in(model)
    if codes:
        pooled = integers_together(codes)
        row |= {"unique_integers": pooled.unique, "integer_min": pooled.minimum, "integer_max": pooled.maximum,
                "bits": pooled.bits}
    for name, k in codes.items():
        own = integers_of(k)
        row |= {f"integers/{name}/unique": own.unique, f"integers/{name}/min": own.minimum,
                f"integers/{name}/max": own.maximum}
    for name, scale in model.scales().items():
        s = scale.array
        row |= {f"scale/{name}/min": float(s.min()), f"scale/{name}/median": float(np.median(s)),
                f"scale/{name}/max": float(s.max())}
    return row


def write_history(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write all rows as CSV, columns in the order of their first appearance."""
    rows = list(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[Row]:
    """The rows of a file that `write_history` wrote: numbers as numbers, empty cells left out."""
    rows: list[Row] = []
    for line, cells in enumerate(csv.DictReader(io.StringIO(read_text(path))), start=2):
        if None in cells or None in cells.values():
            raise DataError(str(path), "each line must have one cell per column", got=f"another number in line {line}",
                            cause="The file was cut or edited; --resume writes it anew")
        rows.append({column: _number(cell) for column, cell in cells.items() if cell != ""})
    return rows


def _number(cell: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell
