"""The command that gives a run again."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from minilq.experiments.config import RunConfig
from minilq.quantize.flags import in_one_word, words_of

OPTION_OF = {"start_from": "from", "layer_thresholds": "layer-threshold", "layer_rates": "layer-rate",
             "gate": "no-gate"}
"""Settings that the command line calls by other names."""

FIRST = ("data", "recipe", "weights", "own", "penalty", "rate", "quick")
"""Settings on which the usual values of others depend."""


def option_of(name: str) -> str:
    """What the command line calls a setting.

    >>> option_of("start_from"), option_of("data_dir")
    ('--from', '--data-dir')
    """
    return f"--{OPTION_OF.get(name, name.replace('_', '-'))}"


def command(config: RunConfig) -> str:
    """The `minilq train` command with exactly these settings; those that the recipe has for the data are left out.

    >>> command(RunConfig(data="mnist", penalty="difference", rate=1e-7, gate=False))
    'minilq train --data mnist --no-gate --penalty difference --rate 1e-07'
    >>> command(RunConfig(weights={"method": "lsq", "bits": 4}, own={"dense2.bias": None}))
    'minilq train --weights lsq bits=4 --own dense2.bias=none'
    """
    usual = RunConfig(**{name: getattr(config, name) for name in FIRST})
    words = ["minilq", "train"]
    for name in (setting.name for setting in fields(RunConfig)):
        value = getattr(config, name)
        plain = getattr(RunConfig() if name in FIRST else usual, name)
        if value != plain:
            words += _words(name, value)
    return shlex.join(words)


def going_on(folder: Path) -> str:
    """The command that goes on with a run.

    >>> going_on(Path("my run"))
    "minilq train --resume 'my run'"
    """
    return shlex.join(["minilq", "train", *_option("--resume", str(folder))])


def _words(name: str, value: Any) -> list[str]:
    option = option_of(name)
    if name in ("weights", "inputs"):
        return [option, *(["none"] if value is None else words_of(value))]
    if name == "own":
        return [word for site, choice in value.items()
                for word in (option, f"{site}={'none' if choice is None else in_one_word(choice)}")]
    if isinstance(value, dict):
        return [word for layer, number in value.items() for word in (option, f"{layer}={float(number)!r}")]
    if isinstance(value, bool):
        return [option]
    text = repr(float(value)) if isinstance(value, float) else str(value)
    return _option(option, text)


def _option(option: str, text: str) -> list[str]:
    return [f"{option}={text}"] if text.startswith("-") else [option, text]
