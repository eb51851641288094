"""Recurrent layers on integers: the products of codes as everywhere, the gates by tables, the state step by step.

Before a gate is squashed it is a sum of two products, of the row and of the state, as int32 in a unit of 2^-16. The
logistic function and tanh are tables with a point each 2^-11, of whole numbers of 2^-15. So are what gates let through
and the state, to which one multiplication and one rounding shift add up; only for the next step's product the state
becomes codes, on the grid that its method has trained, or on one over -1 .. 1, between which it always lies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.integer.grid import Grid, Levels, grid_over
from minilq.integer.lines import Line, codes_of_grid, integers
from minilq.integer.steps import Seen, Step, run
from minilq.nn import GRU, LSTM
from minilq.nn.recurrent import Recurrent
from minilq.ops.recurrent import logistic

if TYPE_CHECKING:
    from minilq.integer.branch import Branch

UNIT = 2.0**-16
"""Of what comes into a gate."""
ONE = 15
"""Bits behind the point of gates and states."""
POINT = 5
"""Bits of what comes into a gate that its table does not tell apart."""
REACH = 12
"""Beyond -12 .. 12 a gate is shut or open."""

Cell = Callable[[list[Array], Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class OverTime:
    """Codes (N, T, C) -> the state as whole numbers of 2^-15, int32: (N, H), or with `every` (N, T, H).

    of_input, of_state      of each gate the steps from codes to int32 of UNIT
    first                   of each gate what the state, which is 0 in the first step, gives there
    encode, decode          from a state to its codes; back, where the step itself shall see what codes stand for
    """

    name: str
    cell: Cell
    of_input: list[list[Step]]
    of_state: list[list[Step]]
    first: list[Array]
    encode: list[Step]
    decode: list[Step]
    every: bool

    def __call__(self, x: Array, seen: Seen) -> Array:
        seen(self.name, x)
        N, T, C = x.shape
        a = [run(steps, x.reshape(N * T, C), _unseen).reshape(N, T, -1) for steps in self.of_input]
        h, c = (np.zeros((N, a[0].shape[2]), np.int32) for _ in range(2))
        codes, states = [], []
        for t in range(T):
            p = self.first
            if t:
                codes.append(run(self.encode, h, _unseen))
                h = run(self.decode, codes[-1], _unseen) if self.decode else h
                p = [run(steps, codes[-1], _unseen) for steps in self.of_state]
            h, c = self.cell([part for g, of_state in enumerate(p) for part in (a[g][:, t], of_state)], h, c)
            states.append(h)
        if codes:
            seen(f"{self.name}.recurrent_input", np.stack(codes, axis=1))
        return np.stack(states, axis=1) if self.every else h


def rnn(v: list[Array], h: Array, c: Array) -> tuple[Array, Array]:
    a, p = v
    return squashed(tanh_table(), _sum(a, p)), c


def gru(v: list[Array], h: Array, c: Array) -> tuple[Array, Array]:
    a_r, p_r, a_z, p_z, a_n, p_n = v             # p_n has its bias within
    r, z = (squashed(logistic_table(), _sum(a, p)) for a, p in ((a_r, p_r), (a_z, p_z)))
    n = squashed(tanh_table(), a_n + _product(r, p_n))
    return (n + _product(z, h.astype(np.int64) - n)).astype(np.int32), c


def lstm(v: list[Array], h: Array, c: Array) -> tuple[Array, Array]:
    a_i, p_i, a_f, p_f, a_m, p_m, a_o, p_o = v
    i, f, o = (squashed(logistic_table(), _sum(a, p)) for a, p in ((a_i, p_i), (a_f, p_f), (a_o, p_o)))
    m = squashed(tanh_table(), _sum(a_m, p_m))
    c = (_product(f, c) + _product(i, m)).astype(np.int32)
    return _product(o, squashed(tanh_table(), c.astype(np.int64) << 1)).astype(np.int32), c


def squashed(table: Array, v: Array) -> Array:
    """The entry of a table for each of these whole numbers of UNIT."""
    point = (v + (1 << POINT - 1)) >> POINT
    middle = len(table) // 2
    return np.asarray(table[np.clip(point, -middle, middle) + middle])


@functools.cache
def logistic_table() -> Array:
    return _table(logistic)


@functools.cache
def tanh_table() -> Array:
    return _table(np.tanh)


def _table(f: Callable[[Array], Array]) -> Array:
    middle = int(REACH / UNIT) >> POINT
    table: Array = np.rint(f(np.arange(-middle, middle + 1) * UNIT * 2**POINT) * 2**ONE).astype(np.int32)
    table.flags.writeable = False
    return table


def _sum(a: Array, b: Array) -> Array:
    return a.astype(np.int64) + b


def _product(share: Array, v: Array) -> Array:
    """share v, share in whole numbers of 2^-15: rounded, halves up."""
    return (share * v.astype(np.int64) + (1 << ONE - 1)) >> ONE


def _unseen(name: str, codes: Array) -> None:
    """What the products of gates multiply has been shown as a whole."""


def over_time(branch: Branch, name: str, layer: Recurrent) -> None:
    """Add the step of a recurrent layer to a branch.

    Raises ConfigError for a GRU whose reset gate acts before the product, as what goes into that one is no state; and
    for a state of levels that are not evenly spaced, where the step itself adds to the state
    """
    gates, made = layer.gates(), branch.made
    if isinstance(layer, GRU) and layer.acts == "before":
        raise ConfigError("convert", "the reset gate of a GRU must act after the product with the state",
                          got=f'{name} with reset="before"', cause="Export it to ONNX, or train one with after")
    grid = branch.codes_for(name, layer.input, None)[0]
    of_state = _state_grid(branch, name, layer)
    state = branch.fork(_state_line(), None, exact=True)
    state.encode(name, of_state)
    encode, state.steps = state.steps, []
    if layer.recurrent_input.method is not None and isinstance(layer, GRU):
        if isinstance(of_state, Levels):
            raise ConfigError("convert", "the state of a GRU must have evenly spaced values",
                              got=f"{name}.recurrent_input with {type(layer.recurrent_input.method).__name__}")
        state.refine(name, np.full(1, 2.0**-ONE))

    def steps(site: str, grid: Grid | Levels, gate: object, bias: Array) -> list[Step]:
        product = branch.fork(codes_of_grid(grid), grid)
        product.multiply(name, made.weight(getattr(gate, site)), grid, np.ones(1), bias, None)
        product.rescale(product.line.rescaling(name, np.full(1, UNIT), np.zeros(()), np.int32))
        return product.steps

    inner = [made.reals(gate.recurrent_bias) if hasattr(gate, "recurrent_bias") else np.zeros(layer.units)
             for gate in gates]
    cell: Cell = gru if isinstance(layer, GRU) else lstm if isinstance(layer, LSTM) else rnn
    branch.steps.append(OverTime(
        name, cell, [steps("weight", grid, gate, made.reals(gate.bias)) for gate in gates],
        [steps("recurrent_weight", of_state, gate, bias) for gate, bias in zip(gates, inner, strict=True)],
        [np.rint(bias / UNIT).astype(np.int32) for bias in inner], encode, state.steps, layer.states == "all"))
    branch.line, branch.grid, branch.exact = _state_line(), None, True


def _state_grid(branch: Branch, name: str, layer: Recurrent) -> Grid | Levels:
    made, place = branch.made, f"{name}.recurrent_input"
    if layer.recurrent_input.method is None:
        made.grids[place] = grid_over(-1.0, 1.0, made.top)
        return made.grids[place]
    made.ranges.samples[place] = np.stack([np.full(layer.units, end, np.float32) for end in (-1, 1)])
    return made.grid_of(place, layer.recurrent_input, place)


def _state_line() -> Line:
    most = np.full((1, 1), 2.0**ONE)
    return integers(np.full((1, 1), 2.0**-ONE), np.zeros(1), -most, most)
