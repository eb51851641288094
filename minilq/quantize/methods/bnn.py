"""BNN: binary activations, and every curve that has been put in the place of its derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.draws import first_draw, fresh_draws
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.bounds import one_of
from minilq.quantize.methods.lsq import codable
from minilq.quantize.rounding import sign
from minilq.quantize.surrogate import SURROGATES


@primitive
def signs(a: Any, surrogate: str = "clipped", u: Array | None = None) -> Array:
    """Binary activations.

    Forward     without u:  y = 1 where a >= 0, else -1
                with u:     y = 1 where u > 1 - p, else -1, p = clip((a + 1) / 2, 0, 1). For u uniform in [0, 1) then
                            E y = clip(a, -1, 1)
    Derivative  kind: surrogate. da = g sigma'(a), by the curve sigma of that name:
                    clipped           [|a| <= 1], the paper, the derivative of hard tanh
                    hard_tanh         [|a| < 1], the released code
                    straight_through  1, as for the weights
                    approximate_sign  2 max(0, 1 - |a|)
                    triangle          max(0, 1 - |a|)
                    swish_sign        b (2 - b a tanh(b a / 2)) / (1 + cosh(b a)), b = 5
                    arctan            1 / (1 + (pi a / 2)^2)
                    zero              0
    At kinks    a = 0 (and -0) counts as positive. NaN stays NaN
    Shapes      a any, u alike -> the same
    Dtype       float32 or float64, preserved
    Raises      ConfigError for an unknown curve, DTypeError
    Source      Hubara et al. 2016 (arXiv 1602.02830), equations 1 to 4; the curves: minilq/quantize/surrogate.py

    >>> signs(np.array([-0.3, 0.0, 2.0]))
    array([-1.,  1.,  1.])
    """
    check_floats("signs", a=a)
    one_of("signs", "surrogate", surrogate, (*SURROGATES,))
    return drawn(a, u)


@vjp_of(signs, kind="surrogate", needs="a", at=normal((3, 4), surrogate="swish_sign"))
def signs_vjp(g: Array, y: Array, a: Array, surrogate: str = "clipped", u: Array | None = None) -> tuple[Array]:
    # y = sigma(a) + c, c held   =>   dy/da = sigma'(a)
    return (g * SURROGATES[surrogate].slope(a, None, None),)


@smooth_of(signs)
def signs_smooth(keep: Keep, a: Array, surrogate: str = "clipped", u: Array | None = None) -> Array:
    curve = SURROGATES[surrogate].curve(a, None, None)
    return np.asarray(curve + keep(drawn(a, u) - curve))


def drawn(a: Array, u: Array | None) -> Array:
    """The forward on arrays."""
    if u is None:
        return sign(a)
    return np.where(u > 1 - np.clip((a + 1) / 2, 0, 1), 1, -1).astype(a.dtype)


@dataclass(frozen=True)
class BNN(Quantizer):
    """Binary activations, of binarized networks and XNOR-Net (Hubara et al. 2016): y = sgn(a), da = g [|a| <= 1].

    surrogate   clipped (the paper), hard_tanh (the released code), straight_through, approximate_sign, triangle,
                swish_sign, arctan, zero: the curve whose slope is passed on, see `signs`
    stochastic  in training y = 1 with probability clip((a + 1) / 2, 0, 1), else -1; outside it the sign

    Learns nothing. What it really minimises is the loss of a network in which a moves along the curve, at the point
    where the signs are. Stochastic, it remembers `draw`, a seed and the number of batches.

    For inputs: what comes out of a relu is never negative, so that all signs would be 1; batch normalisation before it
    leaves both. Weights take BinaryConnect or BWN.

    Raises ConfigError for an unknown curve.

    >>> method, x = BNN(), Tensor([-3.0, -0.3, 0.0, 0.9], requires_grad=True)
    >>> y = method(x, {})
    >>> y.sum().backward(); y.numpy().tolist(), x.grad.tolist()
    ([-1.0, -1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0])
    """

    surrogate: str = "clipped"
    stochastic: bool = False

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        *({"surrogate": name} for name in SURROGATES), {"surrogate": "straight_through", "stochastic": True})

    def __post_init__(self) -> None:
        one_of("BNN", "surrogate", self.surrogate, (*SURROGATES,))
        if not isinstance(self.stochastic, bool):
            raise ConfigError("BNN", "stochastic must be a bool", got=repr(self.stochastic))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = codable("BNN", plain(x))
        return {"draw": first_draw(x)} if self.stochastic else {}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        u = fresh_draws(held, x.array) if self.stochastic and training else None
        y: Tensor = signs(x, self.surrogate, u)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("BNN", plain(x))
        return Coded(narrowed(sign(x)), Even(np.ones(1, x.dtype)))
