"""A recurrent layer whose state has a method in an ONNX graph: ONNX's own nodes have no place for one, so each step
becomes nodes of its own."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minilq.autodiff.tensor import Tensor
from minilq.nn import GRU, LSTM
from minilq.nn.recurrent import Recurrent
from minilq.store.onnx_graph import Graph, Value
from minilq.store.onnx_sites import parameter, seen


class Unrolled:
    """The steps of a layer as nodes. In the first, the state is 0, named "": nothing comes of it."""

    def __init__(self, graph: Graph, prefix: str, layer: Recurrent) -> None:
        self.graph, self.prefix, self.layer = graph, prefix, layer
        self.seen = {name: parameter(graph, f"{prefix}{name}", site) for name, site in layer.sites().items()
                     if site.latent is not None}

    def states(self, rows: Value) -> list[str]:
        """The state after each row of rows (N, T, C)."""
        h = c = ""
        states = []
        for t in range(rows.zeros.shape[1]):
            self.x = self.graph.node("Gather", rows.name, self.graph.constant(f"row{t}", np.array(t)), axis=1)
            h, c = self.step(self.quantized(h) if h else "", c)
            states.append(h)
        return states

    def quantized(self, h: str) -> str:
        zeros = Tensor(np.zeros((1, self.layer.units), np.float32))
        return seen(self.graph, f"{self.prefix}recurrent_input", self.layer.recurrent_input, Value(h, zeros)).name

    def step(self, h: str, c: str) -> tuple[str, str]:
        """The next state, and the next cell of an LSTM; the formulas stand in minilq/nn/recurrent.py."""
        node = self.graph.node
        if isinstance(self.layer, GRU):
            return self._gru(self.layer, h), ""
        if isinstance(self.layer, LSTM):
            i, f, o = (node("Sigmoid", self.gate(name, h)) for name in ("write.", "forget.", "read."))
            kept = node("Mul", f, c) if c else ""
            c = self.sum(kept, node("Mul", i, node("Tanh", self.gate("candidate.", h))))
            return node("Mul", o, node("Tanh", c)), c
        return node("Tanh", self.gate("", h)), ""

    def _gru(self, layer: GRU, h: str) -> str:
        node = self.graph.node
        r, z = (node("Sigmoid", self.gate(name, h)) for name in ("reset.", "update."))
        if layer.acts == "after":
            inner = node("Mul", r, self.sum(self.product("candidate.", h), self.seen["candidate.recurrent_bias"]))
        else:
            inner = self.product("candidate.", node("Mul", r, h) if h else "")
        n = node("Tanh", self.sum(self.affine("candidate."), inner))
        return node("Add", n, node("Mul", z, node("Sub", h, n) if h else node("Neg", n)))

    def gate(self, name: str, h: str) -> str:
        """What comes into a gate."""
        return self.sum(self.affine(name), self.product(name, h))

    def affine(self, gate: str) -> str:
        return self.graph.node("Gemm", self.x, self.seen[f"{gate}weight"], self.seen[f"{gate}bias"])

    def product(self, gate: str, h: str) -> str:
        return self.graph.node("MatMul", h, self.seen[f"{gate}recurrent_weight"]) if h else ""

    def sum(self, *parts: str) -> str:
        return functools.reduce(lambda a, b: self.graph.node("Add", a, b), filter(None, parts))


def unrolled(graph: Graph, prefix: str, layer: Recurrent, rows: Value, y: Any) -> Value:
    """The layer on rows (N, T, C); y is what it makes of one input of zeros."""
    states = Unrolled(graph, prefix, layer).states(rows)
    if layer.states == "last":
        return Value(states[-1], y)
    second = graph.constant("second", np.ones(1, np.int64))
    return Value(graph.node("Concat", *(graph.node("Unsqueeze", h, second) for h in states), axis=1), y)
