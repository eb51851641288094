"""What the checks of some exercises compare with. Solve an exercise first; its solution is folded away below it."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def scale_for(low: float, high: float, b: int) -> float:
    """00: the scale of 2^b codes from low to high."""
    return (high - low) / (2**b - 1)


def forwards_by_differences(n: int, k: int, h: int, m: int) -> int:
    """01: evaluations for central differences of all parameters of two layers, k to h to m."""
    return 2 * (k * h + h + h * m + m)


def forwards_by_tape(n: int, k: int, h: int, m: int) -> float:
    """01: multiplications of the walk back, in forwards."""
    return (k * h + 2 * h * m) / (k * h + h * m)
