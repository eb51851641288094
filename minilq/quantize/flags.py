"""Flags: a method as a name and plain values, for the command line, grids and files, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from minilq.errors import ConfigError, MinilqError, meant
from minilq.quantize.method import Quantizer, method_named
from minilq.quantize.scale_rule import ScaleRule, rule_text

Choice = dict[str, Any]
"""{"method": name, flag: value, ...}: what JSON can hold."""

WORDS = {"true": True, "false": False, "none": None}


def method_of(choice: Mapping[str, Any]) -> Quantizer:
    """The method of a choice. Raises ConfigError for an unknown name or flag, and for what the method does not take.

    >>> method_of({"method": "nested", "lam": 1e-9})
    Nested(lam=1e-09, granularity='row', rounding='floor', gate=True, positivity='clamp')
    """
    flags = dict(choice)
    name = flags.pop("method", None)
    if not isinstance(name, str):
        raise ConfigError("method", "a choice must name its method", got=repr(choice))
    kind, known = method_named(name), flags_of(name)
    if unknown := [flag for flag in flags if flag not in known]:
        raise ConfigError(name, f"flags are {', '.join(known) or 'none'}", got=", ".join(map(str, unknown)),
                          cause=meant(unknown[0], known))
    flags = {flag: tuple(value) if isinstance(value, list) else value for flag, value in flags.items()}
    try:
        return kind(**flags)
    except MinilqError:
        raise
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConfigError(name, "every flag must be of the kind that the method takes",
                          got=f"{', '.join(f'{flag}={value!r}' for flag, value in flags.items())}: {error}") from error


def flags_of(name: str) -> list[str]:
    """The flags of the method of a name. Raises ConfigError for an unknown one.

    >>> flags_of("nested")
    ['lam', 'granularity', 'rounding', 'gate', 'positivity']
    """
    return [field.name for field in fields(method_named(name))]  # type: ignore[arg-type]


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


def words_of(choice: Mapping[str, Any]) -> list[str]:
    """A choice as words of the command line, the method and then flag=value; `parsed` reads them.

    >>> words_of({"method": "lsq", "bits": 4, "granularity": [0, 3], "signed": False})
    ['lsq', 'bits=4', 'granularity=0,3', 'signed=false']
    """
    return [str(choice["method"]), *(f"{flag}={_word(value)}" for flag, value in choice.items() if flag != "method")]


def spelled(choice: Mapping[str, Any]) -> str:
    """A choice as a reader writes it.

    >>> spelled({"method": "lsq", "bits": 4, "granularity": "filter"})
    'lsq bits=4 granularity=filter'
    """
    return " ".join(words_of(choice))


def parsed(words: Iterable[str]) -> Choice:
    """A choice from the words of the command line, the method and then flag=value. Raises ConfigError.

    >>> parsed(["lsq", "bits=4", "signed=false", "granularity=0,3"])
    {'method': 'lsq', 'bits': 4, 'signed': False, 'granularity': [0, 3]}
    """
    name, *rest = words
    if "=" in name:
        raise ConfigError("method", "the name of a method must come first", got=repr(name),
                          cause="For example lsq bits=4")
    choice: Choice = {"method": name}
    for word in rest:
        flag, is_there, value = word.partition("=")
        if not is_there or not flag:
            raise ConfigError(name, "flags must be written flag=value", got=repr(word))
        if flag in choice:
            raise ConfigError(name, "each flag must be there once", got=f"{flag} twice")
        choice[flag] = _value(value)
    return choice


def in_one_word(choice: Mapping[str, Any]) -> str:
    """A choice as one word, with commas; `split` gives the words again.

    >>> in_one_word({"method": "lsq", "bits": 4, "granularity": [0, 3]})
    'lsq,bits=4,granularity=0,3'
    """
    return ",".join(words_of(choice))


def split(word: str) -> list[str]:
    """The words that `in_one_word` joined: a comma ends one where another flag= follows, outside of brackets.

    >>> split("scaled,scale_rule=threshold(1e-9, False),granularity=0,3,qmax=7")
    ['scaled', 'scale_rule=threshold(1e-9, False)', 'granularity=0,3', 'qmax=7']
    """
    return re.split(r",(?![^()]*\))(?=[^,=()]+=)", word)


def _value(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    if re.fullmatch(r"-?\d+(,-?\d+)*,?", text) or text == ",":
        return [int(part) for part in text.split(",") if part]
    return text


def _word(value: Any) -> str:
    """The text that `_value` reads as this value."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) + "," * (len(value) < 2)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(float(value)) if isinstance(value, float) else str(value)
