"""What the command line prints, and the statuses it ends with."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from minilq.errors import UnwritableError, escaped

FAILED, INTERRUPTED = 1, 130

PLAIN = {"λ": "lambda", "ε": "epsilon", "β": "beta", "γ": "gamma", "α": "alpha", "μ": "mu", "σ": "sigma", "Σ": "sum ",
         "√": "sqrt ", "·": "*", "×": "x", "²": "^2", "₁": "1", "₂": "2", "→": "->", "≤": "<=", "≥": ">=", "−": "-",
         "∂": "d", "█": "#", "░": "."}
"""What is written in place of a character that standard output cannot encode; any other is escaped."""


def print_line(text: str, end: str = "\n") -> None:
    """Print at once, so that progress shows through a pipe. Raises UnwritableError, as for a disk without space."""
    try:
        print(shown(text, getattr(sys.stdout, "encoding", None)), end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        close(sys.stdout)
        raise UnwritableError("standard output", "must be writable", got=error.strerror or str(error)) from error


def print_error(text: str) -> None:
    """A line on standard error, where there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):       # full, or closed
            print(f"minilq: {shown(text, sys.stderr.encoding)}", file=sys.stderr, flush=True)


def shown(text: str, encoding: str | None) -> str:
    r"""A text as it can be printed: what a terminal would obey is escaped, and so is what the encoding does not have.

    >>> print(shown("λ = 1, \x1b[2J\u202e, runs/größe", "ascii"))
    lambda = 1, \x1b[2J\u202e, runs/gr\xf6\xdfe
    """
    text = "\n".join(map(escaped, text.split("\n")))
    try:
        text.encode(encoding or "utf-8")
        return text
    except UnicodeEncodeError:
        text = "".join(PLAIN.get(c, c) if not _encodable(c, encoding) else c for c in text)
        return text.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


def _encodable(character: str, encoding: str | None) -> bool:
    try:
        character.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def close(*streams: TextIO) -> None:
    """What is left in the buffers must not fail once more at the end."""
    for stream in streams:
        with contextlib.suppress(OSError):
            stream.close()


def open_closed() -> None:
    """Standard streams that the shell has closed (`2>&-`) go nowhere, and no file gets their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)       # the lowest free number, which is this
            if getattr(sys, name) is None:
                setattr(sys, name, open(number, "r" if number == 0 else "w"))  # noqa: SIM115 - until the end
