"""The errors of minilq, all built from one template: what was expected, what came, the likely cause."""

from __future__ import annotations

from collections.abc import Iterable

MOST_GOT, MOST_SAID = 200, 2000
"""Characters of what came, and of every other part of a message, at most: what came may be a file of somebody else."""


def escaped(text: str, most: int | None = None) -> str:
    r"""A text from outside as one line of at most `most` characters that does nothing to a terminal: control
    characters, marks that turn the direction of writing, and lone surrogates are written out.

    >>> print(escaped("a\x1b[2J\n\u202eb\udcff")), print(escaped("x" * 300, 5))
    a\x1b[2J\n\u202eb\udcff
    xxxxx...
    (None, None)
    """
    if most is not None and len(text) > most:
        text = f"{text[:most]}..."
    return text if text.isprintable() else "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


class MinilqError(Exception):
    """Base of every error that minilq raises on purpose. Its message is `escaped`, so names and texts from files may
    stand in it as they came.

    >>> raise ShapeError("dense", "columns of x and rows of w must match", got="x (2, 3), w (4, 5)")
    Traceback (most recent call last):
        ...
    minilq.errors.ShapeError: dense: columns of x and rows of w must match; got x (2, 3), w (4, 5)
    """

    def __init__(self, op: str, expected: str = "", got: str = "", cause: str = "") -> None:
        text = escaped(op, MOST_SAID)
        if expected:
            text += f": {escaped(expected, MOST_SAID)}"
        if got:
            text += f"; got {escaped(got, MOST_GOT)}"
        if cause:
            text += f". {escaped(cause, MOST_SAID)}"
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
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(str(word)[:100], list(known), 1)
    return f"Did you mean {near[0]!r}?" if near else ""
