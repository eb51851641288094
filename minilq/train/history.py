"""The history of a run: one row for every epoch of every network, kept as a table of text."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.errors import DataError
from minilq.files import read_text, write_text
from minilq.nn import Sequential, coded_in
from minilq.quantize.statistics import integers_of, integers_together, mean_entropy, zero_share
from minilq.train.metrics import scales_in, sqnr_in

Row = dict[str, float | int | str]

ALWAYS = ("network", "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy")
"""Columns of a run's history.csv in which no cell is empty; rows of the quantized network have no empty cell at all."""

NETWORKS = ("float", "quantized")

MOST_COLUMNS, LARGEST = 2000, 1e100
"""What is more than any history has, and less than what a figure can draw."""


def integer_columns(model: Sequential) -> Row:
    """The integers of a model and what its methods learned as columns: pooled, and for each site.

    entropy, zeros, sqnr                mean bits per code, share of codes that are 0, dB (see train/metrics.py)
    integers/<site>/{unique,min,max}    codes of a weight or bias
    scale/<site>/{min,median,max}       its scales, where its grid is even
    <tensor>/<site>/{min,median,max}    what the method of an input learned or remembers: scale/dense1.input/median
    """
    row: Row = {}
    coded = coded_in(model)
    codes = {name: one.codes for name, one in coded.items()}
    if codes:
        pooled = integers_together(codes)
        row |= {"unique_integers": pooled.unique, "integer_min": pooled.minimum, "integer_max": pooled.maximum,
                "bits": pooled.bits, "entropy": mean_entropy(codes), "zeros": zero_share(codes),
                "sqnr": sqnr_in(model, coded)}
    for name, k in codes.items():
        own = integers_of(k)
        row |= {f"integers/{name}/unique": own.unique, f"integers/{name}/min": own.minimum,
                f"integers/{name}/max": own.maximum}
    numbers = {f"scale/{name}": s for name, s in scales_in(coded).items()}
    for name, site in model.sites().items():
        if site.latent is None and site.started:
            numbers |= {f"{tensor}/{name}": t.array if isinstance(t, Parameter) else t
                        for tensor, t in site.held.items()}
    for name, s in numbers.items():
        row |= {f"{name}/min": float(s.min()), f"{name}/median": float(np.median(s)), f"{name}/max": float(s.max())}
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
    """The rows of a run's history.csv: numbers as numbers, empty cells left out.

    Raises DataError when it is missing or damaged: a cell too few or too many, no number where one belongs, an epoch
    that does not follow the one before.
    """
    rows: list[Row] = []
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    try:
        _check_columns(reader.fieldnames)
        for cells in reader:
            if None in cells or None in cells.values():
                raise ValueError("not one cell per column")
            row: Row = {column: cell if column == "network" else _number(column, cell)
                        for column, cell in cells.items() if cell != ""}
            if missing := set(cells if row.get("network") == "quantized" else ALWAYS) - set(row):
                raise ValueError(f"no {min(missing)}")
            if row["network"] not in NETWORKS:
                raise ValueError(f"network {row['network']}")
            before = [earlier["epoch"] for earlier in rows[-1:] if earlier["network"] == row["network"]]
            if row["epoch"] != (int(before[0]) + 1 if before else 1):
                raise ValueError(f"epoch {row['epoch']} after {before[0] if before else 'none'}")
            rows.append(row)
    except (ValueError, csv.Error) as error:
        raise DataError(str(path), "the history of a run was expected", got=f"{error}, line {reader.line_num}",
                        cause="The file was cut or edited; --resume writes it anew") from error
    return rows


def _check_columns(columns: Sequence[str] | None) -> None:
    """ValueError for other columns than a history has: None in an empty file, [] in one written without a row."""
    if columns is None or (columns and not set(columns).issuperset(ALWAYS)):
        raise ValueError(f"no column {min(set(ALWAYS) - set(columns or ()))}")
    if len(columns) > MOST_COLUMNS or len(set(columns)) < len(columns):
        raise ValueError(f"{len(columns)} columns, where each stands once and {MOST_COLUMNS} at most")
    for column in columns:
        name, _, part = column.rpartition("/")
        if not re.fullmatch(r"[\w ./-]{1,200}", column):
            raise ValueError(f"a column called {column}")
        if part == "median" and not {f"{name}/min", f"{name}/max"} <= set(columns):
            raise ValueError(f"{column} without its min and max")


def _number(column: str, cell: str) -> float | int:
    number = float(cell)
    if not (abs(number) <= LARGEST or (column in ("loss", "validation_loss") and not abs(number) < math.inf)):
        raise ValueError(f"{column} {cell}")
    if column.endswith("accuracy") and not 0 <= number <= 1:
        raise ValueError(f"{column} {cell}, no share")
    return int(cell) if cell.lstrip("-").isdecimal() and abs(number) < 2**63 else number
