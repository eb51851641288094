"""DeepHoyer: penalties on how many entries, or groups of entries, are not zero, which do not see how large they are.

    hoyer           sum |P| / ||P||: from 1 to the root of the number of entries
    hoyer_square    (sum |P|)^2 / sum P^2: from 1 to the number of entries
    group_hoyer     the same of the norms of the slices along the last two axes: whole inputs and outputs go

Each is the same for P and c P, so that its gradient is orthogonal to P: what it takes from small entries it gives to
large ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import away_from, normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.ops import add_up
from minilq.quantize.penalties import Pairs, Rates, finite, total


def _off_zero(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [away_from(np.array([-2.0, 0.0]), rng, (3, 4))], {}


@primitive
def hoyer_term(P: Any, weight: float = 1.0) -> Array:
    """Hoyer of one tensor: y = weight sum_i |P_i| / sqrt(sum_i P_i^2); 0 where all are 0.

    Derivative  kind: exact. With a = sum |P_i| and r^2 = sum P_i^2: dP_i = g weight (sgn(P_i) / r - a P_i / r^3)
    At kinks    sgn(0) = 0
    Shapes      P any; returns ()
    Source      Yang, Wen, Li 2020, DeepHoyer (arXiv 1908.09979), equation 3

    >>> float(hoyer_term(np.array([3.0, -4.0])))
    1.4
    """
    Q, _ = at_one(P)
    a, r = np.sum(np.abs(Q)), np.sqrt(np.sum(np.square(Q)))
    return finite("hoyer", weight * a / r if r != 0 else P.dtype.type(0), P, P)


@vjp_of(hoyer_term, kind="exact", needs="P", at=_off_zero)
def hoyer_term_vjp(g: Array, y: Array, P: Array, weight: float = 1.0) -> tuple[Array]:
    # y = w a / r   =>   dy/dP_i = w (sgn(P_i) / r - a / r^2 dr/dP_i),   dr/dP_i = P_i / r
    Q, m = at_one(P)
    a, r = np.sum(np.abs(Q)), np.sqrt(np.sum(np.square(Q)))
    if not r > 0:
        return (np.zeros_like(P),)
    return (P.dtype.type(float(g) * weight) / r * (np.sign(Q) - a / r * (Q / r)) / m,)


@primitive
def hoyer_square_term(P: Any, weight: float = 1.0) -> Array:
    """Hoyer-square of one tensor: y = weight (sum_i |P_i|)^2 / sum_i P_i^2; 0 where all are 0.

    Derivative  kind: exact. With a = sum |P_i| and b = sum P_i^2: dP_i = 2 g weight a / b^2 (b sgn(P_i) - a P_i).
                Entries below b / a shrink, those above grow: a threshold that sets itself.
    At kinks    sgn(0) = 0
    Shapes      P any; returns ()
    Source      Yang, Wen, Li 2020, DeepHoyer (arXiv 1908.09979), equations 4 and 6

    >>> float(hoyer_square_term(np.array([2.0, 0.0]))), float(hoyer_square_term(np.array([2.0, -2.0])))
    (1.0, 2.0)
    """
    Q, _ = at_one(P)
    a, b = np.sum(np.abs(Q)), np.sum(np.square(Q))
    return finite("hoyer_square", weight * a * a / b if b != 0 else P.dtype.type(0), P, P)


@vjp_of(hoyer_square_term, kind="exact", needs="P", at=_off_zero)
def hoyer_square_term_vjp(g: Array, y: Array, P: Array, weight: float = 1.0) -> tuple[Array]:
    # y = w a^2 / b   =>   dy/dP_i = w (2 a/b sgn(P_i) - a^2/b^2 2 P_i)
    Q, m = at_one(P)
    a, b = np.sum(np.abs(Q)), np.sum(np.square(Q))
    if not b > 0:
        return (np.zeros_like(P),)
    c = P.dtype.type(2 * float(g) * weight) * a / b / b
    return (c * (b * np.sign(Q) - a * Q) / m,)


@primitive
def group_hoyer_term(P: Any, axis: int = -1, weight: float = 1.0) -> Array:
    """Group Hoyer of one tensor, whose groups are the slices along one axis: y = weight (sum_k n_k)^2 / sum_k n_k^2.

    Derivative  kind: exact. n_k the norm of slice k, A = sum n_k, b = sum n_k^2 = sum P_i^2:
                dP_i = 2 g weight A / b^2 P_i (b / n_k - A). Slices below b / A shrink, those above grow.
    At kinks    a slice that is 0 as a whole stays so: dP_i = 0
    Shapes      P any; returns ()
    Source      Yang, Wen, Li 2020, DeepHoyer (arXiv 1908.09979), equation 7. In their equation 10, its gradient, the
                last factor reads sum |P_i| where it must be A

    >>> float(group_hoyer_term(np.array([[3.0, 0.0], [4.0, 0.0]]))), float(group_hoyer_term(np.eye(2)))
    (1.0, 2.0)
    """
    n = norms(at_one(P)[0], axis)
    b = np.sum(np.square(n))
    return finite("group_hoyer", weight * np.sum(n) ** 2 / b if b != 0 else P.dtype.type(0), P, P)


@vjp_of(group_hoyer_term, kind="exact", needs="P", at=normal((3, 4)))
def group_hoyer_term_vjp(g: Array, y: Array, P: Array, axis: int = -1, weight: float = 1.0) -> tuple[Array]:
    Q, m = at_one(P)
    n = norms(Q, axis)
    A, b = np.sum(n), np.sum(np.square(n))
    if not b > 0:
        return (np.zeros_like(P),)
    # y = w A^2 / b   =>   dy/dP_i = w (2 A/b dn_k/dP_i - A^2/b^2 2 P_i),   dn_k/dP_i = P_i / n_k
    per_slice = np.where(n > 0, b / np.where(n > 0, n, 1) - A, 0)
    return (P.dtype.type(2 * float(g) * weight) * A / b / b * per_slice * Q / m,)


def at_one(P: Array) -> tuple[Array, Array]:
    """P / m and m = max |P|, of which the penalties are the same and whose squares are never too large or too small.

    >>> at_one(np.array([2e-30, -4e-30], np.float32))[0].tolist()
    [0.5, -1.0]
    """
    m = np.max(np.abs(P), initial=0)
    return (P / m, m) if m > 0 else (P, P.dtype.type(1))


def norms(P: Array, axis: int) -> Array:
    """||P|| of every slice along an axis, in the shape that broadcasts to P.

    >>> norms(np.array([[3.0, 0.0], [4.0, 2.0]]), -1)
    array([[5., 2.]])
    """
    others = tuple(i for i in range(P.ndim) if i != axis % P.ndim)
    return np.asarray(np.sqrt(np.sum(np.square(P), axis=others, keepdims=True)))


def hoyer(pairs: Pairs, rates: Rates = None) -> Tensor:
    """Hoyer summed over several tensors, sum_t sum |P| / ||P||. See `hoyer_term`.

    What it minimises: as `hoyer_square`, whose root it is, with a gradient that does not grow with the number of
    entries. Arguments and errors as for `maxbin`.
    """
    return total("hoyer", pairs, rates, lambda P, s, weight: hoyer_term(P, weight), by_count=False)


def hoyer_square(pairs: Pairs, rates: Rates = None) -> Tensor:
    """Hoyer-square summed over several tensors, sum_t (sum |P|)^2 / sum P^2. See `hoyer_square_term`.

    What it minimises: the number of weights that count. It does not see s, nor the size of P as a whole: the gradient
    is orthogonal to P. Arguments and errors as for `maxbin`.
    """
    return total("hoyer_square", pairs, rates, lambda P, s, weight: hoyer_square_term(P, weight), by_count=False)


def group_hoyer(pairs: Pairs, rates: Rates = None) -> Tensor:
    """Group Hoyer summed over several tensors and over both axes of channels, inputs and outputs: `group_hoyer_term`.

    What it minimises: the number of inputs and outputs that count, rows and columns of a dense weight, channels and
    filters of a kernel. A bias has no inputs: its outputs are its entries, and it counts as in `hoyer_square`.
    Arguments and errors as for `maxbin`.

    >>> P, s = Tensor([[1.0, 0.0], [1.0, 0.0]]), Tensor([[1.0], [1.0]])
    >>> round(group_hoyer([(P, s)]).item(), 6)                       # two rows, one column
    3.0
    """
    return total("group_hoyer", pairs, rates, lambda P, s, weight: both_axes(P, weight), by_count=False)


def both_axes(P: Tensor, weight: float = 1.0) -> Tensor:
    """Group Hoyer of the last axis and of the one before, where there is one."""
    y: Tensor = add_up(*[group_hoyer_term(P, axis, weight) for axis in (-1, -2)[:P.ndim]])
    return y


TERMS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "hoyer": hoyer_term, "hoyer_square": hoyer_square_term, "group_hoyer": both_axes}
"""Of one tensor, by name: (P, weight) -> a scalar Tensor."""
