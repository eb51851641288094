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

import numpy as np

from minilq.arguments import check_flag, shown
from minilq.errors import ConfigError, DTypeError, meant

P = ParamSpec("P")
R = TypeVar("R")

TWINS: dict[str, Callable[..., object]] = {}     # "file.name" -> reference

_in_use = os.environ.get("MINILQ_KERNELS", "1") != "0"
_capture = os.environ.get("MINILQ_CAPTURE", "1") != "0"
CONVOLUTIONS = ("winograd", "winograd-2x2", "direct", "im2col")
_convolution = os.environ.get("MINILQ_CONVOLUTION", "winograd")
if _convolution not in CONVOLUTIONS:
    raise ConfigError("MINILQ_CONVOLUTION", f"must be one of {', '.join(CONVOLUTIONS)}", got=repr(_convolution),
                      cause=meant(_convolution, CONVOLUTIONS))


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
    check_flag("use_kernels", "on", on)
    _in_use = bool(on)


def kernels_in_use() -> bool:
    """Whether compiled kernels run."""
    return _in_use


def use_capture(on: bool) -> None:
    """Let a Trainer run steps of one shape from a plan (True, the default) or all by the tape (False), from the next
    batch on. The numbers are the same to the last bit; see train/step.py. MINILQ_CAPTURE=0 in the environment does the
    same as False. Without kernels there are no plans.

    >>> import minilq
    >>> before = minilq.capture_in_use()
    >>> minilq.use_capture(False)
    >>> minilq.capture_in_use()
    False
    >>> minilq.use_capture(before)
    """
    global _capture  # noqa: PLW0603 - one switch for the process, as the environment variable is
    check_flag("use_capture", "on", on)
    _capture = bool(on)


def capture_in_use() -> bool:
    """Whether steps may run from a plan."""
    return _capture and _in_use


def use_convolution(algorithm: str) -> None:
    """Convolve by "winograd" (the default), "winograd-2x2", "direct" or "im2col"; where one does not fit, by the next.

    im2col is the readable reference. direct (kernels/conv.py) computes the same sums without its column matrix, in
    float32, where the processor is known and the number of filters fits. winograd needs fewer multiplications, for 3 x
    3 kernels of stride 1: 2 x 2 results at a time (kernels/winograd.py), or where that is less work 4 x 4
    (kernels/winograd4.py), with rounding errors some five times those of direct; winograd-2x2 leaves those out. Where
    im2col gives infinity both may give NaN. MINILQ_CONVOLUTION in the environment does the same.

    >>> import minilq
    >>> before = minilq.convolution_in_use()
    >>> minilq.use_convolution("im2col")
    >>> minilq.convolution_in_use()
    'im2col'
    >>> minilq.use_convolution(before)
    """
    global _convolution  # noqa: PLW0603 - one setting for the process, as the environment variable is
    if not isinstance(algorithm, str) or algorithm not in CONVOLUTIONS:
        raise ConfigError("use_convolution", f"the algorithm must be one of {', '.join(CONVOLUTIONS)}",
                          got=shown(algorithm), cause=meant(algorithm, CONVOLUTIONS))
    _convolution = algorithm


def convolution_in_use() -> str:
    """The convolution that is tried first, as `use_convolution` names it; "im2col" without kernels."""
    return _convolution if _in_use else "im2col"


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
                try:
                    result = kernel(*args, **options)
                except Exception as error:       # of Numba's: pages about its own insides
                    if not type(error).__module__.startswith("numba."):
                        raise
                    raise _not_compiled(name, args) from None
                if result is not NotImplemented:
                    return result
            return reference(*args, **options)

        return call

    return mark


def _not_compiled(name: str, args: tuple[object, ...]) -> DTypeError:
    """What a person is told in place of the compiler's message."""
    came = [f"{a.dtype} {a.shape}" if isinstance(a, np.ndarray) else type(a).__name__ for a in args]
    return DTypeError(name, "cannot be compiled for these arguments", got=", ".join(came)[:200],
                      cause="Plain NumPy arrays of float32 or float64 can be; minilq.use_kernels(False) does without "
                            "compiled code")
