"""Memory that is freed stays with the process, for the next large array.

Without this, glibc gives most of a step's arrays back to the system when they are freed, which then has to fill each
new one with zeros, page by page: up to a tenth of a training step of a convolutional network. The price: a process that
has convolved keeps up to half a GB that it does not use. Where the environment says how glibc is to do it
(MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_, GLIBC_TUNABLES), that stands.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys

TRIM, MMAP = -1, -3                              # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
LARGEST = 32 << 20
"""Bytes of the largest array that is kept; glibc takes no more."""
KEPT = 1 << 29
"""Bytes at the end of the heap that are not given back."""


@functools.cache
def keep_freed() -> None:
    """Ask for it, once; where the system has another allocator nothing happens."""
    told = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"} & os.environ.keys()
    if sys.platform == "linux" and not told:
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(MMAP, LARGEST)
            libc.mallopt(TRIM, KEPT)
