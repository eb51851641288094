"""The range of an even grid as two trained numbers, low and high: TensorFlow's fake quantization."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter, Within
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.quantize.methods.bounds import check_scale, corners, in_range
from minilq.quantize.methods.lsq import group_sum
from minilq.quantize.methods.range_grid import codes, scale_and_zero


@primitive
def learned_range(x: Any, a: Any, b: Any, low: int, high: int, without_zero: str = "extend",
                  mask: str = "clip_first") -> Array:
    """Quantize to codes low .. high evenly spaced over a range a .. b that is trained, 0 among their values.

    Forward     (scale, zero) of a .. b as `scale_and_zero` gives them: [A, B] = scale [low - zero, high - zero] is the
                range, nudged so that 0 is a code exactly;  y = scale (clip(round(x / scale) + zero, low, high) - zero)
    Derivative  kind: surrogate. dx = g where x is in range, da = sum g below it, db = sum g above it: what lies beyond
                an end moves with that end, and the nudge and the rounding move nothing. With extend nothing reaches an
                a > 0 or b < 0, in whose place 0 stands
    At kinks    by the mask, as for `affine`; clip_first includes A and B (TensorFlow). NaN stays NaN, and sends nothing
    Shapes      x any; a and b of one shape that broadcasts to it, by granularity; returns x.shape
    Dtype       float32 or float64, one for all, preserved
    Raises      ShapeError, DTypeError
    Source      TensorFlow, fake_quant_ops_functor.h (FakeQuantWithMinMaxVars, and PerChannel)

    >>> learned_range(np.array([-9.0, 0.3, 2.0]), np.array([-0.9]), np.array([2.1]), 0, 3)
    array([-1.,  0.,  2.])
    """
    scale, zero = _grid(x, a, b, low, high, without_zero)
    return np.asarray(scale * (codes(x, scale, zero, low, high) - zero))


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    a, b = -rng.uniform(0.2, 1, (3, 1)), rng.uniform(0.2, 1, (3, 1))
    return [cells(rng, (3, 4), scale_and_zero(a, b, 0, 7)[0]), a, b], {"low": 0, "high": 7}


@vjp_of(learned_range, kind="surrogate", needs="x a b", at=_at)
def learned_range_vjp(g: Array, y: Array, x: Array, a: Array, b: Array, low: int, high: int,
                      without_zero: str = "extend", mask: str = "clip_first") -> tuple[Array, Array, Array]:
    scale, zero = _grid(x, a, b, low, high, without_zero)
    v = x / scale + zero
    inside = in_range(v, low, high, mask)
    # y = A below, x within, B above, and dA/da = dB/db = 1   =>   dx = g [within],  da = sum g [below],  db = ... above
    below, above = ~inside & (v <= low), ~inside & (v >= high)
    of_a, of_b = _moving(a, b, without_zero)
    return g * inside, group_sum(g * below, a) * of_a, group_sum(g * above, b) * of_b


@smooth_of(learned_range)
def learned_range_smooth(keep: Keep, x: Array, a: Array, b: Array, low: int, high: int,
                         without_zero: str = "extend", mask: str = "clip_first") -> Array:
    """A clip to ends that move as a and b do. The grid, which side of it x is on, and what the rounding changed, are
    held: where a range is empty its ends would pass each other at the smallest move."""
    scale, zero = keep(_grid(x, a, b, low, high, without_zero))
    first, last = corners(low, high, mask)
    of_a, of_b = keep(_moving(a, b, without_zero))
    v = keep(x / scale + zero)
    u = np.where(v < first, scale * (first - zero) + of_a * (a - keep(a)), x)
    u = np.where(v > last, scale * (last - zero) + of_b * (b - keep(b)), u)
    smooth: Array = u + keep(scale * (codes(x, scale, zero, low, high) - zero) - u)
    return smooth


def range_parameters(low: Array, high: Array, without_zero: str) -> dict[str, Parameter | Array]:
    """What is trained, from smallest and largest number; with "extend" 0 stays between them."""
    if without_zero == "shift":
        return {"low": Parameter(low), "high": Parameter(high)}
    return {"low": Parameter(np.minimum(low, 0), Within(high=0)), "high": Parameter(np.maximum(high, 0), Within(low=0))}


def _moving(a: Array, b: Array, without_zero: str) -> tuple[Any, Any]:
    """Which ends move the range: all, but those in whose place 0 stands."""
    return (True, True) if without_zero == "shift" else (a <= 0, b >= 0)


def _grid(x: Any, a: Any, b: Any, low: int, high: int, without_zero: str) -> tuple[Array, Array]:
    if np.shape(a) != np.shape(b):
        raise ShapeError("learned_range", "a and b must have one shape", got=f"{np.shape(a)} and {np.shape(b)}")
    scale, zero = scale_and_zero(a, b, low, high, without_zero=without_zero)
    check_scale("learned_range", x, scale)
    return scale, zero.astype(x.dtype)
