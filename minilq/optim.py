"""Optimizers. After each step every parameter is set to what its constraint allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from minilq.arguments import as_array, check_instance, is_number, shown
from minilq.autodiff.alike import check_alike, check_state
from minilq.autodiff.parameter import ANYTHING, Bounds, Parameter, Within, hold_within
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DataError, DTypeError, MinilqError
from minilq.kernels import twin


class Optimizer:
    """What all optimizers share: parameters, a step, gradients cleared, a state that can be saved.

    parameters      Parameters, such as model.parameters().values(), or plain Tensors that want a gradient
    lr              learning rate; that of a Parameter is multiplied by its own `lr`
    lr_factor       multiplies every learning rate; a schedule sets it before each epoch
    Raises          ConfigError for what is no such Tensor, for one that is there twice, for none at all, for an array
                    that cannot be written, and for a rate that is no number >= 0
    """

    slots: tuple[str, ...] = ()                  # names of the arrays kept for each tensor

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        if not (is_number(lr) and lr >= 0):
            raise ConfigError(type(self).__name__, "a learning rate must be a number >= 0", got=shown(lr))
        self.lr = lr
        self.lr_factor = 1.0
        self.steps = 0
        self._kept: list[_Kept] = []
        self.follow(parameters)

    @property
    def tensors(self) -> list[Tensor]:
        """What is trained, in the order in which it was given."""
        return [kept.tensor for kept in self._kept]

    def follow(self, parameters: Iterable[Tensor]) -> None:
        """Train these from now on, after the model was given other methods; those that stay keep their moments."""
        op = type(self).__name__
        if isinstance(parameters, (Mapping, np.ndarray)) or not isinstance(parameters, Iterable):
            raise ConfigError(op, "parameters must be a list of Parameters", got=f"a {type(parameters).__name__}",
                              cause="Write model.parameters().values()")
        tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        if not tensors:
            raise ConfigError(op, "there must be a parameter", got="none")
        seen: set[int] = set()
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise ConfigError(op, "parameters must be Parameters", got=f"a {type(tensor).__name__}",
                                  cause="Write model.parameters().values()")
            if id(tensor) in seen or tensor.node is not None or not tensor.requires_grad:
                raise ConfigError(op, "every parameter must be there once, require a gradient, and be no result of an "
                                  "operation", got=f"one of shape {tensor.shape}{' twice' * (id(tensor) in seen)}")
            _check_writable(op, tensor)
            seen.add(id(tensor))
        before = {id(kept.tensor): kept for kept in self._kept}
        self._keep([before.get(id(t)) or _Kept(t, t if isinstance(t, Parameter) else None,
                                               {slot: np.zeros_like(t.array) for slot in self.slots}, self.steps)
                    for t in tensors])
        for kept in self._kept:
            if kept.parameter is not None:
                kept.parameter.second_moment = kept.moments.get("v")

    def _keep(self, kept: list[_Kept]) -> None:
        self._kept = kept
        # a large one leaves the caches of the processor empty for all that come after it
        self._smallest_first = sorted(kept, key=lambda one: one.tensor.size)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for kept in self._kept:
            kept.tensor.grad = None

    def step(self) -> None:
        """One update of every tensor that has a gradient, then its constraint."""
        self.steps += 1
        rate, factor, update = self.lr, self.lr_factor, self._update_within
        for tensor, parameter, moments, came in self._smallest_first:
            g, p = tensor.grad, tensor.array
            if g is None:
                continue
            if type(g) is not np.ndarray or g.dtype != p.dtype or g.shape != p.shape:
                g = _gradient_of(type(self).__name__, tensor)
            lr = rate * factor if parameter is None else rate * parameter.lr * factor
            constraint, bounds = None if parameter is None else parameter.constraint, ANYTHING
            if type(constraint) is Within:       # that of most scales costs nothing in the update itself
                bounds, constraint = constraint.bounds, None
            try:
                update(p, g, lr, moments, self.steps - came, bounds)
                if constraint is not None:
                    constraint(p)
            except Exception:                    # a kernel cannot say it in one line
                _check_writable(type(self).__name__, tensor)
                raise
            tensor.storage.version += 1          # changed_in_place()

    def _update(self, p: Array, g: Array, lr: float, moments: dict[str, Array], t: int) -> None:
        """Change p in place, in its t-th step."""
        raise NotImplementedError

    def _update_within(self, p: Array, g: Array, lr: float, moments: dict[str, Array], t: int, bounds: Bounds) -> None:
        """`_update`, then bounds[0] <= p <= bounds[1]."""
        self._update(p, g, lr, moments, t)
        hold_within(p, *bounds)

    def state(self) -> dict[str, Array]:
        """Copies of everything that the next step depends on, in the order of the tensors.

        steps               how many there were
        <number>/<slot>     a moment of that tensor
        <number>/came       after how many steps the tensor was added, where it was not there from the beginning
        """
        arrays = {f"{i}/{slot}": a.copy() for i, kept in enumerate(self._kept) for slot, a in kept.moments.items()}
        came = {f"{i}/came": np.array(kept.came) for i, kept in enumerate(self._kept) if kept.came}
        return {"steps": np.array(self.steps), **arrays, **came}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave, all or nothing. Raises one error that lists all differences in names, kinds and
        shapes, see `check_alike`; DataError for steps that are no whole number >= 0, and for moments that no training
        has."""
        op = type(self).__name__
        check_state(op, state)
        mine = {f"{i}/{slot}": a for i, kept in enumerate(self._kept) for slot, a in kept.moments.items()}
        rest = {"steps", *(f"{i}/came" for i in range(len(self._kept)))} & set(state)
        check_alike(op, mine if "steps" in state else {"steps": np.array(0), **mine},
                    {key: a for key, a in state.items() if key not in rest}, "an optimizer",
                    "It was saved with another optimizer, or for other parameters")
        for key in mine:
            if np.isnan(state[key]).any() or (key.endswith("/v") and (state[key] < 0).any()):
                raise DataError(op, f"{key} must hold {'means of squares' if key.endswith('/v') else 'numbers'}",
                                got="NaN" if np.isnan(state[key]).any() else str(state[key].min()),
                                cause="It was saved after the training had diverged, or is damaged")
        self.steps, came = _whole(op, "steps", state["steps"]), [
            _whole(op, f"{i}/came", state.get(f"{i}/came", np.array(0))) for i in range(len(self._kept))]
        with np.errstate(over="ignore"):         # what overflows is infinite, as moments may be
            for key, array in mine.items():
                array[...] = state[key]
        self._keep([kept._replace(came=n) for kept, n in zip(self._kept, came, strict=True)])


