"""Scale rules: what a scale receives as its gradient.

    threshold    the thesis' vote; a heuristic, the derivative of nothing
    frozen       nothing: scales move by penalties alone, or not at all
    chain_rule   what falls out of s * k(P / s) and the surrogate: LSQ

Words of the first:

    vote         what an entry says for a coarser scale: -tanh(lambda - r), r how much the loss would notice the entry
    sensitive    an entry with r >= lambda, which has no vote
    gate         that sensitive entries have none; without it each votes -tanh(lambda), whatever its gradient

A rule has a name, a kind, and a method for the gradient of the scales. One whose gradient is the derivative of
something has a second, `smooth`, that says of what (see `ScaleRule`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from minilq.arguments import check_flag, is_number, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import Kind
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.kernels import twin
from minilq.quantize.granularity import reduced_axes

EPS32 = np.finfo(np.float32).eps


@runtime_checkable
class ScaleRule(Protocol):
    """What a Scaled needs of a rule.

    scale_gradient(g, y, P, s, slope, qmax)   ds from the incoming gradient g, the reconstruction y = s k, the parameter
        P and its scale s. g, y, P have one shape; s broadcasts to it; the result has the shape of s. slope is dk/dv,
        like g, or None for 1 everywhere; qmax is the quantizer's, or None.
    smooth(keep, s, size, qmax)               optional: the scale in the smooth program, whose derivative ds is (see
        `smooth_of`): s itself for the plain chain rule, keep(s) where no gradient flows. size is the number of entries
        of P. A rule without this method is a heuristic, and no replay check of its scales is possible.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    def scale_gradient(self, g: Array, y: Array, P: Array, s: Array, slope: Array | None,
                       qmax: float | None) -> Array: ...


@twin("fake_quantize")
def threshold_scale_gradient(g: Array, y: Array, s: Array, lam: float, gate: bool = True) -> Array:
    """The thesis' rule for the scales of the nested quantization layer.

    With the reconstruction y = s n, the incoming gradient g, and y~ = y where y != 0, else float32's eps:

        r_i = |g_i| / |y~_i|                          how much the loss would notice entry i
        v_i = -tanh(lam)       if r_j >= lam for all j of the group
              0                if r_i >= lam           sensitive: no vote
              -tanh(lam - r_i) if r_i <  lam           insensitive: vote for a coarser scale
        ds  = mean_i(v_i) * max_i |n_i|

    Kind        heuristic: the derivative of nothing. ds <= 0, so under gradient descent scales only grow.
    gate        False: every entry votes -tanh(lam), whatever its gradient.
    Shapes      g, y alike; s broadcasts; returns s.shape. Dtype preserved.
    Source      thesis, nested quantization layer; the mean comes before the product with the maximum.
    """
    axes = reduced_axes(y.shape, s.shape)
    number = y.dtype.type
    n_max = np.rint(np.abs(y).max(axis=axes, keepdims=True, initial=0).reshape(s.shape) / s)
    full_vote = -np.tanh(number(lam))
    if not gate or y.size == 0:
        return full_vote * n_max
    r = np.abs(g) / np.where(y == 0, number(EPS32), np.abs(y))
    votes = np.tanh(np.minimum(r - number(lam), 0))
    mean = votes.mean(axis=axes, keepdims=True).reshape(s.shape)
    return np.where(mean == 0, full_vote, mean) * n_max


@dataclass(frozen=True)
class Threshold:
    """The rule `threshold`: see `threshold_scale_gradient`."""

    lam: float
    gate: bool = True
    name: ClassVar[str] = "threshold"
    kind: ClassVar[Kind] = "heuristic"

    def scale_gradient(self, g: Array, y: Array, P: Array, s: Array, slope: Array | None,
                       qmax: float | None) -> Array:
        return threshold_scale_gradient(g, y, s, self.lam, self.gate)


def threshold(lam: float, gate: bool = True) -> Threshold:
    """The thesis' rule with threshold lambda >= 0 (see `threshold_scale_gradient`). lam = 0 gives ds = 0.

    >>> threshold(1e-10)
    Threshold(lam=1e-10, gate=True)
    """
    if not (is_number(lam) and lam >= 0):
        raise ConfigError("threshold", "lambda must be a number >= 0", got=shown(lam))
    check_flag("threshold", "gate", gate)
    return Threshold(float(lam), bool(gate))


