"""Checks of values that come from a file and may be anything.

A Check takes where the value stands, the value, and its depth among containers; it returns the value as a layer takes
it, or raises DataError. The functions below make such checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minilq.errors import DataError

Check = Callable[[str, Any, int], Any]

MAX_WHOLE = 2**31 - 1


def wrong(where: str, expected: str, got: Any) -> DataError:
    """The error to raise, of bounded length."""
    text = repr(got)
    return DataError(where, f"must be {expected}", got=text if len(text) <= 80 else f"{text[:80]}...")


def whole(low: int, high: int = MAX_WHOLE) -> Check:
    """A whole number in low..high; True is none."""
    def check(where: str, value: Any, depth: int) -> int:
        if type(value) is not int or not low <= value <= high:
            raise wrong(where, f"a whole number in {low}..{high}", value)
        return value
    return check


def real(low: float, high: float, with_low: bool = True) -> Check:
    """A float in low <= value < high, or, with_low=False, low < value < high."""
    def check(where: str, value: Any, depth: int) -> float:
        if type(value) is not float or not (low <= value < high) or (value == low and not with_low):
            raise wrong(where, f"a number from {low} to {high}", value)
        return value
    return check


def one_of(names: Iterable[str]) -> Check:
    """One of these texts."""
    names = tuple(names)

    def check(where: str, value: Any, depth: int) -> Any:
        if value not in names:
            raise wrong(where, f"one of {', '.join(names)}", value)
        return value
    return check


def list_of(check_one: Check, low: int, high: int) -> Check:
    """A list of low..high values, each of which passes check_one; returned as a tuple."""
    def check(where: str, value: Any, depth: int) -> tuple[Any, ...]:
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise wrong(where, f"a list of {low}..{high}" if low < high else f"a list of {low}", value)
        return tuple(check_one(f"{where}.{i}", one, depth) for i, one in enumerate(value))
    return check


def or_none(check_one: Check) -> Check:
    """None, or what passes check_one."""
    return lambda where, value, depth: None if value is None else check_one(where, value, depth)
