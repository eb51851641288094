"""Imagenette: 13,394 photographs of ten easy classes of ImageNet (Howard, fast.ai; ImageNet's terms)."""

import re
from pathlib import Path

from minilq.data.dataset import Dataset
from minilq.data.fetch import Check, fetch
from minilq.data.imagecache import decoded
from minilq.data.imagetree import is_tree
from minilq.data.places import cache_folder
from minilq.data.search import NotHere, search
from minilq.errors import ConfigError

NAME = "imagenette"
MIRRORS = ("https://s3.amazonaws.com/fast-ai-imageclas/",)
# By the length of the shorter side of its pictures.
DOWNLOADS = {
    160: Check("64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5", max_bytes=99_003_388),
    320: Check("569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c", max_bytes=341_663_724),
}
# The folders are called by the numbers of WordNet.
READABLE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}

_LARGEST_FOR_160 = 140
_MAX_SIZE = 1024
_FULL = 10**6  # The variant without a number has the pictures in their own sizes.


def load_imagenette(data_dir: str | Path | None = None, image_size: int = 64, damaged: str = "refuse") -> Dataset:
    """Imagenette, or any set of pictures in its layout, with the classes of its folders.

    Validation images are uint8 (M, image_size, image_size, 3). Training images are an eighth larger, for random
    crops: 8 * round(image_size / 7) pixels, 72 for 64 and 256 for 224. Both are squashed to squares.

    Sought in `data_dir` if it is given (there or in `imagenette/`), and otherwise in the folder named by
    MINILQ_DATA likewise, in the user's cache folder, and then fetched (99 MB; 342 MB if `image_size` is above
    140). A place may be a folder with `train/<class>/*.JPEG` and `val/<class>/*.JPEG` (or .jpg, .png), hold such
    folders or archives (.tgz, .tar.gz, .tar) called `imagenette2*`, or be itself an archive. The smallest
    variant of at least the needed size is taken, and else the largest; from the cache only a sufficient one, so
    that results do not depend on what was fetched before.

    The pictures are decoded once and kept in the cache folder; the images are memory-mapped from there, read-only.

    damaged   "refuse" damaged pictures, or "skip" them: they are left out and named on stderr. One of more than 33
              million pixels, or 16,384 a side, counts as damaged: a small file can claim any size

    Raises ConfigError for another `image_size` than 1..1024 or another `damaged`, DataError if the data are
    missing, damaged, or have different classes in their parts, and if the cache cannot be written.
    """
    if not isinstance(image_size, int) or not 1 <= image_size <= _MAX_SIZE:
        raise ConfigError("load_imagenette", f"image_size must be a whole number 1..{_MAX_SIZE}", got=repr(image_size))
    if damaged not in ("refuse", "skip"):
        raise ConfigError("load_imagenette", 'damaged must be "refuse" or "skip"', got=repr(damaged))
    needed = train_size(image_size)
    cache = cache_folder(NAME)

    def load_from(source: Path) -> Dataset:
        data = decoded(source, {"train": needed, "val": image_size}, damaged == "skip", cache)
        return Dataset(
            name=NAME,
            train_images=data.images["train"],
            train_labels=data.labels["train"],
            validation_images=data.images["val"],
            validation_labels=data.labels["val"],
            classes=tuple(READABLE.get(name, name) for name in data.classes),
        )

    def load_fetched() -> Dataset:
        side = 160 if image_size <= _LARGEST_FOR_160 else 320
        return load_from(fetch(f"imagenette2-{side}.tgz", MIRRORS, DOWNLOADS[side], cache))

    return search(
        "Imagenette",
        "a folder with train/ and val/, or a folder or archive imagenette2* was",
        data_dir,
        ("imagenette",),
        load_from=lambda place: load_from(_variant(place, needed)),
        load_cached=lambda: load_from(_variant(cache, needed, only_sufficient=True)),
        load_fetched=load_fetched,
    )


def train_size(image_size: int) -> int:
    """The side of the training images from which crops of `image_size` are taken: an eighth more.

    >>> train_size(64), train_size(224)
    (72, 256)
    """
    return max(8 * round(image_size / 7), image_size)


def _variant(place: Path, needed: int, only_sufficient: bool = False) -> Path:
    """The folder or archive to read at `place`: that itself, or the best of those it holds."""
    if is_tree(place):
        return place
    if not place.is_dir():
        raise NotHere("neither a folder nor an archive" if place.exists() else "no such folder")
    # Folders sort before archives of the same size: they are faster to read.
    found = sorted(
        (_side(path), not path.is_dir(), path) for path in place.glob("imagenette2*") if is_tree(path)
    )
    sufficient = [entry for entry in found if entry[0] >= needed]
    if sufficient:
        return sufficient[0][2]
    if not found or only_sufficient:
        raise NotHere("too small a variant" if found else "none of these")
    return found[-1][2]


def _side(path: Path) -> int:
    match = re.match(r"imagenette2-(\d+)", path.name)
    return int(match[1]) if match else _FULL
