"""The methods, one file each; `minilq methods` lists them."""

from minilq.quantize.methods.affine import Affine
from minilq.quantize.methods.binary_connect import BinaryConnect
from minilq.quantize.methods.bwn import BWN
from minilq.quantize.methods.fixed_grid import FixedGrid
from minilq.quantize.methods.fixed_range import FixedRange
from minilq.quantize.methods.lsq import LSQ
from minilq.quantize.methods.lsq_plus import LSQPlus
from minilq.quantize.methods.nested import Nested
from minilq.quantize.methods.pact import PACT
from minilq.quantize.methods.scaled import Scaled

__all__ = ["BWN", "LSQ", "PACT", "Affine", "BinaryConnect", "FixedGrid", "FixedRange", "LSQPlus", "Nested", "Scaled"]
