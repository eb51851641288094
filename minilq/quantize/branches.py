"""Branches: which way the threshold rule went, counted after a backward pass."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from minilq.autodiff.tape import Array
from minilq.quantize.granularity import reduced_axes
from minilq.quantize.scale_rule import EPS32, Threshold
from minilq.quantize.surrogate import STRAIGHT_THROUGH, surrogate_named

if TYPE_CHECKING:
    from minilq.quantize.methods.scaled import Scaled


@dataclass(frozen=True)
class Branches:
    """How often the threshold rule took each of its branches: counts, which add up over parameters.

    full             groups in which every entry was sensitive, r >= lambda, so that the scale got the full vote
    groups           all groups
    voted            entries that voted for a coarser scale, r < lambda
    abstained        sensitive entries of groups in which others voted
    entries          all entries: those that voted, abstained, and those of the groups with a full vote
    zero_gradient    those of the voters whose gradient is exactly 0: dead pixels, dead ReLUs, saturated samples
    """

    full: int = 0
    groups: int = 0
    voted: int = 0
    abstained: int = 0
    entries: int = 0
    zero_gradient: int = 0

    def __add__(self, other: Branches) -> Branches:
        return Branches(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def columns(self) -> dict[str, float]:
        """Shares of groups (full), of entries (voted, abstained), of voters (zero_gradient); 0 of nothing is 0."""
        return {"branches/full": self.full / max(self.groups, 1), "branches/voted": self.voted / max(self.entries, 1),
                "branches/abstained": self.abstained / max(self.entries, 1),
                "branches/zero_gradient": self.zero_gradient / max(self.voted, 1)}


def branches(g: Array, y: Array, lam: float, s_shape: tuple[int, ...]) -> Branches:
    """The branches that `threshold_scale_gradient` takes for the same g, y and lambda > 0, with the gate on.

    Shapes      g, y alike; s_shape broadcasts to theirs. r and lambda are compared in the dtype of y, as there.

    >>> y = np.array([[2.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    >>> branches(np.array([[0.0, 0.1, 3.0], [5.0, 6.0, 7.0]]), y, lam=1.0, s_shape=(2, 1))
    Branches(full=1, groups=2, voted=2, abstained=1, entries=6, zero_gradient=1)
    """
    number = y.dtype.type
    r = np.abs(g) / np.where(y == 0, number(EPS32), np.abs(y))
    votes = r < number(lam)
    full = ~votes.any(axis=reduced_axes(y.shape, s_shape), keepdims=True)
    voted, outvoted = int(np.count_nonzero(votes)), int(np.count_nonzero(full)) * (y.size // max(full.size, 1))
    return Branches(int(np.count_nonzero(full)), full.size, voted, y.size - voted - outvoted, y.size,
                    int(np.count_nonzero(votes & (g == 0))))


def countable(quantizer: Scaled) -> bool:
    """Whether the branches that a quantizer's rule took can be counted afterwards, from the gradient of the parameter.

    They can under the threshold rule (lambda > 0, with its gate) in the thesis' nested layer: without bounds and with
    the straight-through surrogate, the gradient g that `fake_quantize` receives is that of P, bit for bit. The rounding
    must be a named one, which gives the same reconstruction again.
    """
    rule = quantizer.scale_rule
    return (isinstance(rule, Threshold) and rule.gate and rule.lam > 0 and isinstance(quantizer.rounding, str)
            and quantizer.qmin is None and quantizer.qmax is None
            and surrogate_named(quantizer.surrogate) is STRAIGHT_THROUGH)
