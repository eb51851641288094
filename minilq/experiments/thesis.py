"""The recipes, the thesis' and the usual ones, the thesis' sweeps and its published numbers, as data.

Source: Anuun Chinbat, "Learned Quantization Schemes for Data-centric ML Pipelines", TU Berlin 2025. "reproduced" are
numbers of a second implementation on full MNIST, with which the thesis' own code agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Recipe:
    """Settings for one data set: what a run takes where it says nothing else. The defaults here are the thesis'."""

    model: str
    epochs: int
    quick_epochs: int
    batch: int
    threshold: float
    granularity: str
    input: str = "raw"
    lr: float = 1e-4
    augment: str = "none"
    schedule: Mapping[int, float] = field(default_factory=dict)      # of these epochs -> factor on the rate from there
    l2: float = 0.0                                                  # rate on the residual blocks


THESIS = {
    # epochs of digits: about as many steps as the thesis' 37,500 (20 epochs of MNIST in batches of 32)
    "digits": Recipe("mnist_mlp", 100, 20, 32, 1e-10, "row"),
    "mnist": Recipe("mnist_mlp", 20, 20, 32, 1e-10, "row"),
    "fashion": Recipe("mnist_mlp", 20, 20, 32, 1e-10, "row"),
    "cifar10": Recipe("cifar10_cnn", 100, 5, 128, 1e-11, "row"),
    "imagenette": Recipe("imagenette_resnet", 100, 2, 64, 1e-11, "channel", augment="thesis",
                         schedule={40: 0.5, 60: 0.2}, l2=1e-4),
}

# Pixels 0..1 and ten times the learning rate make good floats of grey images in few epochs; lambda and granularity were
# chosen on training images that were held out (docs/results.md).
USUAL = {
    **THESIS,
    "digits": Recipe("mnist_mlp", 20, 20, 32, 1e-8, "scalar", "unit", 1e-3),
    "mnist": Recipe("mnist_mlp", 10, 20, 32, 1e-9, "scalar", "unit", 1e-3),
    "fashion": Recipe("mnist_mlp", 10, 20, 32, 1e-9, "scalar", "unit", 1e-3),
}

# Hou and Kwok's protocol for methods of few levels (arXiv 1802.08635), 784-3x2048-10 in the paper: a rate of 0.01, a
# tenth of it from half of the epochs on, a hundredth from four fifths on.
FEW_LEVELS = {**USUAL, **{data: Recipe("mnist_mlp", 15, 15, 100, USUAL[data].threshold, "scalar", "unit", 0.01,
                                       schedule={8: 0.1, 12: 0.1}) for data in ("digits", "mnist", "fashion")}}

RECIPES = {"usual": USUAL, "thesis": THESIS, "few-levels": FEW_LEVELS}
DATA = tuple(THESIS)

THRESHOLDS = (0.0, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8)
"""lambda of the nested layer."""

