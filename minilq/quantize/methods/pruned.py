"""Pruning by magnitude: small weights become 0 for good, the rest stays in floats and is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.parameter import Masked, Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.ops import where
from minilq.quantize.coded import Coded
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen
from minilq.quantize.methods.lsq import checked, codable
from minilq.quantize.sparse import Sparse, at_least


def largest(w: Array, share: float) -> Array:
    """Where the ceil(share n) largest |w| of n stand; of equal ones the first, and never a 0.

    >>> largest(np.array([0.5, -2.0, 0.0, 0.5]), 0.5).tolist()
    [True, True, False, False]
    """
    sizes = np.abs(w).reshape(-1)
    mask = np.zeros(sizes.size, bool)
    mask[np.argsort(-sizes, kind="stable")[:at_least(share, sizes.size)]] = True
    return (mask & (sizes > 0)).reshape(w.shape)


def above_deviation(w: Array, quality: float) -> Array:
    """Where |w| >= quality std(w), and w is not 0: the rule of the paper, with one quality for all layers.

    std is that of the population, sqrt(mean (w - mean w)^2).

    >>> above_deviation(np.array([0.5, -2.0, 0.0, 0.7]), 0.5).tolist()
    [False, True, False, True]
    """
    return np.asarray((np.abs(w) >= w.dtype.type(quality * w.std(dtype=np.float64))) & (w != 0))


@dataclass(frozen=True)
class Pruned(Quantizer):
    """Magnitude pruning (Han et al. 2015): y = x where x was large at the start, 0 elsewhere; exact: dx = g there.

    keep        the share of all entries that stays, the largest, 0 < keep <= 1
    quality     instead: what stays has |x| >= quality std(x) (the paper); then `keep` must stay at 1

    Remembers `mask`. Where x is a parameter it is 0 outside the mask from the start on (`Masked`), so that penalties do
    not see what is gone, the next method finds it, and pruning goes on in stages: Pruned(0.5), then Pruned(0.2) takes
    of what is left.

    Its codes are the mask; what stays is a float in a file.

    Raises ConfigError for other shares and qualities.

    >>> method, w = Pruned(0.5), np.array([0.5, -2.0, 0.1, 1.0])
    >>> held = method.start(w)
    >>> method(Tensor(w), held).numpy().tolist(), held["mask"].tolist()
    ([0.0, -2.0, 0.0, 1.0], [False, True, False, True])
    """

    keep: float = 1.0
    quality: float | None = None

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"keep": 0.4}, {"quality": 0.5})

    def __post_init__(self) -> None:
        if not (is_number(self.keep) and 0 < self.keep <= 1):
            raise ConfigError("Pruned", "keep must be a number in (0, 1]", got=shown(self.keep),
                              cause="It is the share that stays")
        if self.quality is not None and not (is_number(self.quality) and 0 <= self.quality < math.inf):
            raise ConfigError("Pruned", "quality must be a number >= 0, or None", got=shown(self.quality))
        if self.quality is not None and self.keep != 1:
            raise ConfigError("Pruned", "either keep or quality says how much is left",
                              got=f"keep={self.keep}, quality={self.quality}")

    def constraint(self, held: Held) -> Masked:
        return Masked(remembered(held, "mask"))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("Pruned", plain(x))
        return {"mask": largest(x, self.keep) if self.quality is None else above_deviation(x, self.quality)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        y: Tensor = where(mask_of(x.array, held), x, 0.0)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("Pruned", plain(x))
        mask = mask_of(x, held)
        return Coded(mask.astype(np.int8), Sparse(x[mask]))


def mask_of(x: Array, held: Held) -> Array:
    """The mask of x, which must have the shape that the method started from."""
    mask = remembered(held, "mask")
    if mask.shape != x.shape:
        raise ShapeError("Pruned", "x must have the shape that start was given", got=f"x {x.shape}, mask {mask.shape}",
                         cause="It belongs to a weight or a bias, not to an input")
    return mask
