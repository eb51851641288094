"""Layers and models, each layer with quantizers of its own."""

from minilq.nn.data_quantizer import DataQuantizer
from minilq.nn.initialise import normal
from minilq.nn.layers import Dense, Flatten, Layer, QuantizedParameter, ReLU, scalar
from minilq.nn.model import Sequential

__all__ = ["DataQuantizer", "Dense", "Flatten", "Layer", "QuantizedParameter", "ReLU", "Sequential", "normal", "scalar"]
