"""check: a method against everything that it promises, for each of its variants. No line per method.

    gradients     the replay check of x and of every learned number, but for heuristics, which are named
    rivals        variants that differ in the flag `gradient` alone: none is the derivative of another's smooth program
    codes         coded(x, held).values == method(x, held) bit for bit, in float32 and float64
    planes        the scaled int8 arrays add up to the values
    constraints   after a step with a huge gradient, either way, the method still runs, and its codes still agree
    arrays        two starts share no array, with each other or with x, and calls without `training` write into none
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from minilq.arguments import check_flag, check_function, check_whole, shown
from minilq.autodiff.gradcheck import RTOL, GradientReport, against_differences
from minilq.autodiff.memory import Memory, replaying
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array, checking, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, GradientError, MinilqError
from minilq.quantize.method import Held, Quantizer

SHAPE = (6, 5)
ONES = 0.0
PLACES = (1.0, 0.3, 0.1, ONES)                   # factors on what is learned, so that bounds are passed too; or near 1
SMALL = 0.03                                     # on x, so that what squashes it is not flat, and nothing is beyond 1
POINTS = (*((place, 1.0) for place in PLACES), (1.0, SMALL))
HUGE = 1e6
KINDS = ("exact", "surrogate", "defined", "heuristic")


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    name: str
    kind: str
    error: float
    ok: bool
    remark: str = ""

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "FAILED"
        return f"{self.name:48} {self.kind:10} {self.error:9.1e}  {verdict:6} {self.remark}".rstrip()


def check(method: Quantizer | type[Quantizer], log: Callable[[str], None] = print, seed: int = 0,
          raises: bool = True) -> list[Verdict]:
    """Check a method: a class, in all its `variants`, or one instance. One printed line for each thing checked.

    log         takes the lines; lambda line: None for silence
    Returns     the verdicts. `kind` says what the gradient of x is: exact, surrogate (of a smooth program), or defined
                (its check cannot fail); what is a heuristic beside it, and was not checked, is named
    Raises      GradientError naming what failed, unless raises=False; ConfigError for what is no method

    >>> from minilq.quantize.methods import LSQ
    >>> [verdict.ok for verdict in check(LSQ(bits=4), log=lambda line: None)]
    [True, True, True, True, True]
    """
    methods = variants_of(method)
    check_function("check", "log", log, " of one line")
    check_whole("check", "seed", seed, 0)
    check_flag("check", "raises", raises)
    found = []
    for verdict in itertools.chain(*(_verdicts(label, one, seed) for label, one in methods.items()),
                                   _rivals(methods, seed)):
        found.append(verdict)
        log(str(verdict))
    bad = [verdict for verdict in found if not verdict.ok]
    if bad and raises:
        raise GradientError("check", "a method must do what it promises", got=f"{len(bad)} that it does not keep",
                            cause="; ".join(f"{verdict.name}: {verdict.remark}" for verdict in bad))
    return found


def variants_of(method: Quantizer | type[Quantizer]) -> dict[str, Quantizer]:
    """What is checked of a method, by the text that makes it: every variant of a class, or the one instance."""
    if isinstance(method, Quantizer):
        return {repr(method): method}
    if not (isinstance(method, type) and issubclass(method, Quantizer)):
        raise ConfigError("check", "wants a method, a Quantizer or a class of them", got=shown(method))
    return {f"{method.__name__}({', '.join(f'{flag}={value!r}' for flag, value in flags.items())})": method(**flags)
            for flags in method.variants}


def sample(seed: int, dtype: Any = np.float64, shape: tuple[int, ...] = SHAPE) -> Array:
    """Numbers of both signs and of sizes from 0.03 to 30, so that any range has some inside and some beyond."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], shape) * np.exp(rng.uniform(math.log(0.03), math.log(30), shape))).astype(dtype)


def _verdicts(label: str, method: Quantizer, seed: int) -> Iterator[Verdict]:
    try:
        yield _of_gradients(label, method, seed)
    except MinilqError as error:
        yield Verdict(label, "", math.inf, False, str(error))
    for what, look in (("codes", _codes), ("planes", _planes), ("constraints", _constraints), ("arrays", _arrays)):
        try:
            wrong = look(method, seed)
        except MinilqError as error:
            wrong = str(error)
        yield Verdict(f"{label} {what}", "", 0.0, not wrong, wrong)


