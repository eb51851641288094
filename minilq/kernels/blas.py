"""One thread for the BLAS that NumPy brought: small products are slower on two, and come out in other bits.

NumPy has no setting for it. The library has one, which is sought by its names in the libraries that NumPy has loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# (get, set): OpenBLAS as NumPy's wheels name it, as others do, and for 64-bit integers; then MKL and BLIS.
NAMES = [*((f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
           for prefix in ("scipy_", "") for suffix in ("64_", "", "_64")),
         ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"), ("bli_thread_get_num_threads", "bli_thread_set_num_threads")]


class Setting(NamedTuple):
    """The two functions of a BLAS, and the BLAS itself."""

    get: Any
    set: Any
    blas: ctypes.CDLL


_lock = threading.Lock()
_blocks = 0                                      # how many `one_blas_thread` are open, in all threads
_before = 1                                      # what to go back to after the last of them


@functools.cache
def _setting() -> Setting | None:
    """Those of the BLAS in use; None where it has none, as Apple's Accelerate."""
    for library in _libraries():
        for get, set_ in NAMES:
            if hasattr(library, get) and hasattr(library, set_):
                functions = getattr(library, get), getattr(library, set_)
                functions[1].argtypes, functions[1].restype = [ctypes.c_int], None
                return Setting(*functions, library)
    return None


def _libraries() -> Iterator[ctypes.CDLL]:
    extension = Path(importlib.import_module("numpy.linalg._umath_linalg").__file__ or "")
    # A name is sought also in what a library was linked with, but not by Windows: there the wheel's own files follow.
    for path in (extension, *sorted((extension.parents[2] / "numpy.libs").glob("*.dll"))):
        with contextlib.suppress(OSError):
            yield ctypes.CDLL(str(path))


def blas_threads_in_use() -> int | None:
    """On how many threads the BLAS behind NumPy computes large products; None where it has no such setting.

    >>> with one_blas_thread():
    ...     blas_threads_in_use() in (1, None)
    True
    """
    setting = _setting()
    return None if setting is None else int(setting.get())


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """A block, or with @one_blas_thread() a function, in which the BLAS behind NumPy uses one thread.

    Trainer and `evaluate` use it: a small network trains several times faster so, and one seed gives the same bits
    however many processors there are. It is a setting of the whole process; the former one comes back when the last
    such block of any thread ends, also by an exception. Where BLAS has no setting the block changes nothing, see
    `blas_threads_in_use`.
    """
    global _blocks, _before  # noqa: PLW0603 - BLAS itself has one setting for the process
    setting = _setting()
    if setting is None:
        yield
        return
    with _lock:
        if not _blocks:
            _before = setting.get()
            setting.set(1)
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                setting.set(_before)


def blas_in_use() -> str:
    """Name and version of the BLAS behind NumPy, with the processor that it has chosen its code for if it tells."""
    setting = _setting()
    for name in ("scipy_openblas_get_config64_", "scipy_openblas_get_config", "openblas_get_config64_",
                 "openblas_get_config"):
        if setting is not None and hasattr(setting.blas, name):
            config = getattr(setting.blas, name)
            config.restype = ctypes.c_char_p
            return bytes(config()).decode(errors="replace").strip()
    built: Any = np.show_config(mode="dicts")
    return str(built["Build Dependencies"]["blas"]["name"])
