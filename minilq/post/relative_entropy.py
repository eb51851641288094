"""The range whose codes tell the distribution of the numbers best: least relative entropy (Kullback and Leibler)."""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_whole
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.post.ranges import Range, min_max, numbers

BINS, LEVELS = 2001, 128
LITTLE = 1e-4
"""What a bin without a number gets, that logarithms exist."""


def least_relative_entropy(x: Array, levels: int = LEVELS) -> Range:
    """The range around 0, cut off at smallest and largest number, that `of_histogram` finds for 2,001 bins.

    Zeros are left out: they are a code whatever the range, and where most numbers are zeros, as behind a relu or in
    images, nothing else would count.

    >>> x = np.abs(np.random.default_rng(0).standard_normal(2000))
    >>> least_relative_entropy(x) == least_relative_entropy(np.append(x, np.zeros(9000)))
    True
    """
    x = numbers("least_relative_entropy", x)
    a, b = min_max(x)
    largest = max(-a, b)
    if largest == 0:
        return 0.0, 0.0
    counts, edges = np.histogram(x[x != 0], BINS, (-largest, largest))
    low, high = of_histogram(counts, edges, levels)
    return max(low, min(a, 0.0)), min(high, max(b, 0.0))


def of_histogram(counts: Array, edges: Array, levels: int = LEVELS) -> Range:
    """The range in the middle of a histogram around 0 that loses the least when so many levels stand for its bins.

    For each range, P is the histogram with what lies beyond added to the outermost bins; Q has the mean of the bins of
    each level, in those that are not empty. The range with the least D(P || Q) = sum P log(P / Q) is taken; before,
    bins without a number get 1e-4, which the others give.

    counts      (bins,), an odd number of them; edges (bins + 1,)
    levels      at most as many as bins
    Raises      ShapeError
    Source      Migacz 2017, 8-bit inference with TensorRT; as in onnxruntime, calibrate.py

    >>> rng = np.random.default_rng(0)
    >>> x = np.append(rng.standard_normal(5000), 40.0)
    >>> low, high = of_histogram(*np.histogram(x, 801, (-40, 40)), levels=32)
    >>> 2 < high < 10
    True
    """
    check_whole("of_histogram", "levels", levels, 2)
    bins = len(counts)
    if bins % 2 == 0 or len(edges) != bins + 1 or levels > bins:
        raise ShapeError("of_histogram", "there must be an odd number of bins, one edge more, and no more levels",
                         got=f"counts {np.shape(counts)}, edges {np.shape(edges)}, {levels} levels")
    middle, found = bins // 2, []
    for reach in range(levels // 2, middle + 1):
        first, end = middle - reach, middle + reach + 1
        within = counts[first:end].astype(np.float64)
        P = within.copy()
        P[0] += counts[:first].sum()
        P[-1] += counts[end:].sum()
        found.append((_divergence(P, _coarse(within, P > 0, levels)), first, end))
    _, first, end = min(found)
    return float(edges[first]), float(edges[end])


def _coarse(counts: Array, there: Array, levels: int) -> Array:
    """What so many levels keep of the counts; what is left over of the bins goes to the last one's."""
    used = len(counts) // levels * levels
    sums = counts[:used].reshape(levels, -1).sum(axis=1)
    sums[-1] += counts[used:].sum()
    n = there[:used].reshape(levels, -1).sum(axis=1)
    kept = np.zeros(len(counts))
    kept[:used] = np.repeat(np.where(n > 0, sums // np.maximum(n, 1), 0), used // levels)
    return kept


def _divergence(P: Array, Q: Array) -> float:
    p, q = _filled(P), _filled(Q)
    if p is None or q is None:
        return np.inf
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _filled(counts: Array) -> Array | None:
    empty = counts == 0
    if empty.all():
        return None
    return np.asarray(counts + np.where(empty, LITTLE, -LITTLE * empty.sum() / (~empty).sum()))