def _of_gradients(label: str, method: Quantizer, seed: int) -> Verdict:
    """The worst of all places."""
    cases = [Case(method, place, seed, size) for place, size in POINTS]
    names, heuristics = ["x", *cases[0].checked], sorted(cases[0].heuristics)
    report = max((case.compared(case.gradients()) for case in cases), key=lambda report: (not report.ok, report.error))
    kind = max((case.kind for case in cases), key=KINDS.index)
    remark = f"{', '.join(names)} agree" + f"; a heuristic: {', '.join(heuristics)}" * bool(heuristics)
    if not report.ok:
        remark = str(report).replace(f"argument {report.argument} at", f"the gradient of {names[report.argument]} at")
    return Verdict(label, kind, report.error, report.ok, remark)


def _rivals(methods: Mapping[str, Quantizer], seed: int) -> Iterator[Verdict]:
    """Each pair of variants that differ in `gradient` alone, both ways round."""
    for (label, one), (other_label, other) in itertools.permutations(methods.items(), 2):
        if "gradient" not in [field.name for field in fields(one)]:  # type: ignore[arg-type]
            continue
        if one == other or replace(one, gradient=other.gradient) != other:  # type: ignore[type-var, attr-defined]
            continue
        found = False
        for place, size in POINTS:
            found |= not Case(other, place, seed, size).compared(Case(one, place, seed, size).gradients())
        yield Verdict(f"{label} told from {other_label}", "", 0.0, found,
                      "" if found else "its gradient is the derivative of its rival's program: they are the same")


class Case:
    """A method at one point: the gradients it gives, and the comparison of any with those of its smooth program."""

    def __init__(self, method: Quantizer, place: float, seed: int, size: float = 1.0) -> None:
        # another x than it starts from, whose smallest and largest number may stand on a bound
        self.method, self.seed, self.x = method, seed, size * sample(seed + 1)
        self.held = started(method, size * sample(seed), place, seed)
        learned = [name for name, value in self.held.items() if isinstance(value, Parameter)]
        self.memory = Memory()
        with replaying(self.memory):
            self.kind, self.g, gradients = self._differentiated(learned)
        self.heuristics = {name for name, dx in zip(learned, gradients[1:], strict=True)
                           if self.memory.heuristics and np.isnan(dx).any()}
        self.checked = [name for name in learned if name not in self.heuristics]

    def gradients(self) -> list[Array]:
        """Of x and of every learned number that is checked, by the tape."""
        return self._differentiated(self.checked)[2]

    def compared(self, gradients: list[Array]) -> GradientReport:
        """These gradients beside differences of the smooth program."""
        arrays = [self.x, *(_array(self.held[name]) for name in self.checked)]
        with replaying(self.memory):
            return against_differences("check", self._program, arrays, self.g, gradients, rtol=RTOL, raises=False)

    def _program(self, x: Array, *numbers: Array) -> Array:
        self.memory.rewind()
        with no_grad():
            y = self._call(Tensor(x), dict(zip(self.checked, map(Parameter, numbers), strict=True)))
        self.memory.check_finished()
        return y.array

    def _call(self, x: Tensor, moved: Mapping[str, Parameter]) -> Tensor:
        return self.method(x, {**_copied(self.held), **moved})

    def _differentiated(self, names: list[str]) -> tuple[str, Array, list[Array]]:
        """The kind of the gradient, the cotangent, and the gradients of x and of these."""
        x = Tensor(self.x, requires_grad=True)
        moved = {name: Parameter(_array(self.held[name])) for name in names}
        with checking():
            y = 1.0 * self._call(x, moved)       # a method may return x itself
            g = np.random.default_rng(self.seed).standard_normal(y.shape)
            kind = _kind_of(y)
            y.backward(g)
        return kind, g, [np.zeros_like(t.array) if t.grad is None else t.grad for t in (x, *moved.values())]


def started(method: Quantizer, x: Array, place: float, seed: int) -> dict[str, Any]:
    """What a method holds for x, learned numbers times `place` (see PLACES), each a little off, within constraints."""
    rng, held = np.random.default_rng(seed), dict(method.start(x))
    for name, value in held.items():
        if isinstance(value, Parameter):
            before = np.ones(value.shape) if place == ONES else place * value.array
            held[name] = _constrained(value, before * rng.uniform(0.9, 1.1, value.shape))
    return held


