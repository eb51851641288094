"""DualCopy: fixed point with few bits, in the forward and backward pass of weights that are kept as they are."""

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
from minilq.ops.broadcast import check_reals
from minilq.quantize.coded import Coded, Even, narrowed
from minilq.quantize.method import Held, Quantizer, plain
from minilq.quantize.methods.lsq import codable

MOST_BITS = 16


@primitive
def dual_copy(w: Any, integer_bits: int = 0, fraction_bits: int = 1) -> Array:
    """Fixed point.

    Forward     y = n / 2^f,  n = clip(round(2^f w), -m, m), halves away from zero,  m = 2^(i + f) - 1
    Derivative  kind: surrogate. dw = g, also where w is clipped
    Shapes      w any -> the same
    Dtype       float32 or float64, preserved
    Source      Stromatias et al. 2015; as pow2-ternarization in Ott et al. 2016 (arXiv 1608.06902), whose code,
                github.com/ottj/QuantizedRNN, this is

    >>> dual_copy(np.array([-0.25, 0.2, 0.9]))
    array([-0.5,  0. ,  0.5])
    """
    check_reals("dual_copy", w=w)
    return np.asarray(fixed_codes(w, integer_bits, fraction_bits) * w.dtype.type(2.0**-fraction_bits))


@vjp_of(dual_copy, kind="surrogate", needs="", at=normal((3, 4)))
def dual_copy_vjp(g: Array, y: Array, w: Array, integer_bits: int = 0, fraction_bits: int = 1) -> tuple[Array]:
    # y = w + c, c held   =>   dy/dw = 1
    return (g,)


@smooth_of(dual_copy)
def dual_copy_smooth(keep: Keep, w: Array, integer_bits: int = 0, fraction_bits: int = 1) -> Array:
    return w + keep(fixed_codes(w, integer_bits, fraction_bits) * 2.0**-fraction_bits - w)


def fixed_codes(w: Array, integer_bits: int, fraction_bits: int) -> Array:
    """n, as floats without -0."""
    m = 2 ** (integer_bits + fraction_bits) - 1
    size = np.minimum(np.abs(w) * w.dtype.type(2.0**fraction_bits), m)
    down = np.floor(size)
    return np.asarray(np.sign(w) * (down + (size - down >= 0.5)) + 0)


@dataclass(frozen=True)
class DualCopy(Quantizer):
    """Dual-copy rounding (Stromatias et al. 2015; Ott et al. 2016): y = n / 2^f, |n| < 2^(i + f); dw = g.

    integer_bits, fraction_bits   i and f, whole numbers >= 0, together 1 .. 16. 0 and 1 give -1/2, 0, 1/2: the
                                  pow2-ternarization of recurrent networks

    Learns nothing. What it really minimises is the loss at the nearest number of a grid that is fixed before training;
    the copy that is trained is not clipped.

    Raises ConfigError for other numbers of bits.

    >>> DualCopy()(Tensor([-0.3, 0.2, 0.9], dtype=np.float64), {}).numpy().tolist()
    [-0.5, 0.0, 0.5]
    """

    integer_bits: int = 0
    fraction_bits: int = 1

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"integer_bits": 1, "fraction_bits": 3})

    def __post_init__(self) -> None:
        bits = (self.integer_bits, self.fraction_bits)
        if any(type(n) is not int or n < 0 for n in bits) or not 1 <= sum(bits) <= MOST_BITS:
            raise ConfigError("DualCopy", f"integer_bits and fraction_bits must be whole numbers >= 0, together in "
                              f"1..{MOST_BITS}", got=f"{bits[0]!r} and {bits[1]!r}")

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = dual_copy(x, self.integer_bits, self.fraction_bits)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        n = fixed_codes(codable("DualCopy", plain(x)), self.integer_bits, self.fraction_bits)
        return Coded(narrowed(n), Even(np.full(1, 2.0**-self.fraction_bits, n.dtype)))
