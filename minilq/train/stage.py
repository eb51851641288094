"""Stages: a training in parts, each with methods and a learning rate of its own, as data.

    two-stage      [Stage(5, weights_only), Stage(5, weights_and_inputs)]
    progressive    [Stage(3, bits(8)), Stage(3, bits(4)), Stage(3, bits(2), lr_factor=0.1)]
    compression    [Stage(12), *prune_cluster(0.1, 16, (6, 6))]
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from minilq.arguments import check_whole, is_number, is_whole, shown
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
    for what, pair in (("epochs", epochs), ("lr_factors", lr_factors)):
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise ConfigError("prune_cluster", f"{what} must be two numbers, of pruning and of clustering",
                              got=shown(pair))
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
