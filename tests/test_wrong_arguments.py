"""Wrong arguments: a right result, or one of minilq's errors in one paragraph; none of NumPy's, Python's or Numba's.

Every call of right_calls.py is made with each kind of argument of wrong_arguments.py in each position.
HYPOTHESIS_PROFILE=ci makes all of them; a plain run every fifth, the same ones each time.
"""

import inspect
import os
import pathlib
import warnings
import zlib

import numpy as np
import pytest

import minilq
from minilq import Tensor
from minilq.data import Dataset
from minilq.errors import ConfigError, DataError, DTypeError, MinilqError, NonFiniteError, ShapeError
from minilq.experiments.config import config_from
from minilq.integer.engine import convert
from minilq.store import modelfile
from minilq.store.npz import to_npz
from minilq.store.safetensors import to_safetensors
from minilq.train.metrics import INPUTS, evaluate
from tests.right_calls import CALLS, MODEL, RNG, X, fresh
from tests.stored_calls import CODED, FLAT, LABELS, PIXELS
from tests.wrong_arguments import OTHERWISE, WRONG, f32

ALL = os.environ.get("HYPOTHESIS_PROFILE") in ("ci", "deep")


@pytest.fixture(autouse=True)
def as_it_was(tmp_path, monkeypatch):
    """Switches of the process as they were, warnings of NumPy's casts as errors, and an empty folder to write to."""
    monkeypatch.chdir(tmp_path)
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
    for path in here():
        path.unlink()
    for position in range(len(args)):
        for kind, value in WRONG.items():
            if not chosen(name, position, kind):
                continue
            function, args = fresh(name)
            wrong = value()
            if callable(wrong) and callable(args[position]):     # what a caller's function raises is the caller's
                continue
            args[position] = wrong
            _, error = outcome(function, args, f"{name}, argument {position}: {kind}")
            for path in here():
                assert error is None, f"{name}, argument {position}: {kind} left {path}"
                path.unlink()


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
                assert kind in ("read-only", "big-endian", "unaligned")         # the last is read-only too
                assert "writ" in str(error)
                continue
            for one, other in zip(arrays_in(right), arrays_in(again), strict=True):
                assert one.dtype == other.dtype, (position, kind)
                np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6, err_msg=f"{position}, {kind}")


def here():
    """The files that a call has left."""
    return list(pathlib.Path().iterdir())


def arrays_in(result):
    """What can be compared of a result."""
    if isinstance(result, minilq.Tensor):
        return [result.numpy()]
    if isinstance(result, (np.ndarray, np.generic)):
        return [np.asarray(result)]
    if isinstance(result, minilq.Coded):
        return [result.codes, result.values]
    return [array for part in result.values() for array in arrays_in(part)] if isinstance(result, dict) else []


def test_every_public_name_is_called():
    called = {name.split()[0].split(".")[0].split("(")[0] for name in CALLS}
    nothing_to_call_with = {name for name in minilq.__all__ if not callable(getattr(minilq, name)) or name.endswith(
        ("Error", "_in_use")) or name in ("frozen", "no_grad", "one_blas_thread", "without_denormals",
                                          "Flatten", "ReLU", "GlobalAveragePool2D")}
    made_by_minilq = {"GradientReport", "Coded", "Even", "Table", "WithResidual", "Quantizer"}     # tuples, and a base
    assert set(minilq.__all__) - called - nothing_to_call_with - made_by_minilq == set()
    assert not inspect.signature(minilq.frozen).parameters


def test_how_many_calls_are_made(capsys):
    calls = [(name, position, kind) for name, (_, *args) in CALLS.items() for position in range(len(args))
             for kind in WRONG if chosen(name, position, kind)]
    with capsys.disabled():
        print(f" {len(calls)} wrong calls of {len(CALLS)} names ", end="")
    assert len(calls) > (40_000 if ALL else 8_000)


def negative(model):
    """Its state, with the scale of one weight negative."""
    return {**model.state(), "dense1.weight.scale": -model.state()["dense1.weight.scale"]}


