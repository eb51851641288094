"""Grids: from a few lists to the points of a sweep.

A grid is one block or a list of blocks; a block is a JSON object such as

    {"nested": [1e-11, 1e-10], "difference": [1e-8, 1e-7], "granularity": ["row", "scalar"], "seed": [1, 2, 3],
     "start": ["scratch", "post"], "rounding": ["floor"], "input": ["raw"], "epochs": 20}
    {"weights": {"method": "lsq", "bits": [2, 3, 4]}, "inputs": [null, {"method": "lsq", "bits": 4, "signed": false}],
     "seed": [1, 2]}

`then` holds settings that quantized networks alone have, {"lr": 1e-4}; they are told in names. "integers": true asks
whether integers alone run each network (experiments/runs_on_integers.py).

Keys that name a scheme ("nested", "ungated", or a penalty) hold its strengths, lambda or gamma; a block has these or
`weights`. Every list is an axis, and axes are multiplied: settings of `RunConfig`, `start`, choices of methods and the
flags in them. What a block does not say is as in the thesis' recipe, or with "recipe": "usual" as in that.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from minilq.errors import ConfigError, meant
from minilq.experiments.config import RunConfig
from minilq.experiments.grids import STARTS, Block
from minilq.experiments.training import OF_QUANTIZERS
from minilq.objective import PENALTIES
from minilq.quantize.flags import method_of, words_of

SCHEMES = ("nested", "ungated", *PENALTIES)
USUAL = {"seed": 42, "input": None, "granularity": None, "rounding": None, "start": "scratch"}
"""What is in every name, and what a block has that says nothing; None follows from its recipe."""

RECIPE = "thesis"
"""Of a block that names none: schemes and strengths are the thesis'."""

OF_GRIDS = ("then", "integers")
"""What a block has beside settings."""

MOST_POINTS = 20_000

LONGEST_NAME = 150
"""Bytes of a point's name, at most: file systems take 255, of which writing under a temporary name needs some. What is
longer ends in a digest of the whole."""


@dataclass(frozen=True)
class Point:
    """One training of a sweep.

    network     "float" or "quantized"
    config      its settings; start_from is None
    scheme      see `RunConfig.scheme`
    strength    lambda or gamma; bits of another method, None where it has none
    start       name of the float point it starts from, None for from scratch
    variant     what else is told apart in this grid, in words: "" in the thesis' grids
    integers    whether it is found out if integers alone run it
    """

    name: str
    network: str
    config: RunConfig
    scheme: str
    strength: float | None = None
    start: str | None = None
    variant: str = ""
    integers: bool = False


def points_of(blocks: Iterable[Block], settings: Mapping[str, Any]) -> list[Point]:
    """All points: the float baselines first, then what is trained from scratch, then what starts from a baseline.

    settings    of RunConfig, for every point; they go before those of a block
    Raises      ConfigError for an unknown key, an empty list, a setting that makes no sense, and for two points of one
                name that are not the same
    """
    points: dict[str, Point] = {}
    for block in blocks:
        for point in _points_of(block, settings):
            _check_few("the grid", len(points))
            if points.setdefault(point.name, point) != point:
                raise ConfigError("sweep", "two points of the grid have one name but different settings",
                                  got=point.name,
                                  cause="Blocks of one grid may not differ in epochs or the like; lists in a block may")
    order = {"float": 0, "scratch": 1, "post": 2}
    return sorted(points.values(), key=lambda p: order["float" if p.network == "float" else
                                                       "post" if p.start else "scratch"])


def _points_of(block: Block, settings: Mapping[str, Any]) -> Iterator[Point]:
    _check(block)
    then = {name: value for name, value in block.get("then", {}).items() if name not in settings}
    integers = block.get("integers", False)
    schemes = [name for name in block if name in SCHEMES]
    said = {"recipe": RECIPE, **USUAL, **{name: value for name, value in block.items() if name not in OF_GRIDS},
            **settings}
    axes = {name: _values(name, value) for name, value in said.items() if name not in SCHEMES}
    if unknown := [start for start in axes["start"] if start not in STARTS]:
        raise ConfigError("sweep", f"start must hold {' or '.join(STARTS)}", got=", ".join(map(repr, unknown)),
                          cause=meant(unknown[0], STARTS))
    told = [name for name in axes if name not in (*USUAL, "weights") and _is_axis(said[name])]
    of_float = [name for name in axes if name not in OF_QUANTIZERS and name != "start"]
    of_others = [name for name in axes if name in OF_QUANTIZERS and name not in ("granularity", "rounding", "weights")]
    for outer in _product(axes, ["seed", "input", *(n for n in of_float if n not in ("seed", "input"))]):
        extra = {name: outer[name] for name in told if name in outer}
        floats = RunConfig(**outer)
        baseline = Point(_name("float", floats.input, floats.seed, extra=extra), "float", floats, "float",
                         variant=_variant(extra), integers=integers)
        yield baseline
        for scheme in schemes or [name for name in ("weights",) if name in axes]:
            axes["strength"] = _values(scheme, block[scheme]) if schemes else axes["weights"]
            for inner in _product(axes, ["granularity", "strength", "rounding", *of_others, "start"]):
                start, strength = inner.pop("start"), inner.pop("strength")
                own = _settings_of(scheme, strength)
                config = RunConfig(**{**outer, **inner, **own, **then})
                extra = {name: getattr(config, name) for name in told} | then
                if config.inputs is not None:
                    extra["inputs"] = config.inputs
                yield replace(_quantized(config, start, baseline.name, extra), integers=integers)


