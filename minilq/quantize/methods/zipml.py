"""ZipML: the levels between which stochastic rounding errs least, wherever the numbers lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import check_flag, is_whole, shown
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.quantize.coded import Coded, Table, narrowed
from minilq.quantize.draws import first_draw, fresh_draws
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen
from minilq.quantize.methods.fixed_grid import nearest_level
from minilq.quantize.methods.lsq import checked, codable
from minilq.quantize.pretend import pretend

MOST_LEVELS = 256


def best_levels(x: Array, count: int, candidates: int = 256) -> Array:
    """Levels, ends included, of least variance of stochastic rounding, which is (b - x)(x - a) for x between a and b.

    T(k, j), the least for the numbers up to candidate j with k intervals, is min over i < j of T(k - 1, i) + V(i, j),
    with V(i, j) what the numbers between the candidates i and j then cost. Exact where each number is a candidate.

    candidates      quantiles of x, among which the levels are
    Shapes          x any, not empty -> (count,) float64, ascending; fewer where x has fewer different numbers

    >>> best_levels(np.array([0.0, 0.1, 5.0, 5.2, 9.0]), 4).tolist()
    [0.0, 5.0, 5.2, 9.0]
    """
    points = np.sort(x.reshape(-1).astype(np.float64))
    middle = points.mean()                       # sums of squares then lose fewer digits
    points -= middle
    c = np.unique(np.quantile(points, np.linspace(0, 1, candidates), method="nearest"))
    if len(c) <= count:
        return c + middle
    upto = np.searchsorted(points, c, side="right")
    n, total, squares = (np.concatenate([np.zeros(1), np.cumsum(p)])[upto] for p in (
        np.ones_like(points), points, points**2))
    # sum over x in (c_i, c_j] of (c_j - x)(x - c_i) = (c_i + c_j) sum x - sum x^2 - n c_i c_j
    V = (c[:, None] + c) * (total - total[:, None]) - (squares - squares[:, None]) - (n - n[:, None]) * c[:, None] * c
    V[np.tril_indices(len(c))] = np.inf
    least, before = V[0], []
    for _ in range(count - 2):
        costs = least[:, None] + V
        before.append(costs.argmin(axis=0))
        least = costs.min(axis=0)
    places = [len(c) - 1]
    for found in reversed(before):
        places.append(int(found[places[-1]]))
    return np.asarray(c[[0, *reversed(places)]] + middle)


def between(x: Array, levels: Array, u: Array) -> Array:
    """Codes by chance: of x between a and b that of b where u < (x - a) / (b - a), so that the level's mean is x.

    Shapes      x any, u like x, levels (K,) ascending -> codes like x; beyond the ends those of the ends
    """
    below = np.clip(np.searchsorted(levels, x, side="right") - 1, 0, max(len(levels) - 2, 0))
    a, b = levels[below], levels[np.minimum(below + 1, len(levels) - 1)]
    return np.asarray(below + (u * (b - a) < x - a))


@dataclass(frozen=True)
class ZipML(Quantizer):
    """ZipML's levels (Zhang et al. 2017, arXiv 1611.05402): where stochastic rounding has the least variance; dw = g.

    levels      how many, 2 .. 256: they stay where they are best for what the method started from
    stochastic  in training up or down at random, so that the mean is w; outside training the nearest level

    Remembers `levels`, and stochastic `draw`. What it really minimises is the mean loss over the roundings, for a loss
    that is linear between two levels. That two roundings of one number make an unbiased product, they must be
    independent.

    Raises ConfigError for another number of levels.

    >>> method, w = ZipML(3), np.array([0.0, 0.1, 5.0, 5.2, 9.0])
    >>> held = method.start(w)
    >>> held["levels"].tolist(), method(Tensor(w), held).numpy().tolist()
    ([0.0, 5.0, 9.0], [0.0, 0.0, 5.0, 5.0, 9.0])
    """

    levels: int = 4
    stochastic: bool = True

    name: ClassVar[str] = "zipml"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"levels": 7, "stochastic": False})

    def __post_init__(self) -> None:
        if not is_whole(self.levels, 2, MOST_LEVELS):
            raise ConfigError("ZipML", f"levels must be a whole number in 2..{MOST_LEVELS}", got=shown(self.levels))
        check_flag("ZipML", "stochastic", self.stochastic)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("ZipML", plain(x))
        levels = best_levels(x, self.levels) if x.size else np.zeros(1)
        held: dict[str, Parameter | Array] = {"levels": levels.astype(x.dtype)}
        return {**held, "draw": first_draw(x)} if self.stochastic else held

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        check_flag("ZipML", "training", training)
        coded = self.coded(x.array, held)
        if training and self.stochastic:
            levels = remembered(held, "levels")
            coded = Coded(between(x.array, levels, fresh_draws(held, x.array)), Table(levels))
        y: Tensor = pretend(x, coded.values)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, levels = codable("ZipML", plain(x)), remembered(held, "levels")
        return Coded(narrowed(nearest_level(x, levels)), Table(levels.copy()))
