"""What a planned operation says: calls, and gradients, which are arrays or wait for another that they are added to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from minilq.autodiff.tape import Array
from minilq.kernels.planned import Calls


class Onto(NamedTuple):
    """A gradient that no array holds yet.

    alone       where it goes when it stays the only one
    added       the calls that write it into an array, or add it to what is there (True)
    """

    alone: Array
    added: Callable[[Array, bool], Calls]


Gradient = Array | Onto
Gradients = Sequence[Gradient]
Backward = Callable[[Array, list[Array]], tuple[Calls, Gradients] | None]
"""Of the gradient of the result, and of arrays for those of the arguments. Each array that it gives is that gradient,
or written by its calls, since others may be added to it in place."""


class Planned(NamedTuple):
    """The calls of a forward, its derivative, and whether that reads the result."""

    forward: Calls
    backward: Backward
    reads_result: bool = True