def not_a_number(model):
    return {**model.state(), "dense2.bias.latent": np.full(2, np.nan, np.float32)}


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: minilq.gradcheck(lambda x: x * x, np.zeros((0, 3))), ConfigError, "nothing to compare"),
    (lambda: minilq.gradcheck(lambda x: x * x, np.array([np.inf])), NonFiniteError, "inputs must be finite"),
    (lambda: minilq.use_kernels("off"), ConfigError, "on must be True or False; got 'off'"),
    (lambda: Tensor(X) + 1j, DTypeError, "must be real; got the number 1j"),
    (lambda: 1j * Tensor(X), DTypeError, "must be real"),
    (lambda: minilq.Adam([]), ConfigError, "there must be a parameter; got none"),
    (lambda: minilq.Dense(3, 2, RNG, std=None), ConfigError, "std must be a number >= 0; got None"),
    (lambda: MODEL.load_state(not_a_number(MODEL)), DataError, "dense2.bias.latent must be finite; got NaN"),
    (lambda: MODEL.load_state(negative(MODEL)), DataError, "dense1.weight.scale must be what its constraint allows"),
    (lambda: minilq.relu(2**70), DTypeError, "got a int"), (lambda: minilq.exp("1"), DTypeError, "got a str"),
    (lambda: minilq.sum([1, 2]), DTypeError, "got a list"), (lambda: minilq.tanh(None), DTypeError, "got a NoneType"),
    (lambda: Tensor(X) < "1", DTypeError, "compared with numbers; got '1'"),
    (lambda: Tensor(X) < np.zeros(2), ShapeError, r"\(2, 3\) and \(2,\)"),
    (lambda: minilq.Dense(2**70, 2, RNG), ConfigError, "whole numbers, at least 1; got 1180591620717411303424"),
    (lambda: minilq.LSQ(4, signed="no"), ConfigError, "signed must be True or False"),
    (lambda: minilq.LSQ(4, granularity=(0,)).coded(f32(3, 3), minilq.LSQ(4, granularity=(0,)).start(X)), ShapeError,
     r"x must have the shape that start was given, groups of which hold \(2, 1\); got x \(3, 3\)"),
    (lambda: Dataset("mine", X, LABELS, X, LABELS, ("a", "b")), DTypeError, "mine, training part: images must be an"),
    (lambda: Dataset("mine", PIXELS, LABELS, PIXELS, LABELS[:1], ("a", "b")), DataError, "validation part: there must"),
    (lambda: Dataset("mine", PIXELS, LABELS, PIXELS, LABELS + 1, ("a", "b")), DataError, r"0\.\.1; got labels 1\.\.2"),
    (lambda: Dataset("mine", PIXELS, LABELS, PIXELS, LABELS, ("a", 2)), ConfigError, "classes must be a tuple"),
    (lambda: evaluate(FLAT, PIXELS, LABELS[:1], INPUTS["unit"]), ShapeError, "one label for each"),
    (lambda: evaluate(FLAT, PIXELS[:0], LABELS[:0], INPUTS["unit"]), ShapeError, "at least one"),
    (lambda: to_npz(CODED, "a", {"file": X}), ConfigError, "no array can be called .*; got file"),
    (lambda: to_npz({"a": X}, "a"), ConfigError, r"coded must be a dict of Coded .*coded_in\(model\) gives it"),
    (lambda: to_npz(CODED, "a", {"dense1.weight.codes": X}), ConfigError, "two called dense1.weight.codes"),
    (lambda: to_npz({}, "a", {"\udcff": X}), ConfigError, "texts that a file can hold"),
    *[(lambda write=write, grid=grid: write({"a": minilq.Coded(np.array([[0, 1, 2]]), grid)}, "a"), error, message)
      for write in (to_npz, to_safetensors) for grid, error, message in (
          (minilq.Even(f32(2, 1) + 2), ConfigError, r"a has codes \(1, 3\) and a scale \(2, 1\)"),
          (minilq.Even(f32(1)), ConfigError, "a has scales that are not > 0"),
          (minilq.Even(np.full(1, np.nan)), ConfigError, "a scale that is not finite"),
          (minilq.Even("x"), DTypeError, "scale of a must be an array of real"),
          (minilq.Table(f32(2)), ConfigError, "other codes than those of its levels"))],
    (lambda: convert(modelfile.StoredModel(MODEL, CODED, {}), X), ShapeError, r"dense1.weight \(2, 3\), where it has"),
    (lambda: convert(modelfile.StoredModel(MODEL, None, {}), X), ConfigError, "coded must be a dict of Coded"),
    (lambda: modelfile.save("a", MODEL, facts="text"), ConfigError, "facts must be a dict, or None; got 'text'"),
    (lambda: convert(MODEL, X, bits=8.0), ConfigError, r"bits must be 8 or 16; got 8\.0"),
    (lambda: config_from("digits"), ConfigError, "settings must be a dict, with some of data, "),
    (lambda: minilq.LSQ(4).coded(X, {}), ConfigError, "held must be what start gave, with 'scale' in it"),
])
def test_what_was_taken_or_ended_in_a_traceback(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert minilq.kernels_in_use()


@pytest.mark.parametrize("kind", ["masked", "matrix"])
@pytest.mark.parametrize("take", [
    minilq.relu, lambda x: minilq.dense(x, f32(3, 2), f32(2)), lambda x: minilq.Tensor(X) * x, minilq.LSQ(4).start,
    lambda x: minilq.LSQ(4).coded(x, minilq.LSQ(4).start(X)), lambda x: minilq.softmax_cross_entropy(X, x),
    lambda x: Tensor(X, requires_grad=True).backward(x), lambda x: Tensor(X) < x,
    lambda x: minilq.codes_of(x, f32(2, 1) + 2, minilq.Scaled()), lambda x: minilq.gradcheck(lambda a: a * a, x),
    lambda x: minilq.where(x, 1.0, X), lambda x: minilq.pretend(X, X, x)])
def test_masks_and_matrices_are_refused_everywhere(kind, take):
    """A mask would be forgotten, and * of matrices is another product. Tensor copies, so that it may take a matrix."""
    with pytest.raises(DTypeError, match="plain NumPy array"):
        take(WRONG[kind]())


def test_the_other_byte_order_is_taken_everywhere():
    """Files often have it, and nothing is lost. Only what is written in place is refused: the copy would be written."""
    x = X.astype(X.dtype.newbyteorder(">"))
    lsq = minilq.LSQ(4)
    for take in (minilq.relu, lambda x: Tensor(X) * x, MODEL, lambda x: lsq(x, lsq.start(x)),
                 lambda x: lsq.coded(x, lsq.start(x)).values, lambda x: minilq.where(x > 0, x, 0.0)):
        with minilq.no_grad():
            one, other = np.asarray(take(X)), np.asarray(take(x))
        assert one.dtype.isnative
        assert other.dtype.isnative
        np.testing.assert_array_equal(one, other)
    mean = np.zeros(3, ">f4")
    with pytest.raises(ConfigError, match=r"writable in training: .*in the byte order of this machine"):
        minilq.batch_norm(X, f32(3), f32(3), mean, f32(3) + 2)
