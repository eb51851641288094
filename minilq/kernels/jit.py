"""How kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

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
            dispatch = numba.njit(cache=True, **settings)(function)
        except RuntimeError:                     # Numba found no folder that it may write to
            return numba.njit(**settings)(function)

        def call(*args: Any) -> Any:
            nonlocal dispatch
            try:
                return dispatch(*args)
            except OSError:                      # the cache was writable at import, and is no longer
                dispatch = numba.njit(**settings)(function)
                return dispatch(*args)

        return call

    return compile_lazily
