"""Tables of what was trained: a CSV file, a line for each network as soon as it is trained."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minilq.files import write_bytes


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table, none where there is no file."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) if path.exists() else []


def add_row(path: Path, row: Mapping[str, Any]) -> None:
    """One row more, of the file as a whole; its first row names the columns."""
    text, rows = io.StringIO(), rows_of(path)
    writer = csv.DictWriter(text, list(rows[0] if rows else row), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, row])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.getvalue().encode())
