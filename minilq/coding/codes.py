"""The integers behind a trained model: codes, scale and granularity of every quantized parameter."""

from __future__ import annotations

from typing import NamedTuple

from minilq.autodiff.tape import Array
from minilq.nn import Sequential
from minilq.quantize import codes_of
from minilq.quantize.granularity import Granularity


class Coded(NamedTuple):
    """A quantized parameter as integers: what the network sees is codes * scale. There is no zero point.

    codes         the parameter's shape, the narrowest signed integers that hold them all
    scale         > 0, the parameter's dtype, of the shape that `scale_shape(granularity, codes.shape)` gives
    granularity   which codes share a scale

    >>> import numpy as np
    >>> weight = Coded(np.array([[-2, 3]], np.int8), np.array([[0.25]], np.float32), "row")
    >>> weight.offset, weight.codes * weight.scale
    (-2, array([[-0.5 ,  0.75]], dtype=float32))
    """

    codes: Array
    scale: Array
    granularity: Granularity

    @property
    def offset(self) -> int:
        """The smallest code, which packing subtracts from all; 0 when there is none."""
        return int(self.codes.min()) if self.codes.size else 0


def coded_in(model: Sequential) -> dict[str, Coded]:
    """Every quantized parameter as integers, by the names of `model.quantized()`; scales are copies.

    The codes come from the latent values: taken from a reconstruction, with floor, some come back one too low.
    """
    return {name: Coded(codes_of(*q), q.scale.array.copy(), q.quantizer.granularity)
            for name, q in model.quantized().items()}
