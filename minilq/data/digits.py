"""The embedded digits: 8,000 to train on and 2,000 to validate on, no network needed."""

import hashlib
import io
from pathlib import Path

import numpy as np

from minilq.data.dataset import Dataset
from minilq.errors import DataError

EMBEDDED = Path(__file__).with_name("digits.npz")
SHA256 = "d031f1bd1769e9358dc60a687510baea6ea9c8f707c023b892ea699b1e241f6a"


def load_digits() -> Dataset:
    """The first 10,000 MNIST training digits, split 8,000/2,000 with the same proportion of each class.

    Both parts are in the original order, which mixes the classes. Origin, licence and making: `digits.md`.

    Raises DataError if the embedded file is missing or damaged.
    """
    try:
        raw = EMBEDDED.read_bytes()
    except OSError as error:
        raise DataError(
            "load_digits",
            f"cannot read the embedded file {EMBEDDED}",
            got=str(error),
            cause="It is part of minilq: install minilq again",
        ) from error
    # The digest comes first: only bytes known to be ours reach the zip and npy readers.
    digest = hashlib.sha256(raw).hexdigest()
    if digest != SHA256:
        raise DataError(
            "load_digits",
            f"the embedded file {EMBEDDED} must have sha256 {SHA256}",
            got=f"{len(raw)} bytes with sha256 {digest}",
            cause="The file is damaged: install minilq again",
        )
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        images = arrays["images"]
        labels = arrays["labels"].astype(np.int64)
        train, validation = arrays["train_index"], arrays["validation_index"]
    return Dataset(
        name="digits",
        train_images=images[train],
        train_labels=labels[train],
        validation_images=images[validation],
        validation_labels=labels[validation],
        classes=tuple("0123456789"),
    )
