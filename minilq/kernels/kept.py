"""What kernels make of a weight before they use it, a transform or another order, kept as long as the weight is."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from minilq.kernels.groups import Array

_made: dict[int, tuple[weakref.ref[Array], dict[str, Any]]] = {}


def final(a: Array) -> None:
    """Say that nobody will write into an array any more (nn/kept.py does, of arrays that nobody else has)."""
    number = id(a)
    _made[number] = (weakref.ref(a, lambda _: _made.pop(number, None)), {})


def once(name: str, make: Callable[[Array], Any], a: Array) -> Any:
    """make(a); of what is final, made at the first call."""
    whose, made = _made.get(id(a), (None, {}))
    if whose is None or whose() is not a:
        return make(a)
    if name not in made:
        made[name] = make(a)
    return made[name]
