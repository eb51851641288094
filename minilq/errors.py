"""The errors of minilq, all built from one template: what was expected, what came, the likely cause."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinilqError(Exception):
    """Base of every error that minilq raises on purpose.

    >>> raise ShapeError("dense", "columns of x and rows of w must match", got="x (2, 3), w (4, 5)")
    Traceback (most recent call last):
        ...
    minilq.errors.ShapeError: dense: columns of x and rows of w must match; got x (2, 3), w (4, 5)
    """

    def __init__(self, op: str, expected: str = "", got: str = "", cause: str = "") -> None:
        text = f"{op}: {expected}" if expected else op
        if got:
            text += f"; got {got}"
        if cause:
            text += f". {cause}"
        super().__init__(text)


class ShapeError(MinilqError, ValueError):
    """Arrays whose shapes do not fit together."""


class DTypeError(MinilqError, TypeError):
    """An array of the wrong kind of number, or two kinds mixed."""


class NonFiniteError(MinilqError, ArithmeticError):
    """A NaN or an infinity where a number was needed."""


class ConfigError(MinilqError, ValueError):
    """A setting that does not exist, or does not go with the others."""


class DataError(MinilqError, OSError):
    """A file that is missing, damaged, of another kind, or cannot be written."""


class UnwritableError(DataError):
    """A file or folder that cannot be written: no space, no permission."""


class TapeError(MinilqError, RuntimeError):
    """A backward pass that the recorded program cannot give."""


class GradientError(MinilqError, AssertionError):
    """A derivative that disagrees with finite differences."""


def meant(word: object, known: Iterable[str]) -> str:
    """The likely cause of a name that is not known: one that is spelled nearly so, or "".

    >>> meant("nestd", ["nested", "lsq"]), meant("x", ["nested"])
    ("Did you mean 'nested'?", '')
    """
    near = difflib.get_close_matches(str(word), list(known), 1)
    return f"Did you mean {near[0]!r}?" if near else ""
