"""Elementwise operations. Shapes of two arguments broadcast; dtype float32 or float64, preserved."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minilq.arguments import is_bound
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import away_from, distinct, normal, off_whole, uniform
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.kernels import twin
from minilq.ops.broadcast import check_operand, check_operands, unbroadcast


@primitive
def add(a: Any, b: Any) -> Array:
    """Sum: y = a + b, with da = g and db = g (summed over broadcast axes). Kind: exact."""
    check_operands("add", a, b)
    return np.add(a, b)


@vjp_of(add, kind="exact", needs="", at=normal((3, 4), (4,)))
def add_vjp(g: Array, y: Array, a: Any, b: Any) -> tuple[Array, Array]:
    # dy/da = 1, dy/db = 1
    return unbroadcast(g, a), unbroadcast(g, b)


@primitive
def add_up(*x: Any) -> Array:
    """Sum of any number of arrays of one shape: y = x_1 + ... + x_n, with dx_i = g. Kind: exact.

    Raises      ShapeError without an array and for different shapes; DTypeError
    """
    for a in x:
        check_operand("add_up", a)
    if len({np.shape(a) for a in x}) != 1:
        raise ShapeError("add_up", "all arrays must have one shape",
                         got=", ".join(str(np.shape(a)) for a in x) or "none")
    return np.asarray(functools.reduce(np.add, x))


@vjp_of(add_up, kind="exact", needs="", at=normal((3, 4), (3, 4), (3, 4)))
def add_up_vjp(g: Array, y: Array, *x: Any) -> tuple[Array, ...]:
    # dy/dx_i = 1
    return (g,) * len(x)


@primitive
def subtract(a: Any, b: Any) -> Array:
    """Difference: y = a - b, with da = g and db = -g (summed over broadcast axes). Kind: exact."""
    check_operands("subtract", a, b)
    return np.subtract(a, b)


@vjp_of(subtract, kind="exact", needs="", at=normal((3, 1), (1, 4)))
def subtract_vjp(g: Array, y: Array, a: Any, b: Any) -> tuple[Array, Array]:
    # dy/da = 1, dy/db = -1
    return unbroadcast(g, a), unbroadcast(-g, b)


@primitive
def multiply(a: Any, b: Any) -> Array:
    """Product: y = a b, with da = g b and db = g a (summed over broadcast axes). Kind: exact."""
    check_operands("multiply", a, b)
    return np.multiply(a, b)


@vjp_of(multiply, kind="exact", needs="a b", at=normal((3, 4), (3, 1)))
def multiply_vjp(g: Array, y: Array, a: Any, b: Any) -> tuple[Array, Array]:
    # dy/da = b, dy/db = a
    return unbroadcast(g * b, a), unbroadcast(g * a, b)


@primitive
def divide(a: Any, b: Any) -> Array:
    """Quotient: y = a / b, with da = g / b and db = -g y / b (summed over broadcast axes). Kind: exact."""
    check_operands("divide", a, b)
    return np.true_divide(a, b)


@vjp_of(divide, kind="exact", needs="b y",
        at=lambda rng: ([rng.standard_normal((3, 4)), away_from(np.array([-2.0, 1.0]), rng, (4,))], {}))
def divide_vjp(g: Array, y: Array, a: Any, b: Any) -> tuple[Array, Array]:
    # dy/da = 1/b, dy/db = -a/b^2 = -y/b
    return unbroadcast(g / b, a), unbroadcast(-g * y / b, b)


@primitive
def negative(x: Any) -> Array:
    """Negation: y = -x, with dx = -g. Kind: exact."""
    check_operand("negative", x)
    return np.negative(x)


@vjp_of(negative, kind="exact", needs="", at=normal((3, 4)))
def negative_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx = -1
    return (-g,)


@primitive
def power(x: Any, exponent: float) -> Array:
    """Power with a fixed exponent p: y = x^p, with dx = g p x^(p-1). Kind: exact.

    At kinks    0^(p-1) for p < 1 is infinite, as the derivative is; p = 0 gives 0.
    Raises      ConfigError when the exponent is not a plain number.
    """
    check_operand("power", x)
    if not is_bound(exponent):
        raise ConfigError("power", "the exponent must be a plain number", got=type(exponent).__name__,
                          cause="For a variable exponent write exp(exponent * log(x))")
    return np.power(x, exponent)


@vjp_of(power, kind="exact", needs="x", at=uniform(0.5, 2, (3, 4), exponent=2.5))
def power_vjp(g: Array, y: Array, x: Array, exponent: float) -> tuple[Array]:
    # dy/dx = p x^(p-1)
    return (g * (exponent * np.power(x, exponent - 1)) if exponent != 0 else np.zeros_like(g),)


@primitive
def exp(x: Any) -> Array:
    """Exponential: y = e^x, with dx = g y. Kind: exact."""
    check_operand("exp", x)
    return np.exp(x)


@vjp_of(exp, kind="exact", needs="y", at=normal((3, 4)))
def exp_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx = e^x = y
    return (g * y,)


@primitive
def log(x: Any) -> Array:
    """Natural logarithm: y = ln x, with dx = g / x. Kind: exact."""
    check_operand("log", x)
    return np.log(x)


@vjp_of(log, kind="exact", needs="x", at=uniform(0.5, 2, (3, 4)))
def log_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx = 1/x
    return (g / x,)


@primitive
def tanh(x: Any) -> Array:
    """Hyperbolic tangent: y = tanh x, with dx = g (1 - y^2). Kind: exact."""
    check_operand("tanh", x)
    return np.tanh(x)


@vjp_of(tanh, kind="exact", needs="x", at=normal((3, 4)))
def tanh_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx = 1 - tanh^2 x = 4 e / (1 + e)^2 with e = e^-2|x|, where 1 - y^2 would have lost its digits
    e = np.exp(-2 * np.abs(x))
    return (g * (4 * e / np.square(1 + e)),)


@primitive
def sigmoid(x: Any) -> Array:
    """Logistic function: y = 1 / (1 + e^-x), with dx = g y (1 - y). Kind: exact.

    Computed as e^x / (1 + e^x) for x < 0: without an overflow, and with all its digits where y is near 0.
    """
    check_operand("sigmoid", x)
    positive = np.real(x) >= 0
    e = np.exp(np.where(positive, np.negative(x), x))            # e^-|x|
    return np.where(positive, np.ones_like(e), e) / (1 + e)


@vjp_of(sigmoid, kind="exact", needs="x", at=normal((3, 4)))
def sigmoid_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx = y (1 - y) = e / (1 + e)^2 with e = e^-|x|, where 1 - y would have lost its digits
    e = np.exp(-np.abs(x))
    return (g * (e / np.square(1 + e)),)


@primitive
def relu(x: Any) -> Array:
    """Rectifier: y = max(x, 0), with dx = g where x > 0, else 0. Kind: exact.

    At kinks    relu'(0) = 0.
    """
    check_operand("relu", x)
    return rectified(x)


@vjp_of(relu, kind="exact", needs="y", at=off_whole((3, 4)))
def relu_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx = [x > 0] = [y > 0]
    return (where_positive(g, y),)


@twin("elementwise")
def rectified(x: Any) -> Array:
    """max(x, 0); NaN stays NaN."""
    return np.maximum(x, 0)


@twin("elementwise")
def where_positive(g: Array, y: Array) -> Array:
    """g [y > 0]."""
    return g * (y > 0)


@primitive
def absolute(x: Any) -> Array:
    """Absolute value: y = |x|, with dx = g sign(x). Kind: exact.

    At kinks    |x|' = 0 at 0.
    """
    check_operand("absolute", x)
    return np.abs(x)


@vjp_of(absolute, kind="exact", needs="x", at=off_whole((3, 4)))
def absolute_vjp(g: Array, y: Array, x: Array) -> tuple[Array]:
    # dy/dx = sign(x)
    return (g * np.sign(x),)


@primitive
def maximum(a: Any, b: Any) -> Array:
    """Larger of two: y = max(a, b), with the gradient to the larger. Kind: exact.

    At kinks    where a = b each receives half of the gradient.
    """
    check_operands("maximum", a, b)
    return np.maximum(a, b)


@vjp_of(maximum, kind="exact", needs="a b", at=lambda rng: ([distinct(rng, (3, 4)), distinct(rng, (3, 4)) + 0.05], {}))
def maximum_vjp(g: Array, y: Array, a: Any, b: Any) -> tuple[Array, Array]:
    # dy/da = [a > b] + [a = b]/2, dy/db = 1 - dy/da
    to_a = np.asarray((0.5 * np.equal(a, b) + np.greater(a, b)), dtype=g.dtype)
    return unbroadcast(g * to_a, a), unbroadcast(g * (1 - to_a), b)


@primitive
def clip(x: Any, low: float, high: float) -> Array:
    """Clip to an interval: y = min(max(x, low), high), with dx = g where low <= x <= high, else 0. Kind: exact.

    At kinks    the gradient passes at both bounds.
    Raises      ConfigError when low > high.
    """
    check_operand("clip", x)
    for bound in (low, high):
        if not is_bound(bound):
            raise ConfigError("clip", "bounds must be numbers; -inf and inf for none",
                              got=repr(bound) if isinstance(bound, float) else type(bound).__name__)
    if low > high:
        raise ConfigError("clip", "low must not be above high", got=f"low={low}, high={high}")
    return np.minimum(np.maximum(x, low), high)


@vjp_of(clip, kind="exact", needs="x", at=off_whole((3, 4), low=-1.0, high=2.0))
def clip_vjp(g: Array, y: Array, x: Array, low: float, high: float) -> tuple[Array]:
    # dy/dx = [low <= x <= high]
    return (g * ((x >= low) & (x <= high)),)
