"""How kernels are compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

from minilq.kernels import compiling
from minilq.kernels.cache import CheckedFiles

# For sums only: the order may change and a*b+c may fuse. Never a flag that assumes away NaN, infinity or division.
SUMS = {"reassoc", "contract", "nsz"}


def jit(fastmath: set[str] | bool = False, inline: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile at the first call and cache on disk; where no cache can be written, compile without one.

    error_model="numpy" because the default checks every division for zero, which keeps loops from being vectorised.
    inline=True is for functions that only other kernels call.
    """
    def compile_lazily(function: Callable[..., Any]) -> Callable[..., Any]:
        if inline:
            return numba.njit(error_model="numpy", inline="always")(function)
        settings: dict[str, Any] = {"error_model": "numpy", "fastmath": fastmath, "nogil": True}
        try:
            kernel = numba.njit(cache=True, **settings)(function)
        except RuntimeError:                     # Numba found no folder that it may write to
            return numba.njit(**settings)(function)
        if hasattr(kernel, "_cache"):            # absent with NUMBA_DISABLE_JIT=1
            kernel._cache._cache_file = CheckedFiles.instead_of(kernel._cache._cache_file)
            kernel._cache.save_overload = _forgiving(kernel._cache.save_overload)
            kernel._cache.load_overload = _forgiving(kernel._cache.load_overload)
        return kernel

    return compile_lazily


@jit(inline=True)
def copy_to(a, b):  # type: ignore[no-untyped-def]
    # a[:] = b for arrays of one axis: the same speed, and a second less to compile in every kernel that has it
    for k in range(len(a)):
        a[k] = b[k]


def _forgiving(access: Callable[..., Any]) -> Callable[..., Any]:
    """A cache that was writable at import, and is full or gone now, only costs the time to compile again."""
    def attempt(*args: Any) -> Any:
        with contextlib.suppress(Exception):     # what Numba raises then can be anything
            return access(*args)

    return attempt


class _Announcing(event.Listener):
    """Numba reports what it compiles, not what it loads."""

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        if not function.__module__.startswith("numba."):     # what it compiles of its own on the way
            compiling.announce(function.__name__.strip("_"))

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", _Announcing())  # type: ignore[no-untyped-call]
