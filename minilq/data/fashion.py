"""Fashion-MNIST: 70,000 pictures of clothes in the format of MNIST (Xiao, Rasul, Vollgraf; Zalando; MIT)."""

from pathlib import Path

from minilq.data.dataset import Dataset
from minilq.data.fetch import Check
from minilq.data.idxset import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, IdxSet, load_idx_set
from minilq.data.mnist import MNIST

FASHION = IdxSet(
    name="fashion",
    title="Fashion-MNIST",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    subfolders=("fashion", "fashion-mnist", "FashionMNIST/raw"),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    # Digests of the .gz files, so they say nothing about plain or recompressed copies found on disk.
    checks={
        TRAIN_IMAGES: Check("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        TRAIN_LABELS: Check("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        TEST_IMAGES: Check("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        TEST_LABELS: Check("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    },
    lookalike=MNIST,
)


def load_fashion(data_dir: str | Path | None = None) -> Dataset:
    """Fashion-MNIST: 60,000 training pictures; the 10,000 official test pictures are the validation part.

    Sought in `data_dir` if it is given (there, in `fashion/`, `fashion-mnist/` or `FashionMNIST/raw/`), and
    otherwise in the folder named by MINILQ_DATA likewise, in the user's cache folder, and then fetched
    (31 MB).

    Raises DataError if the files are missing or damaged, or if `data_dir` holds MNIST instead.
    """
    return load_idx_set(FASHION, data_dir)
