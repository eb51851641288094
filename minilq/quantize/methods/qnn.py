"""QNN: weights and activations of k bits, evenly spaced or powers of two, within -1 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.autodiff.memory import Keep
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.ops.broadcast import check_floats
from minilq.ops.powers import ap2
from minilq.quantize.coded import Coded, Even, Table, narrowed
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.bounds import one_of
from minilq.quantize.methods.lsq import codable

MOST_BITS = {"linear": 16, "log": 7}


@primitive
def qnn(x: Any, bits: int, levels: str = "linear") -> Array:
    """k bits within -1 and 1.

    Forward     linear  y = s clip(round(x / s), -2^(k-1), 2^(k-1) - 1),  s = 2^(1-k), halves to even
                log     y = AP2(x), the nearest power of two, its exponent clipped to 2 - 2^(k-1) .. 0; 0 stays 0
    Derivative  kind: surrogate. dx = g [|x| <= 1]
    Shapes      x any -> the same
    Dtype       float32 or float64, preserved
    Source      Hubara et al. 2018 (arXiv 1609.07061), section 3; the step as it is used: printed is 2^(k-1)

    >>> qnn(np.array([-3.0, -0.3, 0.3, 0.9]), 3)
    array([-1.  , -0.25,  0.25,  0.75])
    >>> qnn(np.array([-3.0, -0.3, 0.0, 0.01]), 3, "log")
    array([-1.  , -0.25,  0.  ,  0.25])
    """
    check_floats("qnn", x=x)
    return few_bits(x, bits, levels)


@vjp_of(qnn, kind="surrogate", needs="x", at=normal((3, 4), bits=3))
def qnn_vjp(g: Array, y: Array, x: Array, bits: int, levels: str = "linear") -> tuple[Array]:
    # y = clip(x, -1, 1) + c, c held
    return (g * (np.abs(x) <= 1),)


@smooth_of(qnn)
def qnn_smooth(keep: Keep, x: Array, bits: int, levels: str = "linear") -> Array:
    u = np.clip(x, -1, 1)
    return np.asarray(u + keep(few_bits(x, bits, levels) - u))


def few_bits(x: Array, bits: int, levels: str) -> Array:
    """The forward on arrays."""
    if levels == "linear":
        return linear_codes(x, bits) * x.dtype.type(2.0 ** (1 - bits))
    return np.sign(x) * np.where(x == 0, x.dtype.type(0), np.clip(ap2(np.abs(x)), 2.0 ** (2 - 2 ** (bits - 1)), 1))


def linear_codes(x: Array, bits: int) -> Array:
    most = 2.0 ** (bits - 1)
    return np.clip(np.rint(x * x.dtype.type(most)), -most, most - 1) + 0         # no -0


@dataclass(frozen=True)
class QNN(Quantizer):
    """Quantized neural networks (Hubara et al. 2018): k bits within -1 and 1, dx = g [|x| <= 1].

    bits        k, 2 .. 16; with log levels 2 .. 7
    levels      linear, steps of 2^(1-k), of which 1 is none; log, powers of two down to 2^(2 - 2^(k-1)), and 0

    Learns nothing. What it really minimises is the loss of a network that clips at +-1, at the point where the rounded
    numbers are. One bit is BinaryConnect for weights and BNN for activations.

    Raises ConfigError for unknown levels and for other bits.

    >>> QNN(bits=3)(Tensor([-3.0, 0.3], dtype=np.float64), {}).numpy().tolist()
    [-1.0, 0.25]
    """

    bits: int = 4
    levels: str = "linear"

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"bits": 3, "levels": "log"}, {"bits": 2})

    def __post_init__(self) -> None:
        one_of("QNN", "levels", self.levels, (*MOST_BITS,))
        most = MOST_BITS[self.levels]
        if isinstance(self.bits, bool) or not isinstance(self.bits, (int, np.integer)) or not 2 <= self.bits <= most:
            raise ConfigError("QNN", f"bits must be a whole number in 2..{most} for {self.levels} levels",
                              got=repr(self.bits))

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = qnn(x, self.bits, self.levels)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("QNN", plain(x))
        if self.levels == "linear":
            return Coded(narrowed(linear_codes(x, self.bits)), Even(np.full(1, 2.0 ** (1 - self.bits), x.dtype)))
        levels, codes = np.unique(few_bits(x, self.bits, self.levels), return_inverse=True)
        return Coded(narrowed(codes.reshape(x.shape)), Table(levels))
