"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from minilq.errors import DataError, UnwritableError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file: under a temporary name in the same folder, flushed to disk, then renamed.

    Killed at any moment, `path` holds either its old content or the new. Raises UnwritableError when it cannot be
    written, and for what is no plain file, such as a device, which renaming would replace.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise UnwritableError(str(path), "must be a plain file, or none yet", got="a device, a pipe or a socket",
                              cause="It would be replaced; write a file and copy that")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for text, as UTF-8."""
    write_bytes(path, text.encode())


def make_folder(path: Path) -> None:
    """Make a folder and those above it, and see whether it can be written to. Raises UnwritableError when not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{uuid.uuid4().hex[:8]}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def read_text(path: Path) -> str:
    """The text of a file; DataError when it is missing or no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(str(path), "a readable text file was expected", got=str(reason)) from error


def _unwritable(path: Path, error: OSError) -> UnwritableError:
    return UnwritableError(str(path), "must be writable", got=error.strerror or str(error),
                     cause="Choose another folder with --out, or free some space")
