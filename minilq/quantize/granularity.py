"""Granularity: which entries share a scale. It decides the shape of s, and nothing else."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, NonFiniteError, ShapeError, meant

Granularity = str | tuple[int, ...]

# Name -> the kept axis. Dense weights (in, out), kernels (KH, KW, C, F): of both, "channel" is an input and "filter" an
# output; of a dense weight they are row and column too. The thesis' "row" of a kernel is an index of KH.
NAMED_AXES: dict[str, tuple[int, ...]] = {"scalar": (), "row": (0,), "column": (1,), "channel": (-2,), "filter": (-1,)}


def kept_axes(granularity: Granularity, ndim: int) -> tuple[int, ...]:
    """The axes along which scales differ. Raises ConfigError for unknown names and for axes that are not there."""
    if isinstance(granularity, str):
        if granularity not in NAMED_AXES:
            raise ConfigError("granularity", f"must be one of {', '.join(NAMED_AXES)}, or a tuple of kept axes",
                              got=repr(granularity), cause=meant(granularity, NAMED_AXES))
        axes = NAMED_AXES[granularity]
    elif isinstance(granularity, tuple) and all(map(is_whole, granularity)):
        axes = granularity
    else:
        raise ConfigError("granularity", "must be a name or a tuple of kept axes", got=shown(granularity))
    for axis in axes:
        if not -ndim <= axis < ndim:
            raise ConfigError("granularity", f"{granularity!r} keeps axis {axis}",
                              got=f"an array of {ndim} axes",
                              cause="Biases take 'scalar'" if ndim == 1 else "")
    return tuple(sorted({axis % ndim for axis in axes}))


def scale_shape(granularity: Granularity, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of s for an array of the given shape: its length on kept axes, 1 elsewhere; (1,) for scalar.

    >>> scale_shape("row", (784, 128)), scale_shape("column", (784, 128)), scale_shape("scalar", (784, 128))
    ((784, 1), (1, 128), (1,))
    >>> scale_shape("channel", (3, 3, 16, 32)), scale_shape((0, 3), (3, 3, 16, 32))
    ((1, 1, 16, 1), (3, 1, 1, 32))
    """
    try:
        return _scale_shape(granularity, shape)
    except TypeError:                            # nothing that cannot be hashed is a name, or a tuple of whole numbers
        raise ConfigError("scale_shape", "granularity must be a name or a tuple of axes, the shape a tuple of lengths",
                          got=f"{shown(granularity)} and {shown(shape)}") from None


@functools.lru_cache(maxsize=4096)
def _scale_shape(granularity: Granularity, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not (isinstance(shape, tuple) and all(is_whole(n, 0) for n in shape)):
        raise ConfigError("scale_shape", "the shape must be a tuple of lengths", got=shown(shape))
    kept = kept_axes(granularity, len(shape))
    return tuple(n if i in kept else 1 for i, n in enumerate(shape)) if kept else (1,)


def reduced_axes(shape: tuple[int, ...], s_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes over which one scale is shared.

    >>> reduced_axes((784, 128), (784, 1)), reduced_axes((784, 128), (1,))
    ((1,), (0, 1))
    """
    padded = (1,) * (len(shape) - len(s_shape)) + s_shape
    return tuple(i for i, n in enumerate(padded[:len(shape)]) if n == 1)


def in_groups(x: Array, s_shape: tuple[int, ...]) -> Array:
    """The entries that share a scale as rows, in the order of the scales.

    >>> in_groups(np.array([[1, 2], [3, 4], [5, 6]]), (1, 2))
    array([[1, 3, 5],
           [2, 4, 6]])
    """
    shared = reduced_axes(x.shape, s_shape)
    kept = [axis for axis in range(x.ndim) if axis not in shared]
    return x.transpose(*kept, *shared).reshape(math.prod(s_shape), -1)


def check_scale_shape(op: str, P: Any, s: Any, granularity: Granularity) -> None:
    """Raise ShapeError unless s has the shape that the granularity asks for."""
    wanted = scale_shape(granularity, P.shape)
    fits = s.shape == wanted or (math.prod(wanted) == 1 == s.size and s.ndim <= max(P.ndim, 1))
    if not fits:
        raise ShapeError(op, f"for granularity {granularity!r} and P {P.shape}, s must have the shape {wanted}",
                         got=str(s.shape), cause="scale_shape(granularity, P.shape) gives it")


def check_spread(x: Array, held: Array) -> None:
    """ShapeError unless what a method holds, a number for each group, can be spread over x."""
    fits = all(n in (1, m) for n, m in zip(held.shape[::-1], x.shape[::-1], strict=False))
    if held.ndim > max(x.ndim, 1) or not fits:
        raise ShapeError("method", f"x must have the shape that start was given, groups of which hold {held.shape}",
                         got=f"x {x.shape}")


def check_positive(op: str, s: Any) -> None:
    """Raise ConfigError unless all s > 0 (NaN is not), NonFiniteError when one is infinite."""
    if not (s > 0).all():
        raise ConfigError(op, "every scale must be > 0", got=f"{np.sum(~(s > 0))} of {s.size} that are not, "
                          f"the smallest {np.min(s)}",
                          cause="Make the scale a Parameter with the constraint Within(SCALE_MIN), which holds it up; "
                                "with another positivity than clamp the latent has fallen too far")
    if not np.isfinite(s).all():
        raise NonFiniteError(op, "every scale must be finite", got=f"{np.sum(np.isinf(s))} of {s.size} infinite",
                             cause="Training has diverged; try a lower learning rate for the scales")


def check_arguments(op: str, P: Any, s: Any, granularity: Granularity) -> None:
    """DTypeError or ShapeError unless P and s are floats of one dtype, and s has a scale for each group of P."""
    if (type(P) is np.ndarray is type(s) and P.dtype is s.dtype and P.dtype.char in "fd" and P.ndim
            and s.shape == scale_shape(granularity, P.shape)):
        return                                   # as in every step of a training
    for name, x in (("P", P), ("s", s)):
        if not isinstance(x, np.ndarray) or x.dtype.char not in "fd":
            raise DTypeError(op, f"{name} must be a float32 or float64 array",
                             got=f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}")
    if P.dtype != s.dtype:
        raise DTypeError(op, "P and s must have one dtype", got=f"P {P.dtype}, s {s.dtype}")
    if P.ndim == 0:
        raise ShapeError(op, "P must have at least one axis", got="a 0-d array", cause="Write P.reshape(1)")
    check_scale_shape(op, P, s, granularity)


def check_finite(op: str, v: Array, y: Array, P: Array) -> None:
    """NonFiniteError when P was not finite, or v = P / s or its reconstruction y overflowed."""
    finite = np.isfinite(v) & np.isfinite(y)
    if finite.all():
        return
    where = np.unravel_index(np.argmin(finite), y.shape)
    value = P[where]
    raise NonFiniteError(op, "every value must be finite", got=f"P[{', '.join(map(str, where))}] = {value}",
                         cause="Training has diverged, or the input holds NaN; try a lower learning rate"
                         if not np.isfinite(value) else f"P / s overflows {P.dtype}: the scale is far too small")
