"""A data set published as four IDX files, as MNIST is and all that copy it: find, check, read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minilq.data.content import read_content
from minilq.data.dataset import Dataset
from minilq.data.fetch import Check, fetch
from minilq.data.idx import parse_idx
from minilq.data.places import cache_folder
from minilq.data.search import NotHere, search
from minilq.errors import DataError

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


@dataclass(frozen=True)
class IdxSet:
    """What there is to know about one such data set.

    name         how `load` calls it, also the name of its folder in the cache
    title        how people call it
    classes      one name per label
    subfolders   where other tools put the files below a data folder
    mirrors      addresses ending in "/" from which `<file>.gz` can be fetched
    checks       by file name without .gz: what a fetched file must be. A digest of the uncompressed content
                 is demanded of files found on disk too
    lookalike    another set with the same file names, which must not be taken for this one
    n_train, n_validation   how many images there must be
    """

    name: str
    title: str
    classes: tuple[str, ...]
    subfolders: tuple[str, ...]
    mirrors: tuple[str, ...]
    checks: Mapping[str, Check]
    lookalike: "IdxSet | None" = None
    n_train: int = 60_000
    n_validation: int = 10_000


def load_idx_set(source: IdxSet, data_dir: str | Path | None = None) -> Dataset:
    """Load `source` from the first place that has it; its official test set becomes the validation part.

    With `data_dir`: that folder and its `source.subfolders`, nowhere else. Without: the folder named by
    MINILQ_DATA likewise, then the user's cache folder; if it is in neither, it is fetched into the cache.

    Raises DataError if the files are nowhere, or if files found in a folder of the user are damaged.
    """
    def load_fetched() -> Dataset:
        cache = cache_folder(source.name)
        for name in FILES:
            fetch(f"{name}.gz", source.mirrors, source.checks[name], cache)
        return _load_folder(source, cache)

    return search(
        source.title,
        f"the files {', '.join(FILES)} (plain or .gz) were",
        data_dir,
        source.subfolders,
        load_from=lambda folder: _load_folder(source, folder),
        load_cached=lambda: _load_folder(source, cache_folder(source.name)),
        load_fetched=load_fetched,
    )


def _load_folder(source: IdxSet, folder: Path) -> Dataset:
    """Load from exactly this folder. Raises NotHere if it holds something else, DataError for damage."""
    if not folder.is_dir():
        raise NotHere("no such folder")
    paths = {name: _find(folder, name) for name in FILES}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise NotHere("none of the files" if len(missing) == len(FILES) else f"lacks {', '.join(missing)}")
    arrays = {name: _read(source, name, path) for name, path in paths.items() if path is not None}
    sizes = {"train": source.n_train, "t10k": source.n_validation}
    for name, array in arrays.items():
        size = sizes[name.split("-")[0]]
        shape = (size, 28, 28) if "images" in name else (size,)
        if array.shape != shape:
            raise DataError(str(paths[name]), f"{source.title} has shape {shape} here", got=str(array.shape))
    return Dataset(
        name=source.name,
        train_images=arrays[TRAIN_IMAGES],
        train_labels=arrays[TRAIN_LABELS].astype(np.int64),
        validation_images=arrays[TEST_IMAGES],
        validation_labels=arrays[TEST_LABELS].astype(np.int64),
        classes=source.classes,
    )


def _find(folder: Path, name: str) -> Path | None:
    # .gz first: that is what `fetch` writes, so a fetched file wins over a damaged plain one in the cache.
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            return path
    return None


def _read(source: IdxSet, name: str, path: Path) -> NDArray[np.uint8]:
    content = read_content(path)
    array = parse_idx(content, str(path))
    digest = hashlib.sha256(content).hexdigest()
    check, other = source.checks[name], source.lookalike
    if other is not None and digest == other.checks[name].sha256:
        raise NotHere(f"{path.name} belongs to {other.title}, not to {source.title}")
    if check.uncompressed and digest != check.sha256:
        raise NotHere(
            f"{path.name} is not the one of {source.title} (other data sets use the same file names):"
            f" its content has sha256 {digest}, not {check.sha256}"
        )
    return array
