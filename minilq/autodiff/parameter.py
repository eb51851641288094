"""Parameter: a tensor that is trained, what it must stay within, and how fast it moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from minilq.arguments import check_plain, is_bound, is_number, shown
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError


class Constraint(Protocol):
    """What every optimizer applies after each step: an object that changes the array in place, to what is allowed.

    No plain function: where it is an attribute of a class, as `latent` of a method, that would become a method itself.
    """

    def __call__(self, p: Array, /) -> None: ...


Bounds = tuple[float, float]
ANYTHING: Bounds = (-math.inf, math.inf)


@dataclass(frozen=True)
class Within:
    """The constraint low <= p <= high, for every entry: what lies outside is set to the bound.

    low, high   numbers; None for no bound on that side
    Raises      ConfigError for what is no number, and for low > high

    >>> p = np.array([-2.0, 0.5, 3.0])
    >>> Within(-1, 1)(p); p
    array([-1. ,  0.5,  1. ])
    """

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is not None and not is_bound(bound):
                raise ConfigError("Within", f"{name} must be a number, or None for no bound", got=shown(bound))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError("Within", "low must not be above high", got=f"low={self.low}, high={self.high}")

    def __call__(self, p: Array) -> None:
        hold_within(p, *self.bounds)

    @cached_property
    def bounds(self) -> Bounds:
        """Low and high, infinite where there is none."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


@dataclass(frozen=True, eq=False)
class Masked:
    """The constraint p = 0 where a mask is 0: what is pruned stays pruned.

    mask        booleans, or integers such as codes, of the shape of p. It is read each time: who owns the array may go
                on changing it
    Raises      ConfigError for what is no such array

    >>> p = np.array([-2.0, 0.5])
    >>> Masked(np.array([True, False]))(p); p
    array([-2.,  0.])
    """

    mask: Array

    def __post_init__(self) -> None:
        check_plain("Masked", self.mask, "the mask")
        if not isinstance(self.mask, np.ndarray) or self.mask.dtype.kind not in "biu":
            raise ConfigError("Masked", "the mask must be an array of booleans or integers", got=shown(self.mask),
                              cause="Compare: Masked(np.abs(w) > 0.1)")

    def __call__(self, p: Array) -> None:
        p[self.mask == 0] = 0

    def allows(self, p: Array) -> bool:
        """Anything: whoever brings other numbers, as from a checkpoint, brings another mask with them."""
        return True


def hold_within(p: Array, low: float, high: float) -> None:
    """Set what is below low to low, and what is above high to high; NaN stays."""
    if low > -math.inf:
        np.maximum(p, p.dtype.type(low), out=p)
    if high < math.inf:
        np.minimum(p, p.dtype.type(high), out=p)


class Parameter(Tensor):
    """A Tensor that is trained: its gradient is always wanted.

    data, dtype     as for Tensor
    constraint      a function of the array, applied in place after every step of an optimizer; None for none
    lr              multiplies the optimizer's learning rate for this parameter, >= 0
    second_moment   the mean of squared gradients that an Adam keeps for it, the very array; None without one
    Raises          as Tensor; ConfigError for a constraint that cannot be called and for another lr

    >>> Parameter([0.5], Within(low=1e-5), dtype=np.float32)
    Tensor([0.5], float32, requires_grad=True)
    """

    __slots__ = ("constraint", "lr", "second_moment")

    constraint: Constraint | None
    lr: float
    second_moment: Array | None

    def __init__(self, data: Any, constraint: Constraint | None = None, lr: float = 1.0, dtype: Any = None) -> None:
        super().__init__(data, requires_grad=True, dtype=dtype)
        if not (constraint is None or callable(constraint)):
            raise ConfigError("Parameter", "constraint must be a function of the array, such as Within(-1, 1)",
                              got=shown(constraint))
        if not (is_number(lr) and lr >= 0):
            raise ConfigError("Parameter", "lr, a factor on the learning rate, must be a number >= 0", got=shown(lr))
        self.constraint, self.lr, self.second_moment = constraint, float(lr), None
