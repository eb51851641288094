"""Threads for kernels: a loop over images or rows, cut into one part for each thread.

Kernels release the GIL, so plain Python threads run them side by side; no threading layer has to be chosen, and none
stands in the way of a fork. What a kernel computes must not depend on where the loop is cut, so that the number of
threads never changes a bit of the result.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minilq.arguments import check_whole
from minilq.kernels.denormals import denormals_setting, set_denormals

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SMALL = 1 << 16
"""Below this many numbers, handing work to another thread costs more than it saves."""


def _default() -> int:
    for variable in ("MINILQ_THREADS", "OMP_NUM_THREADS"):
        if (value := os.environ.get(variable, "")).isdecimal() and int(value) > 0:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_count = _default()
_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()                         # around making, replacing and filling the pool


def use_threads(count: int) -> None:
    """Run large kernels on `count` threads, from the next call on (default: MINILQ_THREADS, else OMP_NUM_THREADS, else
    every processor that this process may use). BLAS has a setting of its own, OPENBLAS_NUM_THREADS.

    >>> before = threads_in_use()
    >>> use_threads(1)
    >>> threads_in_use()
    1
    >>> use_threads(before)
    """
    global _count, _pool
    check_whole("use_threads", "the number of threads", count)
    with _lock:
        before, _count, _pool = _pool, count, None
    if before is not None:
        before.shutdown()


def threads_in_use() -> int:
    """How many threads large kernels run on."""
    return _count


def in_parts(kernel: Callable[..., Any], count: int, numbers: int, *args: Any) -> None:
    """kernel(*args, start, stop) for contiguous parts that make up range(count), one for each thread.

    numbers   how many numbers the whole loop touches: a small one stays in the calling thread.
    """
    global _pool  # noqa: PLW0603 - made when it is first needed
    parts = min(_count, count) if numbers > SMALL else 1
    if parts < 2:
        kernel(*args, 0, count)
        return
    cuts = [count * i // parts for i in range(parts + 1)]
    with _lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor  # small networks never come here

            _pool = ThreadPoolExecutor(max(_count - 1, 1), thread_name_prefix="minilq")
        as_here = denormals_setting()
        others = [_pool.submit(_run, as_here, kernel, *args, start, stop)
                  for start, stop in itertools.pairwise(cuts[1:])]
    kernel(*args, cuts[0], cuts[1])
    for other in others:
        other.result()


def _run(denormals: int | None, kernel: Callable[..., Any], *args: Any) -> None:
    """A part in a thread of the pool, which may last have run one of a thread that had it otherwise."""
    set_denormals(denormals)
    kernel(*args)


def _forget_pool() -> None:
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
