"""Layer: a function of one Tensor that finds what it is made of in its own attributes.

A Parameter is trained, an array is remembered, a Layer is a part, and so are those in a list, a tuple or a dict. Each
is there once, under the first name that leads to it: a layer that stands in two places is counted, trained and saved
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError

if TYPE_CHECKING:
    from minilq.nn.site import Site


KINDS: dict[str, type[Layer]] = {}
"""Layers that say their settings, by the name of their class: those that a file can hold."""


class Layer:
    """A function of one Tensor.

    Called with training=True a layer behaves as in training (BatchNorm uses the statistics of the batch, Dropout
    drops); the default is what predictions need. Most layers do the same in both.
    """

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        if "settings" in vars(cls):              # said for itself, not for a class that it was derived from
            KINDS[cls.__name__] = cls

    def settings(self) -> dict[str, Any]:
        """What makes it again, as JSON can hold it; the layers that it is made of as layers. See store/architecture.py."""
        raise NotImplementedError

    @classmethod
    def made(cls, **settings: Any) -> Layer:
        """A layer of these settings, float32; what has been learned comes later."""
        return cls(**settings)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors of a layer of these settings, but for those of layers in it, before it is made."""
        return {}

    def parts(self) -> Iterable[tuple[str, Any]]:
        """What it is made of, by name: its attributes, unless a layer says otherwise."""
        return vars(self).items()

    def tensors(self) -> dict[str, Parameter | Array]:
        """Everything that is saved: what is trained and what is remembered."""
        return {name: t for name, t in walk("", self, set()) if not isinstance(t, Layer)}

    def sites(self) -> dict[str, Site]:
        """Every place that can be quantized."""
        from minilq.nn.site import Site

        return {name: site for name, site in walk("", self, set()) if isinstance(site, Site)}

    def parameters(self) -> dict[str, Parameter]:
        """Everything that is trained."""
        return {name: t for name, t in walk("", self, set()) if isinstance(t, Parameter)}

    def state(self) -> dict[str, Array]:
        """Copies of everything that is saved, by the names of `tensors`; see nn/state.py."""
        from minilq.nn.state import state_of

        return state_of(self)

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take what `state` gave, all or nothing; see nn/state.py."""
        from minilq.nn.state import take

        take(self, state)


def walk(name: str, thing: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Every Parameter, array and Layer in a thing, itself included; not those that have been `seen`.

    Raises ConfigError for a Tensor that wants a gradient and is no Parameter: nothing would train it.
    """
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(thing, (Parameter, np.ndarray, Layer)):
        if id(thing) in seen:
            return
        seen.add(id(thing))
        yield name, thing
        if isinstance(thing, Layer):
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
