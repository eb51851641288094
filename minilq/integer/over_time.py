"""Recurrent layers on integers: the products of codes as everywhere, the gates by tables, the state step by step.

Before a gate is squashed it is a sum of two products, of the row and of the state, as int32 in a unit of 2^-16. The
logistic function and tanh are tables with a point each 2^-11, of whole numbers of 2^-15. So are what gates let through
and the state, to which one multiplication and one rounding shift add up; only for the next step's product the state
becomes codes, on the grid that its method has trained, or on one over -1 .. 1, between which it always lies. What a
reset gate leaves of a state before a product becomes codes of such a grid too, whose rounding training has not seen.
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

Inner = Callable[[Array], Array]
Cell = Callable[[list[Array], list[Array], Array, Array, Inner], tuple[Array, Array]]


@dataclass(frozen=True)
class OverTime:
    """Codes (N, T, C) -> the state as whole numbers of 2^-15, int32: (N, H), or with `every` (N, T, H).

    of_input, of_state      of each gate the steps from codes to int32 of UNIT
    first                   of each gate what the state, which is 0 in the first step, gives there
    encode, decode          from a state to its codes; back, where the step itself shall see what codes stand for
    encode_inner, of_inner  of what a reset gate leaves of a state before the product
    """

    name: str
    cell: Cell
    of_input: list[list[Step]]
    of_state: list[list[Step]]
    first: list[Array]
    encode: list[Step]
    decode: list[Step]
    encode_inner: list[Step]
    of_inner: list[Step]
    every: bool

    def __call__(self, x: Array, seen: Seen) -> Array:
        seen(self.name, x)
        N, T, C = x.shape
        a = [run(steps, x.reshape(N * T, C), _unseen).reshape(N, T, -1) for steps in self.of_input]
        h, c = (np.zeros((N, a[0].shape[2]), np.int32) for _ in range(2))
        codes, inner_codes, states = [], [], []

        def inner(h: Array) -> Array:
            inner_codes.append(run(self.encode_inner, h.astype(np.int32), _unseen))
            return run(self.of_inner, inner_codes[-1], _unseen)

        for t in range(T):
            p = self.first
            if t:
                codes.append(run(self.encode, h, _unseen))
                h = run(self.decode, codes[-1], _unseen) if self.decode else h
                p = [run(steps, codes[-1], _unseen) for steps in self.of_state]
            h, c = self.cell([part[:, t] for part in a], p, h, c, inner)
            states.append(h)
        for place, shown in (("recurrent_input", codes), ("candidate.recurrent_input", inner_codes)):
            if shown:
                seen(f"{self.name}.{place}", np.stack(shown, axis=1))
        return np.stack(states, axis=1) if self.every else h


def rnn(a: list[Array], p: list[Array], h: Array, c: Array, inner: Inner) -> tuple[Array, Array]:
    return squashed(tanh_table(), a[0], p[0]), c


def gru_after(a: list[Array], p: list[Array], h: Array, c: Array, inner: Inner) -> tuple[Array, Array]:
    r, z = (squashed(logistic_table(), a[g], p[g]) for g in (0, 1))
    return _mixed(z, squashed(tanh_table(), a[2], _product(r, p[2])), h), c              # p_n has its bias within


def gru_before(a: list[Array], p: list[Array], h: Array, c: Array, inner: Inner) -> tuple[Array, Array]:
    r, z = (squashed(logistic_table(), a[g], p[g]) for g in (0, 1))
    return _mixed(z, squashed(tanh_table(), a[2], inner(_product(r, h))), h), c


def lstm(a: list[Array], p: list[Array], h: Array, c: Array, inner: Inner) -> tuple[Array, Array]:
    i, f, o = (squashed(logistic_table(), a[g], p[g]) for g in (0, 1, 3))
    m = squashed(tanh_table(), a[2], p[2])
    c = _whole(_product(f, c) + _product(i, m))
    of_c = squashed(tanh_table(), c, c)                          # of 2^-15, which is twice UNIT
    return _product(o, of_c).astype(np.int32), c


def _mixed(z: Array, n: Array, h: Array) -> Array:
    return (n + _product(z, h.astype(np.int64) - n)).astype(np.int32)


def squashed(table: Array, a: Array, p: Array) -> Array:
    """The entry of a table for each a + p, whole numbers of UNIT."""
    point = (a.astype(np.int64) + p + (1 << POINT - 1)) >> POINT
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


def _product(share: Array, v: Array) -> Array:
    """share v, share in whole numbers of 2^-15: rounded, halves up."""
    return (share * v.astype(np.int64) + (1 << ONE - 1)) >> ONE


def _whole(v: Array) -> Array:
    """As int32; beyond 2^30 every gate is shut or open."""
    return np.clip(v, -(1 << 30), 1 << 30).astype(np.int32)


def _unseen(name: str, codes: Array) -> None:
    """What the products of gates multiply has been shown as a whole."""


def over_time(branch: Branch, name: str, layer: Recurrent) -> None:
    """Add the step of a recurrent layer to a branch.

    Raises ConfigError for a GRU with a state of levels that are not evenly spaced, as the step itself adds to the state
    """
    gates, made = layer.gates(), branch.made
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

    biases = [made.reals(gate.recurrent_bias) if hasattr(gate, "recurrent_bias") else np.zeros(layer.units)
              for gate in gates]
    cell: Cell = lstm if isinstance(layer, LSTM) else rnn
    inner = branch.fork(_state_line(), None, exact=True)
    of_inner: list[Step] = []
    recurrent = list(zip(gates, biases, strict=True))
    if isinstance(layer, GRU):
        cell = gru_after if layer.acts == "after" else gru_before
        if layer.acts == "before":
            place = f"{name}.candidate.recurrent_input"
            made.grids[place] = grid_over(-1.0, 1.0, made.top)
            inner.encode(name, made.grids[place])
            of_inner = steps("recurrent_weight", made.grids[place], *recurrent.pop())
    branch.steps.append(OverTime(
        name, cell, [steps("weight", grid, gate, made.reals(gate.bias)) for gate in gates],
        [steps("recurrent_weight", of_state, gate, bias) for gate, bias in recurrent],
        [_whole(np.rint(bias / UNIT)) for _, bias in recurrent], encode, state.steps, inner.steps, of_inner,
        layer.states == "all"))
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
