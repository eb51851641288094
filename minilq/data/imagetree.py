"""Pictures in a folder or a tar archive, laid out as `train/<class>/<picture>` and `val/<class>/<picture>`."""

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from minilq.data.archive import SUFFIXES as ARCHIVES
from minilq.data.archive import member_names, read_members
from minilq.data.content import read_content
from minilq.errors import DataError

PARTS = ("train", "val")

_PICTURES = (".jpeg", ".jpg", ".png")
# Far above any picture of a data set, far below what would fill a small machine.
_PICTURE_LIMIT = 64 * 2**20


def is_tree(path: Path) -> bool:
    """Whether `path` is a folder with both parts, or a file named like an archive."""
    if path.is_dir():
        return all((path / part).is_dir() for part in PARTS)
    return path.is_file() and path.name.lower().endswith(ARCHIVES)


def picture_names(path: Path) -> list[str]:
    """The names of all pictures, sorted: `train/<class>/<file>`, in an archive perhaps with a folder before it.

    What is no picture, lies elsewhere, or is hidden is left out. Raises DataError for a damaged archive.
    """
    names = [name for name, _ in _folder_files(path)] if path.is_dir() else member_names(path)
    return sorted({name for name in names if _fits(name)})


def read_pictures(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes | bytearray]]:
    """Name and content of each of the pictures `names`, in the order that is fastest to read.

    Raises DataError for a damaged archive, and for a file that cannot be read.
    """
    if not path.is_dir():
        yield from read_members(path, set(names), _PICTURE_LIMIT)
        return
    for name in names:
        yield name, read_content(path / name, _PICTURE_LIMIT)


def part_and_class(name: str) -> tuple[str, str]:
    """The two folders a picture lies in.

    >>> part_and_class("imagenette2/train/n01440764/a.JPEG")
    ('train', 'n01440764')
    """
    part, class_name, _ = name.split("/")[-3:]
    return part, class_name


def identity(path: Path) -> str:
    """A digest that changes when a file is added, removed, written again, or the whole moved elsewhere."""
    digest = hashlib.sha256(os.fsencode(path.resolve()))
    try:
        files = _folder_files(path) if path.is_dir() else [("", path.stat())]
    except OSError as error:
        raise DataError(str(error.filename or path), "cannot be read", got=error.strerror or str(error)) from error
    for name, status in files:
        digest.update(f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _folder_files(path: Path) -> list[tuple[str, os.stat_result]]:
    found = []
    for part in PARTS:
        for class_folder in sorted((path / part).iterdir()):
            if not class_folder.is_dir():
                continue
            with os.scandir(class_folder) as entries:
                found += [(f"{part}/{class_folder.name}/{entry.name}", entry.stat()) for entry in entries]
    return sorted(found)


def _fits(name: str) -> bool:
    folders = name.split("/")
    return (
        len(folders) in (3, 4)
        and folders[-3] in PARTS
        and not any(folder.startswith(".") for folder in folders)
        and name.lower().endswith(_PICTURES)
    )
