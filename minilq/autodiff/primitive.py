"""Primitives: a forward on arrays, its vector-Jacobian product under it, and what kind of derivative that is."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from minilq.arguments import check_function, check_plain, native, shown
from minilq.autodiff.entry import KINDS, SamplePoints, is_own
from minilq.autodiff.entry import Kind as Kind
from minilq.autodiff.entry import Primitive as Primitive
from minilq.autodiff.entry import WithResidual as WithResidual
from minilq.autodiff.guard import untouched
from minilq.autodiff.memory import active
from minilq.autodiff.tape import Array, Call, Node, Storage, mode
from minilq.autodiff.tensor import OPERATORS, Tensor
from minilq.errors import ConfigError, DTypeError, meant

P = ParamSpec("P")
R = TypeVar("R")

PRIMITIVES: dict[str, Primitive] = {}
MANY = 1000
"""Arguments that a primitive with *x can be given and still have watched."""


def primitive(forward: Callable[P, Any]) -> Callable[P, Any]:
    """Turn a function on arrays into an operation that also takes Tensors, and is recorded when they need gradients.

    Called with arrays alone it is the plain function. Its derivative follows directly under it, see `vjp_of`.
    """
    if not callable(forward) or not hasattr(forward, "__name__"):
        raise ConfigError("primitive", "a forward must be a function with a name", got=shown(forward))
    try:
        entry = Primitive(forward.__name__, forward)
    except (TypeError, ValueError):
        raise ConfigError("primitive", "a forward must say its arguments", got=forward.__name__,
                          cause="Write def around a function of NumPy's") from None
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
        run = entry.forward if active.memory is None else entry.replayed
        kept = dtype is None or entry.own
        result = run(*arrays, **options) if kept else untouched(entry.name, run, arrays, options)
        if isinstance(result, WithResidual):
            options = {"residual": result.residual}  # type: ignore[assignment]
            result = result.y
        if dtype is None:
            return result
        y = result if type(result) is np.ndarray else np.asarray(result)
        if y.dtype != dtype:                     # a Python number widened a 0-d array (NumPy 1.26)
            y = y.astype(dtype)
        storage = _storage_for(y, inputs)
        tensor = Tensor.wrap(y, storage)
        if mode.calls is not None:
            mode.calls.append(Call(entry, [*arrays], options, [*inputs], tensor))
        if not wanted or not mode.recording:
            return tensor
        if entry.vjp is None:
            raise ConfigError(entry.name, "a primitive needs a derivative before it can be recorded",
                              cause=f"Write {entry.name}_vjp under it and register it with @vjp_of")
        for position, _ in entry.needed_arguments:       # what is no Tensor is not watched, so it is copied
            if position >= len(arrays):
                break
            if inputs[position] is None:
                a = arrays[position]
                arrays[position] = a.copy() if isinstance(a, np.ndarray) else copy.deepcopy(a)
        tensor.node, tensor.requires_grad = Node(entry, arrays, options, inputs, y, storage), True
        return tensor

    call.primitive = entry  # type: ignore[attr-defined]
    OPERATORS[entry.name] = call
    return call


def vjp_of(operation: Callable[..., Any], kind: Kind, needs: str = "all", heuristic: str | Callable[..., str] = "",
           at: SamplePoints | None = None) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Register the vector-Jacobian product of an operation: `vjp(g, y, *the forward's arguments)`.

    It returns a tuple with one gradient for each array argument, in order; arguments beyond the tuple are options.
    A product that can save work takes `need`, a tuple that says whose gradient is wanted, and may return None
    elsewhere.

    kind        what it is: see `Primitive`
    needs       the arrays whose content it reads (`"x w"`, with `y` for the result, `""` when shapes are enough);
                changing one of them in place before the backward pass is an error
    heuristic   the arguments whose "gradient" is the derivative of nothing (`"s"`); where that depends on a setting, a
                function of the forward's arguments that returns such a string. A replay check of one is refused.
    at          sample points for `minilq check` and the tests: a function of a random generator that returns the
                arrays that are the operation's first arguments, of which the float64 ones are differentiated, and a
                dict of the others by name. minilq's own primitives must have them, yours may.
    """
    entry = _entry("vjp_of", operation, "a derivative")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError("vjp_of", f"kind must be one of {', '.join(KINDS)}", got=shown(kind),
                          cause=meant(kind, KINDS))
    for what, value in (("needs", needs), ("heuristic", heuristic)):
        if not isinstance(value, str) and not (what == "heuristic" and callable(value)):
            raise ConfigError("vjp_of", f"{what} must be names of arguments in one text", got=shown(value),
                              cause='Write needs="x w"')
    names = list(entry.signature.parameters)
    wanted = [*names, "y"] if needs == "all" else needs.split()
    for name in wanted:
        if name not in names and name != "y":
            raise ConfigError("vjp_of", f"needs must name arguments of {entry.name} or y", got=repr(name))
    for name in [] if callable(heuristic) else heuristic.split():
        if name not in names:
            raise ConfigError("vjp_of", f"heuristic must name arguments of {entry.name}", got=repr(name))
    if at is not None and not callable(at):
        raise ConfigError("vjp_of", "at must be a function of a random generator", got=type(at).__name__,
                          cause="Write at=lambda rng: ([rng.standard_normal((3, 4))], {})")

    def register(vjp: Callable[..., R]) -> Callable[..., R]:
        check_function("vjp_of", "a derivative", vjp, " of (g, y, *the arguments)")
        entry.vjp = vjp  # type: ignore[assignment]
        entry.kind = kind
        entry.heuristic = heuristic
        entry.at = at
        entry.needed_arguments = sorted((position, name) for name in wanted if name in names
                                        for position in _positions(entry, names.index(name)))
        entry.needed_positions = frozenset(position for position, _ in entry.needed_arguments)
        entry.needs_result = "y" in wanted
        entry.trusted = is_own(vjp)
        entry.vjp_takes_need = "need" in inspect.signature(vjp).parameters
        return vjp

    return register


def smooth_of(operation: Callable[..., Any]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Register the smooth program whose derivative a surrogate truly is: `smooth(keep, *the forward's arguments)`.

    It is a function on arrays with the forward's value at the point where a check stands, and the derivative that the
    vector-Jacobian product pretends. `keep(value)` is the value at that point, wherever the program is evaluated. It
    runs in place of the forward in `replay_check`, and nowhere else; the forward knows nothing of it.

    >>> import numpy as np
    >>> from minilq import primitive, vjp_of, smooth_of, replay_check
    >>> @primitive
    ... def half_steps(x):
    ...     return np.rint(2 * x) / 2
    >>> @vjp_of(half_steps, kind="surrogate", needs="")
    ... def half_steps_vjp(g, y, x):
    ...     return (g,)
    >>> @smooth_of(half_steps)
    ... def half_steps_smooth(keep, x):
    ...     return x + keep(np.rint(2 * x) / 2 - x)          # straight through: the residual of the rounding is held
    >>> bool(replay_check(half_steps, np.array([0.3, -1.9])))
    True
    """
    entry = _entry("smooth_of", operation, "a smooth program")

    def register(smooth: Callable[..., R]) -> Callable[..., R]:
        check_function("smooth_of", "a smooth program", smooth, " of (keep, *the arguments)")
        entry.smooth = smooth
        return smooth

    return register


def _entry(op: str, operation: Callable[..., Any], what: str) -> Primitive:
    entry = getattr(operation, "primitive", None)
    if not isinstance(entry, Primitive):
        raise ConfigError(op, f"{what} belongs to a primitive", got=getattr(operation, "__name__", shown(operation)),
                          cause="Write @primitive above the forward")
    return entry


def _positions(entry: Primitive, index: int) -> range:
    """Where a parameter finds its arguments: *x takes all that come."""
    parameter = list(entry.signature.parameters.values())[index]
    return range(index, MANY if parameter.kind is parameter.VAR_POSITIONAL else index + 1)


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
    plain = scalars = False
    complex_number: Any = None
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
            if isinstance(a, np.ndarray):
                plain = True
            elif isinstance(a, (complex, np.number)):
                if isinstance(a, (complex, np.complexfloating)):
                    complex_number = a
                else:
                    scalars = True
            arrays.append(a)
            inputs.append(None)
    if complex_number is not None and dtype is not None:
        raise DTypeError(op, "tensors and their operands must be real", got=f"the number {complex_number}")
    if scalars and dtype is not None:            # a NumPy number counts as a Python number: it takes their dtype
        arrays = [a.item() if isinstance(a, (np.floating, np.integer)) else a for a in arrays]
    if plain:
        for i, a in enumerate(args):
            if not isinstance(a, np.ndarray):
                continue
            if type(a) is not np.ndarray:
                check_plain(op, a)
            if not a.dtype.isnative:
                arrays[i] = native(a)
            if dtype is not None and a.dtype.kind in "fc" and arrays[i].dtype != dtype:
                raise DTypeError(op, "arrays must have the dtype of the tensors", got=f"{a.dtype} beside {dtype}",
                                 cause="Give both one dtype, as in Tensor(data, dtype=np.float32); labels and indices "
                                       "are integers: labels.astype(int)")
    return arrays, inputs, dtype, wanted


def _storage_for(y: Array, inputs: list[Tensor | None]) -> Storage:
    """A storage of its own, or that of the input of which y is a view."""
    for tensor in inputs:
        if tensor is not None and (y is tensor.array or (
                y.base is not None and np.may_share_memory(y, tensor.array))):
            return tensor.storage
    return Storage(y)