def _constrained(parameter: Parameter, value: Array) -> Parameter:
    array = np.asarray(value, parameter.dtype).reshape(parameter.shape)
    if parameter.constraint is not None:
        parameter.constraint(array)
    return Parameter(array, parameter.constraint, parameter.lr)


def _copied(held: Held) -> dict[str, Any]:
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in held.items()}


def _array(value: Parameter | Array) -> Array:
    return value.array if isinstance(value, Tensor) else value


def _kind_of(y: Tensor) -> str:
    """The least trustworthy kind among the operations behind y."""
    kinds, waiting = {"exact"}, [y.node]
    while waiting:
        node = waiting.pop()
        if node is not None:
            kinds.add(str(node.primitive.kind))
            waiting += [tensor.node for tensor in node.inputs if tensor is not None]
    return max(kinds, key=KINDS.index)


def _disagreement(method: Quantizer, x: Array, held: Held) -> str:
    """What is wrong with the codes of x, "" for nothing."""
    with no_grad():
        y = method(Tensor(x), held).array
    coded = method.coded(x, held)
    values = coded.values
    if coded.codes.dtype.kind not in "iu":
        return f"codes must be integers, got {coded.codes.dtype}"
    for what, array in (("y", y), ("the values of the codes", values)):
        if (array.dtype, array.shape) != (x.dtype, x.shape):
            return f"x {x.dtype} {x.shape} becomes {what} {array.dtype} {array.shape}"
    if not np.isfinite(y).all():
        return f"{np.sum(~np.isfinite(y))} values are not finite"
    where = np.flatnonzero(values != y)
    return "" if not where.size else (f"{x.dtype}: {where.size} of {y.size} differ, the first: "
                                      f"{values.flat[where[0]]:.9g} for {y.flat[where[0]]:.9g}")


def _codes(method: Quantizer, seed: int) -> str:
    for dtype in (np.float32, np.float64):
        x = sample(seed, dtype, (16, 9))
        x[:, 0], x[0], x[1] = np.arange(-4, 4, 0.5), 0, -0.0     # halves and zeros
        for place in PLACES:
            held = started(method, x, place, seed)
            wrong = _disagreement(method, x, held)
            for _ in range(3):                   # what it remembers moves on
                method(Tensor(x * x.dtype.type(1.1)), held, True)
            wrong = wrong or _disagreement(method, x, held)
            if wrong:
                return wrong
    return ""


def _planes(method: Quantizer, seed: int) -> str:
    x = sample(seed, np.float64, (16, 9))
    for place in PLACES:
        coded = method.coded(x, started(method, x, place, seed))
        total = sum(scale * codes.astype(np.float64) for scale, codes in coded.planes)
        error = np.abs(total - coded.values).max()
        if any(codes.dtype != np.int8 for _, codes in coded.planes):
            return "a plane is not of int8"
        if not error <= 1e-12 * np.abs(coded.values).max():
            return f"their sum is off by {error:.3g}"
    return ""


def _constraints(method: Quantizer, seed: int) -> str:
    x = sample(seed)
    for step in (-HUGE, HUGE):
        held: dict[str, Any] = dict(method.start(x))
        for name, value in held.items():
            if isinstance(value, Parameter) and value.constraint is not None:
                held[name] = _constrained(value, value.array + step)
        wrong = _disagreement(method, x, held)
        if wrong:
            return f"after a step of {step:g}: {wrong}"
    return ""


def _arrays(method: Quantizer, seed: int) -> str:
    x = sample(seed)
    before, held, other = x.copy(), method.start(x), method.start(x)
    for (name, a), (other_name, b) in itertools.product(held.items(), [("x", x), *other.items()]):
        if np.shares_memory(_array(a), _array(b)):
            return f"{name} shares its memory with " + ("x" if other_name == "x" else f"{other_name} of another start")
    kept = _copied(held)
    method(Tensor(x), held)
    method.coded(x, held)
    changed = [name for name, value in kept.items() if not np.array_equal(_array(value), _array(held[name]))]
    changed += ["x"] * (not np.array_equal(x, before))
    return f"{', '.join(changed)} written to without training" if changed else ""
