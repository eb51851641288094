"""BinaryConnect: weights of -H and H, the real ones kept in between and trained by what their signs receive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter, Within
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

RATES = ("plain", "glorot")


@primitive
def binary_connect(w: Any, H: float = 1.0, u: Array | None = None) -> Array:
    """Binary weights.

    Forward     without u:  y = H where w >= 0, else -H
                with u:     y = H where u < p, else -H, p = clip((w / H + 1) / 2, 0, 1), the hard sigmoid.
                            For u uniform in [0, 1) then E y = clip(w, -H, H)
    Derivative  kind: surrogate. dw = g: the gradient is taken at y and used on w, without a mask
    At kinks    w = 0 (and -0) counts as positive. NaN stays NaN without u
    Shapes      w any, u alike -> the same
    Dtype       float32 or float64, preserved
    Source      Courbariaux et al. 2015 (arXiv 1511.00363), equations 1 to 3 and algorithm 1

    >>> binary_connect(np.array([-0.3, 0.0, 2.0]), 0.5)
    array([-0.5,  0.5,  0.5])
    >>> binary_connect(np.array([-0.5, -0.5, 2.0]), u=np.array([0.2, 0.3, 0.99]))
    array([ 1., -1.,  1.])
    """
    check_floats("binary_connect", w=w)
    return binary(w, H, u)


@vjp_of(binary_connect, kind="surrogate", needs="", at=normal((3, 4), H=0.5))
def binary_connect_vjp(g: Array, y: Array, w: Array, H: float = 1.0, u: Array | None = None) -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(binary_connect)
def binary_connect_smooth(keep: Keep, w: Array, H: float = 1.0, u: Array | None = None) -> Array:
    return w + keep(binary(w, H, u) - w)


def binary(w: Array, H: float, u: Array | None) -> Array:
    """The forward on arrays."""
    up = sign(w) if u is None else np.where(u < np.clip((w / H + 1) / 2, 0, 1), 1, -1)
    return np.asarray(w.dtype.type(H) * up.astype(w.dtype, copy=False))


@dataclass(frozen=True)
class BinaryConnect(Quantizer):
    """Binary weights (Courbariaux et al. 2015): y = H sgn(w), or a draw with E y = w; dw = g; then w <- clip(w, -H, H).

    H           > 0, the size of both levels: 1 in the paper, which shuts the gates of recurrent networks, where the
                Glorot bound of the matrix does not (docs/over-time.md). The latents stay within -H .. H, which stands
                in for a mask: what is clipped after the step does not run away
    stochastic  in training y = H with probability clip((w / H + 1) / 2, 0, 1), else -H. Outside training the signs are
                taken, so that there are codes. (The paper predicts with the real weights then, as a last stage without
                a method does.)
    rate        plain, or glorot: the learning rate of w is multiplied by 1 / sqrt(1.5 / (inputs + outputs)), as in the
                authors' code

    Learns nothing. What it really minimises is the loss at the signs; how large w is says only how soon its sign flips.
    Stochastic, it remembers `draw`, a seed and the number of batches: equal numbers draw equal weights.

    Raises ConfigError for H <= 0 and for unknown names.

    >>> method = BinaryConnect()
    >>> method(Tensor([-0.3, 0.0, 0.9], dtype=np.float64), {}).numpy().tolist()
    [-1.0, 1.0, 1.0]
    """

    H: float = 1.0
    stochastic: bool = False
    rate: str = "plain"

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"H": 0.25, "stochastic": True, "rate": "glorot"})

    def __post_init__(self) -> None:
        if isinstance(self.H, bool) or not isinstance(self.H, Real) or not 0 < self.H < math.inf:
            raise ConfigError("BinaryConnect", "H must be a number > 0", got=repr(self.H))
        if not isinstance(self.stochastic, bool):
            raise ConfigError("BinaryConnect", "stochastic must be a bool", got=repr(self.stochastic))
        one_of("BinaryConnect", "rate", self.rate, RATES)

    @property
    def latent(self) -> Within:
        return Within(-self.H, self.H)

    def latent_lr(self, shape: tuple[int, ...]) -> float:
        return 1 / glorot(shape) if self.rate == "glorot" else 1.0

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = codable("BinaryConnect", plain(x))
        return {"draw": first_draw(x)} if self.stochastic else {}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        u = fresh_draws(held, x.array) if self.stochastic and training else None
        y: Tensor = binary_connect(x, self.H, u)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("BinaryConnect", plain(x))
        return Coded(narrowed(sign(x)), Even(np.full(1, self.H, x.dtype)))


def glorot(shape: tuple[int, ...]) -> float:
    """sqrt(1.5 / (fan_in + fan_out)): of a kernel (KH, KW, C, F) the fans are KH KW C and KH KW F.

    >>> round(glorot((784, 128)), 4), glorot((2, 3, 1, 5)) == math.sqrt(1.5 / 36)
    (0.0406, True)
    """
    *window, C, F = (1, 1, *shape)[-max(2, len(shape)):]
    return math.sqrt(1.5 / (math.prod(window) * (C + F)))
