"""Arrays as (before, kept, after): the layout in which kernels see a tensor and the scales of its groups."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy import ndarray

Array = np.ndarray[Any, np.dtype[Any]]

CACHE_LINE = 64
"""Bytes of a cache line. A load that touches two counts twice."""


@functools.lru_cache(maxsize=4096)
def layout(shape: tuple[int, ...], s_shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(A, K, B) such that a C-contiguous array, seen as (A, K, B), has one scale for every index of the middle axis.

    None when the kept axes are not neighbours.

    >>> layout((784, 128), (784, 1)), layout((784, 128), (1, 128)), layout((784, 128), (1,))
    ((1, 784, 128), (784, 128, 1), (1, 1, 100352))
    >>> layout((3, 3, 16, 32), (1, 1, 16, 1))
    (9, 16, 32)
    """
    padded = (1,) * (len(shape) - len(s_shape)) + s_shape
    kept = [i for i, n in enumerate(padded) if n != 1]
    if not kept:
        return 1, 1, math.prod(shape)
    first, last = kept[0], kept[-1]
    if padded[first:last + 1] != shape[first:last + 1]:
        return None
    return math.prod(shape[:first]), math.prod(shape[first:last + 1]), math.prod(shape[last + 1:])


def fits(*arrays: Array) -> bool:
    """Whether kernels can run: C-contiguous arrays of one float dtype; no NumPy scalars, no subclasses of arrays."""
    dtype = arrays[0].dtype
    for a in arrays:                             # `is` first, because this runs before every kernel
        if not ((a.dtype is dtype or a.dtype == dtype) and type(a) is ndarray and a.flags.c_contiguous):
            return False
    return dtype.char in "fd" and dtype.isnative


def on_lines(a: Array) -> Array:
    """A copy, contiguous, that begins where a cache line does."""
    raw = np.empty(a.nbytes + CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % CACHE_LINE
    copy = raw[begin:begin + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy
