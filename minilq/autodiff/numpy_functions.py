"""NumPy's functions on Tensors: the operation that does the same, or an error; never a tape cut without a word.

`np.concatenate([a, b])` reaches `Tensor.__array_function__`, which asks here. NumPy would turn the Tensors into arrays,
and what follows would know nothing of them: a.grad stays None.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minilq.autodiff.tape import mode
from minilq.errors import ConfigError, TapeError

if TYPE_CHECKING:
    from minilq.autodiff.tensor import Tensor

# Function of NumPy -> name of the operation that takes the same arguments.
SAME: dict[Any, str] = {
    np.concatenate: "concatenate", np.stack: "stack", np.where: "where", np.sum: "sum", np.mean: "mean", np.max: "max",
    np.reshape: "reshape", np.transpose: "transpose", np.clip: "clip",
}

# Functions whose results do not change when the numbers change a little, or that only look.
WITHOUT_DERIVATIVE: frozenset[Any] = frozenset({
    np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.array_equal, np.allclose, np.isclose, np.any,
    np.all, np.count_nonzero, np.nonzero, np.flatnonzero, np.argwhere, np.searchsorted, np.digitize, np.histogram,
    np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type, np.can_cast, np.shares_memory,
    np.may_share_memory, np.array2string, np.array_repr, np.array_str, np.save, np.savez, np.iscomplexobj,
    np.isrealobj, np.common_type, np.broadcast_shapes,
})

INSTEAD: dict[str, str] = {
    "dot": "a @ b", "inner": "a @ b.T", "vdot": "(a * b).sum()", "einsum": "products and sums, or a @ b",
    "tensordot": "reshape and a @ b", "linalg.norm": "norm(x)", "vstack": "concatenate(x, axis=0)",
    "hstack": "concatenate(x, axis=1)", "column_stack": "concatenate(x, axis=1)", "append": "concatenate([a, b])",
    "squeeze": "x.reshape(...)", "expand_dims": "x.reshape(...)", "ravel": "x.reshape(-1)", "take": "x[indices]",
    "swapaxes": "x.transpose(...)", "moveaxis": "x.transpose(...)", "pad": "zero_pad2d(x, padding)",
    "min": "-(-x).max()", "amin": "-(-x).max()", "amax": "x.max()", "average": "(x * w).sum() / w.sum()",
    "var": "((x - x.mean()) ** 2).mean()", "std": "((x - x.mean()) ** 2).mean() ** 0.5", "split": "x[a:b]",
    "flip": "x[::-1]", "select": "where(condition, a, b)", "nan_to_num": "where(condition, a, b)",
}


def call(function: Callable[..., Any], operators: dict[str, Callable[..., Any]], args: tuple[Any, ...],
         options: dict[str, Any]) -> Any:
    """function(*args) of NumPy's with Tensors among the arguments."""
    name = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
    if function in SAME:
        operation = operators[SAME[function]]
        try:
            inspect.signature(operation).bind(*args, **options)
        except TypeError as error:
            raise ConfigError(f"np.{name}", f"of a Tensor takes the arguments of minilq.{SAME[function]}",
                              got=str(error)) from None
        return operation(*args, **options)
    recorded = mode.recording and any(t.requires_grad for t in _tensors((args, options)))
    if recorded and function not in WITHOUT_DERIVATIVE:
        raise TapeError(f"np.{name}", "minilq records its own operations, not NumPy's",
                        got="a Tensor that requires a gradient", cause=(
                            f"Write {INSTEAD[name]}" if name in INSTEAD else "Compose it of operations of minilq, or "
                            "write it as a primitive") + "; for the numbers alone take x.numpy()")
    return function(*_as_arrays(args), **_as_arrays(options))


def _tensors(thing: Any) -> Iterator[Tensor]:
    if hasattr(thing, "requires_grad"):
        yield thing
    elif isinstance(thing, (tuple, list, dict)):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from _tensors(part)


def _as_arrays(thing: Any) -> Any:
    if hasattr(thing, "requires_grad"):
        return thing.numpy()
    if isinstance(thing, (tuple, list)):
        return type(thing)([_as_arrays(part) for part in thing])
    return {name: _as_arrays(part) for name, part in thing.items()} if isinstance(thing, dict) else thing
