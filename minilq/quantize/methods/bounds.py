"""Bounds of integer codes: from a number of bits, and which entries count as lying between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import check_flag, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, ShapeError, meant
from minilq.ops.broadcast import check_floats
from minilq.quantize.granularity import NAMED_AXES, Granularity, check_positive

MASKS = ("strict", "clip_first", "round_first")
MOST_BITS = 16


def code_bounds(method: str, bits: int, signed: bool, narrow: bool = False) -> tuple[int, int]:
    """(low, high) of the codes of so many bits: -2^(bits-1) .. 2^(bits-1) - 1, unsigned 0 .. 2^bits - 1.

    narrow      leaves out the lowest code, so that a signed range is symmetric
    Raises      ConfigError, for `method`, unless 1 <= bits <= 16 and there is a code above 0: signed ones need 2 bits

    >>> code_bounds("LSQ", 4, signed=True), code_bounds("LSQ", 4, signed=False)
    ((-8, 7), (0, 15))
    """
    check_flag(method, "signed", signed)
    check_flag(method, "narrow", narrow)
    least = 2 if signed else 1
    if not is_whole(bits, least, MOST_BITS):
        raise ConfigError(method, f"bits must be a whole number in {least}..{MOST_BITS} for "
                          f"{'signed' if signed else 'unsigned'} codes", got=shown(bits))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return low + narrow, high


def in_range(v: Array, low: float, high: float, mask: str) -> Array:
    """Which entries of v, in units of a step, pass their gradient: by the papers' three conventions.

    strict       low < v < high (LSQ)
    clip_first   low <= v <= high: what a clip before the rounding leaves alone (Krishnamoorthi, TensorFlow, lsq-net)
    round_first  low <= round(v) <= high: what is rounded to a code between them (PyTorch)

    >>> v = np.array([6.9, 7.0, 7.4, 7.6])
    >>> for mask in MASKS: print(mask, in_range(v, -8, 7, mask))
    strict [ True False False False]
    clip_first [ True  True False False]
    round_first [ True  True  True False]
    """
    if mask == "strict":
        return np.asarray((low < v) & (v < high))
    if mask == "round_first":
        v = np.rint(v)
    return np.asarray((low <= v) & (v <= high))


def corners(low: float, high: float, mask: str) -> tuple[float, float]:
    """Where the derivative of a smooth program bends: at the bounds, or with round_first half a step beyond them."""
    return (low - 0.5, high + 0.5) if mask == "round_first" else (low, high)


def check_flags(method: str, mask: str, granularity: Granularity) -> None:
    """ConfigError unless the mask and the granularity have names that exist, or the granularity is a tuple of axes."""
    one_of(method, "mask", mask, MASKS)
    check_granularity(method, granularity)


def check_granularity(method: str, granularity: Granularity) -> None:
    """ConfigError unless the granularity has a name that exists, or is a tuple of axes."""
    if not (isinstance(granularity, tuple) and all(map(is_whole, granularity))):
        one_of(method, "granularity", granularity, (*NAMED_AXES,), ", or a tuple of kept axes")


def one_of(method: str, flag: str, value: Any, names: tuple[str, ...], otherwise: str = "") -> None:
    """ConfigError unless the value of a flag is one of these names."""
    if not isinstance(value, str) or value not in names:
        raise ConfigError(method, f"{flag} must be one of {', '.join(names)}{otherwise}", got=shown(value),
                          cause=meant(value, names))


def check_scale(op: str, x: Any, s: Any) -> None:
    """DTypeError, ShapeError or ConfigError unless s > 0 broadcasts to x, and both are floats of one dtype."""
    check_floats(op, x=x, s=s)
    if x.dtype != s.dtype:
        raise DTypeError(op, "x and s must have one dtype", got=f"x {x.dtype}, s {s.dtype}")
    narrow = s.shape[::-1]                       # from the last axis
    if len(narrow) > max(x.ndim, 1) or any(n not in (1, m) for n, m in zip(narrow, x.shape[::-1], strict=False)):
        raise ShapeError(op, "s must broadcast to the shape of x", got=f"x {x.shape}, s {s.shape}",
                         cause="scale_shape(granularity, x.shape) gives it")
    check_positive(op, s)
