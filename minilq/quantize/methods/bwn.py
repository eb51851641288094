"""BWN, the binary weights of XNOR-Net: alpha sgn(w), the nearest to w of everything of that form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Within
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, of_scale
from minilq.quantize.granularity import Granularity, reduced_axes, scale_shape
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.bounds import check_granularity, one_of
from minilq.quantize.methods.lsq import codable
from minilq.quantize.rounding import sign

GRADIENTS = ("paper", "exact", "stopped", "code")


@primitive
def bwn(w: Any, granularity: Granularity = "filter", gradient: str = "paper") -> Array:
    """Binary weights with the best scale.

    Forward     y = alpha B,  B = sgn(w), 1 at 0,  alpha = mean |w| of each group of n entries.
                |w - alpha B|^2 = |w|^2 - n alpha^2 is the least that any alpha > 0 and signs B can have
    Derivative  kind: surrogate. [in] says |w| <= 1; of an entry i of a group
                    paper    dw_i = g_i (1 / n + alpha [in])
                    exact    dw_i = B_i / n sum_j g_j B_j + alpha g_i [in], the chain rule: alpha is one for the group
                    stopped  dw_i = alpha g_i [in], alpha a constant (larq)
                    code     (1 - 1 / C) times the paper's, C input channels: the released code subtracts their mean
                             from w, and this is what it makes of that
    At kinks    |w| = 1 passes; at 0 alpha does not move, |w|' = 0. NaN stays NaN
    Shapes      w any, groups by granularity: filter, (C, F) and (KH, KW, C, F), is one for each output -> w.shape
    Dtype       float32 or float64, preserved
    Source      Rastegari et al. 2016 (arXiv 1603.05279), equations 4 to 6, and section 3.1 for the gradient

    >>> bwn(np.array([[0.5, -1.0], [-1.5, -3.0]]))
    array([[ 1., -2.],
           [-1., -2.]])
    """
    check_floats("bwn", w=w)
    alpha, B = scale_and_signs(w, granularity)
    return np.asarray(alpha * B)


@vjp_of(bwn, kind="surrogate", needs="w", at=normal((3, 4)))
def bwn_vjp(g: Array, y: Array, w: Array, granularity: Granularity = "filter", gradient: str = "paper",
            ) -> tuple[Array]:
    (alpha, B), n = scale_and_signs(w, granularity), w.dtype.type(group_size(w, granularity))
    through = alpha * g * (np.abs(w) <= 1)
    if gradient == "exact":                      # y_j = alpha B_j, dalpha/dw_i = sgn(w_i) / n
        axes = reduced_axes(w.shape, alpha.shape)
        return (np.sign(w) / n * (g * B).sum(axis=axes, keepdims=True) + through,)
    if gradient == "stopped":
        return (through,)
    return ((g / n + through) * w.dtype.type(centring(w) if gradient == "code" else 1),)


@smooth_of(bwn)
def bwn_smooth(keep: Keep, w: Array, granularity: Granularity = "filter", gradient: str = "paper") -> Array:
    """The sign moves as clip(w, -1, 1); alpha moves in exact alone, in the paper w / n moves in its place."""
    (alpha, B), u = scale_and_signs(w, granularity), np.clip(w, -1, 1)
    if gradient != "exact":
        alpha = keep(alpha)
    y = alpha * (u + keep(B - u))
    if gradient in ("paper", "code"):
        y = y + (w - keep(w)) / group_size(w, granularity)
    return np.asarray(y if gradient != "code" else keep(y) + centring(w) * (y - keep(y)))


def scale_and_signs(w: Array, granularity: Granularity) -> tuple[Array, Array]:
    """alpha of each group, with as many axes as w, and B."""
    shape = scale_shape(granularity, w.shape)
    mean = np.abs(w).mean(axis=reduced_axes(w.shape, shape), keepdims=True, dtype=np.float64)
    return mean.astype(w.dtype).reshape(shape), sign(w)


def group_size(w: Array, granularity: Granularity) -> int:
    """n, the entries that share an alpha."""
    return w.size // max(int(np.prod(scale_shape(granularity, w.shape))), 1)


def centring(w: Array) -> float:
    """1 - 1 / C."""
    return 1 - 1 / w.shape[-2] if w.ndim > 1 else 1.0


@dataclass(frozen=True)
class Centred(Within):
    """The constraint of the released code: the mean over the input channels becomes 0, then low <= p <= high.

    >>> p = np.array([[0.5, 3.0], [0.1, -1.0]])
    >>> Centred(-1, 1)(p); p
    array([[ 0.2,  1. ],
           [-0.2, -1. ]])
    """

    def __call__(self, p: Array) -> None:
        if p.ndim > 1:
            p -= p.mean(axis=-2, keepdims=True)
        super().__call__(p)

    def allows(self, p: Array) -> bool:
        """Whether p can come from here: what was clipped has no mean of 0, and the rest none to the last bit."""
        bounded = p.copy()
        super().__call__(bounded)
        return np.array_equal(bounded, p)


@dataclass(frozen=True)
class BWN(Quantizer):
    """Binary weight networks, the weights of XNOR-Net (Rastegari et al. 2016): y = alpha sgn(w), alpha = mean |w|.

    granularity  what shares an alpha: filter (the paper), scalar, row ... as for Scaled
    gradient     paper, exact, stopped, code: rivals, see `bwn`
    centre       the mean over the input channels is subtracted from w after every step, as in the released code

    Learns nothing: alpha follows w. w stays within -1 .. 1. What it really minimises is the loss at the nearest of all
    alpha B to w, which is sqrt(|w|^2 - n alpha^2) away. With BNN at the inputs it is XNOR-Net, but for its map K.

    Raises ConfigError for unknown names.

    >>> method = BWN()
    >>> w = np.array([[0.5, -1.0], [-1.5, -3.0]])
    >>> method(Tensor(w), {}).numpy().tolist(), method.coded(w, {}).codes.tolist()
    ([[1.0, -2.0], [-1.0, -2.0]], [[1, -1], [-1, -1]])
    """

    granularity: Granularity = "filter"
    gradient: str = "paper"
    centre: bool = False

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"gradient": "exact"}, {"gradient": "stopped"}, {"gradient": "code"},
        {"granularity": "scalar", "gradient": "exact", "centre": True})

    def __post_init__(self) -> None:
        check_granularity("BWN", self.granularity)
        one_of("BWN", "gradient", self.gradient, GRADIENTS)
        if not isinstance(self.centre, bool):
            raise ConfigError("BWN", "centre must be a bool", got=repr(self.centre))

    @property
    def latent(self) -> Within:
        return Centred(-1, 1) if self.centre else Within(-1, 1)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = bwn(x, self.granularity, self.gradient)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        alpha, B = scale_and_signs(codable("BWN", plain(x)), self.granularity)
        return of_scale(B, alpha)
