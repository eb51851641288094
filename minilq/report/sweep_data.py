"""What a sweep's page shows, read from the sweep's folder and checked."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minilq.errors import DataError, escaped
from minilq.experiments.chance import Chance, chance_of
from minilq.experiments.choices import ROUNDINGS
from minilq.experiments.config import MODELS
from minilq.experiments.pareto import COSTS, dominated, pool
from minilq.experiments.result import RESULT
from minilq.experiments.rivals import SCHEME, rivals
from minilq.experiments.run import HISTORY
from minilq.experiments.runs_on_integers import OnIntegers, read_integers
from minilq.experiments.sweep import read_failures, read_points, read_sweep
from minilq.experiments.thesis import DATA
from minilq.quantize.methods import QUANTIZERS
from minilq.report.sweep_curves import Curve, curve_of
from minilq.report.sweep_style import GRANULARITIES, SCHEMES, STARTS, lowest_shown, order
from minilq.train.history import LARGEST, read_history
from minilq.train.metrics import INPUTS

WORDS = {"input": tuple(INPUTS), "data": DATA, "model": MODELS}
OF_SCHEMES = {"granularity": GRANULARITIES, "rounding": ROUNDINGS}
OTHERS = ("own",)
"""Schemes that are neither the thesis' nor a method: only single sites have methods."""

BIASES = 0.01
"""The share of the parameters in which quantized networks may differ from the rounded one: many leave biases alone."""

COUNT = (0, 2**53)
SIZE = (1, 2**53)
NUMBERS = {"seed": (0, 2**128), "epochs": COUNT, "steps": COUNT, "train_images": COUNT, "accuracy": (0, 1),
           "bytes_float32": SIZE, "bytes_float32_zip": SIZE, "parameters": COUNT}
NUMBERS_OF_QUANTIZED = {
    "strength": (0, math.inf), "unique_integers": COUNT, "integer_min": (-2**63, 2**63), "integer_max": (-2**63, 2**63),
    "bits": (0, 64), "bits_unique": (0, 64), "entropy": (0, 64), "zero_share": (0, 1), "sqnr": (-1e6, 1e6),
    "bytes_int8_zip": SIZE, "bytes_packed": SIZE, "bytes_entropy": SIZE, "scales": COUNT}
"""What must be a finite number in a result.json, and between which ends. The loss of a run that went wrong may be
infinite or no number."""


@dataclass(frozen=True)
class SweepData:
    """A sweep, in an order of its own: whichever point was finished first, the same points give the same.

    grid        its name, or that of its file without the folder
    points      every finished point, float baselines first; their commands do not say where the data lie
    quantized   pooled over the seeds      baselines   pooled over the seeds
    rounded     the best float network, merely rounded, as points (experiments/rivals.py); none where a quantized
                network has other parameters, but for biases
    chance      what chance does to accuracies, of all points but those so far below the best that they have collapsed
    fronts      name of a point -> the costs for which it lies on the front of its granularity and start
    curves      name of a point -> what it did by epoch
    integers    name of a point -> whether integers run it, where that was asked
    failures    name -> message            missing     names of points that are neither finished nor failed
    """

    grid: str
    data: str
    points: list[dict[str, Any]]
    quantized: list[dict[str, Any]]
    baselines: list[dict[str, Any]]
    rounded: list[dict[str, Any]]
    chance: Chance
    fronts: dict[str, list[str]]
    curves: dict[str, Curve]
    integers: dict[str, OnIntegers]
    failures: dict[str, str]
    missing: list[str]


def read_sweep_data(folder: Path) -> SweepData:
    """Everything that the page of a sweep shows. Raises DataError that names the file which is missing or damaged."""
    sweep = read_sweep(folder)
    points = [_checked(point) for point in read_points(folder)]
    points = [_counted(point, max(other["parameters"] for other in points)) for point in points]
    points.sort(key=lambda point: (*order(point), point["seed"], point["name"]))
    done = {point["name"] for point in points}
    failures = {name: message for name, message in sorted(read_failures(folder).items()) if name not in done}
    pooled = pool(points)
    quantized = [point for point in pooled if point["scheme"] != "float"]
    rounded = pool(rivals(points))
    if rounded and any(abs(1 - point["parameters"] / rounded[0]["parameters"]) > BIASES for point in quantized):
        rounded = []
    cut = lowest_shown([point["accuracy"] for point in pooled]) or 0 if pooled else 0
    return SweepData(
        Path(str(sweep.get("grid"))).name, str(sweep.get("data")), points, quantized,
        [point for point in pooled if point["scheme"] == "float"], rounded,
        chance_of([point for point in pooled if point["accuracy"] >= cut]), _fronts([*quantized, *rounded]),
        {point["name"]: curve_of(read_history(point["folder"] / HISTORY)) for point in points},
        {point["name"]: found for point in points if (found := read_integers(point["folder"])) is not None},
        failures, sorted(set(sweep["points"]) - done - set(failures)))


