"""Flags: a method as a name and plain values, for the command line, grids and files, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from minilq.errors import ConfigError
from minilq.quantize.method import Quantizer, method_named
from minilq.quantize.scale_rule import ScaleRule, rule_text

Choice = dict[str, Any]
"""{"method": name, flag: value, ...}: what JSON can hold."""


def method_of(choice: Mapping[str, Any]) -> Quantizer:
    """The method of a choice. Raises ConfigError for an unknown name or flag, and for what the method does not take.

    >>> method_of({"method": "nested", "lam": 1e-9})
    Nested(lam=1e-09, granularity='row', rounding='floor', gate=True, positivity='clamp')
    """
    flags = dict(choice)
    name = flags.pop("method", None)
    if not isinstance(name, str):
        raise ConfigError("method", "a choice must name its method", got=repr(choice))
    kind = method_named(name)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := [flag for flag in flags if flag not in known]:
        raise ConfigError(name, f"flags are {', '.join(known) or 'none'}", got=", ".join(unknown))
    flags = {flag: tuple(value) if isinstance(value, list) else value for flag, value in flags.items()}
    try:
        return kind(**flags)
    except TypeError as error:
        raise ConfigError(name, "every flag must be of the kind that the method takes", got=str(error)) from error


def choice_of(method: Quantizer) -> Choice | None:
    """The choice that gives a method again; None when one of its flags is a function, which has no text.

    >>> from minilq.quantize import Scaled, chain_rule
    >>> choice_of(Scaled("nearest", scale_rule=chain_rule(), qmax=7))
    {'method': 'scaled', 'rounding': 'nearest', 'scale_rule': 'chain_rule(1.0)', 'qmax': 7}
    """
    choice: Choice = {"method": method.name}
    for field in fields(method):  # type: ignore[arg-type]
        value = getattr(method, field.name)
        if value == field.default:
            continue
        if isinstance(value, ScaleRule):
            value = rule_text(value)
        elif isinstance(value, tuple):
            value = list(value)
        if not isinstance(value, (str, int, float, bool, list, type(None))):
            return None
        choice[field.name] = value
    return choice


def spelled(choice: Mapping[str, Any]) -> str:
    """A choice as the command line takes it.

    >>> spelled({"method": "lsq", "bits": 4, "granularity": "filter"})
    'lsq bits=4 granularity=filter'
    """
    return " ".join([str(choice["method"]), *(f"{flag}={_word(value)}" for flag, value in choice.items()
                                             if flag != "method")])


def parsed(words: list[str]) -> Choice:
    """A choice from the words of the command line, the method and then flag=value. Raises ConfigError.

    >>> parsed(["lsq", "bits=4", "signed=false", "granularity=0,3"])
    {'method': 'lsq', 'bits': 4, 'signed': False, 'granularity': [0, 3]}
    """
    choice: Choice = {"method": words[0]}
    for word in words[1:]:
        flag, is_there, value = word.partition("=")
        if not is_there or not flag:
            raise ConfigError(words[0], "flags must be written flag=value", got=repr(word))
        if flag in choice:
            raise ConfigError(words[0], "each flag must be there once", got=f"{flag} twice")
        choice[flag] = _value(value)
    return choice


def _value(text: str) -> Any:
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    parts = text.split(",")
    return [int(part) for part in parts] if len(parts) > 1 and all(p.lstrip("-").isdecimal() for p in parts) else text


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) if len(value) > 1 else f"{value[0]},"
    return str(value).lower() if value is None or isinstance(value, bool) else repr(value) if isinstance(
        value, float) else str(value)
