"""What forwards and derivatives may not do: write into what they were handed, or read what `needs` does not name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minilq.autodiff.memory import same_draws
from minilq.autodiff.tape import Array, shape_only
from minilq.errors import GradientError, TapeError

COPY = "Make a copy first, as in dx = g.copy()"
COPY_OF_X = "Make a copy first, as in y = x.copy()"


def read_only(op: str, vjp: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """vjp(*arguments) on read-only views of the arrays; TapeError, which names the op, when it writes into one."""
    views = [_view(a) if isinstance(a, np.ndarray) else a for a in arguments]
    gradients = _refusing_to_write(op, vjp, views, options, COPY)
    if not isinstance(gradients, tuple):
        return gradients
    # What comes back as it was is the array itself: compiled kernels take a read-only one for another type.
    originals = {id(view): a for view, a in zip(views, arguments, strict=True)}
    return tuple(originals.get(id(dx), dx) for dx in gradients)


def untouched(op: str, forward: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """forward(*arguments) on read-only views of the arrays; TapeError, which names the op, when it writes into one."""
    views = [_view(a) if isinstance(a, np.ndarray) else a for a in arguments]
    result = _refusing_to_write(op, forward, views, options, COPY_OF_X)
    return next((a for view, a in zip(views, arguments, strict=True) if view is result), result)


def _refusing_to_write(op: str, function: Callable[..., Any], views: Sequence[Any], options: dict[str, Any],
                       cause: str) -> Any:
    try:
        return function(*views, **options)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise TapeError(op, "must not write into the arrays that it is handed: others hold them too",
                        got=str(error), cause=cause) from error


def watched(op: str, vjp: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any],
            names: dict[int, str]) -> Any:
    """vjp(*arguments) as a check calls it: errors for a write into them, and for reading one that `needs` leaves out.

    names       position -> name of the arguments that `needs` does not name. Each is replaced by NaN once, and nothing
                may change; so a wrong `needs` is found here, whatever the size of the arrays.
    """
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in arguments]
    with same_draws(arguments, options):
        gradients = vjp(*arguments, **options)
    for position, (copy, a) in enumerate(zip(before, arguments, strict=True)):
        if copy is not None and not np.array_equal(copy, a, equal_nan=a.dtype.kind in "fc"):
            which = "g" if position == 0 else "y" if position == 1 else f"argument {position - 2}"
            raise TapeError(op, "must not write into the arrays that it is handed: others hold them too",
                            got=f"another {which} after the call", cause=COPY)
    read = [name for position, name in names.items() if _reads(vjp, arguments, options, position, gradients)]
    if read:
        raise GradientError(
            op, "may read only what its needs= names", got=f"a gradient that depends on {', '.join(read)}",
            cause=f"needs= does not name {' '.join(read)}, so where it is large it is freed before the backward pass, "
                  "and NaN comes out")
    return gradients


def _reads(vjp: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any], position: int,
           gradients: Any) -> bool:
    """Whether the gradients change when NaN stands in place of one argument."""
    a = arguments[position]
    if not isinstance(a, np.ndarray) or a.dtype.char not in "fd" or not isinstance(gradients, tuple):
        return False
    blanked = [*arguments[:position], shape_only(a), *arguments[position + 1:]]
    with np.errstate(all="ignore"), same_draws(arguments, options):
        try:
            again = vjp(*blanked, **options)
        except Exception:                        # it looked at the numbers, and did not like them
            return True
    return not all((one is None and other is None) or np.array_equal(one, other, equal_nan=True)
                   for one, other in zip(gradients, again, strict=True))


def _view(a: Array) -> Array:
    view = a.view()
    view.flags.writeable = False
    return view
