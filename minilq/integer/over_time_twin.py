"""What recurrent layers are in the float twin: every product multiplies what codes stand for, all else is float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array
from minilq.nn import GRU, LSTM, Site
from minilq.nn.recurrent import Recurrent
from minilq.ops import dense, gru_after, gru_mix, gru_reset, lstm_cell, lstm_output

Seen = Callable[[Site], Array]
Read = Callable[[str, int, Array], Array]


def over_time_twin(layer: Recurrent, x: Array, seen: Seen, read: Read) -> Array:
    """The result of a layer.

    x       (N, T, C), what the codes of the rows stand for
    seen    what the network sees of a weight or bias
    read    from a place, the number of its product and a state to what the codes of the state stand for
    """
    gates = layer.gates()
    W, U, b = (np.concatenate([seen(getattr(gate, name)) for gate in gates], axis=-1)
               for name in ("weight", "recurrent_weight", "bias"))
    h, c = (np.zeros((len(x), layer.units)) for _ in range(2))
    product, states = h, []
    for t in range(x.shape[1]):
        if t:
            product = read("recurrent_input", t - 1, h)
            h = h if layer.recurrent_input.method is None else product
        a = dense(x[:, t], W, b)
        if isinstance(layer, GRU) and layer.acts == "before":
            p = product @ U[:, :2 * layer.units]
            left = read("candidate.recurrent_input", t, gru_reset(a, p, h))
            h = gru_mix(a, p, left @ U[:, 2 * layer.units:], h)
        elif isinstance(layer, GRU):
            h = gru_after(a, product @ U, seen(layer.candidate.recurrent_bias), h)
        elif isinstance(layer, LSTM):
            v = a + product @ U
            c = lstm_cell(v, c)
            h = lstm_output(v, c)
        else:
            h = np.tanh(a + product @ U)
        states.append(h)
    return np.stack(states, axis=1) if layer.states == "all" else h
