"""PACT: activations clipped at a trained alpha, then rounded to 2^bits - 1 steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter, Within
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import cells
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.reduce import sum_of_squares
from minilq.quantize.coded import Coded, even_codes
from minilq.quantize.method import Held, Quantizer, plain, trained
from minilq.quantize.methods.bounds import check_scale, code_bounds, one_of
from minilq.quantize.methods.lsq import codable, group_sum, lsq
from minilq.quantize.methods.scaled import Scaled
from minilq.quantize.positivity import SCALE_MIN
from minilq.quantize.scale_rule import chain_rule

GRADIENTS = ("paper", "consistent")


@primitive
def pact(x: Any, alpha: Any, steps: int, gradient: str = "paper") -> Array:
    """Clip to 0 .. alpha and round to so many steps of s = alpha / steps.

    Forward     y = s round(clip(x, 0, alpha) / s), halves to even
    Derivative  kind: surrogate. dx = g [0 < x < alpha]. dalpha sums g over x >= alpha; with gradient="consistent" also
                g (k - x / s) / steps in between, because alpha moves the grid there, which the paper leaves out
    At kinks    x = 0 sends nothing, x = alpha counts as clipped
    Shapes      x any; alpha broadcasts, (1,) in the paper; returns x.shape
    Dtype       float32 or float64, the same for both, preserved
    Raises      ShapeError, DTypeError; ConfigError for alpha <= 0
    Source      Choi et al. 2018 (arXiv 1805.06085), equations 1 to 3

    >>> pact(np.array([-1.0, 0.4, 0.6, 7.0]), np.array([3.0]), steps=3)
    array([0., 0., 1., 3.])
    """
    check_scale("pact", x, alpha)
    return np.asarray(lsq(x, alpha / steps, 0, steps))


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [cells(rng, (3, 4), np.array([0.5])), np.array([2.0])], {"steps": 4}


@vjp_of(pact, kind="surrogate", needs="x alpha y", at=_at)
def pact_vjp(g: Array, y: Array, x: Array, alpha: Array, steps: int, gradient: str = "paper") -> tuple[Array, Array]:
    inside, above = (x > 0) & (x < alpha), x >= alpha
    # paper: y = clip(x, 0, alpha) + c, c held   =>   dy/dx = [inside],   dy/dalpha = [above]
    slope = above.astype(x.dtype)
    if gradient == "consistent":
        # y = alpha/n (v + c), v = n x / alpha inside, c held   =>   dy/dalpha = (v + c)/n - x/alpha = (y - x) / alpha
        slope += np.where(inside, (y - x) / alpha, 0)
    return g * inside, group_sum(g * slope, alpha)


@smooth_of(pact)
def pact_smooth(keep: Keep, x: Array, alpha: Array, steps: int, gradient: str = "paper") -> Array:
    """The residual of the rounding is held: as a number by the paper, in steps of the grid by the consistent one."""
    if gradient == "paper":
        y = np.clip(x, 0, alpha)
        return y + keep(lsq(x, alpha / steps, 0, steps) - y)
    s = alpha / steps
    v = np.clip(x / s, 0, steps)
    smooth: Array = s * (v + keep(np.rint(v) - v))
    return smooth


@dataclass(frozen=True)
class PACT(Quantizer):
    """Parameterized clipping activation (Choi et al. 2018): y = s round(clip(x, 0, alpha) / s), s (2^bits - 1) = alpha.

    bits        codes 0 .. 2^bits - 1
    alpha       at first > 0: 10 in the paper
    gradient    paper, or consistent: the derivative that does not leave out that alpha moves the grid, see `pact`
    decay       >= 0, the method adds decay alpha^2 to the loss: the paper takes the weight decay of the network

    Holds `alpha`. For what follows a relu: everything below 0 becomes 0.

    Raises ConfigError for an unknown gradient, bits outside 1..16, alpha <= 0, decay < 0.

    >>> method = PACT(bits=2, alpha=3.0)
    >>> held = method.start(np.zeros(4))
    >>> method(Tensor([-1.0, 0.4, 0.6, 7.0], dtype=np.float64), held).numpy().tolist()
    [0.0, 0.0, 1.0, 3.0]
    """

    bits: int = 4
    alpha: float = 10.0
    gradient: str = "paper"
    decay: float = 2e-4

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"gradient": "consistent"}, {"bits": 2, "alpha": 2.0})

    def __post_init__(self) -> None:
        code_bounds("PACT", self.bits, signed=False)
        one_of("PACT", "gradient", self.gradient, GRADIENTS)
        for name, value, fits in (("alpha", self.alpha, "> 0"), ("decay", self.decay, ">= 0")):
            if not is_number(value) or not (value > 0 or (value == 0 and fits == ">= 0")):
                raise ConfigError("PACT", f"{name} must be a number {fits}", got=shown(value))

    @property
    def high(self) -> int:
        return code_bounds("PACT", self.bits, signed=False)[1]

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = codable("PACT", plain(x))
        return {"alpha": Parameter([self.alpha], Within(SCALE_MIN), dtype=x.dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = pact(x, trained(held, "alpha"), self.high, self.gradient)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        return even_codes(codable("PACT", plain(x)), trained(held, "alpha").array / self.high, 0, self.high)

    def scale(self, held: Held) -> Tensor:
        return trained(held, "alpha") / self.high

    @property
    def scaled(self) -> Scaled:
        return Scaled("nearest", granularity="scalar", scale_rule=chain_rule(), qmin=0, qmax=self.high)

    def penalty(self, held: Held) -> Tensor | None:
        return self.decay * sum_of_squares(trained(held, "alpha")) if self.decay else None