RATES = (0.0, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
"""gamma of the penalties."""

PENALTIES = ("maxbin", "inverse", "difference")
GRANULARITIES = {"mnist": ("row", "column", "scalar"), "cifar10": ("row", "column", "scalar", "channel"),
                 "imagenette": ("row", "column", "scalar", "channel")}
STARTS = ("scratch", "post")

MIB = 2**20
Range = tuple[float, float]


@dataclass(frozen=True)
class Published:
    """What was published of one point; None or "" for what was not.

    start       "scratch", "post", or None where the source does not say which
    accuracy    lowest and highest, as shares; a mean is both
    spread      standard deviation of the accuracy over the seeds, as a share
    unique      lowest and highest number of different integers
    bits        ceil(log2(unique))
    zip_mib     the compressed size as it is printed, in MiB of 2**20 bytes: int8, or float32 for the baseline
    seeds       how many runs the numbers come from
    """

    source: str
    data: str
    scheme: str
    granularity: str | None = None
    strength: float | None = None
    start: str | None = None
    accuracy: Range | None = None
    spread: float | None = None
    unique: tuple[int, int] | None = None
    integer_min: int | None = None
    integer_max: int | None = None
    bits: int | None = None
    zip_mib: str = ""
    seeds: int = 1
    note: str = ""

    @property
    def zip_bytes(self) -> Range | None:
        """The bytes that are printed as `zip_mib`: a figure stands for all that round to it.

        >>> Published("thesis", "mnist", "float", zip_mib="0.5").zip_bytes == (0.45 * MIB, 0.55 * MIB)
        True
        """
        if not self.zip_mib:
            return None
        half = 0.5 * 10.0 ** -len(self.zip_mib.partition(".")[2])
        return (float(self.zip_mib) - half) * MIB, (float(self.zip_mib) + half) * MIB


def _again(scheme: str, strength: float | None, accuracy: float | Range | None, unique: int | tuple[int, int] | None,
           ends: tuple[int | None, int | None] = (None, None), zip_mib: str = "", granularity: str | None = "row",
           start: str | None = "scratch", spread: float | None = None, seeds: int = 1, note: str = "") -> Published:
    """A reproduced point; accuracy in percent."""
    low, high = accuracy if isinstance(accuracy, tuple) else (accuracy, accuracy)
    return Published("reproduced", "mnist", scheme, granularity, strength, start,
                     None if low is None or high is None else (round(low / 100, 4), round(high / 100, 4)),
                     spread, (unique, unique) if isinstance(unique, int) else unique, *ends, zip_mib=zip_mib,
                     seeds=seeds, note=note)


PUBLISHED = (
    Published("thesis", "mnist", "float", zip_mib="0.36"),
    Published("thesis", "mnist", "nested", "row", 1e-11, unique=(70, 70)),
    Published("thesis", "mnist", "nested", "row", 1e-10, accuracy=(0.96, 0.97), unique=(24, 24), integer_min=-12,
              integer_max=11, bits=5),
    Published("thesis", "mnist", "nested", "row", 1e-9, accuracy=(0.92, 0.94), unique=(8, 8)),
    Published("thesis", "mnist", "nested", "row", 1e-8, accuracy=(0.25, 0.40), unique=(4, 4)),
    Published("thesis", "mnist", "difference", "row", 1e-7, integer_min=-6, integer_max=2, bits=4),
    Published("thesis", "mnist", "nested", "row", 1e-10, start="post", zip_mib="0.05"),
    Published("thesis", "mnist", "difference", "row", 1e-7, start="post", zip_mib="0.03"),
    Published("thesis", "mnist", "maxbin", "row", 1e-8, start="post", zip_mib="0.04"),
    Published("thesis", "mnist", "inverse", "row", 1e-9, start="post", zip_mib="0.04"),
    Published("thesis", "cifar10", "float", zip_mib="1.02"),
    Published("thesis", "cifar10", "nested", "row", 1e-11, accuracy=(0.85, 0.85), integer_min=-22, integer_max=32,
              bits=6, note="the thesis also gives 60 different integers, more than lie between -22 and 32"),
    Published("thesis", "cifar10", "nested", "row", 1e-10, integer_min=-8, integer_max=11),
    Published("thesis", "cifar10", "difference", "channel", 1e-10, integer_min=-28, integer_max=34),
    Published("thesis", "cifar10", "nested", "row", 1e-11, start="post", zip_mib="0.16"),
    Published("thesis", "cifar10", "difference", "channel", 1e-10, start="post", zip_mib="0.17"),
    Published("thesis", "cifar10", "maxbin", "channel", 1e-10, start="post", zip_mib="0.15"),
    Published("thesis", "cifar10", "inverse", "channel", 1e-11, start="post", zip_mib="0.16"),
    Published("thesis", "imagenette", "float", zip_mib="39.57"),
    Published("thesis", "imagenette", "nested", "channel", 1e-11, start="post", zip_mib="6.39"),
    Published("thesis", "imagenette", "difference", "channel", 1e-9, start="post", zip_mib="5.90"),
    Published("thesis", "imagenette", "maxbin", "channel", 1e-9, start="post", zip_mib="6.46"),
    Published("thesis", "imagenette", "inverse", "channel", 1e-8, start="post", zip_mib="5.37"),
    _again("float", None, 96.57, None, zip_mib="0.360", granularity=None, start=None, spread=0.0019, seeds=5),
    _again("nested", 0.0, 96.5, 20063, (-18683, 18422), note="codes beyond int8, which wrapped in the thesis' zip"),
    _again("nested", 1e-11, 96.2, 70, (-37, 34), "0.064"),
    _again("nested", 1e-10, 96.11, (19, 21), (-10, 9), "0.0447", spread=0.0026, seeds=5),
    _again("nested", 1e-9, 93.33, 9, (-5, 4), "0.022", spread=0.0038, seeds=4),
    _again("nested", 1e-8, (20, 35), 4, (-2, 1), "0.016"),
    _again("nested", 1e-10, 96.1, 16, granularity="column"),
    _again("nested", 1e-10, 95.9, 15, granularity="scalar"),
    _again("nested", 1e-10, 96.9, 20, start="post"),
    _again("nested", 1e-9, 95.4, 7, start="post"),
    _again("difference", 1e-9, 96.5, 37),
    _again("difference", 1e-8, 96.3, 20),
    _again("difference", 1e-7, 95.1, 12, zip_mib="0.029"),
    _again("difference", 1e-6, 92.3, 8),
    _again("maxbin", 1e-9, 96.1, 27),
    _again("maxbin", 1e-8, 95.6, 15, zip_mib="0.035"),
    _again("maxbin", 1e-7, 94.1, 10),
    _again("inverse", 1e-10, 96.3, 31),
    _again("inverse", 1e-9, 96.2, 17, zip_mib="0.036"),
    _again("inverse", 1e-8, 94.6, 10),
)
"""Every published number of the thesis, then every reproduced one. Ratios of sizes follow from `zip_mib`."""
