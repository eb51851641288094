"""Writing a folder so that a reader never meets half of one."""

import contextlib
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from minilq.errors import DataError

_LEFTOVER = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}\.folder-part")


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a temporary folder beside `target`, then rename that to `target`.

    A folder already there is replaced. Killed at any moment, `target` is absent, the old one or the new one.
    What a killed process left behind is removed by the next one that succeeds. If another process makes the
    same folder at the same time, either one stays.

    Raises DataError if it cannot be written, and whatever `fill` raises.
    """
    temporary, old = _beside(target), _beside(target)
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        try:
            if target.exists():
                os.replace(target, old)
            os.replace(temporary, target)
        except OSError:
            if not target.is_dir():  # Else the other process was faster.
                raise
        _remove_leftovers(target.parent)
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            str(target),
            "the folder must be writable",
            got=error.strerror or str(error),
            cause="Check its permissions and the free space",
        ) from error
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.folder-part")


def _remove_leftovers(folder: Path) -> None:
    for path in folder.iterdir():
        match = _LEFTOVER.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    if sys.platform == "win32":
        return False  # There files in use cannot be deleted, so trying does no harm; a signal would.
    with contextlib.suppress(PermissionError):  # It runs, for someone else.
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
