"""What a network sees of a weight, kept between forward passes that are not recorded.

For one image, quantizing the weights again takes longer than multiplying by them. A method is a function of the latent
and of what it holds (quantize/method.py); so its result is kept with copies of all of these, and made again when one of
them has another bit than its copy. Looking at every number takes a tenth of the time, and no way of writing into an
array can be overlooked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array, same_bits
from minilq.autodiff.tensor import Tensor
from minilq.kernels.kept import final

PLAIN = (str, int, float, type(None), type)
"""What nobody can change."""


def leaves(thing: Any) -> Iterator[Any]:
    """A value; of a method, and of other frozen dataclasses of minilq's own, what they are made of."""
    kind: Any = type(thing)
    if kind.__module__.startswith("minilq.") and is_dataclass(kind) and _frozen(kind):
        yield kind
        for part in vars(thing).values():
            yield from leaves(part)
    else:
        yield thing


def _frozen(kind: Any) -> bool:
    return bool(kind.__dataclass_params__.frozen)


class Kept:
    """The last result, and what it was made of. A copy of it, or a pickle, holds nothing."""

    def __init__(self) -> None:
        self.forget()

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()

    def forget(self) -> None:
        self.last: tuple[list[Any], list[Array], Tensor] | None = None
        self.method: tuple[Any, list[Any]] = None, [None]

    def leaves(self, method: Any) -> list[Any]:
        """`leaves`, found once for one method: what is frozen is made of the same things for ever."""
        if self.method[0] is not method:
            self.method = method, list(leaves(method))
        return self.method[1]

    def result(self, parts: Iterable[Any], arrays: Iterable[Any], make: Callable[[], Tensor]) -> Tensor:
        """make(), or what it gave when the plain parts were equal and the arrays had the same bits.

        Nothing is kept where there is anything else, as a function, or an object of the user's own.
        """
        plain: list[Any] = []
        held: list[Array] = []
        for part in (*parts, *arrays):
            (held if isinstance(part, np.ndarray) else plain).append(part)
        if not all(isinstance(part, PLAIN) for part in plain):
            return make()
        if self.last is not None:
            before, copies, kept = self.last
            if before == plain and len(copies) == len(held) and all(map(_same, copies, held)):
                return kept
        copies = [a.copy() for a in held]
        result = make()
        if any(np.may_share_memory(result.array, a) for a in held):      # full precision: others can write into that
            result = Tensor.wrap(result.array.copy())
        final(result.array)
        self.last = plain, copies, result
        return result


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and same_bits(a, b)
