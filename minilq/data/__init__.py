"""The data sets: 10,000 embedded digits; MNIST, Fashion-MNIST, CIFAR-10 and Imagenette from disk or the network.

>>> data = load("digits")
>>> data.train_images.shape, data.validation_images.shape
((8000, 28, 28), (2000, 28, 28))
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from minilq.data.cifar10 import load_cifar10
from minilq.data.dataset import Dataset
from minilq.data.digits import load_digits
from minilq.data.fashion import load_fashion
from minilq.data.idx import read_idx
from minilq.data.imagenette import load_imagenette
from minilq.data.mnist import load_mnist
from minilq.errors import ConfigError, meant

__all__ = ["NAMES", "Dataset", "load", "load_cifar10", "load_digits", "load_fashion", "load_imagenette", "load_mnist",
           "read_idx"]

_FROM_FILES: dict[str, Callable[..., Dataset]] = {
    "mnist": load_mnist,
    "fashion": load_fashion,
    "cifar10": load_cifar10,
    "imagenette": load_imagenette,
}

_OPTIONS = {"imagenette": ("image_size", "damaged")}

NAMES = ("digits", *_FROM_FILES)


def load(name: str, data_dir: str | Path | None = None, **options: Any) -> Dataset:
    """Load the data set called `name`: one of "digits", "mnist", "fashion", "cifar10", "imagenette".

    "digits" is embedded and has no `data_dir`. The others are sought in `data_dir` if it is given, and
    otherwise in the folder named by MINILQ_DATA, in the user's cache folder, and on the network.

    Only "imagenette" has `options`: image_size and damaged, see `load_imagenette`.

    Raises ConfigError for an unknown name, for a `data_dir` with "digits", and for an option that the data set
    does not have; DataError for files that are missing or damaged.
    """
    if not isinstance(name, str) or name not in NAMES:
        known = ", ".join(NAMES)
        raise ConfigError("load", f"the name of a data set must be one of {known}", got=repr(name),
                          cause=meant(name, NAMES))
    known_options = _OPTIONS.get(name, ())
    for option in options:
        if option not in known_options:
            has = f"has only the options {', '.join(known_options)}" if known_options else "has no options"
            raise ConfigError("load", f'"{name}" {has}', got=repr(option),
                              cause=meant(option, known_options))
    if name == "digits":
        if data_dir is not None:
            raise ConfigError(
                "load",
                'the embedded "digits" have no data_dir',
                got=f"data_dir {str(data_dir)!r}",
                cause='Leave it out, or ask for "mnist"',
            )
        return load_digits()
    return _FROM_FILES[name](data_dir, **options)
