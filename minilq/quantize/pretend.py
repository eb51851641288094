"""Three ways to write a pretend derivative without deriving one: `nearest`, `hold` and `pretend`.

Compose a method of operations, and put one of these where it must not be differentiated as it stands. Never write
x + stop_gradient(q(x) - x): in floating point that is not q(x).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import as_array
from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError
from minilq.ops.broadcast import check_floats


@primitive
def nearest(u: Any) -> Array:
    """Straight-through rounding: y = round(u), halves to the even neighbour.

    Derivative  kind: surrogate. du = g
    Shapes      u any -> the same
    Dtype       float32 or float64, preserved
    Source      Bengio et al. 2013, there for binary neurons

    >>> nearest(np.array([0.5, 1.5, -1.2]))
    array([ 0.,  2., -1.])
    """
    check_floats("nearest", u=u)
    return np.rint(u)


@vjp_of(nearest, kind="surrogate", needs="", at=normal((3, 4)))
def nearest_vjp(g: Array, y: Array, u: Array) -> tuple[Array]:
    # y moves along the line through the recorded point   =>   dy/du = 1
    return (g,)


@smooth_of(nearest)
def nearest_smooth(keep: Keep, u: Array) -> Array:
    return u + keep(np.rint(u) - u)


@primitive
def hold(x: Any) -> Array:
    """A number that a method computes from its input and takes for a constant: y = x, the same array.

    Derivative  kind: defined. dx = 0. In the replay check the number stays where it was recorded, which a `.detach()`
                would not do: differences would see it move.
    Shapes      x any -> the same

    >>> from minilq import Tensor
    >>> x = Tensor([1.0, 3.0], requires_grad=True)
    >>> (x / hold(x.max())).sum().backward()
    >>> x.grad.tolist() == [1 / 3, 1 / 3]
    True
    """
    check_floats("hold", x=x)
    return x


@vjp_of(hold, kind="defined", needs="", at=normal((3, 4)))
def hold_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    return (np.zeros_like(g),)


@smooth_of(hold)
def hold_smooth(keep: Keep, x: Array) -> Array:
    return keep(x)


@primitive
def pretend(x: Any, value: Any, slope: Any = 1.0) -> Array:
    """A value, whatever made it, with a derivative that is defined and not derived: y = value.

    Derivative  kind: defined. dx = g slope. Nothing reaches value or slope.
    Shapes      x any, value like x, slope a number or broadcast to x -> like x. The result is a copy of value.
    Dtype       float32 or float64, one for all arrays, preserved
    Raises      ShapeError, DTypeError

    The check of it cannot fail, and says "defined". Where a gradient can be derived from a smooth program, write that
    program (`smooth_of`): then the check can.

    >>> from minilq import Tensor
    >>> x = Tensor([-2.0, 0.3], requires_grad=True)
    >>> y = pretend(x, np.sign(x.numpy()), slope=np.abs(x.numpy()) <= 1)     # binary, gradient where |x| <= 1
    >>> y.sum().backward(); y.numpy().tolist(), x.grad.tolist()
    ([-1.0, 1.0], [0.0, 1.0])
    """
    check_floats("pretend", x=x, value=value)
    if value.shape != x.shape:
        raise ShapeError("pretend", "value must have the shape of x", got=f"x {x.shape}, value {value.shape}")
    if value.dtype != x.dtype:
        raise DTypeError("pretend", "value must have the dtype of x", got=f"{value.dtype} beside {x.dtype}")
    slope = as_array("pretend", slope, "slope")
    if slope.dtype.kind not in "fiub":
        raise DTypeError("pretend", "slope must be a number or an array of numbers", got=str(slope.dtype))
    narrow = slope.shape[::-1]                   # from the last axis
    if len(narrow) > x.ndim or any(n not in (1, m) for n, m in zip(narrow, x.shape[::-1], strict=False)):
        raise ShapeError("pretend", "slope must broadcast to the shape of x",
                         got=f"x {x.shape}, slope {slope.shape}")
    return np.array(value)


@vjp_of(pretend, kind="defined", needs="slope",
        at=lambda rng: ([rng.standard_normal((3, 4))], {"value": np.ones((3, 4)), "slope": rng.uniform(0, 2, (4,))}))
def pretend_vjp(g: Array, y: Array, x: Array, value: Array, slope: Any = 1.0) -> tuple[Array]:
    # dy/dx = slope, by definition
    return ((g * slope).astype(g.dtype, copy=False),)


@smooth_of(pretend)
def pretend_smooth(keep: Keep, x: Array, value: Array, slope: Any = 1.0) -> Array:
    return keep(value) + keep(slope) * (x - keep(x))
