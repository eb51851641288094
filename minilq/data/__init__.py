"""The data sets: 10,000 embedded digits, and MNIST and Fashion-MNIST from disk or the network.

>>> data = load("digits")
>>> data.train_images.shape, data.validation_images.shape
((8000, 28, 28), (2000, 28, 28))
"""

from collections.abc import Callable
from pathlib import Path

from minilq.data.dataset import Dataset
from minilq.data.digits import load_digits
from minilq.data.fashion import load_fashion
from minilq.data.idx import read_idx
from minilq.data.mnist import load_mnist
from minilq.errors import ConfigError

__all__ = ["NAMES", "Dataset", "load", "load_digits", "load_fashion", "load_mnist", "read_idx"]

_FROM_FILES: dict[str, Callable[[str | Path | None], Dataset]] = {
    "mnist": load_mnist,
    "fashion": load_fashion,
}

NAMES = ("digits", *_FROM_FILES)


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Load the data set called `name`: one of "digits", "mnist", "fashion".

    "digits" is embedded and has no `data_dir`. The others are sought in `data_dir` if it is given, and
    otherwise in the folder named by MINILQ_DATA, in the user's cache folder, and on the network.

    Raises ConfigError for an unknown name or for a `data_dir` with "digits", DataError for files that are
    missing or damaged.
    """
    if name == "digits":
        if data_dir is not None:
            raise ConfigError(
                "load",
                'the embedded "digits" have no data_dir',
                got=f"data_dir {str(data_dir)!r}",
                cause='Leave it out, or ask for "mnist"',
            )
        return load_digits()
    if name not in _FROM_FILES:
        known = ", ".join(NAMES)
        raise ConfigError("load", f"the name of a data set must be one of {known}", got=repr(name))
    return _FROM_FILES[name](data_dir)
