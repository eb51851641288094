"""CIFAR-10: 60,000 small colour pictures of animals and vehicles (Krizhevsky 2009; no licence is stated)."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minilq.data.archive import read_members
from minilq.data.content import read_content
from minilq.data.dataset import Dataset
from minilq.data.fetch import Check, fetch
from minilq.data.pickled import pickled_records
from minilq.data.places import cache_folder
from minilq.data.search import NotHere, search
from minilq.errors import DataError

_SIDE, _CHANNELS = 32, 3
_PIXELS = _CHANNELS * _SIDE * _SIDE
# Above every file of the data set (31 MB), far below what would fill a small machine.
_FILE_LIMIT = 64 * 2**20


@dataclass(frozen=True)
class _Form:
    """One of the two forms in which the batches are published: the names of folder, archive and files."""

    folder: str
    archive: str
    suffix: str


BINARY = _Form("cifar-10-batches-bin", "cifar-10-binary.tar.gz", ".bin")
PICKLED = _Form("cifar-10-batches-py", "cifar-10-python.tar.gz", "")


@dataclass(frozen=True)
class CifarSet:
    """What there is to know about a data set published as batches of records.

    name         how `load` calls it, also the name of its folder in the cache
    title        how people call it
    classes      one name per label
    subfolders   where other tools put folders and archives below a data folder
    mirrors      addresses ending in "/" from which the binary archive can be fetched
    check        what the fetched archive must be
    batches      by name of the batch: the sha256 of its records in the binary form; the last batch is the
                 validation part
    per_batch    how many records each batch has
    """

    name: str
    title: str
    classes: tuple[str, ...]
    subfolders: tuple[str, ...]
    mirrors: tuple[str, ...]
    check: Check
    batches: Mapping[str, str]
    per_batch: int = 10_000


CIFAR10 = CifarSet(
    name="cifar10",
    title="CIFAR-10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    subfolders=("cifar10", "cifar-10"),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    check=Check("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", max_bytes=170_052_171),
    batches={
        "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
)


def load_cifar10(data_dir: str | Path | None = None) -> Dataset:
    """CIFAR-10: 50,000 training pictures; the 10,000 official test pictures are the validation part.

    Images are uint8 (N, 32, 32, 3). Sought in `data_dir` if it is given (there, in `cifar10/` or `cifar-10/`),
    and otherwise in the folder named by MINILQ_DATA likewise, in the user's cache folder, and then fetched
    (170 MB). Each place may hold `cifar-10-batches-bin/`, `cifar-10-batches-py/` (or be one of them),
    `cifar-10-binary.tar.gz` or `cifar-10-python.tar.gz`. Archives are not extracted, pickles not executed.

    Raises DataError if the files are missing, damaged, or not the official ones.
    """
    return load_cifar_set(CIFAR10, data_dir)


def load_cifar_set(source: CifarSet, data_dir: str | Path | None = None) -> Dataset:
    """Load `source` as `load_cifar10` does."""
    def load_fetched() -> Dataset:
        cache = cache_folder(source.name)
        fetch(BINARY.archive, source.mirrors, source.check, cache)
        return _load_archive(source, BINARY, cache)

    return search(
        source.title,
        f"{BINARY.folder}, {PICKLED.folder}, {BINARY.archive} or {PICKLED.archive} was",
        data_dir,
        source.subfolders,
        load_from=lambda place: _load_place(source, place),
        load_cached=lambda: _load_place(source, cache_folder(source.name)),
        load_fetched=load_fetched,
    )


def _load_place(source: CifarSet, place: Path) -> Dataset:
    """Load from whatever this folder is or holds, folders of batches first: they need no decompression."""
    if not place.is_dir():
        raise NotHere("no such folder")
    reasons = []
    for load_form in (_load_folder, _load_archive):
        for form in (BINARY, PICKLED):
            try:
                return load_form(source, form, place)
            except NotHere as reason:
                reasons.append(str(reason))
    raise NotHere(", ".join(filter(None, reasons)) or "none of these")


def _load_folder(source: CifarSet, form: _Form, place: Path) -> Dataset:
    names = [name + form.suffix for name in source.batches]
    for folder in (place, place / form.folder):
        present = [name for name in names if (folder / name).exists()]
        if len(present) == len(names):
            files = ((name, str(folder / name), read_content(folder / name, _FILE_LIMIT)) for name in names)
            return _assemble(source, form, files)
        if present:
            raise NotHere(f"{folder} lacks {', '.join(sorted(set(names) - set(present)))}")
    raise NotHere


def _load_archive(source: CifarSet, form: _Form, place: Path) -> Dataset:
    archive = place / form.archive
    if not archive.exists():
        raise NotHere
    names = [f"{form.folder}/{name}{form.suffix}" for name in source.batches]

    def files() -> Iterator[tuple[str, str, bytes]]:
        missing = set(names)
        for name, content in read_members(archive, names, _FILE_LIMIT):
            missing.discard(name)
            yield name.removeprefix(f"{form.folder}/"), f"{archive}, {name}", content
        if missing:
            raise DataError(str(archive), "every batch must be in the archive", got=f"no {', '.join(sorted(missing))}")

    return _assemble(source, form, files())


def _assemble(source: CifarSet, form: _Form, files: Iterable[tuple[str, str, bytes | bytearray]]) -> Dataset:
    """The Dataset of all the `files`, which come in any order as (name, place for errors, content)."""
    names, n = list(source.batches), source.per_batch
    images = np.empty((len(names) * n, _SIDE, _SIDE, _CHANNELS), np.uint8)
    labels = np.empty(len(names) * n, np.int64)
    for file_name, where, content in files:
        name = file_name.removesuffix(form.suffix)
        records = _records(source, form, name, where, content)
        rows = slice(names.index(name) * n, (names.index(name) + 1) * n)
        # (n, 3072) -> (n, C, H, W) -> (n, H, W, C)
        images[rows] = records[:, 1:].reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
        labels[rows] = records[:, 0]
    return Dataset(source.name, images[:-n], labels[:-n], images[-n:], labels[-n:], source.classes)


def _records(
    source: CifarSet, form: _Form, name: str, where: str, content: bytes | bytearray
) -> NDArray[np.uint8]:
    """The records of one batch, (N, 1 + 3072): label, then the red, green and blue plane, row by row."""
    if form is PICKLED:
        records = pickled_records(bytes(content), source.per_batch, _PIXELS, where)
    else:
        size = source.per_batch * (1 + _PIXELS)
        if len(content) != size:
            raise DataError(
                where,
                f"{size} bytes were expected",
                got=str(len(content)),
                cause="The file is damaged: fetch it again",
            )
        records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    digest = hashlib.sha256(records.data).hexdigest()
    if digest != source.batches[name]:
        raise DataError(
            where,
            f"the records of {source.title} have sha256 {source.batches[name]} here",
            got=digest,
            cause="The file is damaged or another one: fetch it again",
        )
    return records
