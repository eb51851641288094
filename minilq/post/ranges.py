"""Ranges of numbers that were seen: from the smallest to the largest, without the outermost, or averaged."""

from __future__ import annotations

import numpy as np

from minilq.arguments import as_array, check_reals, check_whole, is_number, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, NonFiniteError, ShapeError

Range = tuple[float, float]
"""From where to where codes reach."""


def min_max(x: Array) -> Range:
    """The smallest and the largest number: nothing is clipped.

    >>> min_max(np.array([0.5, -1.0, 2.0]))
    (-1.0, 2.0)
    """
    x = numbers("min_max", x)
    return float(x.min()), float(x.max())


def percentile(x: Array, share: float = 99.99) -> Range:
    """All but the outermost: the percentiles 100 - share and share, which outliers do not move.

    share       in 50..100, in percent
    Source      Wu et al. 2020 (arXiv 2004.09602), section 3.3, with 99.9 to 99.9999

    >>> percentile(np.arange(101.0), 99)
    (1.0, 99.0)
    """
    x = numbers("percentile", x)
    if not is_number(share) or not 50 <= share <= 100:
        raise ConfigError("percentile", "share must be a number in 50..100, in percent", got=shown(share))
    low, high = np.percentile(x, [100 - share, share])
    return float(low), float(high)


def moving_average(x: Array, batch: int = 32, momentum: float = 0.9) -> Range:
    """The smallest and largest number of batches, averaged: range += (1 - momentum) (that of a batch - range).

    x           the first axis is cut into batches; the first batch sets the range
    Source      Jacob et al. 2018 (arXiv 1712.05877), section 3.1; PyTorch's observer has a momentum of 0.99

    >>> moving_average(np.array([0.0, 1.0, 0.0, 3.0]), batch=2, momentum=0.5)
    (0.0, 2.0)
    """
    x = numbers("moving_average", x)
    check_whole("moving_average", "batch", batch)
    if not is_number(momentum) or not 0 <= momentum <= 1:
        raise ConfigError("moving_average", "momentum must be a number in 0..1", got=shown(momentum))
    low, high = min_max(x[:batch])
    for start in range(batch, len(x), batch):
        a, b = min_max(x[start:start + batch])
        low, high = low + (1 - momentum) * (a - low), high + (1 - momentum) * (b - high)
    return low, high


def numbers(op: str, x: Array) -> Array:
    """x itself. Raises ShapeError for no number, DTypeError for what are no reals, NonFiniteError."""
    x = as_array(op, x)
    check_reals(op, "x", x)
    if x.size == 0 or x.ndim == 0:
        raise ShapeError(op, "there must be at least one number, in an array", got=str(x.shape))
    if not np.isfinite(x).all():
        raise NonFiniteError(op, "the numbers must be finite", got="NaN or infinity")
    return x
