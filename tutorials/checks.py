"""The checks of exercises: they say "correct", "not yet", or what kind of mistake it is, and never the answer.

    check(yours, expected)                              a number or an array
    check_function(yours, expected, (1, 2), (3, 4))     a function, called with these arguments
    check_gradient(forward, vjp, x)                     a vector-Jacobian product, against finite differences
    @judge                                              above a check that a notebook writes for itself
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, TypeVar

import numpy as np
from slips import slip

import minilq
from minilq import gradcheck
from minilq.autodiff.gradcheck import central_differences

Array = np.ndarray[Any, Any]
Function = TypeVar("Function", bound=Callable[..., Any])

verdicts: list[str] = []
"""What the checks have said so far: "not yet", "correct" or "wrong"; for the runner, which solves every exercise."""

NOT_YET = "replace the ... by your own line, and run the cell again"
NOTHING = "nothing came back (None); is there a return in your function?"

_given: dict[str, Callable[..., Any]] = {}


class _Wrong(Exception):
    """What is wrong with an answer, said to its author."""


class _NotYet(Exception):
    """There is a ... in an answer."""


def given(function: Function) -> Function:
    """A forward pass that an exercise sets: `check_gradient` accepts no other one of its name."""
    _given[function.__name__] = function
    return function


def check(yours: Any, expected: Any, rtol: float = 1e-6, atol: float = 1e-12) -> None:
    """Say whether your answer equals the expected one, and if not, what kind of mistake it is.

    yours     a number or an array; ... means that nothing is there yet
    expected  the same, of the same shape; |yours - expected| must not exceed atol + rtol * |expected|
    """
    if _unsolved(yours):
        return _say("not yet", NOT_YET)
    try:
        a, b = _numbers(yours), np.asarray(expected, dtype=np.float64)
        _compare(a, b, rtol, atol)
    except _Wrong as wrong:
        return _say("wrong", str(wrong))
    return _say("correct", f"{a.size} entries compared" if a.ndim else f"{float(a):.6g}")


def check_function(yours: Callable[..., Any], expected: Callable[..., Any] | Sequence[Any], *cases: Any,
                   rtol: float = 1e-6, atol: float = 1e-12, only: str = "", integers: bool = False) -> None:
    """Say whether your function returns what it should for every case; a number that was typed in does not.

    expected  a function of the same arguments, or its result for each case
    cases     the arguments: a tuple for each call, or the only argument itself
    only      the names that your function may use, such as "np floor"; all by default
    integers  whether its results must be arrays of whole numbers, every one of them exact
    """
    rtol, atol = (0, 0) if integers else (rtol, atol)
    calls = [case if isinstance(case, tuple) else (case,) for case in cases]
    rights = [expected(*copy.deepcopy(call)) for call in calls] if callable(expected) else list(expected)
    try:
        answers = [_called(yours, call) for call in calls]
        if any(map(_unsolved, answers)):
            return _say("not yet", NOT_YET)
        _check_names(yours, only)
        pairs = [pair for answer, right in zip(answers, rights, strict=True) for pair in _parts(answer, right)]
        if integers and any(a.dtype.kind not in "iu" for a, _ in pairs):
            raise _Wrong("whole numbers are asked for, in arrays of whole numbers; yours went through floats")
        _check_typed([a for a, _ in pairs], [b for _, b in pairs], len(calls))
        _compare_all(pairs, rtol, atol)
    except _Wrong as wrong:
        return _say("wrong", str(wrong))
    size = sum(a.size for a, _ in pairs)
    return _say("correct", f"{size} {'entries' if size > 1 else 'entry'} compared, in {len(calls)} calls")


def check_gradient(forward: Callable[..., Any], vjp: Callable[..., Any], *inputs: Any, seed: int = 0) -> None:
    """Say whether vjp(g, y, *inputs), a tuple of gradients, agrees with finite differences of forward(*inputs).

    The inputs are float64 arrays. The verdict comes from `minilq.gradcheck`; a mistake is named if it is a common one.
    """
    y = np.asarray(forward(*inputs))
    g = np.random.default_rng(seed).normal(size=y.shape)
    try:
        answer = _called(vjp, (g, y, *inputs))
        if _unsolved(answer):
            return _say("not yet", NOT_YET)
        name = getattr(forward, "__name__", "")
        if _given.get(name, forward) is not forward:
            raise _Wrong(f"{name} is given, and yours is another one; run the cell that defines it again")
        double = _called(vjp, (2 * g, y, *inputs))
        report = gradcheck(forward, *inputs, vjp=vjp, g=g, raises=False)
        if all(np.any(a) and np.array_equal(a, b) for a, b in zip(answer, double, strict=True)):
            raise _Wrong("yours is the same for every g; the chain rule multiplies by it")
        if report:
            return _say("correct", f"{report.entries} entries agree with finite differences")
        expected, _ = central_differences(forward, [np.array(x) for x in inputs], g)
        a, b = _numbers(answer[report.argument]), expected[report.argument]
        where = f"gradient {report.argument} of {len(inputs)}: " if len(inputs) > 1 else ""
        raise _Wrong(where + (slip(a, b, 1e-4, 1e-7 * float(np.abs(b).max())) or _worst(a, b, report.index)))
    except (_Wrong, minilq.MinilqError) as wrong:                # the latter: a wrong shape, or no tuple
        return _say("wrong", str(wrong))
    except (TypeError, ValueError):
        return _say("wrong", "a tuple of arrays of numbers is expected, one gradient for each input")


def judge(own: Callable[..., str | None]) -> Callable[..., None]:
    """For a check that a notebook writes itself, of functions that have many right versions.

    It says in a sentence what is wrong, or None. What cannot be used at all is wrong too, and ends in no traceback.
    """
    @functools.wraps(own)
    def judged(*functions: Callable[..., Any]) -> None:
        before = len(verdicts)
        try:
            with np.errstate(all="ignore"):
                found = own(*(functools.partial(_finished, function) for function in functions))
        except _NotYet:
            return _say("not yet", NOT_YET)
        except _Wrong as wrong:
            return _say("wrong", str(wrong))
        except (TypeError, ValueError, IndexError, minilq.MinilqError) as error:
            return _say("wrong", f"what came back cannot be used here: {error}")
        if found:
            _say("wrong", found)
        elif len(verdicts) == before:
            _say("correct", "all that is asked for holds")
        return None
    return judged


def _finished(function: Callable[..., Any], *arguments: Any) -> Any:
    answer = _called(function, arguments)
    if _unsolved(answer):
        raise _NotYet
    return answer


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What a learner's function returns for copies of the arguments; a generator goes on from call to call."""
    if not callable(function):
        if _unsolved(function):
            return ...
        raise _Wrong(f"a function is expected; yours is {_kind(function)}")
    try:
        answer = function(*(a if isinstance(a, np.random.Generator) else copy.deepcopy(a) for a in arguments))
    except Exception as error:
        raise _Wrong(f"your function stopped with {type(error).__name__}: {error}") from None
    if answer is None or (isinstance(answer, tuple) and any(part is None for part in answer)):
        raise _Wrong(NOTHING)
    return answer


