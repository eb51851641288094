"""Gradients against finite differences, entry by entry.

`gradcheck` proves exact derivatives. `replay_check` (replay.py) does the same for programs that round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np

from minilq.arguments import as_array, check_flag, check_function, check_whole, is_number, shown
from minilq.autodiff.differences import careful_difference, central_differences, complex_step
from minilq.autodiff.guard import read_only, untouched
from minilq.autodiff.tape import Array, checking, no_grad, walk_back
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DTypeError, GradientError, NonFiniteError, ShapeError

Method = Literal["central", "complex"]

RTOL = 1e-6


@dataclass(frozen=True)
class GradientReport:
    """The worst entry of a gradient check: whose, where, and the two numbers.

    Three verdicts: it agrees (`ok`), it disagrees, or the check `cannot_tell`, because f cancels or bends so much that
    float64 does not show the difference. Neither of the last two is ok.
    """

    ok: bool
    error: float                                 # relative; see `compare`
    argument: int
    index: tuple[int, ...]
    yours: float
    expected: float
    entries: int
    cannot_tell: bool = False
    noise: float = 0.0                           # how far rounding can have moved what was expected

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "agrees" if self.ok else "disagrees"
        if self.cannot_tell:
            verdict = f"cannot tell: f cancels, rounding alone can move a difference by {self.noise:.1e}"
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

    rtol     how far an entry may be off, relative to itself; entries that are nothing beside the largest may be off by
             what float64 rounding explains.

    Returns a GradientReport; raises GradientError naming the worst entry when it disagrees or cannot be told (unless
    raises=False), GradientError for a derivative that reads what its `needs` does not name, and TapeError for one, or
    an f, that writes into what it was handed. A surrogate fails here, as it should: use `replay_check`.

    >>> import numpy as np
    >>> bool(gradcheck(lambda x: x * x, np.array([1.0, -2.0])))
    True
    >>> report = gradcheck(np.sin, np.array([1.0]), vjp=lambda g, y, x: (g * np.sin(x),), raises=False)
    >>> report.ok, report.argument, report.index
    (False, 0, (0,))
    """
    arrays = as_float64("gradcheck", inputs)
    check_rtol("gradcheck", rtol)
    check_flag("gradcheck", "raises", raises)
    if not isinstance(method, str) or method not in ("central", "complex"):
        raise ConfigError("gradcheck", "method must be 'central' or 'complex'", got=shown(method))
    if vjp is None:
        if method == "complex":
            raise ConfigError("gradcheck", "the complex step needs plain functions on arrays: pass vjp as well")
        g, yours = tape_gradients("gradcheck", f, arrays, g, seed)
        plain = on_arrays(f)
    else:
        check_function("gradcheck", "f", f, " of arrays")
        check_function("gradcheck", "vjp", vjp, " of (g, y, *inputs)")
        plain = f
        y = untouched(f"gradcheck: {getattr(f, '__name__', 'f')}", f, arrays, {})
        if not isinstance(y, (np.ndarray, Real)):
            raise ConfigError("gradcheck", "f must return one array", got=type(y).__name__)
        y = np.asarray(y)
        g = cotangent("gradcheck", y, g, seed)
        gradients = read_only(f"gradcheck: {getattr(vjp, '__name__', 'vjp')}", vjp, (g, y, *arrays), {})
        if not isinstance(gradients, (tuple, list)):
            raise ConfigError("gradcheck", "vjp must return a tuple with one gradient for each input",
                              got=type(gradients).__name__, cause="Write return (dx,) for a single one")
        yours = list(gradients)
    if method == "complex":
        return compare("gradcheck", yours, *complex_step(plain, arrays, g), rtol=rtol, raises=raises)
    return against_differences("gradcheck", plain, arrays, g, yours, rtol=rtol, raises=raises)


def against_differences(op: str, f: Callable[..., Any], arrays: Sequence[Array], g: Array, yours: Sequence[Any], *,
                        rtol: float, raises: bool) -> GradientReport:
    """The report of gradients beside central differences of f; where these settle nothing, beside careful ones."""
    expected, noises = central_differences(f, arrays, g)
    unit = float(np.max(np.abs(g), initial=0.0))
    check_gradients(op, yours, expected)
    gradients = [np.asarray(a) for a in yours]
    natural = natural_size(gradients, expected, unit)
    for which, (a, b, noise) in enumerate(zip(gradients, expected, noises, strict=True)):
        near = np.abs(a - b) <= rtol * np.maximum(np.abs(a), np.abs(b))
        settled = near & ((a != 0) | (noise <= rtol * natural))
        for index in map(tuple, np.argwhere(~settled)):
            b[index], noise[index] = careful_difference(f, arrays, g, which, index)
    return compare(op, gradients, expected, noises, rtol=rtol, raises=raises, unit=unit)


