"""DoReFa: weights through tanh onto 2^k levels of -1 .. 1, and activations onto 2^k levels of 0 .. 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, Even, narrowed, of_scale
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.bounds import code_bounds, one_of
from minilq.quantize.methods.lsq import codable
from minilq.quantize.rounding import sign

GRADIENTS = ("through", "stopped")


@primitive
def dorefa(w: Any, bits: int, gradient: str = "through") -> Array:
    """Weights of k bits on -1 .. 1, n_k = 2^k - 1.

    Forward     k = 1:  y = E sgn(w), 1 at 0, E = mean |w|
                k > 1:  y = 2 round(n_k (t / 2M + 1/2)) / n_k - 1,  t = tanh(w), M = max |t|
    Derivative  kind: surrogate. k = 1: dw = g. k > 1, through the rounding:
                    stopped  dw_i = g_i (1 - t_i^2) / M
                    through  also what M = |t_j| receives: - sgn(t_j) (1 - t_j^2) / M^2 sum_i g_i t_i at its j
    At kinks    halves go to the even code; several j share alike; all w = 0 counts as M = 1
    Shapes      w any -> the same. No level is 0
    Dtype       float32 or float64, preserved; the sum in float64
    Source      Zhou et al. 2016 (arXiv 1606.06160), equations 5 to 9

    >>> dorefa(np.array([-3.0, 0.1, 0.4, 0.9]), 2).round(3)
    array([-1.   ,  0.333,  0.333,  1.   ])
    """
    check_floats("dorefa", w=w)
    k, scale = dorefa_codes(w, bits)
    return np.asarray(k * scale)


@vjp_of(dorefa, kind="surrogate", needs="w", at=normal((3, 4), bits=3))
def dorefa_vjp(g: Array, y: Array, w: Array, bits: int, gradient: str = "through") -> tuple[Array]:
    if bits == 1:
        return (g,)                              # y = w + c, c held
    t, M = squashed(w)
    # y = t / M + c   =>   dy/dt = 1/M,   dy/dM = -t / M^2
    dt = g / M
    if gradient == "through":
        largest = np.abs(t) == M
        dM = -(g * t).sum(dtype=np.float64) / float(M) ** 2
        dt = dt + np.where(largest, np.sign(t), 0) * w.dtype.type(dM / max(largest.sum(), 1))
    return (dt * (1 - t**2),)


@smooth_of(dorefa)
def dorefa_smooth(keep: Keep, w: Array, bits: int, gradient: str = "through") -> Array:
    """The residual of the rounding is held; with gradient="stopped" M is too."""
    k, scale = dorefa_codes(w, bits)
    if bits == 1:
        return w + keep(k * scale - w)
    t, M = squashed(w)
    u = t / (keep(M) if gradient == "stopped" else M)
    return u + keep(k * scale - u)


def dorefa_codes(w: Array, bits: int) -> tuple[Array, Array]:
    """Odd numbers -n_k .. n_k as floats, and the scale that makes levels of them."""
    if bits == 1:
        return sign(w), np.asarray(np.abs(w).mean(dtype=np.float64) if w.size else 0, w.dtype).reshape(1)
    (t, M), steps = squashed(w), w.dtype.type(2**bits - 1)
    return 2 * np.rint(steps * (t / (2 * M) + w.dtype.type(0.5))) - steps, np.array([1 / steps], w.dtype)


def squashed(w: Array) -> tuple[Array, Array]:
    """t, and M > 0."""
    t = np.tanh(w)
    M = np.abs(t).max(initial=0)
    return t, np.where(M == 0, w.dtype.type(1), M)


@dataclass(frozen=True)
class DoReFa(Quantizer):
    """DoReFa-Net's weights (Zhou et al. 2016): 2^bits levels of -1 .. 1 for tanh(w) / max |tanh(w)|; 1 bit: E sgn(w).

    bits        1 .. 16
    gradient    through or stopped: whether the largest |tanh(w)| receives a gradient as such (the authors' code) or
                counts as a constant (larq): they are different methods, see `dorefa`

    Learns nothing. What it really minimises is the loss at levels that reach from -1 to 1 whatever w is: only how w are
    to each other matters, and 0 is never a level. Batch normalisation takes up the size.

    Raises ConfigError for unknown names and for other bits.

    >>> method, w = DoReFa(bits=2), np.array([-3.0, 0.1, 0.4])
    >>> method.coded(w, {}).codes.tolist(), float(method(Tensor(w), {}).numpy()[0])
    ([-3, 1, 1], -1.0)
    """

    bits: int = 2
    gradient: str = "through"

    name: ClassVar[str] = "dorefa"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"gradient": "stopped"}, {"bits": 1}, {"bits": 4})

    def __post_init__(self) -> None:
        code_bounds("DoReFa", self.bits, signed=False)
        one_of("DoReFa", "gradient", self.gradient, GRADIENTS)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = dorefa(x, self.bits, self.gradient)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        return of_scale(*dorefa_codes(codable("DoReFa", plain(x)), self.bits))


@primitive
def dorefa_input(a: Any, bits: int) -> Array:
    """Activations of k bits on 0 .. 1.

    Forward     y = round(n_k clip(a, 0, 1)) / n_k,  n_k = 2^k - 1, halves to even
    Derivative  kind: surrogate. da = g [0 <= a <= 1]
    Shapes      a any -> the same
    Dtype       float32 or float64, preserved
    Source      Zhou et al. 2016 (arXiv 1606.06160), equations 5 and 11

    >>> dorefa_input(np.array([-1.0, 0.2, 0.6, 7.0]), 1)
    array([0., 0., 1., 1.])
    """
    check_floats("dorefa_input", a=a)
    return input_codes(a, bits) * input_scale(a, bits)


@vjp_of(dorefa_input, kind="surrogate", needs="a", at=normal((3, 4), bits=2))
def dorefa_input_vjp(g: Array, y: Array, a: Array, bits: int) -> tuple[Array]:
    # y = clip(a, 0, 1) + c, c held
    return (g * ((a >= 0) & (a <= 1)),)


@smooth_of(dorefa_input)
def dorefa_input_smooth(keep: Keep, a: Array, bits: int) -> Array:
    u = np.clip(a, 0, 1)
    return np.asarray(u + keep(input_codes(a, bits) * input_scale(a, bits) - u))


def input_codes(a: Array, bits: int) -> Array:
    return np.rint(a.dtype.type(2**bits - 1) * np.clip(a, 0, 1))


def input_scale(a: Array, bits: int) -> Array:
    return np.array([1 / (2**bits - 1)], a.dtype)


@dataclass(frozen=True)
class DoReFaInput(Quantizer):
    """DoReFa-Net's activations (Zhou et al. 2016): round(n clip(a, 0, 1)) / n, n = 2^bits - 1; da = g [0 <= a <= 1].

    bits        1 .. 16

    Learns nothing: whoever feeds it keeps a within 0 .. 1, such as batch normalisation. What it really minimises is the
    loss of a network that clips there, at the point where the rounded numbers are.

    Raises ConfigError for other bits.

    >>> DoReFaInput(bits=1)(Tensor([-1.0, 0.2, 0.6, 7.0], dtype=np.float64), {}).numpy().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """

    bits: int = 2

    name: ClassVar[str] = "dorefa-input"
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"bits": 1}, {"bits": 8})

    def __post_init__(self) -> None:
        code_bounds("DoReFaInput", self.bits, signed=False)

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = dorefa_input(x, self.bits)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        a = codable("DoReFaInput", plain(x))
        return Coded(narrowed(input_codes(a, self.bits)), Even(input_scale(a, self.bits)))
