"""ONNX: a network as a graph that other programs run, its quantized parameters as integers with their scales.

The graph takes images as the network sees them, (N, H, W, C), and gives what the network gives. Inside, ONNX wants
(N, C, H, W): a Transpose stands where one layout meets the other. A quantized parameter is an initializer of codes,

    one scale, or one axis of scales     -> DequantizeLinear(codes, scale), float32
    several axes of scales               -> Mul(Cast(codes), scale), as DequantizeLinear has one axis

which is bit for bit codes * scale. The narrowest of int8, int16 and int32 holds the codes. Kernels (KH, KW, C, F)
become (F, C, KH, KW), so their axes of scales move: row 2, column 3, channel 1, filter 0. Dropout leaves nothing
behind.

Runtimes optimize. onnxruntime's default replaces some of the float products by products of integers, for which it
rounds the activations too: logits move by up to 0.7 % of the largest. SessionOptions.graph_optimization_level =
ORT_ENABLE_BASIC keeps the float products of this graph, 1e-6 apart from minilq's.

Source      https://onnx.ai/onnx/operators
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minilq._version import __version__
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.files import write_bytes
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    DataQuantizer,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    coded_in,
)
from minilq.ops.window import Padding, check_images, geometry, pair
from minilq.quantize import Coded
from minilq.store.modelfile import StoredModel

OPSET = 21
"""The first (2024) whose DequantizeLinear takes int16."""

ROUNDINGS = {"floor": "Floor", "ceil": "Ceil", "nearest": "Round"}


def to_onnx(model: Sequential | StoredModel, path: str | Path, input_shape: tuple[int, ...],
            ranges: Mapping[str, tuple[float, int]] = {}) -> None:
    """Write a float32 model, or what a model file holds, as an ONNX file, atomically; the package onnx checks it first.

    input_shape     of one input, without the batch: (28, 28) or (32, 32, 3). The batch may have any size
    ranges          layer -> (scale, zero point): what this layer gives passes uint8,
                    scale (clip(round(y / scale) + zero, 0, 255) - zero) (QuantizeLinear, DequantizeLinear, half to
                    even). Names are those of the parameters: "conv2d1", "residual1.body.batchnorm2"; "input" is the
                    input of the graph
    Raises          ConfigError without the package onnx, for layers of the user's own, for other floats than float32,
                    for codes beyond int32, and for ranges of layers that are not there; ShapeError for an input that
                    the model does not take; UnwritableError
    """
    onnx = _onnx()
    network, coded = (model.network, model.coded) if isinstance(model, StoredModel) else (model, coded_in(model))
    graph = _Graph(onnx, coded, ranges)
    with no_grad():
        x = graph.through_uint8("input", _Value("input", Tensor(np.zeros((1, *input_shape), np.float32))))
        y = graph.channels_last(_sequential(graph, "", network, x))
    if graph.unmet:
        raise ConfigError("to_onnx", "every range must belong to a layer of the model",
                          got=", ".join(sorted(graph.unmet)))
    graph.node("Identity", y.name, called="output")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    opsets = [helper.make_opsetid("", OPSET)]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "minilq",
                          [helper.make_tensor_value_info("input", float32, ["N", *input_shape])],
                          [helper.make_tensor_value_info("output", float32, ["N", *y.zeros.shape[1:]])],
                          list(graph.initializers.values())),
        producer_name="minilq", producer_version=__version__, opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets))
    onnx.checker.check_model(proto, full_check=True)
    write_bytes(Path(path), proto.SerializeToString(deterministic=True))


class _Value(NamedTuple):
    """A value of the graph: its name, what one input of zeros becomes here in minilq's layout, and the graph's layout.

    Going along with zeros checks all shapes and gives the sizes that "same" padding depends on.
    """

    name: str
    zeros: Tensor
    channels_first: bool = False

    def through(self, layer: Layer, name: str) -> _Value:
        """What follows when `layer` has become the node that gives `name`."""
        return _Value(name, layer(self.zeros), self.channels_first)


class _Graph:
    """Nodes and initializers as they come, and `unmet`, the ranges whose layers have not come."""

    def __init__(self, onnx: Any, coded: Mapping[str, Coded],
                 ranges: Mapping[str, tuple[float, int]]) -> None:
        self.onnx, self.coded, self.ranges, self.unmet = onnx, coded, ranges, set(ranges)
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}

    def node(self, op: str, *inputs: str, called: str = "", **attributes: Any) -> str:
        """Add a node; the name of its output says after which value it stands."""
        name = called or f"{len(self.nodes)}.{op}"
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, array: Array) -> str:
        """An initializer, once for each name."""
        if name not in self.initializers:
            self.initializers[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(
                array.shape), name)
        return name

    def parameter(self, name: str, tensor: Tensor, order: tuple[int, ...] | None = None) -> str:
        """What the network sees of a parameter, its axes in `order`: an initializer, or codes times their scales."""
        if tensor.dtype != np.float32:
            raise ConfigError("to_onnx", "the model must be float32", got=f"{name} of {tensor.dtype}")
        order = tuple(range(tensor.ndim)) if order is None else order
        if name not in self.coded:
            return self.constant(name, tensor.array.transpose(order))
        codes, scale, _ = self.coded[name]
        if codes.dtype == np.int64:
            raise ConfigError("to_onnx", "codes must fit into 32 bits", got=f"{name} with {codes.min()}..{codes.max()}",
                              cause="The scale is far too small for these values")
        codes, scale = codes.transpose(order), scale.reshape((1,) * (codes.ndim - scale.ndim) + scale.shape)
        scale = scale.transpose(order)
        integers = self.constant(f"{name}.codes", codes)
        axes = [axis for axis, n in enumerate(scale.shape) if n > 1]
        if len(axes) > 1:
            floats = self.node("Cast", integers, to=self.onnx.TensorProto.FLOAT)
            return self.node("Mul", floats, self.constant(f"{name}.scale", scale))
        scales = self.constant(f"{name}.scale", scale.reshape(-1) if axes else scale.reshape(()))
        axis: dict[str, Any] = {"axis": axes[0]} if axes else {}
        return self.node("DequantizeLinear", integers, scales, **axis)

    def through_uint8(self, name: str, x: _Value) -> _Value:
        """x, or, where there is a range for this layer, x in uint8 and back."""
        if name not in self.ranges:
            return x
        scale, zero = self.ranges[name]
        self.unmet.discard(name)
        if not (0 < scale < np.inf and 0 <= zero <= 255):
            raise ConfigError("to_onnx", "a range must be a scale > 0 and a zero point in 0..255",
                              got=f"{name}: {scale}, {zero}")
        both = (self.constant(f"{name}.range.scale", np.array(scale, np.float32)),
                self.constant(f"{name}.range.zero", np.array(zero, np.uint8)))
        codes = self.node("QuantizeLinear", x.name, *both)
        return x._replace(name=self.node("DequantizeLinear", codes, *both))

    def channels_first(self, x: _Value) -> _Value:
        """The same in the layout (N, C, ...) of ONNX; (N, C) is that already."""
        n = x.zeros.ndim
        if x.channels_first or n <= 2:
            return x
        return _Value(self.node("Transpose", x.name, perm=[0, n - 1, *range(1, n - 1)]), x.zeros, True)

    def channels_last(self, x: _Value) -> _Value:
        """The same in the layout (N, ..., C) of minilq."""
        if not x.channels_first:
            return x
        return _Value(self.node("Transpose", x.name, perm=[0, *range(2, x.zeros.ndim), 1]), x.zeros)


# Layers: each takes the graph, the layer's name with a dot, the layer and its input, and returns its output.


def _layer(graph: _Graph, name: str, layer: Layer, x: _Value) -> _Value:
    translate = LAYERS.get(type(layer))
    if translate is None:
        raise ConfigError("to_onnx", f"every layer must be one of {', '.join(kind.__name__ for kind in LAYERS)}",
                          got=f"{name} ({type(layer).__name__})", cause="A layer of your own has no translation")
    return graph.through_uint8(name, translate(graph, f"{name}.", layer, x))


def _sequential(graph: _Graph, prefix: str, layer: Sequential, x: _Value) -> _Value:
    for inner in layer.layers.values():
        first = next(other for other, same in layer.layers.items() if same is inner)     # where its parameters are
        x = _layer(graph, prefix + first, inner, x)
    return x


def _residual(graph: _Graph, prefix: str, layer: Residual, x: _Value) -> _Value:
    body = graph.channels_first(_layer(graph, f"{prefix}body", layer.layers["body"], x))
    beside = _layer(graph, f"{prefix}shortcut", layer.layers["shortcut"], x) if "shortcut" in layer.layers else x
    name = graph.node("Add", body.name, graph.channels_first(beside).name)
    return _Value(name, layer(x.zeros), body.channels_first)


def _dense(graph: _Graph, prefix: str, layer: Dense, x: _Value) -> _Value:
    weight, bias = graph.parameter(f"{prefix}weight", layer.weight), graph.parameter(f"{prefix}bias", layer.bias)
    return x.through(layer, graph.node("Gemm", x.name, weight, bias))


def _conv2d(graph: _Graph, prefix: str, layer: Conv2D, x: _Value) -> _Value:
    x = graph.channels_first(x)
    kernel = graph.parameter(f"{prefix}kernel", layer.kernel, (3, 2, 0, 1))              # (F, C, KH, KW)
    bias = graph.parameter(f"{prefix}bias", layer.bias)
    window = _window(x, layer.kernel.shape[:2], layer.stride, layer.padding)
    return x.through(layer, graph.node("Conv", x.name, kernel, bias, **window))


def _max_pool(graph: _Graph, prefix: str, layer: MaxPool2D, x: _Value) -> _Value:
    x = graph.channels_first(x)
    return x.through(layer, graph.node("MaxPool", x.name, **_window(x, layer.size, layer.stride, layer.padding)))


def _average_pool(graph: _Graph, prefix: str, layer: AveragePool2D, x: _Value) -> _Value:
    x = graph.channels_first(x)
    window = _window(x, layer.size, layer.stride, layer.padding)
    return x.through(layer, graph.node("AveragePool", x.name, count_include_pad=0, **window))


def _global_average_pool(graph: _Graph, prefix: str, layer: GlobalAveragePool2D, x: _Value) -> _Value:
    pooled = graph.node("GlobalAveragePool", graph.channels_first(x).name)               # (N, C, 1, 1)
    return _Value(graph.node("Flatten", pooled), layer(x.zeros))


def _batch_norm(graph: _Graph, prefix: str, layer: BatchNorm, x: _Value) -> _Value:
    x = graph.channels_first(x)
    tensors = {"gamma": layer.gamma, "beta": layer.beta, "mean": layer.mean, "variance": layer.variance}
    parameters = [graph.parameter(prefix + name, tensor) for name, tensor in tensors.items()]
    return x.through(layer, graph.node("BatchNormalization", x.name, *parameters, epsilon=float(layer.eps)))


def _relu(graph: _Graph, prefix: str, layer: ReLU, x: _Value) -> _Value:
    return x.through(layer, graph.node("Relu", x.name))


def _flatten(graph: _Graph, prefix: str, layer: Flatten, x: _Value) -> _Value:
    x = graph.channels_last(x)
    return x.through(layer, graph.node("Flatten", x.name))


def _dropout(graph: _Graph, prefix: str, layer: Dropout, x: _Value) -> _Value:
    return x


def _data_quantizer(graph: _Graph, prefix: str, layer: DataQuantizer, x: _Value) -> _Value:
    x, q = graph.channels_last(x), layer.quantizer
    if q.rounding not in ROUNDINGS:
        raise ConfigError("to_onnx", f"data must be rounded by one of {', '.join(ROUNDINGS)}",
                          got=f"{prefix[:-1]} with {q.rounding!r}")
    offset = graph.parameter(f"{prefix}offset", layer.offset)
    scale = graph.parameter(f"{prefix}scale", layer.scale)
    y = graph.node("Div", graph.node("Sub", x.name, offset), scale)
    for op, bound in (("Max", q.qmin), ("Min", q.qmax)):
        if bound is not None:
            y = graph.node(op, y, graph.constant(f"{prefix}{op}", np.array(bound, np.float32)))
    y = graph.node("Mul", graph.node(ROUNDINGS[q.rounding], y), scale)
    return x.through(layer, graph.node("Add", y, offset))


# Kind -> its translation.
LAYERS: dict[type[Layer], Callable[..., _Value]] = {
    Dense: _dense, Conv2D: _conv2d, ReLU: _relu, BatchNorm: _batch_norm, Dropout: _dropout, MaxPool2D: _max_pool,
    AveragePool2D: _average_pool, GlobalAveragePool2D: _global_average_pool, Flatten: _flatten,
    DataQuantizer: _data_quantizer, Sequential: _sequential, Residual: _residual}


def _window(x: _Value, size: Any, stride: Any, padding: Padding) -> dict[str, Any]:
    """The windows on these images as attributes of a node."""
    size = pair("to_onnx", "size", size)
    stride = size if stride is None else pair("to_onnx", "stride", stride)
    check_images("to_onnx", x.zeros.array)
    height, width = x.zeros.shape[1:3]
    _, _, top, bottom, left, right, *_ = geometry("to_onnx", height, width, size, stride, padding)
    return {"kernel_shape": list(size), "strides": list(stride), "pads": [top, left, bottom, right]}


def _onnx() -> Any:
    """The package, which minilq itself does not need."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ConfigError("to_onnx", "the package onnx must be installed", got=str(error),
                          cause="pip install 'minilq[onnx]'") from error
    return onnx
