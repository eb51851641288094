"""Quantizers: roundings, surrogates, granularities and scale rules, and their composition."""

from minilq.quantize.granularity import scale_shape
from minilq.quantize.quantizer import SCALE_MIN, Quantizer, codes_of, fake_quantize
from minilq.quantize.rounding import stochastic
from minilq.quantize.scale_rule import chain_rule, frozen, threshold
from minilq.quantize.surrogate import Surrogate

__all__ = [
    "SCALE_MIN", "Quantizer", "Surrogate", "chain_rule", "codes_of", "fake_quantize", "frozen", "scale_shape",
    "stochastic", "threshold",
]
