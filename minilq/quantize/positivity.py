"""Positivity: how a number that is trained freely becomes a scale s > 0.

    clamp          s = theta; the optimizer sets what falls below SCALE_MIN to it after every step (the thesis)
    exp            s = e^theta; a step on theta multiplies s, so it means the same for small and large scales
    softplus       s = ln(1 + e^theta); like exp for small s, and like theta itself for large s
    power_of_two   s = 2^round(theta); a product with s is a shift of bits, and k s is exact in floating point

theta is the latent of s: what a layer keeps, trains and saves. Its gradient is that of s, by whatever scale rule, times
ds/dtheta: 1, s, 1 - e^-s, s ln 2. The threshold rule, for example, gives ds proportional to max|P| / s, and gradient
descent makes s^2 grow linearly with clamp, and ln s with exp.

Only clamp keeps s >= SCALE_MIN. The others keep s > 0 as long as s is in reach of the floats: above theta = -103 in
float32 or -745 in float64, for power_of_two -149 or -1074. Beyond that s = 0, and `fake_quantize` refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minilq.arguments import shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Constraint, Within
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, NonFiniteError, meant
from minilq.ops.broadcast import check_floats
from minilq.ops.elementwise import exp

SCALE_MIN = float(100 * np.finfo(np.float32).eps)
"""Initial and smallest value of a scale, 100 float32 eps = 1.1920929e-05 (thesis)."""


@primitive
def softplus(theta: Any) -> Array:
    """Softplus: s = ln(1 + e^theta), with dtheta = g (1 - e^-s). Kind: exact.

    Computed without overflow: theta for large theta, e^theta for very negative ones.

    Dtype       float32 or float64, preserved

    >>> softplus(np.array([-100.0, 0.0, 100.0]))
    array([3.72007598e-44, 6.93147181e-01, 1.00000000e+02])
    """
    check_floats("softplus", theta=theta)
    return np.logaddexp(theta, theta.dtype.type(0))


@vjp_of(softplus, kind="exact", needs="y", at=normal((3, 4)))
def softplus_vjp(g: Array, y: Array, theta: Array) -> tuple[Array]:
    # ds/dtheta = e^theta / (1 + e^theta) = 1 - e^-s
    return (g * -np.expm1(-y),)


@primitive
def power_of_two(theta: Any) -> Array:
    """Powers of two: s = 2^round(theta), exact to the bit; halves are rounded to even.

    Derivative  kind: surrogate (straight-through for the rounding). dtheta = g s ln 2
    Dtype       float32 or float64, preserved
    Raises      DTypeError; NonFiniteError for a theta that is NaN or infinite
    Source      Jain et al. 2020, Trained Quantization Thresholds, there with ceil in place of round

    >>> power_of_two(np.array([-1.3, 0.2, 2.6]))
    array([0.5, 1. , 8. ])
    """
    check_floats("power_of_two", theta=theta)
    if not np.isfinite(theta).all():
        raise NonFiniteError("power_of_two", "every theta must be finite",
                             got=f"{np.sum(~np.isfinite(theta))} of {theta.size} that are not",
                             cause="Training has diverged; try a lower learning rate for the scales")
    return np.ldexp(np.ones_like(theta), np.clip(np.rint(theta), -2000, 2000).astype(np.int32))


@vjp_of(power_of_two, kind="surrogate", needs="y", at=normal((3, 4)))
def power_of_two_vjp(g: Array, y: Array, theta: Array) -> tuple[Array]:
    # s = 2^n(theta) with n' = 1   =>   ds/dtheta = 2^n ln 2 = s ln 2
    return (g * y * y.dtype.type(math.log(2)),)


@smooth_of(power_of_two)
def power_of_two_smooth(keep: Keep, theta: Array) -> Array:
    return np.exp2(theta + keep(np.rint(theta) - theta))         # the exponent moves along a line


@dataclass(frozen=True)
class Positivity:
    """A function from latents to scales, and its inverse.

    held_name   what a method calls the latent: "scale" where it is the scale itself, else "exp_scale" and so on, so
                that numbers kept in one way are never taken for those of another
    constraint  what keeps the latent in range
    scale_of    latent -> scale, differentiable
    latent_of   array of scales > 0 -> array of latents with scale_of(latent) = scale, up to rounding; for power_of_two
                with scale_of(latent) = the power of two nearest in ratio
    """

    name: str
    scale_of: Callable[[Any], Any]
    latent_of: Callable[[Array], Array]
    constraint: Constraint | None = None

    @cached_property
    def held_name(self) -> str:
        return "scale" if self.name == "clamp" else f"{self.name}_scale"


def _itself(x: Any) -> Any:
    return x


def _softplus_inverse(s: Array) -> Array:
    """ln(e^s - 1), without an overflow for large s and without a cancellation for small."""
    return s + np.log(-np.expm1(-s))


POSITIVITIES: dict[str, Positivity] = {p.name: p for p in (
    Positivity("clamp", _itself, _itself, Within(SCALE_MIN)),
    Positivity("exp", exp, np.log),
    Positivity("softplus", softplus, _softplus_inverse),
    Positivity("power_of_two", power_of_two, np.log2),
)}


def positivity_named(name: str) -> Positivity:
    """The positivity of a name; ConfigError for an unknown one.

    >>> positivity_named("power_of_two").scale_of(positivity_named("power_of_two").latent_of(np.array([0.3, 0.4])))
    array([0.25, 0.5 ])
    """
    if not isinstance(name, str) or name not in POSITIVITIES:
        raise ConfigError("Scaled", f"positivity must be one of {', '.join(POSITIVITIES)}", got=shown(name),
                          cause=meant(name, POSITIVITIES))
    return POSITIVITIES[name]
