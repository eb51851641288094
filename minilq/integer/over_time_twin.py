"""What recurrent layers are in the float twin: every product multiplies what codes stand for, all else is float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.nn import GRU, LSTM, Site
from minilq.nn.recurrent import Recurrent
from minilq.ops import dense, gru_after, lstm_cell, lstm_output


def over_time_twin(layer: Recurrent, x: Array, seen: Callable[[Site], Array], codes_of: Callable[[Array], Array],
                   reals_of: Callable[[Array], Array], given: Array | None) -> tuple[Array, Array | None]:
    """The result of a layer, and the codes (N, T - 1, H) of the states between its steps, None where there are none.

    x           (N, T, C), what the codes of the rows stand for
    seen        what the network sees of a weight or bias
    codes_of, reals_of      from a state to its codes, and back
    given       codes in place of its own
    """
    gates = layer.gates()
    W, U, b = (np.concatenate([seen(getattr(gate, name)) for gate in gates], axis=-1)
               for name in ("weight", "recurrent_weight", "bias"))
    h, c = (np.zeros((len(x), layer.units)) for _ in range(2))
    product, codes, states = h, [], []
    for t in range(x.shape[1]):
        if t:
            codes.append(codes_of(h))
            product = reals_of(codes[-1] if given is None else given[:, t - 1])
            h = h if layer.recurrent_input.method is None else product
        a, p = dense(x[:, t], W, b), product @ U
        h, c = _step(layer, a, p, h, c, seen)
        states.append(h)
    return (np.stack(states, axis=1) if layer.states == "all" else h), np.stack(codes, axis=1) if codes else None


def _step(layer: Recurrent, a: Array, p: Array, h: Array, c: Array, seen: Callable[[Site], Array]) -> Any:
    if isinstance(layer, GRU):
        return gru_after(a, p, seen(layer.candidate.recurrent_bias), h), c
    if isinstance(layer, LSTM):
        c = lstm_cell(a + p, c)
        return lstm_output(a + p, c), c
    return np.tanh(a + p), c
