"""ONNX: a network as a graph that other programs run, its quantized weights as integers with their grids.

The graph takes images as the network sees them, (N, H, W, C), and gives what the network gives. Inside, ONNX wants
(N, C, H, W): a Transpose stands where one layout meets the other. What becomes of quantized weights and of inputs with
a method stands in minilq/store/onnx_sites.py; both keep every bit. Dropout leaves nothing behind.

Runtimes optimize. onnxruntime's default replaces some of the float products by products of integers, for which it
rounds the activations too: logits move by up to 0.7 % of the largest. SessionOptions.graph_optimization_level =
ORT_ENABLE_BASIC keeps the float products of this graph, 1e-6 apart from minilq's.

Source      https://onnx.ai/onnx/operators
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minilq import nn
from minilq._version import __version__
from minilq.arguments import is_whole, shown
from minilq.autodiff.tape import no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError
from minilq.files import write_bytes
from minilq.ops.window import Padding, check_images, geometry, pair
from minilq.store.architecture import MAX_SIDE
from minilq.store.modelfile import StoredModel
from minilq.store.onnx_graph import Graph, Value
from minilq.store.onnx_recurrent import recurrent
from minilq.store.onnx_sites import parameter, seen
from minilq.store.onnx_transformer import dense, embedding, gelu, layer_norm, position, self_attention, softmax
from minilq.store.parts import network_and_codes

OPSET = 21
"""The first (2024) whose DequantizeLinear takes int16."""


def to_onnx(model: nn.Sequential | StoredModel, path: str | Path, input_shape: tuple[int, ...],
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
    network, coded = network_and_codes("to_onnx", model)
    if not (isinstance(input_shape, (tuple, list)) and all(is_whole(n, 1, MAX_SIDE) for n in input_shape)):
        raise ConfigError("to_onnx", "input_shape must be that of one input, such as (28, 28)", got=shown(input_shape))
    if not isinstance(ranges, Mapping) or not all(isinstance(name, str) for name in ranges):
        raise ConfigError("to_onnx", "ranges must be a dict, name of a layer -> (scale, zero point)", got=shown(ranges))
    onnx = _onnx()
    graph = Graph(onnx, coded, ranges)
    with no_grad():
        x = graph.through_uint8("input", Value("input", Tensor(np.zeros((1, *input_shape), np.float32))))
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
    write_bytes(path, proto.SerializeToString(deterministic=True))


# Layers: each takes the graph, the layer's name with a dot, the layer and its input, and returns its output.


def _layer(graph: Graph, name: str, layer: nn.Layer, x: Value) -> Value:
    translate = LAYERS.get(type(layer))
    if translate is None:
        raise ConfigError("to_onnx", f"every layer must be one of {', '.join(kind.__name__ for kind in LAYERS)}",
                          got=f"{name} ({type(layer).__name__})", cause="A layer of your own has no translation")
    return graph.through_uint8(name, translate(graph, f"{name}.", layer, x))


def _sequential(graph: Graph, prefix: str, layer: nn.Sequential, x: Value) -> Value:
    for inner in layer.layers.values():
        first = next(other for other, same in layer.layers.items() if same is inner)     # where its parameters are
        x = _layer(graph, prefix + first, inner, x)
    return x


def _residual(graph: Graph, prefix: str, layer: nn.Residual, x: Value) -> Value:
    body = graph.channels_first(_layer(graph, f"{prefix}body", layer.layers["body"], x))
    beside = _layer(graph, f"{prefix}shortcut", layer.layers["shortcut"], x) if "shortcut" in layer.layers else x
    name = graph.node("Add", body.name, graph.channels_first(beside).name)
    return Value(name, layer(x.zeros), body.channels_first)


def _conv2d(graph: Graph, prefix: str, layer: nn.Conv2D | nn.GroupedConv2D, x: Value, **group: Any) -> Value:
    z = seen(graph, f"{prefix}input", layer.input, graph.channels_first(x))
    kernel = parameter(graph, f"{prefix}weight", layer.weight, (3, 2, 0, 1))             # (F, C, KH, KW)
    window = _window(z, layer.weight.shape[:2], layer.stride, layer.padding)
    bias = parameter(graph, f"{prefix}bias", layer.bias)
    return z.through(layer, graph.node("Conv", z.name, kernel, bias, **window, **group))


def _grouped(graph: Graph, prefix: str, layer: nn.GroupedConv2D, x: Value) -> Value:
    return _conv2d(graph, prefix, layer, x, group=layer.groups)


def _concatenate(graph: Graph, prefix: str, layer: nn.Concatenate, x: Value) -> Value:
    y = graph.channels_first(_layer(graph, f"{prefix}body", layer.layers["body"], x))
    beside = graph.channels_first(x)
    return beside.through(layer, graph.node("Concat", beside.name, y.name, axis=1))


def _max_pool(graph: Graph, prefix: str, layer: nn.MaxPool2D, x: Value) -> Value:
    x = graph.channels_first(x)
    return x.through(layer, graph.node("MaxPool", x.name, **_window(x, layer.size, layer.stride, layer.padding)))


def _average_pool(graph: Graph, prefix: str, layer: nn.AveragePool2D, x: Value) -> Value:
    x = graph.channels_first(x)
    window = _window(x, layer.size, layer.stride, layer.padding)
    return x.through(layer, graph.node("AveragePool", x.name, count_include_pad=0, **window))


def _global_average_pool(graph: Graph, prefix: str, layer: nn.GlobalAveragePool2D, x: Value) -> Value:
    pooled = graph.node("GlobalAveragePool", graph.channels_first(x).name)               # (N, C, 1, 1)
    return Value(graph.node("Flatten", pooled), layer(x.zeros))


def _batch_norm(graph: Graph, prefix: str, layer: nn.BatchNorm, x: Value) -> Value:
    x = graph.channels_first(x)
    tensors = {"gamma": layer.gamma.array, "beta": layer.beta.array, "mean": layer.mean, "variance": layer.variance}
    parameters = [graph.floats(prefix + name, array) for name, array in tensors.items()]
    return x.through(layer, graph.node("BatchNormalization", x.name, *parameters, epsilon=float(layer.eps)))


def _relu(graph: Graph, prefix: str, layer: nn.ReLU, x: Value) -> Value:
    return x.through(layer, graph.node("Relu", x.name))


def _flatten(graph: Graph, prefix: str, layer: nn.Flatten, x: Value) -> Value:
    x = graph.channels_last(x)
    return x.through(layer, graph.node("Flatten", x.name))


def _nothing(graph: Graph, prefix: str, layer: nn.Layer, x: Value) -> Value:
    return x


def _quantize(graph: Graph, prefix: str, layer: nn.Quantize, x: Value) -> Value:
    return x.through(layer, seen(graph, f"{prefix}input", layer.input, x).name)


# Kind -> its translation.
LAYERS: dict[type[nn.Layer], Callable[..., Value]] = {
    nn.Dense: dense, nn.Conv2D: _conv2d, nn.ReLU: _relu, nn.BatchNorm: _batch_norm, nn.Dropout: _nothing,
    nn.QuantizedGradient: _nothing, nn.MaxPool2D: _max_pool,
    nn.AveragePool2D: _average_pool, nn.GlobalAveragePool2D: _global_average_pool, nn.Flatten: _flatten,
    nn.Quantize: _quantize, nn.Sequential: _sequential, nn.Residual: _residual,
    nn.RNN: recurrent, nn.GRU: recurrent, nn.LSTM: recurrent,
    nn.GroupedConv2D: _grouped, nn.Concatenate: _concatenate,
    nn.SelfAttention: self_attention, nn.LayerNorm: layer_norm, nn.GELU: gelu, nn.Softmax: softmax,
    nn.Position: position, nn.Embedding: embedding}


def _window(x: Value, size: Any, stride: Any, padding: Padding) -> dict[str, Any]:
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
