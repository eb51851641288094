"""Scaled: y = s rounding(clip(x / s)), with every choice open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_number, is_whole, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import WithResidual, primitive, smooth_of, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError, meant
from minilq.kernels import twin
from minilq.quantize.branches import Branches, branches, countable
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.granularity import (
    NAMED_AXES,
    Granularity,
    check_arguments,
    check_finite,
    check_positive,
    scale_shape,
)
from minilq.quantize.method import Held, Quantizer, plain, trained
from minilq.quantize.positivity import POSITIVITIES, SCALE_MIN, positivity_named
from minilq.quantize.rounding import Rounding, rounded, rounding_function
from minilq.quantize.scale_rule import ScaleRule, Threshold, chain_rule, frozen, rule_named, threshold
from minilq.quantize.surrogate import STRAIGHT_THROUGH, Surrogate, surrogate_named

MASKS = ("clip_first", "round_first")

VARIANTS: tuple[dict[str, Any], ...] = (
    {}, {"rounding": "nearest", "scale_rule": chain_rule(), "granularity": "scalar", "qmin": -4, "qmax": 3},
    {"rounding": "nearest", "scale_rule": chain_rule("lsq"), "qmin": -4, "qmax": 3, "mask": "round_first"},
    {"rounding": "ceil", "scale_rule": frozen(), "granularity": "column", "surrogate": "clipped", "qmin": -2},
    {"rounding": "nearest", "scale_rule": chain_rule(), "positivity": "exp"},
    {"rounding": "nearest", "scale_rule": chain_rule(), "positivity": "softplus"},
    {"rounding": "nearest", "scale_rule": chain_rule(), "positivity": "power_of_two"},
    {"rounding": "sign", "scale_rule": chain_rule(), "surrogate": "clipped"})


@dataclass(frozen=True)
class Scaled(Quantizer):
    """The method y = s rounding(clip(x / s, qmin, qmax)), s > 0 learned; a choice for each of its parts.

    rounding      floor (the thesis), nearest (half to even), ceil, trunc, sign; stochastic(rng) or any function
    surrogate     straight_through (the thesis), clipped, zero, or a Surrogate
    granularity   scalar, row, column, channel, filter, or a tuple of kept axes
    scale_rule    threshold(lam) (the thesis), frozen(), chain_rule(), or such a text
    qmin, qmax    bounds of the integer codes; None for no bound (the thesis)
    mask          what counts as in range, where there are bounds: clip_first, what lies between them before it is
                  rounded (LSQ); round_first, what is rounded to a code between them (PyTorch)
    positivity    how the scales are kept > 0: clamp (the thesis), exp, softplus, power_of_two; see positivity.py

    Holds `scale`, SCALE_MIN at first: almost no quantization (thesis); with another positivity than clamp the latent
    behind it, `exp_scale` and so on. (With power_of_two the scales begin at 2^-16 = 1.28 SCALE_MIN, the power nearest.)
    See `fake_quantize` for the forward and its derivative.

    Raises ConfigError for unknown names and for qmin > qmax.

    >>> method = Scaled("nearest", qmin=-8, qmax=7)
    >>> method.start(np.zeros((3, 2)))["scale"].shape
    (3, 1)
    """

    variants: ClassVar[tuple[dict[str, Any], ...]] = VARIANTS
    on_bias: ClassVar[bool] = True

    rounding: str | Rounding = "floor"
    surrogate: str | Surrogate = "straight_through"
    granularity: Granularity = "row"
    scale_rule: ScaleRule = threshold(1e-10)  # noqa: RUF009 - it is frozen too
    qmin: int | None = None
    qmax: int | None = None
    mask: str = "clip_first"
    positivity: str = "clamp"

    def __post_init__(self) -> None:
        rounding_function(self.rounding)
        surrogate_named(self.surrogate)
        positivity_named(self.positivity)
        if not isinstance(self.mask, str) or self.mask not in MASKS:
            raise ConfigError("Scaled", f"mask must be one of {', '.join(MASKS)}", got=shown(self.mask),
                              cause=meant(self.mask, MASKS))
        if isinstance(self.granularity, str):
            if self.granularity not in NAMED_AXES:
                raise ConfigError("Scaled", f"granularity must be one of {', '.join(NAMED_AXES)}, or a tuple of "
                                  "kept axes", got=repr(self.granularity), cause=meant(self.granularity, NAMED_AXES))
        elif not (isinstance(self.granularity, tuple) and all(map(is_whole, self.granularity))):
            raise ConfigError("Scaled", "granularity must be a name or a tuple of axes",
                              got=shown(self.granularity))
        if isinstance(self.scale_rule, str):
            object.__setattr__(self, "scale_rule", rule_named(self.scale_rule))
        if not hasattr(self.scale_rule, "scale_gradient"):
            raise ConfigError("Scaled", "scale_rule must be threshold(lam), frozen() or chain_rule()",
                              got=shown(self.scale_rule), cause="A rule is called first: threshold(1e-10)")
        for name, value in (("qmin", self.qmin), ("qmax", self.qmax)):
            if value is not None and not (is_number(value) and float(value).is_integer()):
                raise ConfigError("Scaled", f"{name} must be a whole number, or None for no bound", got=shown(value))
            if value is not None:                # a NumPy number of few bits would overflow in N qmax
                object.__setattr__(self, name, int(value))
        if self.qmin is not None and self.qmax is not None and self.qmin > self.qmax:
            raise ConfigError("Scaled", "qmin must not be above qmax", got=f"qmin={self.qmin}, qmax={self.qmax}")
        if getattr(self.scale_rule, "grad_factor", None) == "lsq" and (self.qmax is None or self.qmax <= 0):
            raise ConfigError("Scaled", "chain_rule('lsq') multiplies by 1 / sqrt(N qmax) and needs qmax > 0",
                              got=f"qmax={self.qmax}")


    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x, positivity = plain(x), positivity_named(self.positivity)
        latent = positivity.latent_of(np.full(scale_shape(self.granularity, x.shape), SCALE_MIN))
        return {positivity.held_name: Parameter(latent, positivity.constraint, dtype=x.dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = fake_quantize(x, self.scale(held), self)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        scale = self.scale(held).array
        return Coded(codes_of(x, scale, self), Even(scale.copy()))

    def scale(self, held: Held) -> Tensor:
        positivity = POSITIVITIES[self.positivity]
        scale: Tensor = positivity.scale_of(trained(held, positivity.held_name))
        return scale

    @property
    def scaled(self) -> Scaled:
        return self

    def observe(self, x: Tensor, held: Held) -> Branches | None:
        if x.grad is None or not countable(self):        # without a gradient the rule was not asked
            return None
        assert isinstance(self.scale_rule, Threshold)
        with no_grad():
            y, s = self(x, held).array, self.scale(held)
        return branches(x.grad, y, self.scale_rule.lam, s.shape)


@twin("fake_quantize")
def round_trip(P: Array, s: Array, rounding: str | Rounding, qmin: float | None = None,
               qmax: float | None = None) -> tuple[Array, bool]:
    """y = s * rounding(clip(P / s, qmin, qmax)), and whether all is well: every s > 0, every P / s and y finite.

    Divide, never multiply by 1/s: for exact multiples of s the floor of P * (1/s) is one too low far more often.
    """
    if not (s > 0).all():
        return P, False
    v = P / s
    y = rounded(rounding, _clip(v, qmin, qmax)) * s
    return y, bool(np.isfinite(y).all() and np.isfinite(v).all())        # a clip would hide an infinity until ds = NaN


def _clip(v: Array, qmin: float | None, qmax: float | None) -> Array:
    if qmin is not None:
        v = np.where(v < qmin, v.dtype.type(qmin), v)
    if qmax is not None:
        v = np.where(v > qmax, v.dtype.type(qmax), v)
    return v


@primitive
def fake_quantize(P: Any, s: Any, quantizer: Scaled) -> Array | WithResidual:
    """Quantize and reconstruct: what the network sees of a parameter P with scale s.

    Forward     v = P / s;  u = clip(v, qmin, qmax);  k = rounding(u);  y = k s
                with mask="round_first" k = clip(rounding(v), qmin, qmax). The codes are the same, unless sign has
                bounds that leave out -1 or 1.
    Derivative  kind: surrogate. dP = g [in range] sigma'(u), which is g for the thesis' nested layer
                (straight-through, no bounds). In range is qmin <= v <= qmax; with mask="round_first" it is
                qmin <= rounding(v) <= qmax, and sigma'(v) replaces sigma'(u). So half a step (nearest) or a whole one
                (floor) beyond the bounds still passes the gradient, and has k - v in ds where clip_first has k.
                ds: see the scale rule, of its own kind.
    At kinks    in range includes the bounds
    Shapes      P any; s broadcasts, by granularity: (in, 1) | (1, out) | (1,) ...; returns P.shape
    Dtype       float32 or float64, the same for both, preserved; integers rejected
    Raises      ShapeError, DTypeError, NonFiniteError; ConfigError for s <= 0
    Source      thesis, nested quantization layer; clip_first as in LSQ (Esser et al. 2020), round_first as in PyTorch's
                fake_quantize_per_tensor_affine

    >>> P, s = np.array([[0.12, -0.31], [0.5, 0.49]]), np.array([[0.1], [0.25]])
    >>> fake_quantize(P, s, Scaled("nearest"))
    array([[ 0.1, -0.3],
           [ 0.5,  0.5]])
    """
    _check("fake_quantize", P, s, quantizer)
    if quantizer.mask == "round_first" and (quantizer.qmin, quantizer.qmax) != (None, None):
        check_positive("fake_quantize", s)
        k = rounded(quantizer.rounding, P / s)
        y = _clip(k, quantizer.qmin, quantizer.qmax) * s
        check_finite("fake_quantize", k, y, P)
        return WithResidual(y, k)                # kept, because a stochastic rounding cannot be asked again
    y, good = round_trip(P, s, quantizer.rounding, quantizer.qmin, quantizer.qmax)
    if not good:
        check_positive("fake_quantize", s)
        with np.errstate(over="ignore"):
            check_finite("fake_quantize", P / s, y, P)
    return y


def heuristic_of(P: Any, s: Any, quantizer: Scaled) -> str:
    """`s`, when the scale rule has no smooth program: then its gradient is the derivative of nothing."""
    return "" if hasattr(quantizer.scale_rule, "smooth") else "s"


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    s = rng.uniform(0.05, 0.5, (3, 1))
    return [cells(rng, (3, 4), s), s], {"quantizer": Scaled("nearest", scale_rule=chain_rule(), qmin=-4, qmax=3)}


@vjp_of(fake_quantize, kind="surrogate", needs="P s y", heuristic=heuristic_of, at=_at)
def fake_quantize_vjp(g: Array, y: Array, P: Array, s: Array, quantizer: Scaled,
                      residual: Array | None = None) -> tuple[Array, Array]:
    # y = s k(v), v = P / s   =>   dy/dP = s k'(v) / s = k'(v), the slope that the clip and the surrogate give
    slope = _slope(P, s, quantizer, residual)
    dP = g if slope is None else g * slope
    # y = s k(v)              =>   dy/ds = k - k'(v) v for the chain rule; otherwise whatever the rule says
    ds = quantizer.scale_rule.scale_gradient(g, y, P, s, slope, quantizer.qmax)
    return dP, ds


@smooth_of(fake_quantize)
def fake_quantize_smooth(keep: Keep, P: Array, s: Array, quantizer: Scaled) -> Array | WithResidual:
    """k0 + sigma(u) - sigma(u0) in place of the rounding, with k0 and u0 held; the scale moves as its rule says."""
    _check("fake_quantize", P, s, quantizer)
    check_positive("fake_quantize", s)
    low, high = quantizer.qmin, quantizer.qmax
    curve = surrogate_named(quantizer.surrogate).curve
    smooth = getattr(quantizer.scale_rule, "smooth", None)
    s = s if smooth is None else smooth(keep, s, P.size, high)
    u = P / s if quantizer.mask == "round_first" else _clip(P / s, low, high)
    sigma = curve(u, low, high)
    k0 = keep(rounded(quantizer.rounding, u))
    k = k0 + (sigma - keep(sigma))
    if quantizer.mask == "clip_first":
        return k * s
    # Last comes the clip, and codes in range may stand on its corners. With corners half a step further out none does,
    # while codes out of range are still beyond them.
    out, up = None if low is None else low - 0.5, None if high is None else high + 0.5
    return WithResidual((_clip(k0, low, high) + _clip(k, out, up) - _clip(k0, out, up)) * s, k0)


def _slope(P: Array, s: Array, quantizer: Scaled, rounded: Array | None) -> Array | None:
    """dk/dv by the clip and the surrogate, from rounding(v) for round_first; None stands for 1 everywhere."""
    low, high = quantizer.qmin, quantizer.qmax
    surrogate = surrogate_named(quantizer.surrogate)
    if surrogate is STRAIGHT_THROUGH and low is None and high is None:
        return None
    v = P / s
    if rounded is not None:                      # k = clip(rounding(v)):  dk/dv = [the clip changed nothing] sigma'(v)
        return (_clip(rounded, low, high) == rounded) * surrogate.slope(v, low, high)
    u = _clip(v, low, high)                      # k = rounding(clip(v)):  dk/dv = sigma'(u) [the clip changed nothing]
    return (u == v) * surrogate.slope(u, low, high)


def codes_of(P: Any, s: Any, quantizer: Scaled) -> Array:
    """Integer codes k of a parameter, always from the latent P.

    Never from a reconstruction: fl(k s) / s can fall just below k, and with floor about 4 % of the codes of
    float32 parameters would come back one too low.

    Shapes      P any, s by granularity; returns P.shape, the narrowest signed integers that hold all codes.
    Raises      as `fake_quantize`.

    >>> codes_of(np.array([0.12, -0.31]), np.array([0.1]), Scaled(granularity="scalar"))
    array([ 1, -4], dtype=int8)
    """
    P, s = plain(P, "P"), plain(s, "s")
    _check("codes_of", P, s, quantizer)
    check_positive("codes_of", s)
    v = P / s
    k = _codes(v, quantizer)
    check_finite("codes_of", v, k, P)
    low, high = (k.min(), k.max()) if k.size else (0, 0)
    if max(abs(low), abs(high)) >= 2.0**63:
        raise NonFiniteError("codes_of", "codes must fit into 64 bits", got=f"{low:g}..{high:g}",
                             cause="The scale is far too small for these values")
    return narrowed(k)


def _codes(v: Array, quantizer: Scaled) -> Array:
    low, high = quantizer.qmin, quantizer.qmax
    if quantizer.mask == "round_first":
        return _clip(rounded(quantizer.rounding, v), low, high)
    return rounded(quantizer.rounding, _clip(v, low, high))


def _check(op: str, P: Any, s: Any, quantizer: Any) -> None:
    if not isinstance(quantizer, Scaled):
        raise ConfigError(op, "the third argument must be a Scaled", got=shown(quantizer))
    check_arguments(op, P, s, quantizer.granularity)