@dataclass(frozen=True)
class Frozen:
    """The rule `frozen`: ds = 0."""

    name: ClassVar[str] = "frozen"
    kind: ClassVar[Kind] = "heuristic"

    def scale_gradient(self, g: Array, y: Array, P: Array, s: Array, slope: Array | None,
                       qmax: float | None) -> Array:
        return np.zeros_like(s)

    def smooth(self, keep: Keep, s: Array, size: int, qmax: float | None) -> Array:
        return keep(s)


def frozen() -> Frozen:
    """The task loss sends nothing to the scales (the thesis' lambda = 0): they move by penalties, or stay."""
    return Frozen()


@twin("fake_quantize")
def chain_rule_scale_gradient(g: Array, y: Array, P: Array, s: Array, slope: Array | None = None) -> Array:
    """What the chain rule gives for y = s k(P / s), with the surrogate's slope dk/dv in place of the rounding's.

        v = P / s,  k = y / s,   ds = sum_i g_i (k_i - slope_i v_i)

    slope is 1 everywhere when None. In range and straight-through this is LSQ's k - v; where the clip holds the code,
    slope = 0 and the term is the bound itself.

    Kind        surrogate. Shapes as for `threshold_scale_gradient`; slope like g.
    Source      Esser et al. 2020, LSQ, equation 3, there for rounding to nearest.
    """
    v = P / s
    k = np.rint(y / s)
    return (g * (k - (v if slope is None else slope * v))).sum(
        axis=reduced_axes(y.shape, s.shape), keepdims=True).reshape(s.shape)


@dataclass(frozen=True)
class ChainRule:
    """The rule `chain_rule`: see `chain_rule_scale_gradient`."""

    grad_factor: float | Literal["lsq"] = 1.0
    name: ClassVar[str] = "chain_rule"
    kind: ClassVar[Kind] = "surrogate"

    def factor(self, size: int, scales: int, qmax: float | None) -> float:
        """The number that multiplies ds: grad_factor, or LSQ's 1 / sqrt(N qmax), N = entries of one group."""
        if self.grad_factor == "lsq":
            assert qmax is not None              # the Scaled has seen to it
            return 1.0 / math.sqrt(max(size // max(scales, 1), 1) * qmax)
        return self.grad_factor

    def scale_gradient(self, g: Array, y: Array, P: Array, s: Array, slope: Array | None,
                       qmax: float | None) -> Array:
        ds = chain_rule_scale_gradient(g, y, P, s, slope)
        return ds * y.dtype.type(self.factor(y.size, s.size, qmax))

    def smooth(self, keep: Keep, s: Array, size: int, qmax: float | None) -> Array:
        # the same value, and a derivative multiplied by the factor
        return keep(s) + self.factor(size, s.size, qmax) * (s - keep(s))


def chain_rule(grad_factor: float | Literal["lsq"] = 1.0) -> ChainRule:
    """The derivative of the composition, optionally times a factor: a number, or "lsq" for 1 / sqrt(N qmax).

    >>> chain_rule()
    ChainRule(grad_factor=1.0)
    """
    if isinstance(grad_factor, str) and grad_factor == "lsq":
        return ChainRule("lsq")
    if not is_number(grad_factor):
        raise ConfigError("chain_rule", "grad_factor must be a finite number or 'lsq'", got=shown(grad_factor))
    return ChainRule(float(grad_factor))


SCALE_RULES: dict[str, Callable[..., ScaleRule]] = {
    "threshold": threshold, "frozen": frozen, "chain_rule": chain_rule,
}


def rule_text(rule: ScaleRule) -> str:
    """A rule as text, for files and the command line.

    >>> rule_text(threshold(1e-9, gate=False)), rule_text(chain_rule("lsq")), rule_text(frozen())
    ('threshold(1e-09, False)', 'chain_rule(lsq)', 'frozen()')
    """
    values = [str(value) for field in fields(rule) for value in [getattr(rule, field.name)]  # type: ignore[arg-type]
              if field.name != "gate" or value is not True]
    return f"{rule.name}({', '.join(values)})"


def rule_named(text: str) -> ScaleRule:
    """The rule of a text that `rule_text` gives; a name alone for its defaults. Raises ConfigError.

    >>> rule_named("threshold(1e-09, False)"), rule_named("chain_rule")
    (Threshold(lam=1e-09, gate=False), ChainRule(grad_factor=1.0))
    """
    name, _, rest = text.partition("(")
    values = [word.strip() for word in rest.removesuffix(")").split(",") if word.strip()]
    try:
        return SCALE_RULES[name](*[{"True": True, "False": False, "lsq": "lsq"}[v] if v in ("True", "False", "lsq")
                                   else float(v) for v in values])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("scale_rule", "must be threshold(lambda), frozen() or chain_rule(factor)",
                          got=repr(text)) from error
