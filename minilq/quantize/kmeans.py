"""k-means by Lloyd's algorithm, in float64: vectors become the nearest of k centres, each the mean of its members."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minilq.arguments import as_array, check_reals, check_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, NonFiniteError, ShapeError

STEPS = 3000
EMPTY = ("move", "stay")


class Clusters(NamedTuple):
    """What k-means finds.

    centres     (k, d) float64
    labels      (n,), the centre of each vector
    errors      sum |x_i - its centre|^2 at the centres of each step, the first ones first; never larger than the one
                before, but for rounding
    """

    centres: Array
    labels: Array
    errors: tuple[float, ...]


def kmeans(x: Array, centres: Array, empty: str = "move", steps: int = STEPS) -> Clusters:
    """Lloyd's algorithm from given centres, until no vector changes its centre.

    Each step   a_i = argmin_c |x_i - c|, the first of two as near;  c = the mean of its members. Neither half makes
                the error larger, and there are finitely many ways to share n vectors out, so it ends
    empty       what becomes of a centre without members: move, it takes the vector that is farthest from its own
                centre (scikit-learn), so that as many centres as different vectors are exact; stay (SciPy)
    Shapes      x (n, d), centres (k, d)
    Raises      ShapeError, DTypeError; NonFiniteError; ConfigError for another `empty` and for steps below 1
    Source      Lloyd 1982, Least squares quantization in PCM

    >>> found = kmeans(np.array([[0.0], [1.0], [9.0]]), np.array([[0.0], [2.0]]))
    >>> found.centres.tolist(), found.labels.tolist(), found.errors
    ([[0.5], [9.0]], [0, 0, 1], (50.0, 0.5))
    """
    x, c = (_checked(name, array) for name, array in (("x", x), ("centres", centres)))
    if x.shape[1] != c.shape[1] or not len(c):
        raise ShapeError("kmeans", "x (n, d) needs centres (k, d), at least one", got=f"{x.shape} and {c.shape}")
    if not isinstance(empty, str) or empty not in EMPTY:
        raise ConfigError("kmeans", f"empty must be one of {', '.join(EMPTY)}", got=shown(empty))
    check_whole("kmeans", "steps", steps)
    c, labels, errors = c.copy(), np.full(len(x), -1), []
    for _ in range(steps):
        now = nearest_centre(x, c)
        far = ((x - c[now]) ** 2).sum(axis=1)
        errors.append(float(far.sum()))
        moved = _moved(now, far, len(c)) if empty == "move" else now
        if np.array_equal(moved, labels):
            break
        labels = moved
        c = _means(x, labels, c)
    return Clusters(c, nearest_centre(x, c), tuple(errors))


def nearest_centre(x: Array, centres: Array) -> Array:
    """For each row of x the nearest row of centres, the first of two as near.

    >>> nearest_centre(np.array([[0.2], [0.5]]), np.array([[1.0], [0.0]])).tolist()
    [1, 0]
    """
    if x.shape[1] == 1:                          # one of the two neighbours, ascending
        c, order = np.unique(centres[:, 0], return_index=True)
        above = np.searchsorted(c, x[:, 0])
        first, second = np.sort(order[np.clip([above - 1, above], 0, len(c) - 1)], axis=0)
        return np.where(np.abs(x[:, 0] - centres[second, 0]) < np.abs(x[:, 0] - centres[first, 0]), second, first)
    least, labels = np.full(len(x), np.inf), np.zeros(len(x), np.intp)
    for k, centre in enumerate(centres):
        distance = ((x - centre) ** 2).sum(axis=1)
        labels[distance < least] = k
        least = np.minimum(least, distance)
    return labels


def _moved(labels: Array, far: Array, k: int) -> Array:
    """Labels where each centre without members has taken the vector that is farthest out of all that are left."""
    counts = np.bincount(labels, minlength=k)
    empty = np.flatnonzero(counts == 0)
    if not empty.size:
        return labels
    labels = labels.copy()
    farthest = np.argsort(-far, kind="stable")[:empty.size]
    for centre, i in zip(empty, farthest[far[farthest] > 0], strict=False):
        labels[i] = centre
    return labels


def _means(x: Array, labels: Array, centres: Array) -> Array:
    """The mean of the members of each centre; one without members stays."""
    counts = np.bincount(labels, minlength=len(centres))[:, None]
    sums = np.stack([np.bincount(labels, column, len(centres)) for column in x.T], axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), centres)


def linear(x: Array, k: int, rng: np.random.Generator) -> Array:
    """k centres evenly from the smallest to the largest number: the rare large ones, which matter most, keep theirs."""
    return np.linspace(x.min(), x.max(), k)[:, None]


def density(x: Array, k: int, rng: np.random.Generator) -> Array:
    """k centres where equal shares of the numbers have their middle: many where there are many.

    >>> density(np.array([[0.0], [1.0], [2.0], [3.0], [90.0]]), 2, np.random.default_rng(0)).tolist()
    [[1.0], [3.0]]
    """
    return np.quantile(x, (np.arange(k) + 0.5) / k)[:, None]


def random(x: Array, k: int, rng: np.random.Generator) -> Array:
    """k different vectors, drawn; where there are fewer, some of them again. Numbers are put in order."""
    different = np.unique(x, axis=0)
    drawn = rng.permutation(len(different))[np.arange(k) % len(different)]
    return np.sort(different[drawn], axis=0) if x.shape[1] == 1 else different[drawn]


def plus_plus(x: Array, k: int, rng: np.random.Generator) -> Array:
    """k-means++: each further centre is a vector drawn in proportion to its squared distance from those before.

    Source      Arthur and Vassilvitskii 2007
    """
    centres = [x[rng.integers(len(x))]]
    far = ((x - centres[0]) ** 2).sum(axis=1)
    while len(centres) < k and far.any():
        share = np.cumsum(far)
        i = np.searchsorted(share, rng.random() * share[-1], side="right")
        centres.append(x[min(i, len(x) - 1)])
        far = np.minimum(far, ((x - centres[-1]) ** 2).sum(axis=1))
    return np.array(centres)[np.arange(k) % len(centres)]        # again, where there are no more different ones


FIRST: dict[str, Callable[[Array, int, np.random.Generator], Array]] = {
    "linear": linear, "density": density, "random": random, "plus_plus": plus_plus}
"""First centres (k, d) of vectors (n, d); linear and density of single numbers, d = 1."""


def _checked(name: str, value: Array) -> Array:
    array = as_array("kmeans", value, name)
    check_reals("kmeans", name, array)
    if array.ndim != 2 or not array.shape[1]:
        raise ShapeError("kmeans", f"{name} must be vectors in rows, with two axes", got=str(array.shape),
                         cause="Write x[:, None] for single numbers")
    if not np.isfinite(array).all():
        raise NonFiniteError("kmeans", f"{name} must be finite", got=f"{np.sum(~np.isfinite(array))} that are not")
    if name == "x" and not len(array):
        raise ConfigError("kmeans", "there must be a vector", got=shown(value))
    return array.astype(np.float64)
