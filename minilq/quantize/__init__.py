"""Quantizers: roundings, surrogates, granularities, scale rules and positivities, and their composition."""

from minilq.quantize.deviations import absolute_deviation, dampening, hoyer_square, sine, squared_deviation
from minilq.quantize.granularity import scale_shape
from minilq.quantize.penalties import difference, inverse, maxbin
from minilq.quantize.pretend import hold, nearest, pretend
from minilq.quantize.quantizer import SCALE_MIN, Quantizer, codes_of, fake_quantize
from minilq.quantize.rounding import stochastic
from minilq.quantize.scale_rule import chain_rule, frozen, threshold
from minilq.quantize.surrogate import Surrogate

__all__ = [
    "SCALE_MIN", "Quantizer", "Surrogate", "absolute_deviation", "chain_rule", "codes_of", "dampening", "difference",
    "fake_quantize", "frozen", "hold", "hoyer_square", "inverse", "maxbin", "nearest", "pretend", "scale_shape", "sine",
    "squared_deviation", "stochastic", "threshold",
]
