"""What the tape knows of one operation: its forward, its derivative, its smooth program, and how to call them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from minilq.autodiff import guard
from minilq.autodiff.memory import active, replaying, same_draws
from minilq.autodiff.tape import Array, mode
from minilq.errors import ConfigError, GradientError

if TYPE_CHECKING:
    from minilq.autodiff.tape import Node

Kind = Literal["exact", "surrogate", "defined", "heuristic"]
"""What a vector-Jacobian product is:

    exact        the derivative
    surrogate    a pretended one: the derivative of a smooth program with the same value, which stands under it
    defined      derived from nothing: what a paper says
    heuristic    the derivative of nothing
"""

# rng -> (arrays, the operation's first arguments, of which the float64 ones are differentiated; the others by name)
SamplePoints = Callable[["np.random.Generator"], tuple[list[Array], dict[str, Any]]]

PACKAGE = str(Path(__file__).parents[1]) + os.sep
KINDS: tuple[Kind, ...] = ("exact", "surrogate", "defined", "heuristic")


class WithResidual(NamedTuple):
    """What a forward returns when its derivative can use more than the arguments and the result.

    `residual` (batch statistics, the mask of a dropout) is kept on the tape and reaches the vector-Jacobian product
    as its keyword `residual`; callers of the operation see y alone.
    """

    y: Array
    residual: Any


def is_own(function: Callable[..., Any]) -> bool:
    """Whether a function stands in one of minilq's own files."""
    code = getattr(inspect.unwrap(function), "__code__", None)           # None for a function of NumPy
    return code is not None and code.co_filename.startswith(PACKAGE)


class Primitive:
    """What the tape knows of one operation.

    `kind` says what its vector-Jacobian product is: `exact`, the derivative; `surrogate`, a pretend derivative of a
    forward that has none (straight-through), and the true one of its smooth program; `defined`, a surrogate whose
    smooth program is made from it; `heuristic`, an update rule that is the derivative of nothing.
    """

    def __init__(self, name: str, forward: Callable[..., Array]) -> None:
        self.name = name
        self.forward = forward
        self.kind: Kind | None = None
        self.vjp: Callable[..., tuple[Array | None, ...]] | None = None
        self.smooth: Callable[..., Any] | None = None
        self.heuristic: str | Callable[..., str] = ""
        self.at: SamplePoints | None = None
        self.signature = inspect.signature(forward)
        self.needed_arguments: list[tuple[int, str]] = []
        self.needed_positions: frozenset[int] = frozenset()
        self.needs_result = False
        self.vjp_takes_need = False
        self.own = is_own(forward)
        self.trusted = False                     # its derivative is minilq's own, and known not to write

    def gradients(self, g: Array, node: Node) -> tuple[Array | None, ...]:
        """Call the vector-Jacobian product of a recorded node."""
        assert self.vjp is not None
        assert node.args is not None
        options = node.options
        if self.vjp_takes_need:
            options = {**options, "need": tuple([t is not None and t.requires_grad for t in node.inputs])}
        watched = mode.checking
        if watched:
            with replaying(None):                # what the derivative itself calls is no part of the program
                gradients = guard.watched(f"{self.name}_vjp", self.vjp, (g, node.y, *node.args), options,
                                          self.unneeded(len(node.args)))
        elif self.trusted:
            gradients = self.vjp(g, node.y, *node.args, **options)
        else:
            gradients = guard.read_only(f"{self.name}_vjp", self.vjp, (g, node.y, *node.args), options)
        if not isinstance(gradients, tuple):
            raise ConfigError(f"{self.name}_vjp", "must return a tuple with one gradient for each array argument",
                              got=type(gradients).__name__, cause="Write return (dx,) for a single one")
        for tensor in node.inputs[len(gradients):]:
            if tensor is not None and tensor.requires_grad:
                raise ConfigError(self.name, f"only its first {len(gradients)} arguments are differentiable",
                                  got="a Tensor that requires a gradient in a later place")
        return self.without_heuristics(gradients, node) if watched else gradients

    def unneeded(self, count: int) -> dict[int, str]:
        """Position in (g, y, *args) -> name of what the derivative has not said that it reads."""
        names = list(self.signature.parameters)
        positions = {2 + i: names[min(i, len(names) - 1)] for i in range(count) if i not in self.needed_positions}
        return positions if self.needs_result else {1: "y", **positions}

    def heuristics(self, *args: Any, **options: Any) -> list[str]:
        """The arguments whose "gradient" is a heuristic, in a call with these arguments."""
        if callable(self.heuristic):
            return self.heuristic(*args, **options).split()
        return self.heuristic.split() or (list(self.signature.parameters) if self.kind == "heuristic" else [])

    def without_heuristics(self, gradients: tuple[Array | None, ...], node: Node) -> tuple[Array | None, ...]:
        """In a replay, NaN in place of every heuristic that is asked for: nobody is to verify one."""
        memory = active.memory
        if memory is None:
            return gradients
        assert node.args is not None
        options = {name: value for name, value in node.options.items() if name != "residual"}
        names = self.heuristics(*node.args, **options)
        for position, name in enumerate(self.signature.parameters):
            tensor = node.inputs[position] if position < len(gradients) else None
            if name in names and tensor is not None and tensor.requires_grad:
                memory.heuristics.append(f"{self.name}'s gradient of {name}")
                nothing = np.full_like(tensor.array, np.nan)
                gradients = (*gradients[:position], nothing, *gradients[position + 1:])
        return gradients

    def replayed(self, *args: Any, **options: Any) -> Any:
        """What a replay runs in place of the forward: the smooth program, where there is one."""
        memory = active.memory
        if memory is None or self.smooth is None:
            return self.forward(*args, **options)
        if memory.position is not None:
            return self.smooth(memory.keep, *args, **options)
        with replaying(None), same_draws(args, options):
            expected = _value(self.forward(*args, **options))
        result = self.smooth(memory.keep, *args, **options)
        self.check_smooth(_value(result), expected)
        return result

    def check_smooth(self, y: Array, expected: Array) -> None:
        """GradientError when the smooth program does not have the forward's value at the recorded point."""
        size = np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))
        if y.shape != expected.shape or not np.allclose(y, expected, rtol=1e-9, atol=1e-9 * size, equal_nan=True):
            raise GradientError(
                f"{self.name}_smooth", f"must have the value of {self.name} at the recorded point",
                got=f"shape {y.shape} for {expected.shape}" if y.shape != expected.shape else
                f"numbers that differ by up to {np.max(np.abs(y - expected)):.3g}",
                cause="Where it rounds, the residual of the rounding must be kept: u + keep(np.rint(u) - u)")


def _value(result: Any) -> Array:
    return np.asarray(result.y if isinstance(result, WithResidual) else result)
