"""Loss-aware quantization: the scale that costs least where the loss is curved, for given levels.

With d the diagonal of the curvature, which Adam knows as sqrt(v) + epsilon of each weight, a step of Newton's method
with quantized weights asks for

    min over alpha, b of  1/2 sum_i d_i (alpha b_i - w_i)^2

For given alpha the best b_i is the level nearest to w_i / alpha; for given b the best alpha is <b, d w> / <b, d b>.
d = 1 gives BWN and the best TWN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.ops.broadcast import check_floats

EPSILON = 1e-8
ROUNDS = 10
FEW = 16


@primitive
def nearest_of(w: Any, levels: Array) -> Array:
    """The nearest of some levels.

    Forward     y = the level nearest to w, the upper one of two as near
    Derivative  kind: surrogate. dw = g: the gradient at y is used on w
    Shapes      w any, levels (K,) ascending -> w.shape
    Dtype       float32 or float64, the same for both, preserved
    Source      Hou, Yao and Kwok 2017 (arXiv 1611.01600), section 3.1

    >>> nearest_of(np.array([-0.3, 0.0, 2.0]), np.array([-0.5, 0.5]))
    array([-0.5,  0.5,  0.5])
    """
    check_floats("nearest_of", w=w, levels=levels)
    return np.asarray(levels[places(w, levels)])


@vjp_of(nearest_of, kind="surrogate", needs="", at=normal((3, 4), levels=np.array([-0.7, 0.0, 0.9])))
def nearest_of_vjp(g: Array, y: Array, w: Array, levels: Array) -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(nearest_of)
def nearest_of_smooth(keep: Keep, w: Array, levels: Array) -> Array:
    return w + keep(levels[places(w, levels)] - w)


def places(w: Array, levels: Array) -> Array:
    """Which of the ascending levels is nearest to each w."""
    middles = (levels[1:] + levels[:-1]) / 2
    if len(levels) > FEW:
        return np.searchsorted(middles, w, side="right")
    below = np.zeros(w.shape, np.int8)           # how many middles are: a few comparisons are sooner than a search
    for middle in middles:
        below += ~(w < middle)
    return below.astype(np.intp)


def curvature(x: Tensor) -> Array:
    """d, float64: sqrt(v) + 1e-8 of a weight that an Adam trains, else 1 everywhere."""
    v = x.second_moment if isinstance(x, Parameter) else None
    return np.ones(x.shape) if v is None else np.sqrt(v.astype(np.float64)) + EPSILON


def binary_scale(w: Array, d: Array) -> float:
    """The best alpha of b = sgn(w): sum d |w| / sum d (LAB, proposition 3.1)."""
    return float((d * np.abs(w)).sum() / d.sum()) if w.size else 0.0


def ternary_scale(w: Array, d: Array) -> float:
    """The best alpha of all b in {-1, 0, 1} (LAT, algorithm 1), w and d flat.

    Not 0 are the j largest |w|: of these the objective is sum d w^2 - (sum d |w|)^2 / sum d, and the best j makes the
    last term largest. There |w_j| > alpha / 2 >= |w_(j+1)|.
    """
    if not w.size:
        return 0.0
    order = descending(np.abs(w))
    tops, weights = np.cumsum((d * np.abs(w))[order]), np.cumsum(d[order])
    best = (tops**2 / weights).argmax()
    return float(tops[best] / weights[best])


def descending(sizes: Array) -> Array:
    """The places of numbers >= 0 from the largest to the smallest, of equal ones the first first.

    Bits of floats >= 0 order like the floats: those of a float32 make a whole number with its place, and whole numbers
    are sorted several times as fast as places.

    >>> descending(np.array([0.5, 2.0, 0.5])).tolist(), descending(np.array([0.1, 0.3])).tolist()
    ([1, 0, 2], [1, 0])
    """
    short = sizes.astype(np.float32)
    if len(sizes) >= 2**32 or not np.array_equal(short, sizes):
        return np.argsort(-sizes, kind="stable")
    keys = ~short.view(np.uint32).astype(np.uint64) << np.uint64(32) | np.arange(len(sizes), dtype=np.uint64)
    return (np.sort(keys) & np.uint64(2**32 - 1)).astype(np.intp)


def alternated(w: Array, d: Array, codes: Array, unit: float, rounds: int, printed: bool = False) -> float:
    """The unit s after some rounds of: b the nearest of codes to w / s, s the best for b. Neither makes it cost more.

    codes       ascending whole numbers; levels are s codes
    printed     alpha = s max b = sum |b| d |w| / sum |b| d, as the paper prints it: least squares for trits alone

    >>> w, d, codes = np.array([0.2, 1.0, 3.1]), np.ones(3), np.arange(-3.0, 4.0)
    >>> round(alternated(w, d, codes, 0.7, 10), 4), round(alternated(w, d, codes, 0.7, 10, printed=True), 4)
    (1.03, 0.8583)
    """
    for _ in range(rounds):
        if unit <= 0:
            break
        b = codes[places(w, unit * codes)]
        over, under = (b * d * w).sum(), ((codes[-1] * np.abs(b) if printed else b * b) * d).sum()
        new = float(over / under) if under > 0 else 0.0
        if new == unit:
            break
        unit = new
    return unit


def objective(w: Array, d: Array, y: Array) -> float:
    """1/2 sum d (y - w)^2.

    >>> objective(np.array([1.0, 2.0]), np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    0.5
    """
    return float(0.5 * (d * (y - w) ** 2).sum())
