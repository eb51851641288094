"""The methods, one file each; `minilq methods` lists them."""

from minilq.quantize.methods.affine import Affine
from minilq.quantize.methods.lsq import LSQ
from minilq.quantize.methods.pact import PACT
from minilq.quantize.methods.scaled import Nested, Scaled

__all__ = ["LSQ", "PACT", "Affine", "Nested", "Scaled"]