class _Kept(NamedTuple):
    """What an optimizer keeps for one tensor."""

    tensor: Tensor
    parameter: Parameter | None                  # the same, where it has a rate and a constraint of its own
    moments: dict[str, Array]
    came: int                                    # after how many steps: Adam corrects its moments by their own age


def _gradient_of(op: str, tensor: Tensor) -> Array:
    """A gradient that a backward pass did not leave, once it is known to be one."""
    g: Any = as_array(op, tensor.grad, "a gradient") if isinstance(tensor.grad, np.ndarray) else tensor.grad
    if not isinstance(g, np.ndarray) or g.dtype != tensor.dtype or g.shape != tensor.shape:
        raise DTypeError(op, f"a gradient must be an array of {tensor.dtype} and shape {tensor.shape}, as its tensor",
                         got=shown(g))
    return g


def _check_writable(op: str, tensor: Tensor) -> None:
    if not tensor.array.flags.writeable:
        raise ConfigError(op, "every parameter must be writable", got=f"one of shape {tensor.shape}, read-only",
                          cause="Make it from a copy of the array") from None


def _whole(op: str, name: str, number: Array) -> int:
    if number.ndim or number.dtype.kind not in "iu" or number < 0:
        raise DataError(op, f"{name} must be a whole number >= 0", got=f"{number.dtype} of shape {number.shape}"
                        if number.ndim or number.dtype.kind not in "iu" else str(number))
    return int(number)


