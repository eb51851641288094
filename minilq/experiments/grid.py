"""Grids: from a few lists to the points of a sweep.

A grid is one block or a list of blocks; a block is a JSON object such as

    {"nested": [1e-11, 1e-10], "difference": [1e-8, 1e-7], "granularity": ["row", "scalar"], "seed": [1, 2, 3],
     "start": ["scratch", "post"], "rounding": ["floor"], "input": ["raw"], "epochs": 20}

Keys that name a scheme ("nested", "ungated", or a penalty) hold its strengths, lambda or gamma; the lists granularity,
rounding, input, seed and start are multiplied with them; anything else is a setting of `RunConfig` for the whole block.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from minilq.errors import ConfigError, DataError
from minilq.experiments import thesis
from minilq.experiments.config import RunConfig
from minilq.files import read_text
from minilq.objective import PENALTIES

Block = Mapping[str, Any]

SCHEMES = ("nested", "ungated", *PENALTIES)
AXES = {"granularity": ("row",), "rounding": ("floor",), "input": ("raw",), "seed": (42,), "start": ("scratch",)}
STARTS = ("scratch", "post")

# The thesis leaves 0 in for comparison; scales do not move there, so one granularity shows all.
_THRESHOLDS = [lam for lam in thesis.THRESHOLDS if lam > 0]
_RATES = [rate for rate in thesis.RATES if rate > 0]


def _of_thesis(data: str, thresholds: Sequence[float], rates: Sequence[float]) -> list[Block]:
    return [{"nested": thresholds, **{penalty: rates for penalty in thesis.PENALTIES},
             "granularity": list(thesis.GRANULARITIES[data]), "start": list(STARTS)},
            {"nested": [0.0], "granularity": ["row"], "start": list(STARTS)}]


GRIDS: dict[str, list[Block]] = {
    f"thesis-{data}": _of_thesis(data, _THRESHOLDS, _RATES) for data in thesis.GRANULARITIES}

# Found on 10,000 training images held out (benchmarks/recipe): the rule without its gate, pixels 0..1, few scales, and
# a small lambda for the last layer, whose weights are few.
_FOUND: Block = {"input": ["unit"], "seed": [1, 2, 3]}
GRIDS["best-mnist"] = [
    {**_FOUND, "ungated": [1e-9, 3e-9], "granularity": ["scalar"], "rounding": ["nearest"], "start": list(STARTS),
     "layer_thresholds": {"dense2": 1e-10}},
    {**_FOUND, "ungated": [5e-9], "granularity": ["column"], "rounding": ["floor"]}]

# Scales grow with strength times steps. A quick sweep of MNIST or the digits has a twentieth of the steps, so its
# strengths are ten times as large, and it leaves every other rate out.
QUICK_GRIDS: dict[str, list[Block]] = {
    f"thesis-{data}": [{**block, **({"epochs": 30} if data == "mnist" else {})} for block in _of_thesis(
        data, [10 * lam for lam in _THRESHOLDS], [10 * rate for rate in _RATES[::2]])]
    for data in thesis.GRANULARITIES}


@dataclass(frozen=True)
class Point:
    """One training of a sweep.

    network     "float" or "quantized"
    config      its settings; start_from is None
    start       name of the float point it starts from, None for from scratch
    """

    name: str
    network: str
    config: RunConfig
    scheme: str
    strength: float | None = None
    start: str | None = None


def default_grid(data: str) -> str:
    """The name of the thesis' grid for a data set: that of MNIST for all grey images."""
    return f"thesis-{data if data in thesis.GRANULARITIES else 'mnist'}"


