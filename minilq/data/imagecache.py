"""The pictures of a folder or archive, decoded once, resized, and kept as arrays that need no loading."""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minilq.data.augment import resize
from minilq.data.images import decode
from minilq.data.imagetree import PARTS, identity, part_and_class, picture_names, read_pictures
from minilq.data.progress import Progress, tell
from minilq.data.wholefolder import write_folder
from minilq.errors import MOST_GOT, DataError, escaped
from minilq.files import read_text, write_text

# Part of the key: raise it whenever other code would write other arrays.
_VERSION = 3
_SEED = 0
_ABOUT = "about.json"
_WAY_OUT = 'Fetch it again, or leave damaged pictures out with damaged="skip"'


@dataclass(frozen=True, eq=False)
class Decoded:
    """What `decoded` gives.

    images   by part: uint8 (N, size, size, 3), memory-mapped, read-only
    labels   by part: int64 (N,), an index into `classes`
    classes  the names of the class folders, sorted
    skipped  the names of the damaged pictures that were left out
    """

    images: dict[str, NDArray[np.uint8]]
    labels: dict[str, NDArray[np.int64]]
    classes: tuple[str, ...]
    skipped: tuple[str, ...]


def decoded(source: Path, sizes: dict[str, int], skip_damaged: bool, cache: Path) -> Decoded:
    """All pictures of `source`, each part resized to its own of the `sizes`, from `cache` or decoded into it.

    Each part is in one fixed mixed order of its classes. With `skip_damaged` pictures that cannot be decoded
    are left out and named on stderr.

    Raises DataError if `source` is damaged, has different classes in its parts, or holds a damaged picture
    (unless that is to be skipped and its class has others), and if `cache` cannot be written.
    """
    key = hashlib.sha256(json.dumps([_VERSION, identity(source), sizes]).encode()).hexdigest()[:16]
    folder = cache / f"decoded-{key}"
    found = _read(folder, sizes)
    if found is None:
        write_folder(folder, lambda temporary: _write(source, sizes, skip_damaged, temporary))
        found = _read(folder, sizes)
    if found is None:
        raise DataError(str(folder), "what was just written must be readable", cause="Check the disk")
    for name in found.skipped:
        if not skip_damaged:
            raise DataError(_where(source, name), "the picture is damaged", cause=_WAY_OUT)
        tell(f"minilq: left out, since it is damaged: {escaped(_where(source, name), MOST_GOT)}")
    return found


def _read(folder: Path, sizes: dict[str, int]) -> Decoded | None:
    """What the folder holds; None if it is absent or in any way not what `_write` writes."""
    try:
        about = json.loads(read_text(folder / _ABOUT))
        classes, skipped = tuple(about["classes"]), tuple(about["skipped"])
        images, labels = {}, {}
        for part, size in sizes.items():
            path, beside = folder / f"{part}-images.npy", folder / f"{part}-labels.npy"
            if not (path.is_file() and beside.is_file()):
                return None
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
            numbers = np.load(beside, allow_pickle=False)
            n = about["counts"][part]
            if (
                (pixels.dtype, pixels.shape) != (np.uint8, (n, size, size, 3))
                or path.stat().st_size != pixels.offset + pixels.nbytes
                or (numbers.dtype, numbers.shape) != (np.int64, (n,))
                or not 0 <= numbers.min() <= numbers.max() < len(classes)
            ):
                return None
            images[part], labels[part] = pixels, numbers
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError):
        return None
    return Decoded(images, labels, classes, skipped)


def _write(source: Path, sizes: dict[str, int], skip_damaged: bool, folder: Path) -> None:
    """Fill `folder` with everything that `_read` reads."""
    names = picture_names(source)
    classes = _classes(source, names)
    skipped = _decode_all(source, names, sizes, skip_damaged, folder)
    if skipped:
        # Rare, so it may cost a second pass: the arrays have no room for pictures that are not there.
        names = sorted(set(names) - set(skipped))
        classes = _classes(source, names)
        _decode_all(source, names, sizes, False, folder)
    counts = {}
    for part in sizes:
        labels = [classes.index(part_and_class(name)[1]) for name in _mixed(names, part)]
        np.save(folder / f"{part}-labels.npy", np.array(labels, np.int64))
        counts[part] = len(labels)
    write_text(folder / _ABOUT, json.dumps({"classes": classes, "skipped": skipped, "counts": counts}))


def _decode_all(
    source: Path, names: list[str], sizes: dict[str, int], skip_damaged: bool, folder: Path
) -> list[str]:
    """Decode the pictures `names` into one array per part; the result is those that could not be."""
    slots = {name: k for part in sizes for k, name in enumerate(_mixed(names, part))}
    pixels = " and ".join(str(size) for size in sizes.values())
    task = f"decoding {len(names)} pictures of {source} to {pixels} pixels"
    damaged = []
    with contextlib.ExitStack() as stack:
        files = {part: stack.enter_context((folder / f"{part}-images.npy").open("wb")) for part in sizes}
        starts = {}
        for part, file in files.items():
            n = len(_mixed(names, part))
            header = {"descr": "|u1", "fortran_order": False, "shape": (n, sizes[part], sizes[part], 3)}
            np.lib.format.write_array_header_1_0(file, header)
            starts[part] = file.tell()
        progress = stack.enter_context(Progress(task, source.name, len(names)))
        for done, (name, raw) in enumerate(read_pictures(source, slots), start=1):
            part, _ = part_and_class(name)
            try:
                picture = decode(raw, _where(source, name))
            except DataError as error:
                if not skip_damaged:
                    raise DataError(str(error), cause=_WAY_OUT) from error
                damaged.append(name)
                continue
            # Written, not assigned to a memory map: on a full disk that would end the process.
            row = resize(picture[None], sizes[part]).tobytes()
            files[part].seek(starts[part] + slots[name] * len(row))
            files[part].write(row)
            progress.show(done)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    return damaged


def _mixed(names: list[str], part: str) -> list[str]:
    """The sorted `names` of one part, in an order that mixes the classes and is always the same."""
    own = [name for name in names if part_and_class(name)[0] == part]
    return [own[k] for k in np.random.default_rng(_SEED).permutation(len(own))]


def _classes(source: Path, names: list[str]) -> tuple[str, ...]:
    present = {part_and_class(name) for name in names}
    classes = tuple(sorted({class_name for _, class_name in present}))
    missing = [f"{part}/{name}" for part in PARTS for name in classes if (part, name) not in present]
    if missing or not classes:
        raise DataError(
            str(source),
            "every class must have good pictures in train and in val",
            got=f"none in {', '.join(missing)}" if missing else "no pictures at all",
        )
    return classes


def _where(source: Path, name: str) -> str:
    return str(source / name) if source.is_dir() else f"{source}, {name}"