def _checked(point: dict[str, Any]) -> dict[str, Any]:
    try:
        quantized = point["scheme"] != "float"
        other = point["scheme"] in OTHERS or point["scheme"] in set(QUANTIZERS) - set(SCHEMES)
        words = {"scheme": (point["scheme"],) if other else ("float", *SCHEMES), **WORDS}
        if quantized:
            words |= {"start": tuple(STARTS), **({} if other else OF_SCHEMES)}
        for name, known in words.items():
            if point[name] not in known:
                raise ValueError(f"{name} {point[name]!r}, not one of {', '.join(known)}")
        for name in (*(("granularity", "rounding") if quantized else ()), *(["variant"] if "variant" in point else [])):
            if not isinstance(point[name], str):
                raise ValueError(f"{name} {point[name]!r}, no text")
        for name, (low, high) in {**NUMBERS, **(NUMBERS_OF_QUANTIZED if quantized else {})}.items():
            value = _number(point, name)
            if name == "strength" and other and value is None:
                continue
            if value is None or not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{name} {value}, not from {low:g} to {high:g}")
        if "validation_images" in point and not 1 <= (_number(point, "validation_images") or 0) <= COUNT[1]:
            raise ValueError(f"validation_images {point['validation_images']}, no number of images")
        loss = _number(point, "loss")
        if loss is None or LARGEST < abs(loss) < math.inf:
            raise ValueError(f"loss {loss}, no number that makes sense")
        if point["name"] != point["folder"].name:
            raise ValueError(f"name {point['name']!r}, in the folder of another")
    except (KeyError, TypeError, ValueError) as error:
        got = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise DataError(str(point["folder"] / RESULT), "the result of a sweep's point was expected", got=got,
                        cause="Delete the point's folder and start the sweep again") from error
    texts = {name: escaped(point[name]) for name in ("granularity", "rounding", "variant")
             if isinstance(point.get(name), str)}
    return {**point, **texts, "command": _without_data_dir(point["command"])}


def _counted(point: dict[str, Any], most: int) -> dict[str, Any]:
    """A quantized point whose sizes count what it leaves in floats and others of the sweep do not: biases."""
    left = 4 * (most - point["parameters"])
    if point["scheme"] == "float" or not 0 < left <= 4 * BIASES * most:
        return point
    return {**point, **{name: point[name] + left for name in ("bytes_packed", "bytes_entropy", "bytes_float32")}}


def _number(point: dict[str, Any], name: str) -> float | None:
    """A number of a result.json, None for null."""
    value = point[name]
    if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        raise ValueError(f"{name} {value!r}, no number")
    if isinstance(value, int) and abs(value) > 2**128:
        raise ValueError(f"{name} {value}, no number that makes sense")
    return None if value is None else float(value)


def _without_data_dir(command: str) -> str:
    words = shlex.split(command)
    if "--data-dir" in words:
        place = words.index("--data-dir")
        del words[place:place + 2]
    return shlex.join(words)


def _fronts(points: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Which points are on which fronts: one front for each panel of the figures and start, one of all that is merely
    rounded."""
    groups: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for point in points:
        of_panel = ("scheme",) if point["scheme"] == SCHEME else (
            "input", "rounding", "variant", "granularity", "start")
        key = tuple(point.get(name) for name in of_panel)
        groups.setdefault(key, []).append(point)
    fronts: dict[str, list[str]] = {}
    for group in groups.values():
        for cost in COSTS:
            for point, worse in zip(group, dominated(group, cost), strict=True):
                for member in [] if worse else point["members"]:
                    fronts.setdefault(member["name"], []).append(cost)
    return fronts
