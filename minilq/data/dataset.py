"""A data set: images and labels to train on, and others to validate on."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from minilq.arguments import check_plain, check_whole, is_whole, shown
from minilq.errors import ConfigError, DataError, DTypeError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with one label each, in mixed order of classes.

    Images are uint8: grey (N, 28, 28), 0 is background, 255 is full ink; or colour (N, H, W, 3), red, green, blue.
    Convolutions take grey ones with an axis for their channel, (N, 28, 28, 1).
    Training and validation images may differ in size: random crops are taken from larger ones.

    name               how `load` calls it
    train_images       uint8 (N, 28, 28) or (N, H, W, 3)
    train_labels       int64 (N,), an index into `classes`
    validation_images  uint8 (M, 28, 28) or (M, H, W, 3)
    validation_labels  int64 (M,)
    classes            the name of each class, in the order of the labels

    Raises DataError if a label has no image, an image has no label, or a label has no class; DTypeError for images that
    are not uint8 and labels that are no whole numbers; ConfigError for a name that is no text.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    validation_images: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConfigError("Dataset", "name must be a text", got=shown(self.name))
        if not isinstance(self.classes, (tuple, list)) or not all(isinstance(one, str) for one in self.classes):
            raise ConfigError("Dataset", "classes must be a tuple of texts", got=shown(self.classes))
        _check_part(f"{self.name}, training part", self.train_images, self.train_labels, len(self.classes))
        _check_part(
            f"{self.name}, validation part", self.validation_images, self.validation_labels, len(self.classes)
        )

    def head(self, n: int) -> "Dataset":
        """The first `n` training images and the first `n // 4` (at least one) validation images, as views.

        A data set that has fewer gives all it has. Raises ConfigError if `n` is less than 1.
        """
        check_whole("Dataset.head", "n", n)
        m = max(n // 4, 1)
        return replace(
            self,
            train_images=self.train_images[:n],
            train_labels=self.train_labels[:n],
            validation_images=self.validation_images[:m],
            validation_labels=self.validation_labels[:m],
        )


    def holdout(self, n: int) -> "Dataset":
        """Train on all but the last `n` training images and validate on those, as views; the validation images are not
        used. For choices (a rate, a rounding) that must not be made by looking at the images that judge them.

        Raises ConfigError unless 1 <= n < number of training images.
        """
        if not is_whole(n, 1, len(self.train_images) - 1):
            raise ConfigError("Dataset.holdout", f"n must lie in 1..{len(self.train_images) - 1}", got=shown(n))
        return replace(
            self,
            train_images=self.train_images[:-n],
            train_labels=self.train_labels[:-n],
            validation_images=self.train_images[-n:],
            validation_labels=self.train_labels[-n:],
        )


def _check_part(part: str, images: NDArray[np.uint8], labels: NDArray[np.int64], n_classes: int) -> None:
    for name, array, kinds, called in (("images", images, "u", "uint8, 0 to 255"),
                                       ("labels", labels, "iu", "whole numbers, of a type of NumPy's")):
        check_plain(part, array, name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds or (kinds == "u" and array.itemsize > 1):
            raise DTypeError(part, f"{name} must be an array of {called}", got=shown(array))
    if images.ndim != 3 and (images.ndim != 4 or images.shape[3] not in (1, 3)):
        raise DataError(part, "images must be grey, (N, H, W) or (N, H, W, 1), or colour, (N, H, W, 3)",
                        got=f"images {images.shape}")
    if labels.ndim != 1 or len(images) != len(labels) or len(labels) == 0:
        raise DataError(
            part,
            "there must be one label for each image",
            got=f"images {images.shape}, labels {labels.shape}",
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise DataError(
            part, f"labels must be 0..{n_classes - 1}", got=f"labels {labels.min()}..{labels.max()}"
        )
