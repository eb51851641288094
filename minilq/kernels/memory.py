"""Memory that is freed stays with the process, for the next large array.

Without this, glibc gives every array of some hundred kB or more back to the system when it is freed, which then has to
fill each new one with zeros, page by page: up to a tenth of a training step of a convolutional network.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys

TRIM, MMAP = -1, -3                              # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
LARGEST = 32 << 20
"""Bytes of the largest array that is kept; glibc takes no more."""
KEPT = 1 << 30
"""Bytes at the end of the heap that are not given back."""


@functools.cache
def keep_freed() -> None:
    """Ask for it, once; where the system has another allocator nothing happens."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(MMAP, LARGEST)
            libc.mallopt(TRIM, KEPT)
