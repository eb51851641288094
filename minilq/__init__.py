"""minilq: learned quantization from scratch. See the README, or `minilq --help`."""

from typing import TYPE_CHECKING

from minilq import _ctrl_c as _ctrl_c
from minilq._version import __version__
from minilq.autodiff.parameter import Masked, Parameter, Within
from minilq.autodiff.primitive import WithResidual, primitive, smooth_of, vjp_of
from minilq.autodiff.tape import no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import (
    ConfigError,
    DataError,
    DTypeError,
    GradientError,
    MinilqError,
    NonFiniteError,
    ShapeError,
    TapeError,
)
from minilq.kernels import (
    capture_in_use,
    convolution_in_use,
    kernels_in_use,
    use_capture,
    use_convolution,
    use_kernels,
)
from minilq.kernels.blas import blas_threads_in_use, one_blas_thread
from minilq.kernels.denormals import without_denormals
from minilq.kernels.threads import threads_in_use, use_threads
from minilq.nn import (
    GELU,
    GRU,
    LSTM,
    RNN,
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool2D,
    GroupedConv2D,
    LayerNorm,
    MaxPool2D,
    Position,
    Quantize,
    QuantizedGradient,
    ReLU,
    Residual,
    SelfAttention,
    Sequential,
    ShiftBatchNorm,
    Site,
    Softmax,
    Twins,
    XNORConv2D,
    calibrate,
    quantize,
)
from minilq.ops import (
    absolute,
    add,
    add_up,
    average_pool2d,
    batch_norm,
    clip,
    concatenate,
    conv2d,
    dense,
    divergence,
    divide,
    dropout,
    embedding,
    exp,
    gelu,
    global_average_pool2d,
    grouped_conv2d,
    index,
    layer_norm,
    log,
    matmul,
    max_pool2d,
    maximum,
    mean,
    multiply,
    negative,
    norm,
    power,
    quantized_gradient,
    relu,
    relu_batch_norm,
    reshape,
    shift_batch_norm,
    sigmoid,
    softmax,
    softmax_cross_entropy,
    squared_hinge,
    stack,
    subtract,
    sum_of_squares,
    tanh,
    transpose,
    where,
    zero_pad2d,
)
from minilq.ops import (
    max as max,
)
from minilq.ops import (
    sum as sum,
)
from minilq.optim import SGD, Adam
from minilq.quantize import Coded, Even, Quantizer, Table, hold, nearest, pretend

if TYPE_CHECKING:
    from minilq.autodiff.gradcheck import GradientReport, gradcheck
    from minilq.autodiff.replay import replay_check
    from minilq.objective import Objective, penalty_on
    from minilq.quantize import (
        BNN,
        BWN,
        LAB,
        LAQ,
        LAT,
        LSQ,
        PACT,
        QNN,
        SCALE_MIN,
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
        Mixture,
        Nested,
        Polino,
        PolinoPoints,
        Pruned,
        Scaled,
        Surrogate,
        Ternary,
        VecQ,
        VectorQuantization,
        ZipML,
        absolute_deviation,
        chain_rule,
        code_size,
        codes_of,
        dampening,
        difference,
        fake_quantize,
        frozen,
        group_hoyer,
        hoyer,
        hoyer_square,
        inverse,
        maxbin,
        scale_shape,
        sine,
        squared_deviation,
        stochastic,
        threshold,
        waveq,
    )
    from minilq.quantize.check import check
else:                                            # what a network in floats does not need: see later.py
    from minilq.later import imported_later

    __getattr__ = imported_later(__name__, {
        "autodiff.gradcheck": "GradientReport gradcheck",
        "autodiff.replay": "replay_check",
        "objective": "Objective penalty_on",
        "quantize": "BNN BWN LAB LAQ LAT LSQ PACT QNN SCALE_MIN TTQ TWN Affine BinaryConnect DeepCompression DiffQ "
                    "DoReFa DoReFaInput DualCopy Exponential FewestBits FixedRange HashedNets LQNets LSQPlus Mixture "
                    "Nested Polino PolinoPoints Pruned Scaled Surrogate Ternary VecQ VectorQuantization ZipML "
                    "absolute_deviation chain_rule code_size codes_of dampening difference fake_quantize frozen "
                    "group_hoyer hoyer hoyer_square inverse maxbin scale_shape sine squared_deviation stochastic "
                    "threshold waveq",
        "quantize.check": "check",
    })

# `max` and `sum` are public too, but a star import must not replace the builtins.
__all__ = [
    "BNN", "BWN", "GELU", "GRU", "LAB", "LAQ", "LAT", "LSQ", "LSTM", "PACT", "QNN", "RNN", "SCALE_MIN", "SGD",
    "TTQ", "TWN", "Adam", "Affine", "AveragePool2D", "BatchNorm", "BinaryConnect", "Coded", "Concatenate",
    "ConfigError", "Conv2D", "DTypeError", "DataError", "DeepCompression", "Dense", "DiffQ", "DoReFa",
    "DoReFaInput", "Dropout", "DualCopy", "Embedding", "Even", "Exponential", "FewestBits", "FixedRange", "Flatten",
    "GlobalAveragePool2D", "GradientError", "GradientReport", "GroupedConv2D", "HashedNets", "LQNets", "LSQPlus",
    "LayerNorm", "Masked", "MaxPool2D", "MinilqError", "Mixture", "Nested", "NonFiniteError", "Objective",
    "Parameter", "Polino", "PolinoPoints", "Position", "Pruned", "Quantize", "QuantizedGradient", "Quantizer",
    "ReLU", "Residual", "Scaled", "SelfAttention", "Sequential", "ShapeError", "ShiftBatchNorm", "Site", "Softmax",
    "Surrogate", "Table", "TapeError", "Tensor", "Ternary", "Twins", "VecQ", "VectorQuantization", "WithResidual",
    "Within", "XNORConv2D", "ZipML", "__version__", "absolute", "absolute_deviation", "add", "add_up",
    "average_pool2d", "batch_norm", "blas_threads_in_use", "calibrate", "capture_in_use", "chain_rule", "check",
    "clip", "code_size", "codes_of", "concatenate", "conv2d", "convolution_in_use", "dampening", "dense",
    "difference", "divergence", "divide", "dropout", "embedding", "exp", "fake_quantize", "frozen", "gelu",
    "global_average_pool2d", "gradcheck", "group_hoyer", "grouped_conv2d", "hold", "hoyer", "hoyer_square", "index",
    "inverse", "kernels_in_use", "layer_norm", "log", "matmul", "max_pool2d", "maxbin", "maximum", "mean",
    "multiply", "nearest", "negative", "no_grad", "norm", "one_blas_thread", "penalty_on", "power", "pretend",
    "primitive", "quantize", "quantized_gradient", "relu", "relu_batch_norm", "replay_check", "reshape",
    "scale_shape", "shift_batch_norm", "sigmoid", "sine", "smooth_of", "softmax", "softmax_cross_entropy",
    "squared_deviation", "squared_hinge", "stack", "stochastic", "subtract", "sum_of_squares", "tanh",
    "threads_in_use", "threshold", "transpose", "use_capture", "use_convolution", "use_kernels", "use_threads",
    "vjp_of", "waveq", "where", "without_denormals", "zero_pad2d",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
