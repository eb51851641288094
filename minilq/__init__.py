"""minilq: learned quantization from scratch. See the README, or `minilq --help`."""

from minilq._version import __version__
from minilq.autodiff.gradcheck import GradientReport, gradcheck
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.replay import replay_check
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
from minilq.kernels import kernels_in_use, use_kernels
from minilq.nn import DataQuantizer, Dense, Flatten, ReLU, Sequential
from minilq.ops import (
    absolute,
    add,
    clip,
    dense,
    divide,
    exp,
    index,
    log,
    matmul,
    maximum,
    mean,
    multiply,
    negative,
    power,
    relu,
    reshape,
    sigmoid,
    softmax_cross_entropy,
    subtract,
    tanh,
    transpose,
)
from minilq.ops import (
    max as max,
)
from minilq.ops import (
    sum as sum,
)
from minilq.optim import SGD, Adam, groups_of
from minilq.quantize import (
    SCALE_MIN,
    Quantizer,
    Surrogate,
    chain_rule,
    codes_of,
    fake_quantize,
    frozen,
    scale_shape,
    stochastic,
    threshold,
)

# `max` and `sum` are public too, but a star import must not replace the builtins.
__all__ = [
    "SCALE_MIN", "SGD", "Adam", "ConfigError", "DTypeError", "DataError", "DataQuantizer", "Dense", "Flatten",
    "GradientError", "GradientReport", "MinilqError", "NonFiniteError", "Quantizer", "ReLU", "Sequential", "ShapeError",
    "Surrogate", "TapeError", "Tensor", "__version__", "absolute", "add", "chain_rule", "clip", "codes_of", "dense",
    "divide", "exp", "fake_quantize", "frozen", "gradcheck", "groups_of", "index", "kernels_in_use", "log", "matmul",
    "maximum", "mean", "multiply", "negative", "no_grad", "power", "primitive", "relu", "replay_check", "reshape",
    "scale_shape", "sigmoid", "softmax_cross_entropy", "stochastic", "subtract", "tanh", "threshold",
    "transpose", "use_kernels", "vjp_of",
]
