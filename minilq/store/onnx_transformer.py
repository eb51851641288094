"""Layers of transformers in an ONNX graph: everything by rows of channels, which stand last; Dense is one of them."""

from __future__ import annotations

import math

import numpy as np

from minilq import nn
from minilq.autodiff.tensor import Tensor
from minilq.store.onnx_graph import Graph, Value
from minilq.store.onnx_sites import parameter, seen


def dense(graph: Graph, prefix: str, layer: nn.Dense, x: Value) -> Value:
    z = seen(graph, f"{prefix}input", layer.input, graph.channels_last(x))
    weight, bias = parameter(graph, f"{prefix}weight", layer.weight), parameter(graph, f"{prefix}bias", layer.bias)
    if z.zeros.ndim == 2:
        return z.through(layer, graph.node("Gemm", z.name, weight, bias))
    return z.through(layer, graph.node("Add", graph.node("MatMul", z.name, weight), bias))


def self_attention(graph: Graph, prefix: str, layer: nn.SelfAttention, x: Value) -> Value:
    """The same products in the same order, tokens in a row between them."""
    x = graph.channels_last(x)
    (_, *between, C), h = x.zeros.shape, layer.heads
    T, d = math.prod(between), C // h

    def shaped(what: str, name: str, *shape: int) -> str:                        # 0: as many as there are
        return graph.node("Reshape", name, graph.constant(f"{prefix}{what}", np.array([0, *shape], np.int64)))

    def part(name: str, value: str, of: nn.Quantize, *shape: int) -> Value:
        return seen(graph, f"{prefix}{name}.input", of.input, Value(value, Tensor(np.zeros((1, *shape), np.float32))))

    tokens = Value(shaped("tokens", x.name, T, C), Tensor(np.zeros((1, T, C), np.float32)))
    projected = graph.through_uint8(f"{prefix}project", dense(graph, f"{prefix}project.", layer.project, tokens))
    together = graph.node("Transpose", shaped("heads", projected.name, T, 3, h, d), perm=[2, 0, 3, 1, 4])
    q, k, v = (part(name, graph.node("Gather", together, graph.constant(f"part{i}", np.array(i, np.int64)), axis=0),
                    of, h, T, d)
               for i, (name, of) in enumerate((("queries", layer.queries), ("keys", layer.keys),
                                               ("values", layer.values))))
    scores = graph.node("MatMul", q.name, graph.node("Transpose", k.name, perm=[0, 1, 3, 2]))
    scores = graph.node("Mul", scores, graph.constant(f"{prefix}factor", np.array(1 / math.sqrt(d), np.float32)))
    p = part("probabilities", graph.node("Softmax", scores, axis=-1), layer.probabilities, h, T, T)
    taken = graph.node("Transpose", graph.node("MatMul", p.name, v.name), perm=[0, 2, 1, 3])
    rows = Value(shaped("shape", taken, *between, C), x.zeros)
    return graph.through_uint8(f"{prefix}output", dense(graph, f"{prefix}output.", layer.output, rows))


def layer_norm(graph: Graph, prefix: str, layer: nn.LayerNorm, x: Value) -> Value:
    x = graph.channels_last(x)
    gamma, beta = (graph.floats(f"{prefix}{name}", tensor.array) for name, tensor in (
        ("gamma", layer.gamma), ("beta", layer.beta)))
    return x.through(layer, graph.node("LayerNormalization", x.name, gamma, beta, axis=-1, epsilon=float(layer.eps)))


def gelu(graph: Graph, prefix: str, layer: nn.GELU, x: Value) -> Value:
    return x.through(layer, graph.node("Gelu", x.name, approximate="none" if layer.form == "erf" else "tanh"))


def softmax(graph: Graph, prefix: str, layer: nn.Softmax, x: Value) -> Value:
    x = graph.channels_last(x)
    return x.through(layer, graph.node("Softmax", x.name, axis=-1))


def position(graph: Graph, prefix: str, layer: nn.Position, x: Value) -> Value:
    x = graph.channels_last(x)
    return x.through(layer, graph.node("Add", x.name, parameter(graph, f"{prefix}weight", layer.weight)))


def embedding(graph: Graph, prefix: str, layer: nn.Embedding, x: Value) -> Value:
    """Tokens come as floats, as everywhere."""
    x = graph.channels_last(x)
    tokens = graph.node("Cast", x.name, to=graph.onnx.TensorProto.INT64)
    return x.through(layer, graph.node("Gather", parameter(graph, f"{prefix}weight", layer.weight), tokens))
