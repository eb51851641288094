"""Optimizers, learning-rate schedules, and the constraint that keeps scales positive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DataError, ShapeError
from minilq.kernels import twin
from minilq.quantize import SCALE_MIN


@dataclass(frozen=True)
class Group:
    """Tensors that share settings.

    lr        learning rate; None for the optimizer's
    minimum   after every step, values below it are set to it (a projection); None for no constraint.
              Scales take SCALE_MIN, so that they stay positive.
    """

    tensors: tuple[Tensor, ...]
    lr: float | None = None
    minimum: float | None = None


def group(tensors: Iterable[Tensor], lr: float | None = None, minimum: float | None = None) -> Group:
    """A Group of any iterable of Tensors."""
    return Group(tuple(tensors), lr, minimum)


def groups_of(model: Any) -> list[Group]:
    """What an optimizer needs of a model: its parameters, and its scales, held at or above SCALE_MIN.

    Latents behind scales (another positivity than "clamp") may take any value.

    >>> from minilq.nn import Dense
    >>> adam = Adam(groups_of(Dense(3, 2, np.random.default_rng(0))), lr=1e-4)
    """
    trained, positive = model.scales(), model.positive_scales()
    scales = [t for name, t in trained.items() if t is positive[name]]
    latents = [t for name, t in trained.items() if t is not positive[name]]
    return [group(model.parameters().values()), group(scales, minimum=SCALE_MIN), group(latents)]


class Optimizer:
    """What all optimizers share: groups, a step, gradients cleared, a state that can be saved.

    `lr_factor` multiplies every learning rate; a schedule sets it before each epoch.
    """

    slots: tuple[str, ...] = ()                  # names of the arrays kept for each tensor

    def __init__(self, parameters: Iterable[Tensor | Group], lr: float) -> None:
        single = isinstance(parameters, (Tensor, Group)) or not isinstance(parameters, Iterable)
        given = [parameters] if single else list(parameters)
        if isinstance(parameters, Mapping) or not all(isinstance(p, (Tensor, Group)) for p in given):
            kinds = {type(p).__name__ for p in ([parameters] if isinstance(parameters, Mapping) else given)}
            raise ConfigError(type(self).__name__, "parameters must be Tensors or Groups",
                              got=", ".join(sorted(kinds)), cause="For a model and its scales write groups_of(model)")
        loose = [p for p in given if isinstance(p, Tensor)]
        self.groups = ([group(loose)] if loose else []) + [p for p in given if isinstance(p, Group)]
        seen: set[int] = set()
        for tensor in self._tensors():
            if id(tensor) in seen or tensor.node is not None or not tensor.requires_grad:
                raise ConfigError(type(self).__name__, "every parameter must be there once, require a gradient, and be "
                                  "no result of an operation",
                                  got=f"one of shape {tensor.shape}{' twice' * (id(tensor) in seen)}")
            seen.add(id(tensor))
        for rate in (lr, *(g.lr for g in self.groups if g.lr is not None)):
            if not (isinstance(rate, Real) and math.isfinite(rate) and rate >= 0):
                raise ConfigError(type(self).__name__, "a learning rate must be a number >= 0", got=repr(rate))
        self.lr = lr
        self.lr_factor = 1.0
        self.steps = 0
        self._state = [{slot: np.zeros_like(t.array) for slot in self.slots} for t in self._tensors()]

    def _tensors(self) -> list[Tensor]:
        return [t for g in self.groups for t in g.tensors]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for tensor in self._tensors():
            tensor.grad = None

    def step(self) -> None:
        """One update of every tensor that has a gradient, then the projection."""
        self.steps += 1
        states = iter(self._state)
        for g in self.groups:
            lr = (self.lr if g.lr is None else g.lr) * self.lr_factor
            minimum = -math.inf if g.minimum is None else float(g.minimum)
            for tensor in g.tensors:
                state = next(states)
                if tensor.grad is None:
                    continue
                self._update(tensor.array, tensor.grad, lr, minimum, state)
                tensor.changed_in_place()

    def _update(self, p: Array, g: Array, lr: float, minimum: float, state: dict[str, Array]) -> None:
        """Change p in place, and set what is then below `minimum` to it."""
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """Copies of everything that the next step depends on, tensors in the order of the groups."""
        arrays = {f"{i}/{slot}": a.copy() for i, s in enumerate(self._state) for slot, a in s.items()}
        return {"steps": np.array(self.steps), **arrays}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave. Raises DataError for a missing entry, ShapeError for another shape."""
        mine = {f"{i}/{slot}": a for i, s in enumerate(self._state) for slot, a in s.items()}
        for key in ("steps", *mine):
            if key not in state:
                raise DataError(type(self).__name__, f"the saved state must hold {key!r}",
                                got=f"{len(state)} entries without it", cause="It was saved with another optimizer")
        for key, array in mine.items():
            if state[key].shape != array.shape:
                raise ShapeError(type(self).__name__, f"{key} must have the shape {array.shape}",
                                 got=str(state[key].shape))
        self.steps = int(state["steps"])
        for key, array in mine.items():
            array[...] = state[key]


