"""Files: read only where they end, written so that a reader never meets half of one."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import stat
import sys
import uuid
from pathlib import Path
from typing import Any

from minilq.arguments import shown
from minilq.errors import ConfigError, DataError, UnwritableError

MOST_TEXT = 64 * 2**20
"""Bytes of a text that is read, far above any of minilq's, far below what would fill a small machine."""


def as_path(path: Any) -> Path:
    """A text or a path as a Path. ConfigError for all else: a whole number would be taken for an open file.

    >>> as_path("runs") == as_path(Path("runs"))
    True
    """
    name = path.__fspath__() if isinstance(path, os.PathLike) and not isinstance(path, type) else path
    if not isinstance(name, str) or not name:
        raise ConfigError("path", "the name of a file must be a text, not empty, or a pathlib.Path", got=shown(path))
    return Path(name)


def opened(path: str | Path) -> io.BufferedReader:
    """Open a file for reading. Raises OSError as `open` does, and for whatever is no regular file: reading a pipe may
    wait for ever, and a device may have no end. ConfigError for what is no path."""
    path = as_path(path)
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:                  # a NUL
        raise OSError(errno.EINVAL, "a name that no file has", str(path)) from error
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket", str(path))
    return open(path, "rb")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a whole file: under a temporary name in the same folder, flushed to disk, then renamed.

    Killed at any moment, `path` holds either its old content or the new. Raises UnwritableError when it cannot be
    written, and for what is no plain file, such as a device, which renaming would replace. ConfigError for what is no
    path.
    """
    path = as_path(path)
    if not path.name or "\0" in str(path):
        raise UnwritableError(str(path), "must be the name of a file",
                              got="a name that no file has" if path.name else "a folder")
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise UnwritableError(str(path), "must be a plain file, or none yet", got="a device, a pipe or a socket",
                              cause="It would be replaced; write a file and copy that")
    temporary = path.with_name(f".{path.name[:60]}.{uuid.uuid4().hex[:8]}.part")
    try:
        with temporary.open("wb") as file:
            lock(file.fileno())                  # so that `clear_leftovers` leaves it alone
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """`write_bytes` for text, as UTF-8; lone surrogates, which that cannot say, are written out."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it, and see whether it may be written to. Raises UnwritableError when not."""
    path = as_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError("Permission denied")
    except OSError as error:
        raise unwritable(path, error) from error


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing in a folder, and in its figures, and nobody writes any more."""
    for part in (folder, folder / "figures"):
        with contextlib.suppress(OSError):
            for path in list(part.glob(".*.part")):
                with contextlib.suppress(OSError), path.open("rb+") as file:
                    if lock(file.fileno()):
                        path.unlink()


def lock(descriptor: int, shared: bool = False, wait: bool = False) -> bool:
    """Take an open file for oneself, or for all who share it, until it is closed or the process ends, however that
    happens. False when another process has it.

    True as well where nothing can be locked: on Windows, and on some network file systems.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def read_text(path: str | Path) -> str:
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


def unwritable(path: Path, error: OSError) -> UnwritableError:
    """The error for a file or folder that could not be written."""
    return UnwritableError(str(path), "must be writable", got=error.strerror or str(error),
                           cause="Write to another folder, or free some space here")