def blocks_of(grid: str, quick: bool = False) -> list[Block]:
    """The blocks of a named grid, thinned out for --quick, or of a JSON file.

    Raises ConfigError for an unknown name, DataError for a file that holds something else."""
    if grid in GRIDS:
        return QUICK_GRIDS.get(grid, GRIDS[grid]) if quick else GRIDS[grid]
    path = Path(grid)
    if not path.exists():
        raise ConfigError("sweep", f"the grid must be one of {', '.join(GRIDS)}, or a JSON file", got=repr(grid))
    try:
        blocks = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(str(path), "a grid in JSON was expected", got=str(error)) from error
    blocks = [blocks] if isinstance(blocks, dict) else blocks
    if not (isinstance(blocks, list) and blocks and all(isinstance(block, dict) for block in blocks)):
        raise DataError(str(path), "a grid is a JSON object, or a list of them", got=type(blocks).__name__,
                        cause='For example {"nested": [1e-10, 1e-9], "granularity": ["row", "scalar"]}')
    return blocks


def points_of(blocks: Iterable[Block], settings: Mapping[str, Any]) -> list[Point]:
    """All points: the float baselines first, then what is trained from scratch, then what starts from a baseline.

    settings    of RunConfig, for every point; they go before those of a block
    Raises      ConfigError for an unknown key, an empty list, a setting that makes no sense, and for two points of one
                name that are not the same
    """
    points: dict[str, Point] = {}
    for block in blocks:
        for point in _points_of(block, settings):
            if points.setdefault(point.name, point) != point:
                raise ConfigError("sweep", "two points of the grid have one name but different settings",
                                  got=point.name,
                                  cause="Blocks of one grid may not differ in epochs or the like")
    order = {"float": 0, "scratch": 1, "post": 2}
    return sorted(points.values(), key=lambda p: order["float" if p.network == "float" else
                                                       "post" if p.start else "scratch"])


def _points_of(block: Block, settings: Mapping[str, Any]) -> Iterable[Point]:
    axes: dict[str, Sequence[Any]] = {name: _listed(name, block.get(name, default)) for name, default in AXES.items()}
    schemes = {name: _listed(name, strengths) for name, strengths in block.items() if name in SCHEMES}
    own = {name: value for name, value in block.items() if name not in AXES and name not in SCHEMES}
    known = {f.name for f in fields(RunConfig)} - {"granularity", "rounding", "input", "seed", "start_from", "rate",
                                                   "penalty", "gate"}
    if unknown := set(own) - known:
        raise ConfigError("sweep", f"a grid holds schemes ({', '.join(SCHEMES)}), lists ({', '.join(AXES)}) and "
                          "settings", got=", ".join(sorted(unknown)))
    if unknown := set(axes["start"]) - set(STARTS):
        raise ConfigError("sweep", f"start must hold {' or '.join(STARTS)}", got=", ".join(map(repr, unknown)))
    common = {**own, **settings}
    for seed, seen in itertools.product(axes["seed"], axes["input"]):
        plain = {name: value for name, value in common.items() if name not in _OF_QUANTIZERS}
        baseline = Point(f"float-{seen}-{seed}", "float", RunConfig(seed=seed, input=seen, **plain), "float")
        yield baseline
        for scheme, strengths in schemes.items():
            for granularity, strength, rounding, start in itertools.product(
                    axes["granularity"], strengths, axes["rounding"], axes["start"]):
                strength_of = {"threshold": strength, "gate": scheme == "nested"} if scheme in SCHEMES[:2] else {
                    "penalty": scheme, "rate": strength}
                config = RunConfig(**{**common, "granularity": granularity, "rounding": rounding, "seed": seed,
                                      "input": seen, **strength_of})
                number = config.threshold if config.rate is None else config.rate
                yield Point(f"{scheme}-{granularity}-{number:g}-{rounding}-{seen}-{start}-{seed}", "quantized", config,
                            scheme, number, baseline.name if start == "post" else None)


# Settings that a float network does not have.
_OF_QUANTIZERS = ("threshold", "layer_thresholds", "layer_rates", "quantize")


def _listed(name: str, values: Any) -> Sequence[Any]:
    values = values if isinstance(values, (list, tuple)) else [values]
    if not values:
        raise ConfigError("sweep", f"{name} must hold at least one value", got="an empty list")
    return values
