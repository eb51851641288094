"""Grids by name: the thesis' sweeps and what was found since; and grids in files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minilq.errors import ConfigError, DataError, meant
from minilq.experiments import thesis
from minilq.experiments.league import league
from minilq.files import read_text

Block = Mapping[str, Any]

STARTS = ("scratch", "post")

MOST_DEPTH = 10
"""Levels of lists and objects in a grid's file, at most."""

# The thesis leaves 0 in for comparison; scales do not move there, so one granularity shows all.
_THRESHOLDS = [lam for lam in thesis.THRESHOLDS if lam > 0]
_RATES = [rate for rate in thesis.RATES if rate > 0]


GOOD_FLOAT: Block = {"input": ["unit"], "lr": [1e-3], "adam": ["torch"], "batch": [128]}
"""A float network alone, not under-trained as the thesis' recipe leaves it: merely rounded it is the rival of all that
is trained on MNIST."""


def _tenfold(strengths: Sequence[float]) -> list[float]:
    """Ten times each, as a reader writes it: 10 * 1e-6 is 9.999999999999999e-06."""
    return [float(f"{10 * strength:.12g}") for strength in strengths]


def _of_thesis(data: str, thresholds: Sequence[float], rates: Sequence[float]) -> list[Block]:
    return [{"nested": thresholds, **{penalty: rates for penalty in thesis.PENALTIES},
             "granularity": list(thesis.GRANULARITIES[data]), "start": list(STARTS)},
            {"nested": [0.0], "granularity": ["row"], "start": list(STARTS)}]


GRIDS: dict[str, list[Block]] = {
    f"thesis-{data}": _of_thesis(data, _THRESHOLDS, _RATES) for data in thesis.GRANULARITIES}
GRIDS["thesis-mnist"].append(GOOD_FLOAT)

# Found on 10,000 training images held out (benchmarks/recipe): the rule without its gate, pixels 0..1, few scales, and
# a small lambda for the last layer, whose weights are few.
_FOUND: Block = {"input": ["unit"], "seed": [1, 2, 3]}
GRIDS["best-mnist"] = [
    {**_FOUND, "ungated": [1e-9, 3e-9], "granularity": ["scalar"], "rounding": ["nearest"], "start": list(STARTS),
     "layer_thresholds": {"dense2": 1e-10}},
    {**_FOUND, "ungated": [5e-9], "granularity": ["column"], "rounding": ["floor"]}, GOOD_FLOAT]

GRIDS["league"] = league([1, 2, 3], epochs=20)
GRIDS["league-mnist"] = [{**block, "data": "mnist"} for block in league([1, 2, 3, 4, 5])]

# Scales grow with strength times steps. A quick sweep of MNIST or the digits has a twentieth of the steps, so its
# strengths are ten times as large, and it leaves every other rate out.
QUICK_GRIDS: dict[str, list[Block]] = {
    f"thesis-{data}": [{**block, **({"epochs": 30} if data == "mnist" else {})} for block in _of_thesis(
        data, _tenfold(_THRESHOLDS), _tenfold(_RATES[::2]))]
    for data in thesis.GRANULARITIES}
QUICK_GRIDS["league"] = league([1, 2], epochs=10)


def default_grid(data: str) -> str:
    """The name of the thesis' grid for a data set: that of MNIST for all grey images."""
    return f"thesis-{data if data in thesis.GRANULARITIES else 'mnist'}"


def blocks_of(grid: str, quick: bool = False) -> list[Block]:
    """The blocks of a named grid, thinned out for --quick, or of a JSON file.

    Raises ConfigError for an unknown name, DataError for a file that holds something else."""
    if grid in GRIDS:
        return QUICK_GRIDS.get(grid, GRIDS[grid]) if quick else GRIDS[grid]
    path = Path(grid)
    if not os.path.exists(path):
        raise ConfigError("sweep", f"the grid must be one of {', '.join(GRIDS)}, or a JSON file", got=repr(grid),
                          cause=meant(grid, GRIDS))
    try:
        blocks = json.loads(read_text(path), object_pairs_hook=_each_once)
        _check_depth(blocks, 0)
    except (ValueError, RecursionError) as error:
        raise DataError(str(path), "a grid in JSON was expected", got=str(error)) from error
    blocks = [blocks] if isinstance(blocks, dict) else blocks
    if not (isinstance(blocks, list) and blocks and all(isinstance(block, dict) for block in blocks)):
        raise DataError(str(path), "a grid is a JSON object, or a list of them", got=type(blocks).__name__,
                        cause='For example {"nested": [1e-10, 1e-9], "granularity": ["row", "scalar"]}')
    return blocks


def _check_depth(value: Any, depth: int) -> None:
    """ValueError for lists and objects in more than MOST_DEPTH others."""
    if depth > MOST_DEPTH:
        raise ValueError(f"lists or objects in more than {MOST_DEPTH} others")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError for a key that is there twice, of which JSON itself would take the last."""
    keys = [key for key, _ in pairs]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"the key {twice[0]!r} twice")
    return dict(pairs)
