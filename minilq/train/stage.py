"""Stages: a training in parts, each with methods and a learning rate of its own, as data.

    two-stage      two_stage(choose, (5, 5)): weights, then inputs too
    progressive    progressive(choose, (8, 4, 2), (3, 3, 3)): fewer and fewer bits
    compression    [Stage(12), *prune_cluster(0.1, 16, (6, 6))]
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minilq.arguments import check_function, check_whole, is_number, is_whole, shown
from minilq.errors import ConfigError
from minilq.nn import Layer
from minilq.quantize import Quantizer
from minilq.quantize.methods import DeepCompression, Pruned


@dataclass(frozen=True)
class Stage:
    """Epochs of a training during which one choice of methods holds.

    epochs      how many, at least 1
    choose      name of a site -> its method or None, as for `quantize`; None leaves every site as it is. A site whose
                method stays keeps what it has learned
    lr_factor   multiplies the learning rate, on top of the schedule
    """

    epochs: int
    choose: Callable[[str], Quantizer | None] | None = None
    lr_factor: float = 1.0

    def __post_init__(self) -> None:
        check_whole("Stage", "epochs", self.epochs)
        if not (self.choose is None or callable(self.choose)) or isinstance(self.choose, Quantizer):
            raise ConfigError("Stage", "choose must be a function from the name of a site to its method, or None",
                              got=shown(self.choose), cause="For one method everywhere write lambda name: LSQ(4)")
        if not (is_number(self.lr_factor) and self.lr_factor >= 0):
            raise ConfigError("Stage", "lr_factor must be a number >= 0", got=shown(self.lr_factor))

    def enter(self, model: Layer) -> None:
        """Give the sites of a model this stage's methods."""
        for name, site in model.sites().items() if self.choose is not None else ():
            assert self.choose is not None
            method = self.choose(name)
            if method != site.method:
                site.change(method)


def two_stage(choose: Callable[[str], Quantizer | None], epochs: tuple[int, int],
              lr_factors: tuple[float, float] = (1.0, 1.0)) -> list[Stage]:
    """First without the methods of inputs, then with all of them; what is learned goes on.

    choose      name of a site -> its method or None, as for `quantize`
    epochs      of the two stages;  lr_factors, theirs
    Source      Zhuang et al. 2018 (arXiv 1711.00205), section 3.2

    >>> from minilq.quantize.methods import LSQ
    >>> for stage in two_stage(lambda name: LSQ(2), (3, 2)): stage.epochs, stage.choose("dense2.input") is None
    (3, True)
    (2, False)
    """
    check_function("two_stage", "choose", choose, " from the name of a site to its method, or None")
    several("two_stage", "epochs", epochs, 2)
    several("two_stage", "lr_factors", lr_factors, 2)
    return [Stage(epochs[0], functools.partial(_without_inputs, choose), lr_factors[0]),
            Stage(epochs[1], choose, lr_factors[1])]


def progressive(choose: Callable[[str, int], Quantizer | None], bits: Sequence[int], epochs: Sequence[int],
                lr_factors: Sequence[float] | None = None) -> list[Stage]:
    """A stage for each number of bits, from many to few, each of which begins where the one before has ended.

    choose      (name of a site, bits) -> its method or None; None for 32 bits, say, begins in floats
    bits        falling numbers such as (8, 4, 2);  epochs and lr_factors: of each stage, None for factors of 1
    Raises      ConfigError for bits that do not fall, and for other numbers of epochs or factors than of bits
    Source      Zhuang et al. 2018 (arXiv 1711.00205), section 3.3

    >>> from minilq.quantize.methods import LSQ
    >>> choose = lambda name, bits: LSQ(bits) if name.endswith("weight") else None
    >>> [stage.choose("dense1.weight").bits for stage in progressive(choose, (8, 4, 2), (3, 3, 3))]
    [8, 4, 2]
    """
    check_function("progressive", "choose", choose, " from the name of a site and bits to its method, or None")
    if not (isinstance(bits, (tuple, list)) and bits and all(is_whole(n, 1) for n in bits)
            and all(more > fewer for more, fewer in itertools.pairwise(bits))):
        raise ConfigError("progressive", "bits must be whole numbers > 0, each smaller than the one before",
                          got=shown(bits))
    several("progressive", "epochs", epochs, len(bits))
    lr_factors = (1.0,) * len(bits) if lr_factors is None else lr_factors
    several("progressive", "lr_factors", lr_factors, len(bits))
    return [Stage(n, functools.partial(_of_bits, choose, b), factor)
            for b, n, factor in zip(bits, epochs, lr_factors, strict=True)]


def several(op: str, name: str, values: Sequence[float], count: int) -> None:
    """ConfigError unless there is a list of so many, one for each stage."""
    if not (isinstance(values, (tuple, list)) and len(values) == count):
        raise ConfigError(op, f"{name} must be {count} numbers, one for each stage", got=shown(values))


def _without_inputs(choose: Callable[[str], Quantizer | None], name: str) -> Quantizer | None:
    return None if name.endswith("input") else choose(name)


def _of_bits(choose: Callable[[str, int], Quantizer | None], bits: int, name: str) -> Quantizer | None:
    return choose(name, bits)


Share = float | Callable[[str], float]
Levels = int | Callable[[str], int]


def prune_cluster(keep: Share, k: Levels, epochs: tuple[int, int], lr_factors: tuple[float, float] = (1.0, 1.0),
                  first: str = "linear", gradient: str = "sum") -> list[Stage]:
    """Deep Compression of every weight: prune and retrain, then cluster and train the levels. Biases stay floats.

    keep        the share of weights that stays: a number, or a function of a site's name
    k           levels of each codebook beside 0: a number, or a function of a site's name
    epochs      of the two stages;  lr_factors, theirs (the paper: 0.1 once pruned)
    first       where k-means begins;  gradient, of the levels: as for DeepCompression
    Source      Han et al. 2016 (arXiv 1510.00149), figure 1

    >>> for stage in prune_cluster(0.1, 16, (6, 3)): stage.epochs, stage.choose("dense1.weight")
    (6, Pruned(keep=0.1, quality=None))
    (3, DeepCompression(k=16, first='linear', gradient='sum', assignments='fixed'))
    """
    several("prune_cluster", "epochs", epochs, 2)
    several("prune_cluster", "lr_factors", lr_factors, 2)
    if not (callable(keep) or is_number(keep)) or not (callable(k) or is_whole(k)):
        raise ConfigError("prune_cluster", "keep and k must be numbers, or functions of the name of a site",
                          got=f"{shown(keep)} and {shown(k)}")
    return [Stage(epochs[0], functools.partial(_pruned, keep), lr_factors[0]),
            Stage(epochs[1], functools.partial(_clustered, k, first, gradient), lr_factors[1])]


def _pruned(keep: Share, name: str) -> Pruned | None:
    return Pruned(keep(name) if callable(keep) else keep) if name.endswith("weight") else None


def _clustered(k: Levels, first: str, gradient: str, name: str) -> DeepCompression | None:
    if not name.endswith("weight"):
        return None
    return DeepCompression(k(name) if callable(k) else k, first, gradient)
