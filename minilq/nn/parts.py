"""Parts: how a layer finds what it is made of, in its own attributes.

A Parameter is trained, an array is remembered, a Part (a layer or a site) is looked into, and so are those in a list, a
tuple or a dict. Each is there once, under the first name that leads to it: a layer that stands in two places is
counted, trained and saved once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError


class Part:
    """What has parts of its own."""

    def parts(self) -> Iterable[tuple[str, Any]]:
        """What it is made of, by name: its attributes, unless a class says otherwise."""
        return vars(self).items()


def walk(name: str, thing: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Every Parameter, array and Part in a thing, itself included; not those that have been `seen`.

    Raises ConfigError for a Tensor that wants a gradient and is no Parameter: nothing would train it.
    """
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(thing, (Parameter, np.ndarray, Part)):
        if id(thing) in seen:
            return
        seen.add(id(thing))
        yield name, thing
        if isinstance(thing, Part):
            parts = thing.parts()
    elif isinstance(thing, Mapping):
        parts = thing.items()
    elif isinstance(thing, (list, tuple)):
        parts = enumerate(thing)
    elif isinstance(thing, Tensor) and thing.requires_grad:
        raise ConfigError("Layer", "what a layer trains must be a Parameter", got=f"{name}, a Tensor",
                          cause=f"Write Parameter(...) for {name}")
    for part, inner in parts:
        yield from walk(f"{name}.{part}" if name else str(part), inner, seen)