class SGD(Optimizer):
    """Gradient descent with momentum: b <- momentum b + g;  p <- p - lr b."""

    slots = ("momentum",)

    def __init__(self, parameters: Iterable[Tensor], lr: float = 1e-2, momentum: float = 0.0) -> None:
        if not (is_number(momentum) and 0 <= momentum < 1):
            raise ConfigError("SGD", "momentum must lie in [0, 1)", got=shown(momentum))
        super().__init__(parameters, lr)
        self.momentum = momentum

    def _update(self, p: Array, g: Array, lr: float, moments: dict[str, Array], t: int) -> None:
        b = moments["momentum"]
        b *= p.dtype.type(self.momentum)
        b += g
        p -= p.dtype.type(lr) * b


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), in two forms that differ in where epsilon stands.

        m <- m + (1 - beta1)(g - m),   v <- v + (1 - beta2)(g^2 - v),   c1 = 1 - beta1^t,   c2 = 1 - beta2^t
        keras:  p <- p - lr sqrt(c2)/c1 m / (sqrt(v) + epsilon)           epsilon outside the bias correction
        torch:  p <- p - lr/c1 m / (sqrt(v)/sqrt(c2) + epsilon)           epsilon inside it

    The thesis needs the Keras form with epsilon 1e-7: its scale gradients are of that size, and below epsilon Adam is
    gradient descent with rate lr/epsilon. Moments too small for normal floats are set to 0: denormals would make
    every later step tens of times slower. Of gradients whose square is no float (beyond 9.2e18 in float32) the sign
    alone counts; an infinite one still makes its parameter NaN, which the next loss shows.
    """

    slots = ("m", "v")

    def __init__(self, parameters: Iterable[Tensor], lr: float = 1e-3, beta1: float = 0.9,
                 beta2: float = 0.999, epsilon: float = 1e-7, form: Literal["keras", "torch"] = "keras") -> None:
        if not isinstance(form, str) or form not in ("keras", "torch"):
            raise ConfigError("Adam", "form must be 'keras' or 'torch'", got=shown(form))
        if not (all(map(is_number, (beta1, beta2, epsilon))) and 0 <= beta1 < 1 and 0 <= beta2 < 1 and epsilon > 0):
            raise ConfigError("Adam", "beta1 and beta2 must be numbers in [0, 1), epsilon one above 0",
                              got=f"beta1={shown(beta1)}, beta2={shown(beta2)}, epsilon={shown(epsilon)}")
        super().__init__(parameters, lr)
        self.beta1, self.beta2, self.epsilon, self.form = beta1, beta2, epsilon, form
        self._computed_for: tuple[int, str, float] | None = None         # most tensors share one correction per step
        self._correction = (0.0, 0.0)

    def _update_within(self, p: Array, g: Array, lr: float, moments: dict[str, Array], t: int, bounds: Bounds) -> None:
        now = (t, p.dtype.char, lr)
        if now != self._computed_for:
            self._computed_for, self._correction = now, self._corrected(*now)
        step_size, epsilon = self._correction
        adam_update(p, g, moments["m"], moments["v"], step_size, self.beta1, self.beta2, epsilon, *bounds)

    def _corrected(self, t: int, char: str, lr: float) -> tuple[float, float]:
        """lr sqrt(c2)/c1, and epsilon. The torch form times sqrt(c2) above and below is the keras form."""
        # Keras computes the corrections in the precision of p; in float32 that moves the first steps by 2e-5.
        number = np.dtype(char).type if self.form == "keras" else np.float64
        c1 = number(1) - number(self.beta1) ** number(t)
        c2 = number(1) - number(self.beta2) ** number(t)
        epsilon = self.epsilon * (math.sqrt(c2) if self.form == "torch" else 1)
        return float(number(lr) * number(math.sqrt(c2)) / c1), epsilon


@twin("adam")
def adam_update(p: Array, g: Array, m: Array, v: Array, step_size: float, beta1: float, beta2: float,
                epsilon: float, low: float = -math.inf, high: float = math.inf) -> None:
    """One Adam step in place, then low <= p <= high. p, m and v change; all of one shape and dtype, and laid
    out as p."""
    number = p.dtype.type
    tiny, large = np.finfo(p.dtype).tiny, number(np.sqrt(np.finfo(p.dtype).max) / 2)
    g = np.where((np.abs(g) > large) & np.isfinite(g), np.copysign(large, g), g)
    m += (g - m) * number(1 - beta1)
    v += (g * g - v) * number(1 - beta2)
    m[np.abs(m) < tiny] = 0
    v[v < tiny] = 0
    p -= m * number(step_size) / (np.sqrt(v) + number(epsilon))
    hold_within(p, low, high)


class Together:
    """Several optimizers as one: weights by Adam and scales by SGD, for example."""

    def __init__(self, *optimizers: Optimizer) -> None:
        for optimizer in optimizers:
            check_instance("Together", "each", optimizer, Optimizer, "an optimizer, such as Adam")
        if not optimizers:
            raise ConfigError("Together", "there must be an optimizer", got="none")
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
        check_state("Together", state)
        before = self.state()
        try:
            self._load(state)
        except MinilqError:
            self._load(before)                   # all or nothing
            raise

    def _load(self, state: Mapping[str, Array]) -> None:
        for i, optimizer in enumerate(self.optimizers):
            optimizer.load_state({k.removeprefix(f"{i}/"): a for k, a in state.items() if k.startswith(f"{i}/")})
