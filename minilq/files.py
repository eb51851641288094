"""Files: read only where they end, written so that a reader never meets half of one."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import stat
import uuid
from pathlib import Path

from minilq.errors import DataError, UnwritableError

MOST_TEXT = 64 * 2**20
"""Bytes of a text that is read, far above any of minilq's, far below what would fill a small machine."""


def opened(path: str | Path) -> io.BufferedReader:
    """Open a file for reading. Raises OSError as `open` does, and for whatever is no regular file: reading a pipe may
    wait for ever, and a device may have no end."""
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:                  # a NUL
        raise OSError(errno.EINVAL, "a name that no file has", str(path)) from error
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket", str(path))
    return open(path, "rb")


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
    """`write_bytes` for text, as UTF-8; lone surrogates, which that cannot say, are written out."""
    write_bytes(path, text.encode(errors="backslashreplace"))


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
    """The text of a file: UTF-8, or UTF-16 that says so in its first bytes, as PowerShell writes it.

    Raises DataError when it is missing, no regular file, no such text, or longer than MOST_TEXT.
    """
    try:
        with opened(path) as file:
            content = file.read(MOST_TEXT + 1)
        if len(content) > MOST_TEXT:
            raise DataError(str(path), f"a text of at most {MOST_TEXT:,} bytes was expected", got="more")
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-16" if wide else "utf-8-sig").read()
    except UnicodeError as error:
        raise DataError(str(path), "a readable text file was expected", got="not UTF-8 text") from error
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(str(path), "a readable text file was expected", got=error.strerror or str(error)) from error


def _unwritable(path: Path, error: OSError) -> UnwritableError:
    return UnwritableError(str(path), "must be writable", got=error.strerror or str(error),
                     cause="Choose another folder with --out, or free some space")
