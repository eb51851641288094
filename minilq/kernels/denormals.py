"""Numbers too small for a whole mantissa, counted as zero where that is wanted.

Below 1.2e-38 float32 has denormals, with which a processor computes several times as slowly. What a trained network is
sure of leaves many of them: probabilities, the gradients behind them, squares of these in Adam. Whether they count is a
setting of each thread of the processor (FTZ and DAZ of MXCSR), reached by C's fegetenv and fesetenv.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

BYTES, MXCSR = 32, 28                            # of fenv_t on x86-64 Linux, and where MXCSR is in it
DROPPED = 0x8040
"""FTZ, for results, and DAZ, for what is computed with."""


class _Environment(NamedTuple):
    """C's way to a thread's setting."""

    get: Any
    set: Any


@functools.cache
def _environment() -> _Environment | None:
    """None where the layout of fenv_t is not known: there denormals stay."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return None
    for library in ("libm.so.6", None):          # glibc's; with musl it is all in one
        with contextlib.suppress(OSError, AttributeError):
            functions = ctypes.CDLL(library)
            return _Environment(functions.fegetenv, functions.fesetenv)
    return None


def denormals_setting() -> int | None:
    """What this thread does with denormals; None where that is not known."""
    environment = _environment()
    if environment is None:
        return None
    now = ctypes.create_string_buffer(BYTES)
    environment.get(now)
    return int.from_bytes(now.raw[MXCSR:], "little") & DROPPED


def set_denormals(setting: int | None) -> None:
    """Have this thread do as another one that `denormals_setting` was asked in."""
    environment = _environment()
    if environment is None or setting is None:
        return
    now = ctypes.create_string_buffer(BYTES)
    environment.get(now)
    whole = int.from_bytes(now.raw[MXCSR:], "little")
    if whole & DROPPED != setting:
        changed = (whole & ~DROPPED | setting).to_bytes(BYTES - MXCSR, "little")
        environment.set(ctypes.create_string_buffer(now.raw[:MXCSR] + changed, BYTES))


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """A block, or with @without_denormals() a function, in which numbers of a size below 1.2e-38 (float32) or 2.2e-308
    (float64) count as 0, in this thread and in those that kernels run on for it.

    A Trainer uses it; a loop of your own within it gives the same bits, and is as fast. What held before comes back at
    the end, also by an exception. On other processors than x86-64 and other systems than Linux nothing changes.

    >>> import numpy as np
    >>> tiny = np.array([1e-38], np.float32)
    >>> with without_denormals():
    ...     dropped = tiny * np.float32(0.1)
    >>> bool(dropped[0] == 0) or denormals_setting() is None
    True
    >>> float((tiny * np.float32(0.1))[0]) > 0
    True
    """
    before = denormals_setting()
    set_denormals(DROPPED)
    try:
        yield
    finally:
        set_denormals(before)
