"""The only Numba: compiled twins of NumPy functions, arrays in, arrays out.

A function marked `@twin("file")` is the readable reference; `kernels/file.py` holds a function of the same name and
signature that does the same fast. `use_kernels(False)`, or MINILQ_KERNELS=0 in the environment, runs the references
everywhere. Numba is imported, and a kernel compiled, when the first one is called; compiled code is cached on disk.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

TWINS: dict[str, Callable[..., object]] = {}     # "file.name" -> reference

_in_use = os.environ.get("MINILQ_KERNELS", "1") != "0"


def use_kernels(on: bool) -> None:
    """Run compiled kernels (True, the default) or pure NumPy (False), from the next call on.

    >>> import minilq
    >>> before = minilq.kernels_in_use()
    >>> minilq.use_kernels(False)
    >>> minilq.kernels_in_use()
    False
    >>> minilq.use_kernels(before)
    """
    global _in_use  # noqa: PLW0603 - one switch for the process, as the environment variable is
    _in_use = bool(on)


def kernels_in_use() -> bool:
    """Whether compiled kernels run."""
    return _in_use


def twin(file: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a NumPy function as the reference of `kernels/<file>.py`'s function of the same name.

    The kernel may return NotImplemented for arguments it was not written for; the reference runs then.
    """
    def mark(reference: Callable[P, R]) -> Callable[P, R]:
        name = reference.__name__
        TWINS[f"{file}.{name}"] = reference
        kernel: Callable[P, R] | None = None

        @functools.wraps(reference)
        def call(*args: P.args, **options: P.kwargs) -> R:
            nonlocal kernel
            if _in_use:
                if kernel is None:
                    kernel = getattr(importlib.import_module(f"minilq.kernels.{file}"), name)
                result = kernel(*args, **options)
                if result is not NotImplemented:
                    return result
            return reference(*args, **options)

        return call

    return mark
