"""Gradients against finite differences, entry by entry.

`gradcheck` proves exact derivatives. `replay_check` (replay.py) does the same for programs that round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minilq.autodiff.tape import Array, no_grad, walk_back
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DTypeError, GradientError, ShapeError

Method = Literal["central", "complex"]

EPS = float(np.finfo(np.float64).eps)
RTOL = 1e-6
STEP = 1e-5


@dataclass(frozen=True)
class GradientReport:
    """The worst entry of a gradient check: whose, where, and the two numbers."""

    ok: bool
    error: float                                 # relative; see `compare`
    argument: int
    index: tuple[int, ...]
    yours: float
    expected: float
    entries: int

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "agrees" if self.ok else "disagrees"
        return (f"{verdict} ({self.entries} entries compared); worst: argument {self.argument} at {list(self.index)}, "
                f"yours {self.yours:.9g}, expected {self.expected:.9g} (relative error {self.error:.1e})")


def gradcheck(f: Callable[..., Any], *inputs: Any, vjp: Callable[..., Any] | None = None, g: Any = None,
              seed: int = 0, method: Method = "central", rtol: float = RTOL, raises: bool = True) -> GradientReport:
    """Compare every entry of a gradient with finite differences of the forward, in float64.

    f        takes Tensors and returns one Tensor. With `vjp`, f and vjp are plain functions on arrays instead, and
             vjp(g, y, *inputs) returns one gradient per input: so a derivation can be checked before it is registered.
    inputs   float64 arrays or Tensors; what is not to be differentiated belongs into f.
    g        the cotangent; standard normal from `seed` by default (with ones, wrong transposes pass unseen).
    method   "central": (L(x+h) - L(x-h)) / 2h with L = sum(g * f). "complex": Im L(x + ih) / h, exact to rounding,
             for analytic f on arrays only (Squire and Trapp 1998).

    Returns a GradientReport; raises GradientError naming the worst entry when it disagrees (unless raises=False).
    A surrogate fails here, as it should: use `replay_check`.

    >>> import numpy as np
    >>> bool(gradcheck(lambda x: x * x, np.array([1.0, -2.0])))
    True
    >>> report = gradcheck(np.sin, np.array([1.0]), vjp=lambda g, y, x: (g * np.sin(x),), raises=False)
    >>> report.ok, report.argument, report.index
    (False, 0, (0,))
    """
    arrays = as_float64("gradcheck", inputs)
    if method not in ("central", "complex"):
        raise ConfigError("gradcheck", "method must be 'central' or 'complex'", got=repr(method))
    if vjp is None:
        if method == "complex":
            raise ConfigError("gradcheck", "the complex step needs plain functions on arrays: pass vjp as well")
        _, g, yours = tape_gradients(f, arrays, g, seed)
        plain = on_arrays(f)
    else:
        y = np.asarray(f(*arrays))
        g = cotangent(y, g, seed)
        gradients = vjp(g, y, *arrays)
        if not isinstance(gradients, (tuple, list)):
            raise ConfigError("gradcheck", "vjp must return a tuple with one gradient for each input",
                              got=type(gradients).__name__, cause="Write return (dx,) for a single one")
        yours = list(gradients)
        plain = f
    differences = complex_step if method == "complex" else central_differences
    expected, noise = differences(plain, arrays, g)
    return compare("gradcheck", yours, expected, noise, rtol=rtol, raises=raises)


def central_differences(f: Callable[..., Any], arrays: Sequence[Array], g: Array) -> tuple[list[Array], list[Array]]:
    """d sum(g * f) / d(every entry of every array), by central differences with steps of about 1e-5 relative.

    Returns the gradients, and for every entry how far float64 rounding alone can have moved it: the results that the
    entry reaches, times a few eps, over the step. Numbers of f far larger than their changes drown a derivative.
    """
    gradients, noises = [], []
    for which, array in enumerate(arrays):
        moved = list(arrays)
        gradient, noise = np.zeros_like(array), np.zeros_like(array)
        for index, h in np.ndenumerate(steps_of(array)):
            ends = []
            for sign in (+1, -1):
                moved[which] = np.array(array)
                moved[which][index] += sign * h
                ends.append((np.asarray(f(*moved)), moved[which][index]))
            (up, x_up), (down, x_down) = ends
            gradient[index] = np.sum(g * (up - down)) / (x_up - x_down)
            noise[index] = 16 * EPS * np.sum(np.abs(g * up) * (up != down)) / (x_up - x_down)
        gradients.append(gradient)
        noises.append(noise)
    return gradients, noises


def complex_step(f: Callable[..., Any], arrays: Sequence[Array], g: Array) -> tuple[list[Array], list[Array]]:
    """The same by one imaginary step of 1e-30: no subtraction, so no cancellation. f must be analytic."""
    h = 1e-30
    gradients, noises = [], []
    for which, array in enumerate(arrays):
        moved: list[Any] = list(arrays)
        gradient, noise = np.zeros_like(array), np.zeros_like(array)
        for index in np.ndindex(array.shape):
            moved[which] = np.array(array, dtype=complex)
            moved[which][index] += 1j * h
            terms = g * np.imag(f(*moved)) / h
            gradient[index] = np.sum(terms)
            noise[index] = 16 * EPS * np.sum(np.abs(terms))
        gradients.append(gradient)
        noises.append(noise)
    return gradients, noises


def steps_of(array: Array) -> Array:
    """A step for every entry: relative to the entry, but not below a hundredth of the largest."""
    largest = np.max(np.abs(array), initial=0.0)
    return STEP * np.maximum(np.abs(array), 0.01 * largest if largest > 0 else 1.0)


def compare(op: str, yours: Sequence[Any], expected: Sequence[Array], noises: Sequence[Array], *,
            rtol: float = RTOL, raises: bool = True) -> GradientReport:
    """Relative errors |yours - expected| / max(|yours|, |expected|, noise / rtol), the worst in a report."""
    if len(yours) != len(expected):
        raise ShapeError(op, f"one gradient for each of the {len(expected)} inputs", got=f"{len(yours)} gradients")
    worst = GradientReport(True, 0.0, 0, (), 0.0, 0.0, sum(a.size for a in expected))
    for argument, (a, b, noise) in enumerate(zip(yours, expected, noises, strict=True)):
        a = np.asarray(a)
        if a.shape != b.shape:
            raise ShapeError(op, f"the gradient of argument {argument} must have its shape {b.shape}",
                             got=str(a.shape), cause="A sum over broadcast axes, or a transpose, is missing")
        floor = np.maximum(noise / rtol, np.finfo(np.float64).tiny)
        error = np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)
        error = np.where(np.isfinite(error), error, np.inf)
        if error.size and error.max() >= worst.error:
            index = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
            size = float(error[index])
            worst = GradientReport(size <= rtol, size, argument, index, float(a[index]), float(b[index]),
                                   worst.entries)
    if raises and not worst.ok:
        raise GradientError(op, "the gradient must equal the finite differences", got=f"one that {worst}",
                            cause="If the input stands on a kink, move it; a rounding inside f needs replay_check")
    return worst


def as_float64(op: str, inputs: Sequence[Any]) -> list[Array]:
    """The arrays of the inputs; DTypeError unless they are float64."""
    arrays = [x.array if isinstance(x, Tensor) else np.asarray(x) for x in inputs]
    for position, array in enumerate(arrays):
        if array.dtype != np.float64:
            raise DTypeError(op, "inputs must be float64", got=f"{array.dtype} for argument {position}",
                             cause="In float32, finite differences have no digits left; convert with "
                                   ".astype(np.float64)" if array.dtype.kind == "f" else
                                   "What is not to be differentiated, such as labels, belongs into f")
    return arrays


def cotangent(y: Array, g: Any, seed: int) -> Array:
    """The given g, checked, or a standard normal one."""
    if g is None:
        return np.asarray(np.random.default_rng(seed).standard_normal(y.shape))
    g = np.asarray(g.array if isinstance(g, Tensor) else g, dtype=np.float64)
    if g.shape != y.shape:
        raise ShapeError("gradcheck", f"g must have the shape {y.shape} of the result", got=str(g.shape))
    return g


def tape_gradients(f: Callable[..., Any], arrays: Sequence[Array], g: Any,
                   seed: int) -> tuple[Array, Array, list[Array]]:
    """Value, cotangent, and the gradients that the tape gives for f on Tensors."""
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    y = f(*tensors)
    g = cotangent(y.array, g, seed)
    # Whatever else f closes over keeps its .grad. Without a node f ignores its inputs, or returns one of them.
    found = dict(walk_back(y.node, g)) if y.node is not None else {y: g}
    return y.array, g, [found.get(t, np.zeros_like(t.array)) for t in tensors]


def on_arrays(f: Callable[..., Any]) -> Callable[..., Array]:
    """f on Tensors as a function on arrays, unrecorded."""
    def plain(*arrays: Array) -> Array:
        with no_grad():
            y: Array = f(*[Tensor(a) for a in arrays]).array
        return y
    return plain