def compare(op: str, yours: Sequence[Any], expected: Sequence[Array], noises: Sequence[Array], *,
            rtol: float = RTOL, raises: bool = True, unit: float = 0.0) -> GradientReport:
    """Relative errors |yours - expected| / max(|yours|, |expected|, noise / rtol), the worst in a report.

    An entry agrees when the two differ by rtol of the larger; or by no more than the noise, where that is nothing
    beside the largest gradient or `unit`. A difference within a larger noise cannot be told from none.
    """
    check_gradients(op, yours, expected)
    gradients = [np.asarray(a) for a in yours]
    natural = natural_size(gradients, expected, unit)
    worst = GradientReport(True, 0.0, 0, (), 0.0, 0.0, sum(a.size for a in expected))
    for argument, (a, b, noise) in enumerate(zip(gradients, expected, noises, strict=True)):
        larger = np.maximum(np.abs(a), np.abs(b))
        error = np.abs(a - b) / np.maximum(np.maximum(larger, noise / rtol), np.finfo(np.float64).tiny)
        error = np.where(np.isfinite(error), error, np.inf)
        drowned = (error <= rtol) & (noise > rtol * natural) & ((np.abs(a - b) > rtol * larger) | (larger == 0))
        rank = np.where(error > rtol, 2, np.where(drowned, 1, 0))          # disagrees, cannot tell, agrees
        if not error.size:
            continue
        index = tuple(int(i) for i in np.unravel_index(np.lexsort((error.ravel(), rank.ravel()))[-1], error.shape))
        if rank[index] == 1 and larger[index]:   # for the reader the noise is no excuse
            error[index] = np.abs(a[index] - b[index]) / larger[index]
        found = GradientReport(not rank[index], float(error[index]), argument, index, float(a[index]), float(b[index]),
                               worst.entries, bool(rank[index] == 1), float(noise[index]))
        if (found.ok, found.cannot_tell, -found.error) <= (worst.ok, worst.cannot_tell, -worst.error):
            worst = found
    if raises and not worst.ok:
        raise GradientError(op, "the gradient must equal the finite differences", got=f"one that {worst}",
                            cause="f adds numbers so large that rounding hides what it does; check its parts"
                            if worst.cannot_tell else
                            "If the input stands on a kink, move it; a rounding inside f needs replay_check")
    return worst


def check_gradients(op: str, yours: Sequence[Any], expected: Sequence[Array]) -> None:
    """ShapeError unless there is one gradient for each input, of its shape."""
    if len(yours) != len(expected):
        raise ShapeError(op, f"one gradient for each of the {len(expected)} inputs", got=f"{len(yours)} gradients")
    for argument, (a, b) in enumerate(zip(yours, expected, strict=True)):
        if np.shape(a) != b.shape:
            raise ShapeError(op, f"the gradient of argument {argument} must have its shape {b.shape}",
                             got=str(np.shape(a)), cause="A sum over broadcast axes, or a transpose, is missing")


def natural_size(gradients: Sequence[Array], expected: Sequence[Array], unit: float) -> float:
    """The largest gradient of the two, or the unit: what noise must be small beside."""
    return max(unit, *(float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a))) for a in (*gradients, *expected)))


def check_rtol(op: str, rtol: Any) -> None:
    """ConfigError for a tolerance that accepts everything, or nothing."""
    if not is_number(rtol) or not 0 < float(rtol) < 1:
        raise ConfigError(op, "rtol must be a number with 0 < rtol < 1", got=shown(rtol),
                          cause="It is relative: 1e-6 asks for six digits")


def as_float64(op: str, inputs: Sequence[Any]) -> list[Array]:
    """Copies of the inputs as arrays; DTypeError unless they are float64, NonFiniteError unless they are finite,
    ConfigError when they hold no number."""
    arrays = [np.array(x.array if isinstance(x, Tensor) else as_array(op, x, "an input")) for x in inputs]
    for position, array in enumerate(arrays):
        if array.dtype != np.float64:
            raise DTypeError(op, "inputs must be float64", got=f"{array.dtype} for argument {position}",
                             cause="In float32, finite differences have no digits left; convert with "
                                   ".astype(np.float64)" if array.dtype.kind == "f" else
                                   "What is not to be differentiated, such as labels, belongs into f")
        if not np.isfinite(array).all():
            raise NonFiniteError(op, "inputs must be finite", got=f"NaN or infinity in argument {position}",
                                 cause="There are no differences around infinity")
    if not sum(array.size for array in arrays):
        raise ConfigError(op, "there is nothing to compare", got="inputs without a single number")
    return arrays


def cotangent(op: str, y: Array, g: Any, seed: int) -> Array:
    """The given g, checked, or a standard normal one."""
    check_whole(op, "seed", seed, 0)
    if g is None:
        return np.asarray(np.random.default_rng(seed).standard_normal(y.shape))
    g = np.array(g.array if isinstance(g, Tensor) else as_array(op, g, "g"))
    if g.dtype.kind not in "fiub":
        raise DTypeError(op, "g must be an array of numbers", got=str(g.dtype))
    g = g.astype(np.float64)
    if g.shape != y.shape:
        raise ShapeError(op, f"g must have the shape {y.shape} of the result", got=str(g.shape))
    return g


def tape_gradients(op: str, f: Callable[..., Any], arrays: Sequence[Array], g: Any,
                   seed: int) -> tuple[Array, list[Array]]:
    """Cotangent, and the gradients that the tape gives for f on Tensors."""
    check_function(op, "f", f, " of Tensors")
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    with checking():
        y = f(*tensors)
        if not isinstance(y, Tensor):
            raise ConfigError(op, "f must return one Tensor", got=type(y).__name__,
                              cause="A function on arrays is checked with its derivative: vjp=..." if isinstance(
                                  y, (np.ndarray, float)) else "Several results: check each, or their sum")
        g = cotangent(op, y.array, g, seed)
        # Whatever else f closes over keeps its .grad. Without a node f ignores its inputs, or returns one of them.
        found = dict(walk_back(y.node, g)) if y.node is not None else {y: g}
    return g, [found.get(t, np.zeros_like(t.array)) for t in tensors]


def on_arrays(f: Callable[..., Any]) -> Callable[..., Array]:
    """f on Tensors as a function on arrays, unrecorded."""
    def plain(*arrays: Array) -> Array:
        with no_grad():
            y: Array = f(*[Tensor(a) for a in arrays]).array
        return y
    return plain
