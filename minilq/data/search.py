"""The search for a data set: a given folder, or MINILQ_DATA, the user's cache and the network in turn."""

from collections.abc import Callable, Sequence
from pathlib import Path

from minilq.data.dataset import Dataset
from minilq.data.places import VARIABLE, folders_in, user_folder
from minilq.errors import DataError


class NotHere(Exception):
    """A place does not hold the data set that is sought; another may."""


def search(
    title: str,
    wanted: str,
    data_dir: str | Path | None,
    subfolders: Sequence[str],
    load_from: Callable[[Path], Dataset],
    load_cached: Callable[[], Dataset],
    load_fetched: Callable[[], Dataset],
) -> Dataset:
    """Load the data set called `title` from the first place that has it.

    With `data_dir`: from there and its `subfolders`, nowhere else. Without: from the folder named by
    MINILQ_DATA likewise, then by `load_cached` from the user's cache, then by `load_fetched` from the network.

    wanted        what the error says was expected in `data_dir`
    load_from     loads from exactly the place it is given. Like the two others it raises NotHere if the data
                  set is not there, and DataError if it is, but damaged

    Raises DataError if the data set is nowhere, or damaged in a folder of the user.
    """
    if data_dir is not None:
        try:
            return _load_from_any(folders_in(data_dir, subfolders), load_from)
        except NotHere as reason:
            raise DataError(
                title,
                f"{wanted} expected in {data_dir} or a subfolder ({reason})",
                cause="Correct the folder, or leave it out to have the files fetched",
            ) from None
    elsewhere = ""
    user = user_folder()
    if user is not None:
        try:
            return _load_from_any(folders_in(user, subfolders), load_from)
        except NotHere as reason:
            elsewhere = str(reason)
    try:
        return load_cached()
    except (NotHere, DataError):
        pass  # Absent, incomplete or damaged: fetching mends all three.
    try:
        return load_fetched()
    except NotHere as reason:
        raise DataError(title, f"the files fetched into the cache must fit ({reason})") from None
    except DataError as error:
        if not elsewhere:
            raise
        raise DataError(title, f"not in the folder of {VARIABLE} ({elsewhere})", cause=f"Then {error}") from error


def _load_from_any(folders: Sequence[Path], load_from: Callable[[Path], Dataset]) -> Dataset:
    reasons = []
    for folder in folders:
        try:
            return load_from(folder)
        except NotHere as reason:
            reasons.append(f"{folder}: {reason}")
        except DataError:
            raise
        except OSError as error:                 # no right to look, or a name that is too long
            raise DataError(str(folder), "a folder that can be read was expected", got=str(error.strerror)) from error
    raise NotHere("; ".join(reasons))