class SGD(Optimizer):
    """Gradient descent with momentum: b <- momentum b + g;  p <- p - lr b."""

    slots = ("momentum",)

    def __init__(self, parameters: Iterable[Tensor | Group], lr: float = 1e-2, momentum: float = 0.0) -> None:
        if not 0 <= momentum < 1:
            raise ConfigError("SGD", "momentum must lie in [0, 1)", got=repr(momentum))
        super().__init__(parameters, lr)
        self.momentum = momentum

    def _update(self, p: Array, g: Array, lr: float, minimum: float, state: dict[str, Array]) -> None:
        b = state["momentum"]
        b *= p.dtype.type(self.momentum)
        b += g
        p -= p.dtype.type(lr) * b
        np.maximum(p, p.dtype.type(minimum), out=p)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), in two forms that differ in where epsilon stands.

        m <- m + (1 - beta1)(g - m),   v <- v + (1 - beta2)(g^2 - v),   c1 = 1 - beta1^t,   c2 = 1 - beta2^t
        keras:  p <- p - lr sqrt(c2)/c1 m / (sqrt(v) + epsilon)           epsilon outside the bias correction
        torch:  p <- p - lr/c1 m / (sqrt(v)/sqrt(c2) + epsilon)           epsilon inside it

    The thesis needs the Keras form with epsilon 1e-7: its scale gradients are of that size, and below epsilon Adam is
    gradient descent with rate lr/epsilon. Moments too small for normal floats are set to 0: denormals would make
    every later step tens of times slower.
    """

    slots = ("m", "v")

    def __init__(self, parameters: Iterable[Tensor | Group], lr: float = 1e-3, beta1: float = 0.9,
                 beta2: float = 0.999, epsilon: float = 1e-7, form: Literal["keras", "torch"] = "keras") -> None:
        if form not in ("keras", "torch"):
            raise ConfigError("Adam", "form must be 'keras' or 'torch'", got=repr(form))
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and epsilon > 0):
            raise ConfigError("Adam", "beta1 and beta2 must lie in [0, 1), epsilon above 0",
                              got=f"beta1={beta1}, beta2={beta2}, epsilon={epsilon}")
        super().__init__(parameters, lr)
        self.beta1, self.beta2, self.epsilon, self.form = beta1, beta2, epsilon, form
        self._computed_for: tuple[int, str, float] | None = None         # most tensors share one correction per step
        self._correction = (0.0, 0.0)

    def _update(self, p: Array, g: Array, lr: float, minimum: float, state: dict[str, Array]) -> None:
        now = (self.steps, p.dtype.char, lr)
        if now != self._computed_for:
            self._computed_for, self._correction = now, self._corrected(*now)
        step_size, epsilon = self._correction
        adam_update(p, g, state["m"], state["v"], step_size, self.beta1, self.beta2, epsilon, minimum)

    def _corrected(self, t: int, char: str, lr: float) -> tuple[float, float]:
        """lr sqrt(c2)/c1, and epsilon. The torch form times sqrt(c2) above and below is the keras form."""
        # Keras computes the corrections in the precision of p; in float32 that moves the first steps by 2e-5.
        number = np.dtype(char).type if self.form == "keras" else np.float64
        c1 = number(1) - number(self.beta1) ** number(t)
        c2 = number(1) - number(self.beta2) ** number(t)
        epsilon = self.epsilon * (float(np.sqrt(c2)) if self.form == "torch" else 1)
        return float(number(lr) * np.sqrt(c2) / c1), epsilon


@twin("adam")
def adam_update(p: Array, g: Array, m: Array, v: Array, step_size: float, beta1: float, beta2: float,
                epsilon: float, minimum: float = -np.inf) -> None:
    """One Adam step in place, p held at or above `minimum`. p, m and v change; arrays of one shape and float dtype."""
    number = p.dtype.type
    tiny = np.finfo(p.dtype).tiny
    m += (g - m) * number(1 - beta1)
    v += (g * g - v) * number(1 - beta2)
    m[np.abs(m) < tiny] = 0
    v[v < tiny] = 0
    p -= m * number(step_size) / (np.sqrt(v) + number(epsilon))
    np.maximum(p, number(minimum), out=p)


class Together:
    """Several optimizers as one: weights by Adam and scales by SGD, for example."""

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = optimizers

    @property
    def lr_factor(self) -> float:
        return self.optimizers[0].lr_factor

    @lr_factor.setter
    def lr_factor(self, factor: float) -> None:
        for optimizer in self.optimizers:
            optimizer.lr_factor = factor

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def state(self) -> dict[str, Array]:
        return {f"{i}/{k}": a for i, o in enumerate(self.optimizers) for k, a in o.state().items()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        for i, optimizer in enumerate(self.optimizers):
            optimizer.load_state({k.removeprefix(f"{i}/"): a for k, a in state.items() if k.startswith(f"{i}/")})


Schedule = Callable[[int], float]
"""Epoch (from 0) -> factor on every learning rate."""


def constant(epoch: int) -> float:
    """No schedule: factor 1."""
    return 1.0


def steps(factors: Mapping[int, float]) -> Schedule:
    """From each epoch on, multiply by its factor.

    >>> schedule = steps({40: 0.5, 60: 0.2})                     # the thesis' schedule for Imagenette
    >>> [schedule(epoch) for epoch in (0, 39, 40, 60)]
    [1.0, 1.0, 0.5, 0.1]
    """
    return lambda epoch: math.prod((f for start, f in factors.items() if epoch >= start), start=1.0)


def cosine(epochs: int) -> Schedule:
    """Half a cosine from 1 to almost 0 over `epochs` epochs.

    >>> [round(cosine(4)(epoch), 3) for epoch in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    return lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch, epochs) / epochs))
