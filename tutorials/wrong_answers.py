"""Wrong answers of the usual kinds, made of right ones: no check may accept them, or end in a traceback."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Function = Callable[..., Any]
Spoil = Callable[[Any], Any]


def blanks(exercise: str) -> list[str]:
    """The names that an exercise wants: functions and assignments with a ... in them that is compared with nothing.

    >>> blanks("n = 3\\npush = ...\\ndef f(x):\\n    return ..., ...\\ndef g(x):\\n    return x")
    ['push', 'f']
    """
    found = []
    for node in ast.parse(exercise).body:
        compared = {part for inner in ast.walk(node) if isinstance(inner, ast.Compare) for part in ast.walk(inner)}
        if any(isinstance(inner, ast.Constant) and inner.value is ... for inner in {*ast.walk(node)} - compared):
            found += [node.name] if isinstance(node, ast.FunctionDef) else []
            found += [name.id for name in getattr(node, "targets", []) if isinstance(name, ast.Name)]
    return found


def wrong_answers(right: Any, is_open: bool) -> Iterator[tuple[str, Any]]:
    """(kind, wrong answer) for a right one, a function or a value; of an open exercise only that nothing comes back."""
    for kind, spoil in list(KINDS.items())[:1 if is_open else None]:
        yield kind, after(right, spoil) if callable(right) else spoil(right)
    if callable(right) and not is_open:
        yield "typed in", typed_in(right)


def after(right: Function, spoil: Spoil) -> Function:
    return lambda *arguments: spoil(right(*arguments))


def typed_in(right: Function) -> Function:
    """The answer to the first call, whatever the arguments."""
    kept: list[Any] = []

    def function(*arguments: Any) -> Any:
        if not kept:
            kept.append(right(*arguments))
        return kept[0]
    return function


def part(change: Spoil) -> Spoil:
    """A change of an answer, of its last part if it has several."""
    def changed(answer: Any) -> Any:
        if isinstance(answer, (tuple, list)):
            return type(answer)([*answer[:-1], change(answer[-1])])
        return change(answer)
    return changed


KINDS: dict[str, Spoil] = {
    "a forgotten return": lambda answer: None,
    "a text": lambda answer: "x / s",
    "another shape": part(lambda a: np.stack([a, a])),
    "twice": part(lambda a: 2 * np.asarray(a)),
    "minus": part(lambda a: -np.asarray(a)),
    "one too large": part(lambda a: np.asarray(a) + 1),
}


def tried(exercise: str, is_open: bool, names: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what is wrong, the names of a solved exercise with one of its answers spoiled)."""
    for name, position in zip(blanks(exercise), itertools.count()):
        for kind, wrong in wrong_answers(names[name], is_open):
            yield f"{kind} in {name}" if position else kind, {**names, name: wrong}
