"""Primitives: a forward on arrays, its vector-Jacobian product beside it, and what kind of derivative that is."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import numpy as np

from minilq.autodiff.tape import Array, Node, Storage, is_recording
from minilq.autodiff.tensor import OPERATORS, Tensor
from minilq.errors import ConfigError, DTypeError

Kind = Literal["exact", "surrogate", "heuristic"]
P = ParamSpec("P")
R = TypeVar("R")

KINDS: tuple[Kind, ...] = ("exact", "surrogate", "heuristic")
PRIMITIVES: dict[str, Primitive] = {}


class WithResidual(NamedTuple):
    """What a forward returns when its derivative can use more than the arguments and the result.

    `residual` (batch statistics, the mask of a dropout) is kept on the tape and reaches the vector-Jacobian product
    as its keyword `residual`; callers of the operation see y alone.
    """

    y: Array
    residual: Any


class Primitive:
    """What the tape knows of one operation.

    `kind` says what its vector-Jacobian product is: `exact`, the derivative; `surrogate`, a pretend derivative of a
    forward that has none (straight-through); `heuristic`, an update rule that is the derivative of nothing.
    """

    def __init__(self, name: str, forward: Callable[..., Array]) -> None:
        self.name = name
        self.forward = forward
        self.kind: Kind | None = None
        self.vjp: Callable[..., tuple[Array | None, ...]] | None = None
        self.signature = inspect.signature(forward)
        self.needed_arguments: list[tuple[int, str]] = []
        self.needed_positions: frozenset[int] = frozenset()
        self.needs_result = False
        self.vjp_takes_need = False

    def gradients(self, g: Array, node: Node) -> tuple[Array | None, ...]:
        """Call the vector-Jacobian product of a recorded node."""
        assert self.vjp is not None
        assert node.args is not None
        options = node.options
        if self.vjp_takes_need:
            options = {**options, "need": tuple([t is not None and t.requires_grad for t in node.inputs])}
        gradients = self.vjp(g, node.y, *node.args, **options)
        if not isinstance(gradients, tuple):
            raise ConfigError(f"{self.name}_vjp", "must return a tuple with one gradient for each array argument",
                              got=type(gradients).__name__, cause="Write return (dx,) for a single one")
        for tensor in node.inputs[len(gradients):]:
            if tensor is not None and tensor.requires_grad:
                raise ConfigError(self.name, f"only its first {len(gradients)} arguments are differentiable",
                                  got="a Tensor that requires a gradient in a later place")
        return gradients


def primitive(forward: Callable[P, Any]) -> Callable[P, Any]:
    """Turn a function on arrays into an operation that also takes Tensors, and is recorded when they need gradients.

    Called with arrays alone it is the plain function. Its derivative follows directly under it, see `vjp_of`.
    """
    entry = Primitive(forward.__name__, forward)
    known = PRIMITIVES.get(entry.name)
    if known is not None and _origin(known.forward) != _origin(forward):      # a notebook cell may run twice
        raise ConfigError("primitive", "every primitive needs a name of its own", got=f"a second {entry.name!r}")
    PRIMITIVES[entry.name] = entry

    @functools.wraps(forward)
    def call(*args: P.args, **options: P.kwargs) -> Any:
        if options:                              # as positions, so that every check below sees them
            bound = entry.signature.bind(*args, **options)
            args, options = bound.args, bound.kwargs  # type: ignore[assignment]
        arrays, inputs, dtype, wanted = _unpack(entry.name, args)
        result = entry.forward(*(args if dtype is None else arrays), **options)
        if isinstance(result, WithResidual):
            result, options = result.y, {"residual": result.residual}
        if dtype is None:
            return result
        y = np.asarray(result)
        if y.dtype != dtype:                     # a Python number widened a 0-d array (NumPy 1.26)
            y = y.astype(dtype)
        storage = _storage_for(y, inputs)
        if not wanted or not is_recording():
            return Tensor.wrap(y, storage)
        if entry.vjp is None:
            raise ConfigError(entry.name, "a primitive needs a derivative before it can be recorded",
                              cause=f"Write {entry.name}_vjp under it and register it with @vjp_of")
        for position, _ in entry.needed_arguments:       # what is no Tensor is not watched, so it is copied
            if position < len(arrays) and inputs[position] is None:
                a = arrays[position]
                arrays[position] = a.copy() if isinstance(a, np.ndarray) else copy.deepcopy(a)
        return Tensor.wrap(y, storage, Node(entry, arrays, options, inputs, y, storage))

    call.primitive = entry  # type: ignore[attr-defined]
    OPERATORS[entry.name] = call
    return call


def vjp_of(operation: Callable[..., Any], kind: Kind, needs: str = "all",
           ) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Register the vector-Jacobian product of an operation: `vjp(g, y, *the forward's arguments)`.

    It returns a tuple with one gradient for each array argument, in order; arguments beyond the tuple are options.
    A product that can save work takes `need`, a tuple that says whose gradient is wanted, and may return None
    elsewhere. `needs` names the arrays whose content it reads (`"x w"`, with `y` for the result, `""` when shapes
    are enough); changing one of them in place before the backward pass is an error.
    """
    if not hasattr(operation, "primitive"):
        raise ConfigError("vjp_of", "a derivative belongs to a primitive",
                          got=getattr(operation, "__name__", repr(operation)),
                          cause="Write @primitive above the forward")
    entry: Primitive = operation.primitive
    if kind not in KINDS:
        raise ConfigError("vjp_of", f"kind must be one of {', '.join(KINDS)}", got=repr(kind))
    names = list(entry.signature.parameters)
    wanted = [*names, "y"] if needs == "all" else needs.split()
    for name in wanted:
        if name not in names and name != "y":
            raise ConfigError("vjp_of", f"needs must name arguments of {entry.name} or y", got=repr(name))

    def register(vjp: Callable[..., R]) -> Callable[..., R]:
        entry.vjp = vjp  # type: ignore[assignment]
        entry.kind = kind
        entry.needed_arguments = [(names.index(name), name) for name in wanted if name in names]
        entry.needed_positions = frozenset(position for position, _ in entry.needed_arguments)
        entry.needs_result = "y" in wanted
        entry.vjp_takes_need = "need" in inspect.signature(vjp).parameters
        return vjp

    return register


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _unpack(op: str, args: tuple[Any, ...],
            ) -> tuple[list[Any], list[Tensor | None], np.dtype[Any] | None, bool]:
    """What every call needs to know of its arguments, in one loop, because it runs before every operation.

    Returns the arguments with arrays in place of Tensors; the Tensors, None in place of everything else; the one dtype
    of all Tensors, None without a Tensor; and whether a Tensor wants a gradient.
    """
    arrays: list[Any] = []
    inputs: list[Tensor | None] = []
    dtype: np.dtype[Any] | None = None
    wanted = False
    plain = False
    for a in args:
        if isinstance(a, Tensor):
            arrays.append(a.array)
            inputs.append(a)
            wanted = wanted or a.requires_grad
            if dtype is None:
                dtype = a.array.dtype
            elif a.array.dtype != dtype:
                raise DTypeError(op, "all tensors must have one dtype", got=f"{dtype} and {a.array.dtype}",
                                 cause="Give both one dtype, as in Tensor(data, dtype=np.float32)")
        else:
            if isinstance(a, (np.floating, np.integer)):
                a = a.item()                     # a NumPy number counts as a Python number: it takes the tensors' dtype
            arrays.append(a)
            inputs.append(None)
            plain = plain or isinstance(a, np.ndarray)
    if plain and dtype is not None:
        for a in args:
            if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.dtype != dtype:
                raise DTypeError(op, "arrays must have the dtype of the tensors", got=f"{a.dtype} beside {dtype}",
                                 cause="Give both one dtype, as in Tensor(data, dtype=np.float32)")
    return arrays, inputs, dtype, wanted


def _storage_for(y: Array, inputs: list[Tensor | None]) -> Storage:
    """A storage of its own, or that of the input of which y is a view."""
    for tensor in inputs:
        if tensor is not None and (y is tensor.array or (
                y.base is not None and np.may_share_memory(y, tensor.array))):
            return tensor.storage
    return Storage(y)
