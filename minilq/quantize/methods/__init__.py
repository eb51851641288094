"""The methods, one file each; `minilq methods` lists them."""

from minilq.quantize.method import QUANTIZERS
from minilq.quantize.methods.affine import Affine
from minilq.quantize.methods.binary_connect import BinaryConnect
from minilq.quantize.methods.bnn import BNN
from minilq.quantize.methods.bwn import BWN
from minilq.quantize.methods.deep_compression import DeepCompression
from minilq.quantize.methods.diffq import DiffQ
from minilq.quantize.methods.dorefa import DoReFa, DoReFaInput
from minilq.quantize.methods.dual_copy import DualCopy
from minilq.quantize.methods.exponential import Exponential
from minilq.quantize.methods.fewest_bits import FewestBits
from minilq.quantize.methods.fixed_grid import FixedGrid
from minilq.quantize.methods.fixed_range import FixedRange
from minilq.quantize.methods.hashed_nets import HashedNets
from minilq.quantize.methods.laq import LAB, LAQ, LAT
from minilq.quantize.methods.lq_nets import LQNets
from minilq.quantize.methods.lsq import LSQ
from minilq.quantize.methods.lsq_plus import LSQPlus
from minilq.quantize.methods.nested import Nested
from minilq.quantize.methods.pact import PACT
from minilq.quantize.methods.polino import Polino, PolinoPoints
from minilq.quantize.methods.pruned import Pruned
from minilq.quantize.methods.qnn import QNN
from minilq.quantize.methods.scaled import Scaled
from minilq.quantize.methods.ternary import Ternary
from minilq.quantize.methods.ttq import TTQ
from minilq.quantize.methods.twn import TWN
from minilq.quantize.methods.vecq import VecQ
from minilq.quantize.methods.vector_quantization import VectorQuantization
from minilq.quantize.methods.zipml import ZipML

__all__ = [
    "BNN", "BWN", "LAB", "LAQ", "LAT", "LSQ", "PACT", "QNN", "QUANTIZERS", "TTQ", "TWN", "Affine", "BinaryConnect",
    "DeepCompression", "DiffQ", "DoReFa", "DoReFaInput", "DualCopy", "Exponential", "FewestBits", "FixedGrid",
    "FixedRange", "HashedNets", "LQNets", "LSQPlus", "Nested", "Polino", "PolinoPoints", "Pruned", "Scaled",
    "Ternary", "VecQ", "VectorQuantization", "ZipML",
]
