"""Roundings: normalised values in, whole numbers out (as floats)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.arguments import check_generator, native, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, meant
from minilq.ops.broadcast import check_reals

Rounding = Callable[[Array], Array]


def sign(u: Array) -> Array:
    """+1 where u >= 0, else -1: zero counts as positive, as binary weights need. NaN stays NaN.

    >>> sign(np.array([-0.3, 0.0, 2.0]))
    array([-1.,  1.,  1.])
    """
    y = np.asarray((u >= 0) * u.dtype.type(2) - 1)
    np.copyto(y, u, where=np.isnan(u))
    return y


class stochastic:
    """Up with a probability equal to the fraction, else down: E[k] = u. Each call draws from `rng`.

    k = floor(u) + [d < u - floor(u)],  d uniform in [0, 1)

    A copy of a rounding, made by copy.deepcopy or pickle, has a generator of its own, in the same state.

    >>> k = stochastic(np.random.default_rng(0))(np.full(10_000, 0.25))
    >>> sorted(set(k.tolist())), bool(abs(k.mean() - 0.25) < 0.02)
    ([0.0, 1.0], True)
    """

    def __init__(self, rng: np.random.Generator) -> None:
        check_generator("stochastic", rng)
        self.rng = rng

    def __call__(self, u: Array) -> Array:
        check_reals("stochastic", u=u)
        u = native(u)
        down = np.floor(u)
        return down + (self.rng.random(u.shape, dtype=u.dtype) < u - down)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, stochastic) and self.rng is other.rng

    def __hash__(self) -> int:
        return hash(id(self.rng))

    def __repr__(self) -> str:
        return f"stochastic({self.rng!r})"


ROUNDINGS: dict[str, Rounding] = {
    "floor": np.floor, "nearest": np.rint, "ceil": np.ceil, "trunc": np.trunc, "sign": sign,
}
"""Roundings by name: k(u), and between what k(u) - u lies, in steps:

    floor      the largest whole number <= u: within (-1, 0], mean -1/2; the thesis' rounding
    nearest    the nearest whole number, of halves the even one: within [-1/2, 1/2], mean 0
    ceil       the smallest whole number >= u: within [0, 1), mean 1/2
    trunc      towards 0: within (-1, 1), and whatever is smaller than a step becomes 0
    sign       -1 or +1, the latter for 0 too: a code of one bit, whatever the size of u
"""


def rounding_function(rounding: str | Rounding) -> Rounding:
    """The function behind a name, or the function itself; ConfigError for an unknown name."""
    if callable(rounding):
        return rounding
    if not isinstance(rounding, str) or rounding not in ROUNDINGS:
        drawn = isinstance(rounding, str) and rounding == "stochastic"
        raise ConfigError("Scaled", f"rounding must be one of {', '.join(ROUNDINGS)}, or a function",
                          got=shown(rounding),
                          cause="Stochastic rounding needs a generator: rounding=stochastic(rng)" if drawn else
                          meant(rounding, ROUNDINGS))
    return ROUNDINGS[rounding]


def rounded(rounding: str | Rounding, u: Array) -> Array:
    """rounding(u); ConfigError when a function of the user's does not return whole numbers of the same shape."""
    k = rounding_function(rounding)(u)
    if callable(rounding) and not (isinstance(k, np.ndarray) and k.shape == u.shape
                                   and np.array_equal(k, np.rint(k), equal_nan=True)):
        raise ConfigError("Scaled", "a rounding must return whole numbers, one for each value",
                          got=f"{getattr(rounding, '__name__', rounding)} with other results")
    return k