def _check(block: Block) -> None:
    """ConfigError for a key that a block does not have, and for schemes beside weights."""
    known = [name for name in (setting.name for setting in fields(RunConfig))
             if name not in ("start_from", "rate", "penalty", "gate")]
    if unknown := [name for name in block if name not in (*SCHEMES, *known, "start", *OF_GRIDS)]:
        raise ConfigError("sweep", f"a grid holds schemes ({', '.join(SCHEMES)}), lists ({', '.join(USUAL)}) and "
                          "settings", got=", ".join(sorted(unknown)), cause=meant(unknown[0], (*SCHEMES, *known)))
    then, free = block.get("then", {}), [name for name in known if name not in ("seed", "data", "model")]
    if not isinstance(then, Mapping) or (unknown := [name for name in then if name not in free]):
        raise ConfigError("sweep", "then holds settings of quantized networks", got=repr(then)[:80],
                          cause=meant(unknown[0], free) if isinstance(then, Mapping) else "")
    if not isinstance(block.get("integers", False), bool):
        raise ConfigError("sweep", "integers must be true or false", got=repr(block["integers"])[:80])
    if "weights" in block and (schemes := [name for name in block if name in SCHEMES]):
        raise ConfigError("sweep", "a block holds schemes or weights", got=f"weights and {', '.join(schemes)}",
                          cause="Write two blocks, in a list")


def _settings_of(scheme: str, strength: Any) -> dict[str, Any]:
    """The settings that a scheme's strength stands for, or a choice of weights."""
    if scheme == "weights":
        return {"weights": strength}
    if isinstance(strength, bool) or not isinstance(strength, (int, float)):
        raise ConfigError("sweep", f"{scheme} holds strengths: {'threshold' if scheme in SCHEMES[:2] else 'rate'} must "
                          "be a number >= 0", got=repr(strength))
    return {"threshold": strength, "gate": scheme == "nested"} if scheme in SCHEMES[:2] else {
        "penalty": scheme, "rate": strength}


def _quantized(config: RunConfig, start: str, baseline: str, extra: dict[str, Any]) -> Point:
    strength: float | None
    if config.nested:
        strength = config.threshold if config.rate is None else config.rate
        own = [config.scheme(), str(config.granularity), f"{strength:g}", str(config.rounding)]
        flags = {flag: value for flag, value in (config.weights or {}).items() if flag != "method"}
    elif config.weights is None:
        strength, own, flags = None, [config.scheme()], {}
    else:
        strength = getattr(method_of(config.weights), "bits", None)
        own = words_of(config.weights)
        flags = {flag: value for flag, value in config.weights.items() if flag not in ("method", "bits", "granularity")}
    return Point(_name(*own, config.input, start, config.seed, extra={**(flags if config.nested else {}), **extra}),
                 "quantized", config, config.scheme(), strength, baseline if start == "post" else None,
                 _variant({**flags, **extra}))


def _name(*parts: Any, extra: Mapping[str, Any]) -> str:
    words = [*map(str, parts), *(word for name, value in extra.items() for word in (name, *_words(value)))]
    name = re.sub(r"[^\w.+-]+", "_", "-".join(word.replace("=", "") for word in words))
    if len(name.encode()) <= LONGEST_NAME:
        return name
    short = name.encode()[:LONGEST_NAME - 17].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def is_name_of_point(name: str) -> bool:
    """Whether a text can be the name of a point, of this version or another, and so of its folder."""
    return (name.isprintable() and not {"/", "\\"} & set(name) and set(name) - {"."} != set()
            and len(name.encode()) <= 255)


def _variant(extra: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {' '.join(_words(value))}" for name, value in extra.items())


def _words(value: Any) -> list[str]:
    """A value of an axis in words."""
    if isinstance(value, Mapping):
        if "method" in value:
            return words_of(value)
        return [f"{key}={' '.join(_words(inner))}" for key, inner in value.items()]
    return ["none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)]


def _is_axis(value: Any) -> bool:
    """Whether a setting of a block is told in the names of its points."""
    return isinstance(value, list) or (isinstance(value, Mapping) and "method" in value
                                       and any(isinstance(flag, list) for flag in value.values()))


def _values(name: str, value: Any) -> list[Any]:
    """The values of an axis: those of a list, and each choice once for every combination of the lists in its flags."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise ConfigError("sweep", f"{name} must hold at least one value", got="an empty list")
    every: list[Any] = []
    for one in values:
        if isinstance(one, Mapping) and "method" in one:
            flags = {flag: _values(f"{flag} of {name}", inner) for flag, inner in one.items()}
            _check_few(name, math.prod(map(len, flags.values())))
            every += [dict(zip(flags, each, strict=True)) for each in itertools.product(*flags.values())]
        else:
            every.append(one)
    return every


def _check_few(name: str, points: int) -> None:
    """ConfigError for more than a sweep can have: a few lists multiply to any number."""
    if points > MOST_POINTS:
        raise ConfigError("sweep", f"{name} must give at most {MOST_POINTS:,} points", got="more",
                          cause="Every list is an axis, and axes are multiplied; write several grids")


def _product(axes: Mapping[str, list[Any]], names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Every combination of the values of some axes, the last one changing fastest."""
    names = list(names)
    return (dict(zip(names, values, strict=True)) for values in itertools.product(*(axes[name] for name in names)))
