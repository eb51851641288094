"""A sweep on the processes of this machine: they stop when asked to, and end when the process that began them does."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path

from minilq.errors import ConfigError
from minilq.experiments.grid import Point
from minilq.experiments.point import data_for_point, stop_when
from minilq.experiments.run import Stopped
from minilq.experiments.sweep import Log, SweepWatch, run_sweep
from minilq.kernels.threads import use_threads
from minilq.train.interrupt import Interrupt, blocked

ATTEMPTS = 3
"""How often a sweep begins again after a process died, of too little memory for example."""

ONE_THREAD = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MINILQ_THREADS")}


def sweep_in_processes(grid: str, points: Sequence[Point], folder: Path, jobs: int, log: Log,
                       watch: SweepWatch | None = None) -> dict[str, str]:
    """`run_sweep` with `jobs` processes of one thread each.

    Raises Stopped after Ctrl-C, with everything saved, and DataError when there are no data."""
    if jobs < 1:
        raise ConfigError("sweep", "jobs must be at least 1", got=str(jobs))
    if points:
        data_for_point(points[0].config)         # fetched once; found missing once, not by every point
    context = multiprocessing.get_context("spawn")
    asked = context.Event()
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)                # BLAS reads it when a process begins
    try:
        for attempt in range(1, ATTEMPTS + 1):
            with Interrupt(asked.set) as interrupt, ProcessPoolExecutor(jobs, context, _begin, (asked,)) as pool:
                stop_when(asked.is_set)
                try:
                    _begin_all(pool, min(jobs, len(points)))
                    failed = run_sweep(grid, points, folder, pool, log, watch)
                except BrokenExecutor:
                    if interrupt.wished:
                        raise Stopped from None
                    log(f"a process died, for lack of memory perhaps (attempt {attempt} of {ATTEMPTS})")
                    failed = {point.name: "the process that ran it died" for point in points}
                    if attempt < ATTEMPTS:
                        continue
            if interrupt.wished:
                raise Stopped
            return failed
    finally:
        stop_when(lambda: False)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    raise AssertionError("unreachable")


def _begin_all(pool: Executor, jobs: int) -> None:
    """Begin the processes now, so that signals for all processes of a terminal do not reach them: this one tells the
    others."""
    with blocked():
        for _ in range(jobs):                    # one is begun for each task, as long as none is idle
            pool.submit(os.getpid)


def _begin(asked: Event) -> None:
    """What every process does first."""
    use_threads(1)
    stop_when(asked.is_set)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
