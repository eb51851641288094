"""Sweeps: many points, each in its own folder, by any executor; what is done is not done again.

    OUT/sweep.json        the grid's name, the data, the names of all points
    OUT/points/NAME/      one point (see experiments/point.py)

`run_sweep` takes any `concurrent.futures.Executor`. The command line hands it processes of this machine; on a cluster,
all of whose nodes see OUT:

    from dask.distributed import Client                      from mpi4py.futures import MPIPoolExecutor
    executor = Client("scheduler:8786").get_executor()       executor = MPIPoolExecutor()

    points = points_of(blocks_of("thesis-mnist"), {"data": "mnist"})
    run_sweep("thesis-mnist", points, Path("runs/sweep"), executor, print)
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from minilq.errors import ConfigError, DataError, MinilqError, NonFiniteError
from minilq.experiments.build import Built, built, methods_for, objective_for
from minilq.experiments.claim import LOCK, InUse, claimed, in_use, shared
from minilq.experiments.command import command
from minilq.experiments.config import read_config
from minilq.experiments.grid import Point, is_name_of_point
from minilq.experiments.point import FAILED, asked_to_stop, check_same, run_point
from minilq.experiments.result import RESULT
from minilq.experiments.run import CONFIG, DONE, Stopped
from minilq.experiments.training import OF_QUANTIZERS
from minilq.files import as_path, read_text
from minilq.nn import quantize

SWEEP, POINTS = "sweep.json", "points"
WRITTEN = (POINTS, "index.html", "points.csv", "methods.csv", "figures")
"""What a sweep and its page write beside sweep.json."""

OF_NETWORKS = ("data", "model", "image_size")
SECONDS_BETWEEN_LOOKS = 1.0
"""At what becomes of the points of other processes."""

Log = Callable[[str], None]

SweepWatch = Callable[[str, int, int, float], None]
"""(line, done, total, left): what a point came to, how many points are done, of how many, and the seconds that are
left."""


def run_sweep(grid: str, points: Sequence[Point], folder: Path, executor: Executor, log: Log,
              watch: SweepWatch | None = None) -> dict[str, str]:
    """Run every point that is not done. Returns what went wrong: name of a point -> message.

    A point that fails is reported and does not stop the others; those that start from it fail with it. Another process
    with the same sweep in the same folder does some of the points; both end when all are done.

    watch       is told of every point that is done; by default it is a line of the log

    Raises ConfigError when the folder holds points of other settings, or files of something else; UnwritableError,
    which every other point would meet too; BrokenExecutor when the executor lost a process; Stopped when a point was
    asked to stop (`stop_when`).
    """
    check_points(points)
    for point in points:
        check_same(point, folder / POINTS)
    _check_folder(points, folder)
    text = json.dumps({"grid": grid, "data": points[0].config.data, "points": [point.name for point in points]},
                      indent=1) + "\n"
    with shared(folder, "sweep", SWEEP, text) as others:
        if others:
            log(f"sharing the points with {others}")
        return _run_all(points, folder, executor, log, watch or each_point(log))


def _run_all(points: Sequence[Point], folder: Path, executor: Executor, log: Log, tell: SweepWatch) -> dict[str, str]:
    names = {point.name for point in points}
    done = {p.name for p in points if os.path.exists(folder / POINTS / p.name / DONE)}
    waiting = [p for p in points if p.name not in done]
    for own in (folder / POINTS / name for name in done):
        if os.path.exists(own / LOCK):           # somebody was killed between DONE and the end
            with contextlib.suppress(MinilqError), claimed(own, "sweep", make=False):
                pass                             # which clears; where it cannot, nothing is lost
    if done:
        log(f"{len(done)} of {len(points)} points are done already")
    failed: dict[str, str] = {}
    running: dict[Future[str | None], Point] = {}
    elsewhere: list[Point] = []                  # another process has them
    started, finished_here = time.monotonic(), 0
    try:
        while waiting or running or elsewhere:
            for point in [p for p in waiting if p.start is None or p.start in done | set(failed)]:
                waiting.remove(point)
                if point.start in failed:
                    failed[point.name] = f"it starts from {point.start}, which failed"
                    log(f"{point.name}: {failed[point.name]}")
                else:
                    running[executor.submit(run_point, point, folder / POINTS)] = point
            if waiting and not running and not elsewhere:
                raise ConfigError("sweep", "a point must start from another point of the sweep",
                                  got=", ".join(str(p.start) for p in waiting if p.start not in names) or "a circle")
            for future in _ended(running, elsewhere):
                point = running.pop(future)
                try:
                    message = future.result()
                except InUse:
                    elsewhere.append(point)
                    continue
                if message:
                    failed[point.name] = message
                elif os.path.exists(folder / POINTS / point.name / DONE):
                    done.add(point.name)
                else:
                    raise Stopped
                finished_here += 1
                left = (len(points) - len(done) - len(failed)) * (time.monotonic() - started) / finished_here
                tell(_line(point, folder, message), len(done) + len(failed), len(points), left)
            if elsewhere and asked_to_stop():
                raise Stopped
            for point in [p for p in elsewhere if not in_use(folder / POINTS / p.name)]:
                elsewhere.remove(point)          # done, failed, or left to us
                waiting.append(point)
    finally:
        for future in running:
            future.cancel()
    return failed


def _ended(running: dict[Future[str | None], Point], elsewhere: Sequence[Point]) -> Iterable[Future[str | None]]:
    """Points that have ended. While other processes have some too, this comes back every now and then without any."""
    if not running:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return wait(running, SECONDS_BETWEEN_LOOKS if elsewhere else None, return_when=FIRST_COMPLETED).done


def _check_folder(points: Sequence[Point], folder: Path) -> None:
    """Raise ConfigError for a folder with files that are not a sweep's, and would be overwritten."""
    if os.path.exists(folder / SWEEP):
        read_sweep(folder)
    elif not any(os.path.exists(folder / POINTS / point.name / CONFIG) for point in points) and (
            others := [name for name in WRITTEN if os.path.lexists(folder / name)]):
        raise ConfigError("sweep", f"{folder} must hold nothing that a sweep would overwrite", got=", ".join(others),
                          cause="Choose another --out")


