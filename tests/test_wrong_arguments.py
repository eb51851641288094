"""Wrong arguments: a right result, or one of minilq's errors in one paragraph; none of NumPy's, Python's or Numba's.

Every call of right_calls.py is made with each kind of argument of wrong_arguments.py in each position.
HYPOTHESIS_PROFILE=ci makes all of them; a plain run every fifth, the same ones each time.
"""

import inspect
import os
import warnings
import zlib

import numpy as np
import pytest

import minilq
from minilq.errors import MinilqError
from tests.right_calls import CALLS, fresh
from tests.wrong_arguments import OTHERWISE, WRONG

ALL = os.environ.get("HYPOTHESIS_PROFILE") in ("ci", "deep")


@pytest.fixture(autouse=True)
def as_it_was():
    """Switches of the process as they were, and warnings of NumPy's casts as errors."""
    before = minilq.kernels_in_use(), minilq.convolution_in_use(), minilq.threads_in_use()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ignored in (RuntimeWarning, UserWarning, PendingDeprecationWarning):     # overflows, dead layers, np.matrix
            warnings.simplefilter("ignore", ignored)
        yield
    minilq.use_kernels(before[0])
    minilq.use_convolution(before[1] if before[0] else "winograd")
    minilq.use_threads(before[2])


def chosen(*words):
    """Whether a plain run makes this call: every fifth, by a number that is the same on every machine."""
    return ALL or zlib.crc32("/".join(map(str, words)).encode()) % 5 == 0


def outcome(function, args, what):
    """(result, None), or (None, the error) when it is one of minilq's in one paragraph."""
    try:
        return function(*args), None
    except MinilqError as caught:
        error = caught
    except Exception as other:
        raise AssertionError(f"{what}: {type(other).__name__}: {other}") from other
    assert "\n" not in str(error), what
    assert len(str(error)) < 1000, what
    return None, error


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_argument_is_refused_in_one_paragraph(name):
    function, args = fresh(name)
    function(*args)                              # the right call is right
    for position in range(len(args)):
        for kind, value in WRONG.items():
            if not chosen(name, position, kind):
                continue
            function, args = fresh(name)
            wrong = value()
            if callable(wrong) and callable(args[position]):     # what a caller's function raises is the caller's
                continue
            args[position] = wrong
            outcome(function, args, f"{name}, argument {position}: {kind}")


@pytest.mark.parametrize("name", CALLS)
def test_an_array_that_is_kept_in_another_way_is_the_same_array(name):
    """Or refused, where it is to be written into and cannot."""
    for position, argument in enumerate(CALLS[name][1:]):
        for kind, otherwise in OTHERWISE.items() if isinstance(argument, np.ndarray) else ():
            if not chosen(name, position, kind):
                continue
            function, args = fresh(name)
            right = function(*args)
            function, args = fresh(name)
            args[position] = otherwise(args[position])
            again, error = outcome(function, args, f"{name}, argument {position}: {kind}")
            if error is not None:
                assert kind in ("read-only", "big-endian")
                assert "writ" in str(error)
                continue
            for one, other in zip(arrays_in(right), arrays_in(again), strict=True):
                assert one.dtype == other.dtype, (position, kind)
                np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6, err_msg=f"{position}, {kind}")


def arrays_in(result):
    """What can be compared of a result."""
    if isinstance(result, minilq.Tensor):
        return [result.numpy()]
    if isinstance(result, np.ndarray):
        return [result]
    if isinstance(result, minilq.Coded):
        return [result.codes, result.values]
    return [array for part in result.values() for array in arrays_in(part)] if isinstance(result, dict) else []


def test_every_public_name_is_called():
    called = {name.split()[0].split(".")[0].split("(")[0] for name in CALLS}
    nothing_to_call_with = {name for name in minilq.__all__ if not callable(getattr(minilq, name)) or name.endswith(
        ("Error", "_in_use")) or name in ("frozen", "no_grad", "one_blas_thread", "Flatten", "ReLU",
                                          "GlobalAveragePool2D")}
    made_by_minilq = {"GradientReport", "Coded", "Even", "Table", "WithResidual", "Quantizer"}     # tuples, and a base
    assert set(minilq.__all__) - called - nothing_to_call_with - made_by_minilq == set()
    assert not inspect.signature(minilq.frozen).parameters


def test_how_many_calls_are_made(capsys):
    calls = [(name, position, kind) for name, (_, *args) in CALLS.items() for position in range(len(args))
             for kind in WRONG if chosen(name, position, kind)]
    with capsys.disabled():
        print(f" {len(calls)} wrong calls of {len(CALLS)} names ", end="")
    assert len(calls) > (40_000 if ALL else 8_000)
