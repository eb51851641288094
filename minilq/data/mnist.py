"""MNIST: 70,000 handwritten digits (LeCun, Cortes, Burges; CC BY-SA 3.0)."""

from pathlib import Path

from minilq.data.dataset import Dataset
from minilq.data.fetch import Check
from minilq.data.idxset import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, IdxSet, load_idx_set


def _content(sha256: str) -> Check:
    # Differently compressed copies are in use; their content is the same to the byte.
    return Check(sha256, uncompressed=True)


MNIST = IdxSet(
    name="mnist",
    title="MNIST",
    classes=tuple("0123456789"),
    subfolders=("mnist", "MNIST/raw"),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    checks={
        TRAIN_IMAGES: _content("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        TRAIN_LABELS: _content("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        TEST_IMAGES: _content("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        TEST_LABELS: _content("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    },
)


def load_mnist(data_dir: str | Path | None = None) -> Dataset:
    """The full MNIST: 60,000 training digits; the 10,000 official test digits are the validation part.

    Sought in `data_dir` if it is given (there, in `mnist/` or `MNIST/raw/`), and otherwise in the folder
    named by MINILQ_DATA likewise, in the user's cache folder, and then fetched (12 MB).

    Raises DataError if the files are missing, damaged, or not the official ones.
    """
    return load_idx_set(MNIST, data_dir)
