"""What is wrong with an answer, in words that do not give the right one away.

    slip(yours, expected)      "yours is the transpose, twice, minus the expected one"; "" if it is none of these
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Close = Callable[[Array, Array], bool]


def slip(yours: Array, expected: Array, rtol: float = 1e-6, atol: float = 1e-12) -> str:
    """The mistake that makes `yours` of `expected`, if it is a common one.

    >>> slip(np.array([[-2.0, -6.0], [-4.0, -8.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    'yours is the transpose, twice, minus the expected one'
    """
    def close(a: Array, b: Array) -> bool:
        return a.shape == b.shape and bool(np.all(np.abs(a - b) <= atol + rtol * np.abs(b)))

    if expected.size == 0 or not np.isfinite(yours).all() or not np.any(expected):
        return ""
    if yours.shape == expected.shape and not np.any(yours):
        return "yours is zero everywhere"
    views = [("", yours), *([("the transpose", yours.T)] if yours.ndim == 2 and min(yours.shape) > 1 else [])]
    for name, view in views:
        if name and close(view, expected):
            return f"yours is {name} of the expected one"
        words = _factor(view, expected, close)
        if words:
            return f"yours is {', '.join(filter(None, [name, words]))} the expected one"
    return _other(yours, expected, close) if yours.shape == expected.shape else ""


def _factor(yours: Array, expected: Array, close: Close) -> str:
    """The factor between the two, in words; only factors that people forget, for one of them alone may be luck."""
    if yours.shape != expected.shape:
        return ""
    for sign, minus in ((1, ""), (-1, "minus")):
        for factor, times in ((1, ""), (2, "twice"), (0.5, "half")):
            if minus + times and close(yours, sign * factor * expected):
                return ", ".join(filter(None, [times, minus]))
    for n in sorted({*expected.shape, expected.size} - {0, 1, 2}):
        if close(yours, n * expected):
            return f"{n} times (a sum in place of a mean?)"
        if close(yours, expected / n):
            return f"a {n}th of (a mean in place of a sum?)"
    return ""


def _other(yours: Array, expected: Array, close: Close) -> str:
    with np.errstate(all="ignore"):
        if np.all(expected != 0) and close(yours, 1 / expected):
            return "yours is one divided by the expected one"
        if close(yours, expected**2):
            return "yours is the square of the expected one"
        if np.all(expected >= 0) and close(yours, np.sqrt(expected)):
            return "yours is the root of the expected one"
    if expected.size > 1 and np.ptp(expected) > 0:
        shift = float(np.mean(yours - expected))
        if close(yours, expected + shift):
            return f"yours is {abs(shift):.6g} too {'large' if shift > 0 else 'small'} everywhere"
        if close(np.sort(yours, axis=None), np.sort(expected, axis=None)):
            return "yours has the right numbers, in another order"
    return ""
