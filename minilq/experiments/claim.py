"""Whose a folder is: one process has it, or several share it, from before the first file until after the last.

A claim is a lock on the file .lock in the folder, which holds in words who has it. The system gives a lock back when
its process ends, also a killed one, so a claim never outlives the work. Where the system has no such locks (Windows,
some network file systems) new folders are still made by one process alone, but two may go on with the same run.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from minilq.errors import ConfigError, DataError, UnwritableError
from minilq.files import as_path, clear_leftovers, lock, read_text, unwritable, write_text

LOCK = ".lock"
ATTEMPTS = 100


class InUse(ConfigError):
    """Another process has the folder."""


@contextlib.contextmanager
def claimed(folder: str | Path, op: str = "train", make: bool = True) -> Iterator[Path]:
    """Have a folder alone. It is made unless `make` is False; what was made and is empty at the end goes again.

    Raises InUse, which says who has it; UnwritableError; ConfigError and DataError for what is no folder.
    """
    folder = as_path(folder)
    with _made(folder, op, make):
        descriptor, got = _locked(folder, make)
        try:
            if not got:
                raise InUse(op, f"{folder} must be nobody else's", got=f"in use by {_who(descriptor)}",
                            cause="Wait until that has ended, or choose another --out")
            try:
                _sign(descriptor, folder)
                clear_leftovers(folder)
                yield folder
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(folder / LOCK)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def claimed_number(parent: Path, name: str) -> Iterator[Path]:
    """`claimed` for parent/name-1, or the first number that is not there: no number is given twice."""
    with _made(parent, "train", make=True):
        for number in itertools.count(1):
            folder = parent / f"{name}-{number}"
            try:
                parent.mkdir(parents=True, exist_ok=True)
                folder.mkdir()
                break
            except FileExistsError:
                continue
            except OSError as error:
                raise unwritable(folder, error) from error
        try:
            with claimed(folder):
                yield folder
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()                   # when nothing was written


@contextlib.contextmanager
def shared(folder: Path, op: str, file: str, text: str) -> Iterator[str]:
    """Have a folder together with all processes that want the same text in a file of it; the first one writes it.

    Gives who was there already, "" for nobody. Raises as `claimed`, InUse when the file holds another text.
    """
    with _made(folder, op, make=True):
        descriptor, alone = _locked(folder, make=True, share=True)
        try:
            who = "" if alone else _who(descriptor)
            if alone:
                _sign(descriptor, folder)
                clear_leftovers(folder)
                write_text(folder / file, text)
                lock(descriptor, shared=True, wait=True)
            if read_text(folder / file) != text:
                raise InUse(op, f"{folder} must be nobody else's", got=f"in use by {who}, for another {file}",
                            cause="Wait until that has ended, or choose another --out")
            yield who
        finally:
            with contextlib.suppress(OSError):
                if lock(descriptor):             # the last one
                    os.unlink(folder / LOCK)
            os.close(descriptor)


def in_use(folder: Path) -> bool:
    """Whether a process has the folder alone."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _made(folder: Path, op: str, make: bool) -> Iterator[None]:
    """What of the path is not there now and empty at the end is removed."""
    if not make and not os.path.isdir(folder):
        raise DataError(str(folder), "a run folder was expected",
                        got="a file" if os.path.exists(folder) else "no such folder")
    above = (folder, *folder.parents)
    there = next((path for path in above if os.path.exists(path)), Path())
    if not os.path.isdir(there):
        raise ConfigError(op, "--out must be a folder", got=f"{folder}, where {there} is a file")
    try:
        yield
    finally:
        for path in itertools.takewhile(lambda path: path != there, above):
            with contextlib.suppress(OSError):
                path.rmdir()


def _locked(folder: Path, make: bool, share: bool = False) -> tuple[int, bool]:
    """The open lock file of a folder, and whether it is locked for this process alone; otherwise shared, if wished."""
    for _ in range(ATTEMPTS):
        try:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:                # another process, which has failed, has just removed what it made
            continue
        except OSError as error:
            raise unwritable(folder, error) from error
        alone = lock(descriptor)
        if share and not alone:
            lock(descriptor, shared=True, wait=True)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), os.stat(folder / LOCK)):
                return descriptor, alone
        os.close(descriptor)                     # who had it removed the file after it was opened here
    raise UnwritableError(str(folder), "must stay where it is", got="a folder that others remove")


def _sign(descriptor: int, folder: Path) -> None:
    now = datetime.now().astimezone()
    words = f"process {os.getpid()} on {platform.node()}, since {now:%Y-%m-%d %H:%M:%S}"
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, words.encode())
    except OSError as error:
        raise unwritable(folder, error) from error


def _who(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
