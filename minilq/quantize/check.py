"""Checks of values that run in every step, each with a compiled twin."""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.kernels import twin


@twin("check")
def all_finite(a: Array) -> bool:
    """Whether no entry is NaN or infinite."""
    return bool(np.isfinite(a).all())


@twin("check")
def all_positive(a: Array) -> bool:
    """Whether every entry is > 0; NaN is not."""
    return bool((a > 0).all())
