"""Layers and models, built in floats; sites, and the methods that they are given."""

from minilq.nn.attention import SelfAttention, Softmax, transformer_block
from minilq.nn.conv import AveragePool2D, Conv2D, GlobalAveragePool2D, MaxPool2D
from minilq.nn.dense_block import dense_block
from minilq.nn.fold import fold, fold_batch_norm, for_inference
from minilq.nn.folded import Folded
from minilq.nn.gradient import QuantizedGradient
from minilq.nn.grouped import GroupedConv2D, separable
from minilq.nn.initialise import normal
from minilq.nn.layer import Layer
from minilq.nn.layers import GELU, Dense, Flatten, ReLU
from minilq.nn.low_rank import low_rank
from minilq.nn.model import Concatenate, Residual, Sequential
from minilq.nn.normalise import BatchNorm, Dropout, LayerNorm
from minilq.nn.quantized import Quantize, calibrate, coded_in, codes_in, quantize
from minilq.nn.recurrent import GRU, LSTM, RNN
from minilq.nn.shift_normalise import ShiftBatchNorm
from minilq.nn.site import Site
from minilq.nn.tokens import Embedding, Position
from minilq.nn.twins import Twins
from minilq.nn.xnor import XNORConv2D

__all__ = [
    "GELU", "GRU", "LSTM", "RNN", "AveragePool2D", "BatchNorm", "Concatenate", "Conv2D", "Dense", "Dropout",
    "Embedding", "Flatten", "Folded", "GlobalAveragePool2D", "GroupedConv2D", "Layer", "LayerNorm", "MaxPool2D",
    "Position", "Quantize", "QuantizedGradient", "ReLU", "Residual", "SelfAttention", "Sequential",
    "ShiftBatchNorm", "Site", "Softmax", "Twins", "XNORConv2D", "calibrate", "coded_in", "codes_in", "dense_block",
    "fold", "fold_batch_norm", "for_inference", "low_rank", "normal", "quantize", "separable", "transformer_block",
]
