"""Layers and models, each layer with quantizers of its own."""

from minilq.nn.conv import AveragePool2D, Conv2D, GlobalAveragePool2D, MaxPool2D
from minilq.nn.data_quantizer import DataQuantizer
from minilq.nn.initialise import normal
from minilq.nn.layers import Dense, Flatten, Layer, QuantizedParameter, ReLU, scalar
from minilq.nn.model import Residual, Sequential
from minilq.nn.normalise import BatchNorm, Dropout

__all__ = [
    "AveragePool2D", "BatchNorm", "Conv2D", "DataQuantizer", "Dense", "Dropout", "Flatten", "GlobalAveragePool2D",
    "Layer", "MaxPool2D", "QuantizedParameter", "ReLU", "Residual", "Sequential", "normal", "scalar",
]
