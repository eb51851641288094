"""The differentiable operations: readable NumPy, every derivative directly under its forward."""

from minilq.ops.dense import dense, matmul
from minilq.ops.elementwise import (
    absolute,
    add,
    clip,
    divide,
    exp,
    log,
    maximum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    subtract,
    tanh,
)
from minilq.ops.loss import softmax_cross_entropy
from minilq.ops.reduce import max, mean, sum
from minilq.ops.shape import index, reshape, transpose

__all__ = [
    "absolute", "add", "clip", "dense", "divide", "exp", "index", "log", "matmul", "max", "maximum", "mean",
    "multiply", "negative", "power", "relu", "reshape", "sigmoid", "softmax_cross_entropy", "subtract", "sum", "tanh",
    "transpose",
]
