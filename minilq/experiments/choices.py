"""Choices of a run: the methods of weights, inputs and single sites, and the short forms of the weights' flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minilq.errors import ConfigError
from minilq.experiments.checks import is_name, number, one_of
from minilq.quantize import Quantizer, stochastic
from minilq.quantize.flags import Choice, flags_of, method_of

SHORT = {"granularity": "granularity", "threshold": "lam", "gate": "gate", "rounding": "rounding"}
"""Settings that are short for a flag of the weights' method. The flags of the thesis' nested layer stand in them alone,
those of other methods in the choice."""

GRANULARITIES = ("row", "column", "channel", "filter", "scalar")
ROUNDINGS = ("floor", "nearest", "ceil", "trunc", "stochastic")


def method_from(choice: Choice | None, rng: np.random.Generator) -> Quantizer | None:
    """The method of a choice, None for full precision; stochastic rounding draws from the generator.

    >>> method_from({"method": "nested", "lam": 1e-9}, np.random.default_rng(0)).lam
    1e-09
    """
    if choice is None:
        return None
    if choice.get("rounding") == "stochastic" and "rounding" in flags_of(choice["method"]):
        choice = {**choice, "rounding": stochastic(rng)}
    return method_of(choice)


def checked(name: str, choice: Any) -> Choice | None:
    """A choice with lists for tuples, as JSON has it. Raises ConfigError for what is none, and for what its method does
    not take."""
    if choice is None:
        return None
    if not (isinstance(choice, Mapping) and isinstance(choice.get("method"), str)
            and all(isinstance(flag, str) for flag in choice)):
        raise ConfigError("train", f"{name} must be a method with flags, or none", got=repr(choice)[:80],
                          cause='For example {"method": "lsq", "bits": 4}')
    plain = {flag: list(value) if isinstance(value, tuple) else value for flag, value in choice.items()}
    method_from(plain, np.random.default_rng(0))
    return plain


def checked_own(own: Any) -> dict[str, Choice | None]:
    """Choices of single sites. Raises ConfigError as `checked`."""
    if not isinstance(own, Mapping) or not all(map(is_name, own)):
        raise ConfigError("train", "own must be a dict of names of sites and methods", got=repr(own)[:80],
                          cause='For example {"dense1.weight": {"method": "lsq", "bits": 8}}')
    return {site: checked(f"own {site}", choice) for site, choice in own.items()}


def settled(weights: Choice | None, short: Mapping[str, Any], usual: Mapping[str, Any],
            ) -> tuple[Choice | None, dict[str, Any]]:
    """The weights' choice and the short forms, every flag in one place.

    short       the settings of SHORT, None for what was not said
    usual       what the nested layer has where nothing is said
    Raises      ConfigError for a short form that the method does not have, for what is said twice and differently

    >>> nothing = dict.fromkeys(SHORT)
    >>> settled({"method": "lsq"}, {**nothing, "granularity": "filter"}, {})[0]
    {'method': 'lsq', 'granularity': 'filter'}
    >>> settled({"method": "nested", "lam": 0.1}, nothing, {"granularity": "row", "gate": True, "rounding": "floor"})[1]
    {'granularity': 'row', 'threshold': 0.1, 'gate': True, 'rounding': 'floor'}
    """
    said = {setting: value for setting, value in short.items() if value is not None}
    if weights is None:
        if said:                                 # not of the thesis' layer in silence
            raise ConfigError("train", "weights without a method have no flags", got=", ".join(said),
                              cause="Give them a method, such as --weights nested")
        return None, dict.fromkeys(SHORT)
    name, known, flags = weights["method"], flags_of(weights["method"]), dict(weights)
    for setting, value in said.items():
        flag = SHORT[setting]
        if flag not in known:
            raise ConfigError("train", f"{setting} is no flag of the method {name}", got=f"{setting} {value}",
                              cause=f"Its flags are {', '.join(known) or 'none'}; it is one of nested")
        if flag in flags and flags[flag] != value:
            raise ConfigError("train", f"{setting} must be said once", got=f"{flags[flag]} and {value}")
        flags[flag] = value
    if name != "nested":
        return checked("weights", flags), dict.fromkeys(SHORT)
    full = {setting: flags.pop(flag) if flag in flags else usual.get(setting) for setting, flag in SHORT.items()}
    return flags, full


def check_nested(short: Mapping[str, Any]) -> None:
    """ConfigError for short forms that the nested layer does not take."""
    one_of("granularity", short["granularity"], GRANULARITIES)
    one_of("rounding", short["rounding"], ROUNDINGS)
    number("threshold", short["threshold"])
    if not isinstance(short["gate"], bool):
        raise ConfigError("train", "gate must be a bool", got=repr(short["gate"]))
