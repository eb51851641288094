"""The differentiable operations: readable NumPy, every derivative directly under its forward."""

from minilq.ops.conv import conv2d
from minilq.ops.dense import dense, matmul
from minilq.ops.divergence import divergence
from minilq.ops.dropout import dropout
from minilq.ops.elementwise import (
    absolute,
    add,
    add_up,
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
from minilq.ops.embedding import embedding
from minilq.ops.gelu import gelu
from minilq.ops.grouped_conv import grouped_conv2d
from minilq.ops.hinge import squared_hinge
from minilq.ops.join import concatenate, stack, where
from minilq.ops.layer_norm import layer_norm
from minilq.ops.loss import softmax_cross_entropy
from minilq.ops.normalise import batch_norm
from minilq.ops.pool import average_pool2d, global_average_pool2d, max_pool2d
from minilq.ops.quantized_gradient import quantized_gradient
from minilq.ops.recurrent import gru_after, gru_mix, gru_reset, lstm_cell, lstm_output
from minilq.ops.reduce import max, mean, norm, sum, sum_of_squares
from minilq.ops.relu_batch_norm import relu_batch_norm
from minilq.ops.shape import index, reshape, transpose, zero_pad2d
from minilq.ops.shift_normalise import shift_batch_norm
from minilq.ops.softmax import softmax

__all__ = [
    "absolute", "add", "add_up", "average_pool2d", "batch_norm", "clip", "concatenate", "conv2d", "dense",
    "divergence", "divide", "dropout", "embedding", "exp", "gelu", "global_average_pool2d", "grouped_conv2d",
    "gru_after", "gru_mix", "gru_reset", "index", "layer_norm", "log", "lstm_cell", "lstm_output", "matmul", "max",
    "max_pool2d", "maximum", "mean", "multiply", "negative", "norm", "power", "quantized_gradient", "relu",
    "relu_batch_norm", "reshape", "shift_batch_norm", "sigmoid", "softmax", "softmax_cross_entropy", "squared_hinge",
    "stack", "subtract", "sum", "sum_of_squares", "tanh", "transpose", "where", "zero_pad2d",
]
