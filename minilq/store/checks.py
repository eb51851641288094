"""What is told about values that come from a file and may be anything."""

from __future__ import annotations

from typing import Any

from minilq.errors import DataError

MAX_WHOLE = 2**31 - 1
"""The largest whole number that a setting may be."""


def short(value: Any) -> str:
    """A value as text of bounded length."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def wrong(where: str, expected: str, got: Any) -> DataError:
    """The error to raise, of bounded length."""
    return DataError(where, f"must be {expected}", got=short(got))
