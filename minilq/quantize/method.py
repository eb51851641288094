"""Quantizer: a method, what a network sees in place of a tensor. One file for each in quantize/methods/."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minilq.arguments import as_array, shown
from minilq.autodiff.parameter import Constraint, Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, meant
from minilq.quantize.coded import Coded

if TYPE_CHECKING:
    from minilq.quantize.methods.scaled import Scaled

Held = Mapping[str, Parameter | Array]
"""What a method holds for one tensor. A Parameter is trained, an array is remembered."""

QUANTIZERS: dict[str, type[Quantizer]] = {}
"""Methods by the names that the command line, files and sweeps know them by, "lsq-plus" for LSQPlus, once they are
imported. From quantize/methods it comes with all of minilq's own."""


class Quantizer:
    """Base of every method: a frozen dataclass of flags, without state of its own.

    A method is told the tensor x and what it holds for it, and answers:

        start(x)                    what it holds at first, from the array x: {} for nothing
        method(x, held, training)   what the network sees, a Tensor; in training it may write into the arrays it holds
        coded(x, held)              the same as integers: coded(x, held).values == method(x, held), bit for bit
        scale(held)                 the scale > 0 of an even grid around 0, for penalties; None where there is none
        scaled                      the Scaled that rounds as it does, where there is such a scale
        penalty(held)               what it adds to the loss; None for nothing
        latent                      what keeps x itself in range where x is a parameter; None for nothing
        constraint(held)            the same, where it depends on what the method holds, a mask; else `latent`
        latent_lr(shape)            multiplies the learning rate of x where x is a parameter
        observe(x, held)            after a backward pass: counts for the history (they add up over tensors and have
                                    `columns()`), or None

    start and coded take arrays; x of the call is a Tensor. Subclasses register themselves under `name`, in small
    letters with hyphens.

    variants    ClassVar: the flags that `minilq check` and the tests try
    on_bias     ClassVar: whether the method quantizes biases too unless told otherwise
    """

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({},)
    on_bias: ClassVar[bool] = False
    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()
        known = QUANTIZERS.get(cls.name)
        if known is not None and _origin(known) != _origin(cls):         # a notebook cell may run twice
            raise ConfigError("Quantizer", "every method needs a name of its own", got=f"a second {cls.name!r}")
        QUANTIZERS[cls.name] = cls

    @property
    def latent(self) -> Constraint | None:
        return None

    def constraint(self, held: Held) -> Constraint | None:
        return self.latent

    def latent_lr(self, shape: tuple[int, ...]) -> float:
        return 1.0

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        return {}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        raise NotImplementedError

    def coded(self, x: Array, held: Held) -> Coded:
        raise NotImplementedError

    def scale(self, held: Held) -> Tensor | None:
        return None

    @property
    def scaled(self) -> Scaled | None:
        return None

    def penalty(self, held: Held) -> Tensor | None:
        return None

    def observe(self, x: Tensor, held: Held) -> Any | None:
        return None


def _origin(method: type[Quantizer]) -> tuple[str, str]:
    return method.__module__, method.__qualname__


def method_named(name: str) -> type[Quantizer]:
    """The class of a name. Raises ConfigError for an unknown one."""
    import minilq.quantize.methods  # noqa: F401 - now QUANTIZERS holds them all

    if not isinstance(name, str) or name not in QUANTIZERS:
        raise ConfigError("method", f"must be one of {', '.join(sorted(QUANTIZERS))}", got=repr(name),
                          cause=meant(name, QUANTIZERS))
    return QUANTIZERS[name]


def plain(x: Any, name: str = "x") -> Array:
    """The array of a Tensor, or the array itself: `start` and `coded` take both, and lists of numbers."""
    return x.array if isinstance(x, Tensor) else as_array("method", x, name)


def trained(held: Held, name: str) -> Tensor:
    """What a method trains under this name: a Parameter, or whatever Tensor stands for it in a check of gradients."""
    value = held[name] if type(held) is dict and name in held else _held(held, name)
    if not isinstance(value, Tensor):
        raise ConfigError("method", f"held must be what start gave, with {name!r} in it, a Parameter", got=shown(value))
    return value


def remembered(held: Held, name: str) -> Array:
    """The array that a method remembers under this name."""
    value = _held(held, name)
    if not isinstance(value, np.ndarray):
        raise ConfigError("method", f"held must be what start gave, with {name!r} in it, an array", got=shown(value))
    return value


def seen(x: Any) -> Tensor:
    """The Tensor that a method is called with, or one of an array."""
    return x if isinstance(x, Tensor) else Tensor(x)


def holds(held: Held, name: str) -> bool:
    """Whether a method holds something under this name."""
    return isinstance(held, Mapping) and name in held


def _held(held: Held, name: str) -> Any:
    if not holds(held, name):
        raise ConfigError("method", f"held must be what start gave, with {name!r} in it", got=shown(held))
    return held[name]
