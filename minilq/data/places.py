"""Where data files may lie: a given folder, the one named by MINILQ_DATA, the user's cache."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from minilq.errors import DataError

VARIABLE = "MINILQ_DATA"


def folders_in(root: str | Path, subfolders: Sequence[str]) -> list[Path]:
    """`root` itself and its `subfolders`, in this order, whether they exist or not. Raises DataError for ~nobody."""
    try:
        root = Path(root).expanduser()
    except RuntimeError as error:
        raise DataError(str(root), "must be a folder", got=str(error)) from error
    return [root, *(root / name for name in subfolders)]


def user_folder() -> Path | None:
    """The folder named by the environment variable MINILQ_DATA; None if that is unset or empty."""
    value = os.environ.get(VARIABLE, "")
    return Path(value) if value else None


def cache_folder(name: str) -> Path:
    """The folder where minilq keeps what it fetched for the data set `name`. It may not exist yet.

    Raises DataError where there is no home folder to put it in.
    """
    if sys.platform == "win32":
        base = _from_environment("LOCALAPPDATA", "AppData", "Local")
    elif sys.platform == "darwin":
        base = _home() / "Library" / "Caches"
    else:
        base = _from_environment("XDG_CACHE_HOME", ".cache")
    return base / "minilq" / name


def _from_environment(variable: str, *below_home: str) -> Path:
    # The XDG rules: a relative or empty value counts as unset.
    value = Path(os.environ.get(variable, ""))
    return value if value.is_absolute() else _home().joinpath(*below_home)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise DataError("cache", "the user must have a home folder", got=str(error),
                        cause=f"Name the folder that holds the data with {VARIABLE} or --data-dir") from error