def check_points(points: Sequence[Point]) -> None:
    """Raise ConfigError for settings that do not go together, before any point is trained: a quantized network of every
    kind is made, with what is added to its loss."""
    fresh: dict[tuple[object, ...], Built] = {}
    kinds = {repr([getattr(point.config, name) for name in (*OF_NETWORKS, *OF_QUANTIZERS)
                   if name not in ("threshold", "rate")]): point for point in points if point.network == "quantized"}
    for point in kinds.values():
        config = point.config
        network = (config.model, config.image_shape)
        try:
            if network not in fresh:
                fresh[network] = built(config)
            model, generators = fresh[network]
            quantize(model, methods_for(config, model, generators))
            objective_for(config, model)
        except NonFiniteError:                   # that point alone will not train
            pass
        except MinilqError as error:
            raise ConfigError("sweep", f"the settings of {point.name} must go together", got=str(error)) from error


def each_point(log: Log) -> SweepWatch:
    """Logs a line for every point."""
    return lambda line, done, total, left: log(f"[{done:3}/{total}] {line}")


def _line(point: Point, folder: Path, message: str | None) -> str:
    if message:
        return f"{point.name} FAILED: {message}"
    result = _read(folder / POINTS / point.name / RESULT)
    integers = f"{result['unique_integers']:5,} integers" if "unique_integers" in result else f"{'':14}"
    return f"{100 * result['accuracy']:5.2f} % {integers} {point.name}"


def read_sweep(folder: str | Path) -> dict[str, Any]:
    """What sweep.json holds. Raises DataError when it is missing or damaged."""
    folder = as_path(folder)
    sweep = _read(folder / SWEEP)
    names = sweep.get("points")
    if not (isinstance(names, list) and all(isinstance(name, str) and is_name_of_point(name) for name in names)
            and len(set(names)) == len(names)):
        raise DataError(str(folder / SWEEP), "the names of a sweep's points were expected", got="something else",
                        cause="Delete it, if it is a sweep's, and start the sweep again")
    return sweep


def read_points(folder: str | Path) -> list[dict[str, Any]]:
    """One dict for each point that is done, in the order of the sweep: its result.json, and

    command    the `minilq train` command that gives the same numbers, called in the sweep's folder
    config     its settings
    folder     the Path of the point's folder

    Raises DataError when a file is missing or damaged.
    """
    points = []
    folder = as_path(folder)
    for name in read_sweep(folder)["points"]:
        own = folder / POINTS / name
        if (own / DONE).exists():
            config = read_config(own / CONFIG)
            if config.start_from is not None:    # ../NAME, as seen from the point
                config = replace(config, start_from=f"{POINTS}/{Path(config.start_from).name}")
            points.append({**_read(own / RESULT), "command": command(config), "config": config, "folder": own})
    return points


def read_failures(folder: str | Path) -> dict[str, str]:
    """Name -> message of the points that failed."""
    folder = as_path(folder)
    files = {name: folder / POINTS / name / FAILED for name in read_sweep(folder)["points"]}
    return {name: read_text(file).strip() for name, file in files.items() if file.exists()}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}")
        return content
    except (ValueError, RecursionError) as error:
        what = "it, if it is a sweep's," if path.name == SWEEP else "the folder that it is in"
        raise DataError(str(path), "a JSON object was expected", got=str(error),
                        cause=f"Delete {what} and start the sweep again") from error
