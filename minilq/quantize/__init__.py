"""Quantizers: methods, the codes and grids that they make, and penalties on what they learn.

Methods and penalties are imported when one of them is first asked for, all methods at once: a network in floats needs
none, and every further one would make `import minilq` slower.
"""

from typing import TYPE_CHECKING

from minilq.later import imported_later
from minilq.quantize.coded import Coded, Even, Table
from minilq.quantize.method import Held, Quantizer
from minilq.quantize.pretend import hold, nearest, pretend

if TYPE_CHECKING:
    from minilq.quantize.deviations import absolute_deviation, dampening, sine, squared_deviation
    from minilq.quantize.entropy import code_size
    from minilq.quantize.granularity import scale_shape
    from minilq.quantize.methods import (
        BNN,
        BWN,
        LAB,
        LAQ,
        LAT,
        LSQ,
        PACT,
        QNN,
        TTQ,
        TWN,
        Affine,
        BinaryConnect,
        DeepCompression,
        DiffQ,
        DoReFa,
        DoReFaInput,
        DualCopy,
        Exponential,
        FewestBits,
        FixedRange,
        HashedNets,
        LQNets,
        LSQPlus,
        Nested,
        Polino,
        PolinoPoints,
        Pruned,
        Scaled,
        Ternary,
        VecQ,
        VectorQuantization,
        ZipML,
    )
    from minilq.quantize.methods.scaled import codes_of, fake_quantize
    from minilq.quantize.mixture import Mixture
    from minilq.quantize.penalties import difference, inverse, maxbin
    from minilq.quantize.period import waveq
    from minilq.quantize.positivity import SCALE_MIN
    from minilq.quantize.rounding import stochastic
    from minilq.quantize.scale_rule import chain_rule, frozen, threshold
    from minilq.quantize.sparsity import group_hoyer, hoyer, hoyer_square
    from minilq.quantize.surrogate import Surrogate
else:
    __getattr__ = imported_later(__name__, {
        "deviations": "absolute_deviation dampening sine squared_deviation",
        "entropy": "code_size",
        "granularity": "scale_shape",
        "methods": "BNN BWN LAB LAQ LAT LSQ PACT QNN TTQ TWN Affine BinaryConnect DeepCompression DiffQ DoReFa "
                   "DoReFaInput DualCopy Exponential FewestBits FixedRange HashedNets LQNets LSQPlus Nested Polino "
                   "PolinoPoints Pruned Scaled Ternary VecQ VectorQuantization ZipML",
        "methods.scaled": "codes_of fake_quantize",
        "mixture": "Mixture",
        "penalties": "difference inverse maxbin",
        "period": "waveq",
        "positivity": "SCALE_MIN",
        "rounding": "stochastic",
        "scale_rule": "chain_rule frozen threshold",
        "sparsity": "group_hoyer hoyer hoyer_square",
        "surrogate": "Surrogate",
    })

__all__ = [
    "BNN", "BWN", "LAB", "LAQ", "LAT", "LSQ", "PACT", "QNN", "SCALE_MIN", "TTQ", "TWN", "Affine", "BinaryConnect",
    "Coded", "DeepCompression", "DiffQ", "DoReFa", "DoReFaInput", "DualCopy", "Even", "Exponential", "FewestBits",
    "FixedRange", "HashedNets", "Held", "LQNets", "LSQPlus", "Mixture", "Nested", "Polino", "PolinoPoints",
    "Pruned", "Quantizer", "Scaled", "Surrogate", "Table", "Ternary", "VecQ", "VectorQuantization", "ZipML",
    "absolute_deviation", "chain_rule", "code_size", "codes_of", "dampening", "difference", "fake_quantize",
    "frozen", "group_hoyer", "hold", "hoyer", "hoyer_square", "inverse", "maxbin", "nearest", "pretend",
    "scale_shape", "sine", "squared_deviation", "stochastic", "threshold", "waveq",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
