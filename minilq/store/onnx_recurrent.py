"""Recurrent layers in an ONNX graph: a node of each, its matrices of the gates' own weights, joined.

ONNX wants (T, N, C), a matrix (gates units, inputs) in an order of its own, and two biases for each gate. Quantized
weights stay integers with their grids, gate by gate, before they are joined.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.nn import GRU, RNN
from minilq.nn.recurrent import Recurrent
from minilq.store.onnx_graph import Graph, Value
from minilq.store.onnx_sites import parameter, seen
from minilq.store.onnx_unrolled import unrolled

GATES = {"RNN": [""], "GRU": ["update.", "reset.", "candidate."], "LSTM": ["write.", "read.", "forget.", "candidate."]}
"""The gates in the order of ONNX, by their names in ours."""


def recurrent(graph: Graph, prefix: str, layer: Recurrent, x: Value) -> Value:
    """The node of a layer, or where its state has a method, for which that has no place, nodes of every step."""
    kind = "RNN" if isinstance(layer, RNN) else "GRU" if isinstance(layer, GRU) else "LSTM"
    y = layer(x.zeros)
    sites = layer.sites()
    rows = seen(graph, f"{prefix}input", layer.input, graph.channels_last(x))
    if layer.recurrent_input.method is not None:
        return unrolled(graph, prefix, layer, rows, y)
    attributes: dict[str, Any] = {"hidden_size": layer.units}
    if isinstance(layer, GRU):
        attributes["linear_before_reset"] = int(layer.acts == "after")

    def joined(name: str, order: tuple[int, ...]) -> list[str]:
        return [parameter(graph, f"{prefix}{gate}{name}", sites[gate + name], order) if gate + name in sites
                else graph.constant(f"{prefix}nothing", np.zeros(layer.units, np.float32)) for gate in GATES[kind]]

    first = graph.constant("first", np.zeros(1, np.int64))

    def matrix(*parts: str) -> str:
        return graph.node("Unsqueeze", graph.node("Concat", *parts, axis=0), first)              # one direction

    inputs = (graph.node("Transpose", rows.name, perm=[1, 0, 2]),
              matrix(*joined("weight", (1, 0))), matrix(*joined("recurrent_weight", (1, 0))),
              matrix(*joined("bias", (0,)), *joined("recurrent_bias", (0,))))
    if layer.states == "last":
        return Value(graph.node("Squeeze", graph.node(kind, *inputs, output=1, **attributes), first), y)
    second = graph.constant("second", np.ones(1, np.int64))
    states = graph.node("Squeeze", graph.node(kind, *inputs, **attributes), second)
    return Value(graph.node("Transpose", states, perm=[1, 0, 2]), y)
