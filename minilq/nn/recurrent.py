"""Recurrent layers: one cell over all times of a sequence, the state of each time handed to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minilq.arguments import check_generator, check_whole, float_type, is_whole, shown
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.nn.initialise import constant, glorot_uniform
from minilq.nn.layer import Layer
from minilq.nn.parts import Part
from minilq.nn.site import Site
from minilq.ops import (
    concatenate,
    dense,
    gru_after,
    gru_mix,
    gru_reset,
    lstm_cell,
    lstm_output,
    matmul,
    stack,
    tanh,
)
from minilq.ops.join import unstack
from minilq.quantize import hold

Seen = tuple[Tensor, ...]
RESETS = ("after", "before")
STATES = ("last", "all")


class Gate(Part):
    """The three sites of a gate: the weight (n_in, units) of the input, that of the state (units, units), the bias.

    Both weights start uniform within +- sqrt(6 / (inputs + outputs)) (Glorot), the bias at one number.
    """

    recurrent_bias: Site                         # of a gate that the reset gate acts on

    def __init__(self, n_in: int, units: int, rng: np.random.Generator, dtype: Any, bias: float = 0.0) -> None:
        self.weight = Site(glorot_uniform(rng, (n_in, units), dtype))
        self.recurrent_weight = Site(glorot_uniform(rng, (units, units), dtype))
        self.bias = Site(constant(bias, (units,), dtype))


class Recurrent(Layer):
    """What RNN, GRU and LSTM share: the loop over the times, by which gradients go back through time on the tape.

    n_in, units     columns of a row of x, and of the state
    rng             a numpy.random.Generator, for the initial values
    states          "last": the state after the last row; "all": that after each
    truncate        k: no gradient passes back beyond the times k, 2k, ..; the state there is held, a constant.
                    None: all do
    Sites           input, all rows of x at once; recurrent_input, the state that a step is handed by the step before
                    (the first is handed zeros, which no method sees); and of each gate weight, recurrent_weight, bias.
                    A stochastic method draws one weight for all times
    Shapes          x (N, T, n_in) -> (N, units), or (N, T, units)
    Raises          ConfigError, ShapeError
    """

    def __init__(self, n_in: int, units: int, rng: np.random.Generator, states: str, truncate: int | None,
                 dtype: Any) -> None:
        op = type(self).__name__
        check_generator(op, rng)
        check_whole(op, "n_in", n_in)
        check_whole(op, "units", units)
        if not isinstance(states, str) or states not in STATES:
            raise ConfigError(op, f"states must be one of {', '.join(STATES)}", got=shown(states))
        if truncate is not None and not is_whole(truncate, 1):
            raise ConfigError(op, "truncate must be a whole number of times, at least 1, or None", got=shown(truncate))
        dtype = float_type(op, dtype)
        self.n_in, self.units, self.states, self.truncate = int(n_in), int(units), states, truncate
        self.input = Site(shape=(1, 1, self.n_in), dtype=dtype)
        self.recurrent_input = Site(shape=(1, self.units), dtype=dtype)

    def gates(self) -> Sequence[Any]:
        """Where the sites of the gates are, in the order in which their matrices stand side by side."""
        raise NotImplementedError

    def seen(self, training: bool) -> Seen:
        """What all steps see of the weights and biases, the gates side by side."""
        gates = self.gates()
        W, U, b = ([getattr(gate, name)(None, training) for gate in gates]
                   for name in ("weight", "recurrent_weight", "bias"))
        return _beside(W), _beside(U), _beside(b)

    def step(self, x: Tensor, carried: Seen, seen: Seen) -> Seen:
        """From a row (N, n_in) and what was carried to what is carried on; the state comes first."""
        raise NotImplementedError

    def carried(self, x: Tensor) -> Seen:
        """What the first step is handed."""
        return (Tensor.wrap(np.zeros((len(x), self.units), x.dtype)),)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != self.n_in:
            raise ShapeError(type(self).__name__, f"x must be (N, T, {self.n_in}), T at least 1", got=str(x.shape),
                             cause="One sequence needs a batch axis: x[None]" if x.ndim == 2 else "")
        x, seen, carried = self.input(x, training), self.seen(training), self.carried(x)
        states: list[Tensor] = []
        for t, row in enumerate(unstack(x, axis=1)):
            if t:
                if self.truncate is not None and t % self.truncate == 0:
                    carried = tuple(hold(part.detach()) for part in carried)
                carried = (self.recurrent_input(carried[0], training), *carried[1:])
            carried = self.step(row, carried, seen)
            states.append(carried[0])
        return stack(states, axis=1) if self.states == "all" else states[-1]

    def shared_settings(self) -> dict[str, Any]:
        """Those that every kind has."""
        return {"n_in": self.n_in, "units": self.units, "states": self.states, "truncate": self.truncate}

    @classmethod
    def made(cls, **settings: Any) -> Recurrent:
        return cls(**settings, rng=np.random.default_rng(0))


class RNN(Recurrent):
    """The simple recurrent layer (Elman 1990): h_t = tanh(x_t W + h_(t-1) U + b), h_0 = 0.

    n_in, units, rng, states, truncate      as of all: see `Recurrent`
    Sites       input, recurrent_input, weight (n_in, units), recurrent_weight (units, units), bias

    >>> layer = RNN(3, 2, np.random.default_rng(0))
    >>> layer(Tensor(np.zeros((4, 7, 3), np.float32))).shape, list(layer.sites())
    ((4, 2), ['input', 'recurrent_input', 'weight', 'recurrent_weight', 'bias'])
    """

    def __init__(self, n_in: int, units: int, rng: np.random.Generator, states: str = "last",
                 truncate: int | None = None, dtype: Any = np.float32) -> None:
        super().__init__(n_in, units, rng, states, truncate, dtype)
        vars(self).update(vars(Gate(n_in, units, rng, dtype)))

    def gates(self) -> Sequence[Any]:
        return (self,)

    def step(self, x: Tensor, carried: Seen, seen: Seen) -> Seen:
        (h,), (W, U, b) = carried, seen
        return (tanh(dense(x, W, b) + matmul(h, U)),)

    def settings(self) -> dict[str, Any]:
        return self.shared_settings()

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return _shapes(("",), **settings)


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014).

        r = sigma(x W_r + h U_r + b_r),   z = sigma(x W_z + h U_z + b_z),   h' = (1 - z) n + z h
        n = tanh(x W_n + b_n + r (h U_n + c))        reset="after"
        n = tanh(x W_n + b_n + (r h) U_n)            reset="before"

    n_in, units, rng, states, truncate      as of all: see `Recurrent`
    reset       whether the reset gate acts "after" the product with the state (cuDNN, PyTorch, Keras 2, Lasagne) or
                "before" it (the paper)
    Sites       input, recurrent_input; reset, update and candidate, each with weight, recurrent_weight and bias; after
                the product also candidate.recurrent_bias, c
    Others      PyTorch has c for all gates, where those of r and z are added to b. Lasagne has no c, and 1 - z for z

    >>> layer = GRU(3, 2, np.random.default_rng(0), reset="before", states="all")
    >>> layer(Tensor(np.zeros((4, 7, 3), np.float32))).shape, list(layer.sites())[:3]
    ((4, 7, 2), ['input', 'recurrent_input', 'reset.weight'])
    """

    def __init__(self, n_in: int, units: int, rng: np.random.Generator, reset: str = "after", states: str = "last",
                 truncate: int | None = None, dtype: Any = np.float32) -> None:
        super().__init__(n_in, units, rng, states, truncate, dtype)
        if not isinstance(reset, str) or reset not in RESETS:
            raise ConfigError("GRU", f"reset must be one of {', '.join(RESETS)}", got=shown(reset))
        self.acts = reset
        self.reset, self.update, self.candidate = (Gate(n_in, units, rng, dtype) for _ in range(3))
        if reset == "after":
            self.candidate.recurrent_bias = Site(constant(0.0, (units,), dtype))

    def gates(self) -> Sequence[Any]:
        return self.reset, self.update, self.candidate

    def seen(self, training: bool) -> Seen:
        if self.acts == "after":
            return *super().seen(training), self.candidate.recurrent_bias(None, training)
        W, b = (_beside([getattr(gate, name)(None, training) for gate in self.gates()]) for name in ("weight", "bias"))
        r, z, n = (gate.recurrent_weight(None, training) for gate in self.gates())
        return W, b, _beside([r, z]), n

    def step(self, x: Tensor, carried: Seen, seen: Seen) -> Seen:
        (h,) = carried
        if self.acts == "after":
            W, U, b, c = seen
            return (gru_after(dense(x, W, b), matmul(h, U), c, h),)
        W, b, U, U_n = seen
        a, p = dense(x, W, b), matmul(h, U)
        return (gru_mix(a, p, matmul(gru_reset(a, p, h), U_n), h),)

    def settings(self) -> dict[str, Any]:
        return {**self.shared_settings(), "reset": self.acts}

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        more = {"candidate.recurrent_bias.latent": (settings["units"],)} if settings["reset"] == "after" else {}
        return _shapes(("reset.", "update.", "candidate."), **settings) | more


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), with forget gates (Gers et al. 2000).

        i, f, o = sigma(x W + h U + b) of each,   m = tanh(x W_m + h U_m + b_m)
        c' = f c + i m,   h' = o tanh(c')

    The bias of the forget gate starts at 1 (Jozefowicz et al. 2015), the others at 0. The cell c has no site: it stays
    real, and goes into no product.

    n_in, units, rng, states, truncate      as of all: see `Recurrent`
    Sites       input, recurrent_input; write (i), forget (f), candidate (m) and read (o), each with weight,
                recurrent_weight and bias, in the order of PyTorch

    >>> layer = LSTM(3, 2, np.random.default_rng(0))
    >>> layer(Tensor(np.zeros((4, 7, 3), np.float32))).shape, list(layer.sites())[-3:]
    ((4, 2), ['read.weight', 'read.recurrent_weight', 'read.bias'])
    """

    def __init__(self, n_in: int, units: int, rng: np.random.Generator, states: str = "last",
                 truncate: int | None = None, dtype: Any = np.float32) -> None:
        super().__init__(n_in, units, rng, states, truncate, dtype)
        self.write, self.forget, self.candidate, self.read = (
            Gate(n_in, units, rng, dtype, bias) for bias in (0.0, 1.0, 0.0, 0.0))

    def gates(self) -> Sequence[Any]:
        return self.write, self.forget, self.candidate, self.read

    def carried(self, x: Tensor) -> Seen:
        return super().carried(x) * 2

    def step(self, x: Tensor, carried: Seen, seen: Seen) -> Seen:
        (h, c), (W, U, b) = carried, seen
        v = dense(x, W, b) + matmul(h, U)
        c = lstm_cell(v, c)
        return lstm_output(v, c), c

    def settings(self) -> dict[str, Any]:
        return self.shared_settings()

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return _shapes(("write.", "forget.", "candidate.", "read."), **settings)


def _beside(parts: list[Tensor]) -> Tensor:
    whole: Tensor = parts[0] if len(parts) == 1 else concatenate(parts, axis=-1)
    return whole


def _shapes(gates: tuple[str, ...], n_in: int, units: int, **others: Any) -> dict[str, tuple[int, ...]]:
    of_gate = {"weight.latent": (n_in, units), "recurrent_weight.latent": (units, units), "bias.latent": (units,)}
    return {f"{gate}{name}": shape for gate in gates for name, shape in of_gate.items()}
