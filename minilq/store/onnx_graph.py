"""Nodes and initializers of an ONNX graph as they come, and the layout of what goes through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import is_number, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.nn import Layer
from minilq.quantize import Coded


class Value(NamedTuple):
    """A value of the graph: its name, what one input of zeros becomes here in minilq's layout, and the graph's layout.

    Going along with zeros checks all shapes and gives the sizes that "same" padding depends on.
    """

    name: str
    zeros: Tensor
    channels_first: bool = False

    def through(self, layer: Layer, name: str) -> Value:
        """What follows when `layer` has become the node that gives `name`."""
        return Value(name, layer(self.zeros), self.channels_first)


class Graph:
    """Nodes and initializers as they come, and `unmet`, the ranges whose layers have not come."""

    def __init__(self, onnx: Any, coded: Mapping[str, Coded],
                 ranges: Mapping[str, tuple[float, int]]) -> None:
        self.onnx, self.coded, self.ranges, self.unmet = onnx, coded, ranges, set(ranges)
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}

    def node(self, op: str, *inputs: str, called: str = "", output: int = 0, **attributes: Any) -> str:
        """Add a node, of whose outputs one is wanted; its name says after which value it stands."""
        name = called or f"{len(self.nodes)}.{op}"
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [*[""] * output, name], name=name, **attributes))
        return name

    def constant(self, name: str, array: Array) -> str:
        """An initializer, once for each name."""
        if name not in self.initializers:
            self.initializers[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(
                array.shape), name)
        return name

    def floats(self, name: str, array: Array) -> str:
        """An initializer of float32."""
        if array.dtype != np.float32:
            raise ConfigError("to_onnx", "the model must be float32", got=f"{name} of {array.dtype}")
        return self.constant(name, array)

    def through_uint8(self, name: str, x: Value) -> Value:
        """x, or, where there is a range for this layer, x in uint8 and back."""
        if name not in self.ranges:
            return x
        given: Any = self.ranges[name]
        self.unmet.discard(name)
        if not (isinstance(given, (tuple, list)) and len(given) == 2 and is_number(given[0]) and given[0] > 0
                and is_whole(given[1], 0, 255)):
            raise ConfigError("to_onnx", "a range must be a scale > 0 and a zero point in 0..255",
                              got=f"{name}: {', '.join(map(shown, given))}" if isinstance(given, (tuple, list))
                              else f"{name}: {shown(given)}")
        scale, zero = given
        both = (self.constant(f"{name}.range.scale", np.array(scale, np.float32)),
                self.constant(f"{name}.range.zero", np.array(zero, np.uint8)))
        codes = self.node("QuantizeLinear", x.name, *both)
        return x._replace(name=self.node("DequantizeLinear", codes, *both))

    def channels_first(self, x: Value) -> Value:
        """The same in the layout (N, C, ...) of ONNX; (N, C) is that already."""
        n = x.zeros.ndim
        if x.channels_first or n <= 2:
            return x
        return Value(self.node("Transpose", x.name, perm=first_of(n)), x.zeros, True)

    def channels_last(self, x: Value) -> Value:
        """The same in the layout (N, ..., C) of minilq."""
        if not x.channels_first:
            return x
        return Value(self.node("Transpose", x.name, perm=[0, *range(2, x.zeros.ndim), 1]), x.zeros)


def first_of(n: int) -> list[int]:
    """The axes (N, ..., C) in the order (N, C, ...)."""
    return [0, n - 1, *range(1, n - 1)]