def _unsolved(value: Any) -> bool:
    """Whether a ... is left in it."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.ravel().tolist()
    return value is ... or (isinstance(value, (list, tuple)) and any(map(_unsolved, value)))


def _numbers(value: Any) -> Array:
    """An answer as an array of real numbers, float64 unless they are whole."""
    if value is None:
        raise _Wrong(NOTHING)
    try:
        array = np.asarray(getattr(value, "array", value))
    except ValueError:
        raise _Wrong("rows of equal length are expected; yours differ") from None
    if array.dtype.kind not in "biuf":
        raise _Wrong(f"a number or an array of numbers is expected; yours is {_kind(value)}")
    return array if array.dtype.kind in "iu" else array.astype(np.float64)


def _kind(value: Any) -> str:
    return {str: "a text", complex: "a complex number"}.get(type(value), f"of type {type(value).__name__}")


def _parts(answer: Any, right: Any) -> list[tuple[Array, Array]]:
    """(yours, expected) for each array of an answer; a tuple is expected where the right answer is one."""
    if not isinstance(right, tuple):
        return [(_numbers(answer), np.asarray(right, dtype=np.float64))]
    if not isinstance(answer, (tuple, list)) or len(answer) != len(right):
        count = f"{len(answer)}" if isinstance(answer, (tuple, list)) else "one"
        raise _Wrong(f"{len(right)} results are expected, separated by commas; yours are {count}")
    return [(_numbers(a), np.asarray(b, dtype=np.float64)) for a, b in zip(answer, right, strict=True)]


def _check_names(function: Callable[..., Any], only: str) -> None:
    allowed = set(only.split())
    used = sorted(_names(function.__code__) - allowed) if only else []
    if used:
        raise _Wrong(f"{' and '.join(used)} may not be used here; {only.split()[-1]} alone will do")


def _names(code: CodeType) -> set[str]:
    """Global names and attributes of a function, and of those inside it."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def _check_typed(answers: list[Array], rights: list[Array], calls: int) -> None:
    """A function that ignores its arguments returns what was typed in."""
    each = len(answers) // calls
    for part in range(each):
        own, theirs = answers[part::each], rights[part::each]
        if len(own) > 1 and all(np.array_equal(own[0], a) for a in own) and not all(
                np.array_equal(theirs[0], b) for b in theirs):
            raise _Wrong("yours is the same whatever the arguments; it has to be computed from them")


def _compare_all(pairs: list[tuple[Array, Array]], rtol: float, atol: float) -> None:
    """Single numbers together, since what is wrong with many of them shows better."""
    if len(pairs) > 1 and all(a.ndim == b.ndim == 0 for a, b in pairs):
        together = tuple(np.array([pair[side] for pair in pairs], dtype=np.float64) for side in (0, 1))
        _compare(*together, rtol, atol, what="call")
    else:
        for a, b in pairs:
            _compare(a, b, rtol, atol)


def _compare(a: Array, b: Array, rtol: float, atol: float, what: str = "entry") -> None:
    """_Wrong unless the two are equal within tolerance."""
    found = slip(a.astype(np.float64), b, rtol, atol)
    if a.shape != b.shape:
        raise _Wrong(f"your shape is {a.shape}, and it should be {b.shape}" + f"; {found}" * bool(found))
    excess = np.abs(a - b) - rtol * np.abs(b)
    excess = np.where(np.isfinite(a), excess, np.inf)
    if not np.all(excess <= atol):
        index = tuple(int(i) for i in np.unravel_index(np.argmax(excess), a.shape))
        raise _Wrong(found or _worst(a, b, index, what))


def _worst(a: Array, b: Array, index: tuple[int, ...], what: str = "entry") -> str:
    """The worst entry, and on which side of the expected one it is."""
    yours, expected = float(a[index]), float(b[index])
    where = f"worst {what} {list(index)}: " if a.ndim else ""
    if not np.isfinite(yours):
        return f"{where}yours {yours} is no finite number"
    side = "has the wrong sign" if yours * expected < 0 else "is too large" if yours > expected else "is too small"
    return f"{where}yours {yours:.9g} {side}"


def _say(verdict: str, detail: str) -> None:
    verdicts.append(verdict)
    print(f"{verdict}: {detail}")
