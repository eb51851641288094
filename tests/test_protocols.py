"""What Python and NumPy do with a recorded Tensor: an operation that is recorded, or an error; no tape that is cut.

Numbers that are asked for (float, comparisons, x.numpy()) are numbers.
"""

import copy
import math
import pickle

import numpy as np
import pytest

import minilq
from minilq import MinilqError, Parameter, TapeError, Tensor, Within, gradcheck, no_grad

A, B = np.array([[1.5, -2.0], [0.5, 3.0]]), np.array([[0.5, 1.0], [-1.0, 2.0]])

RECORDED = {
    "sum()": lambda a, b: sum(a * b), "max()": lambda a, b: max(a.reshape(4)) * b,
    "iter": lambda a, b: [*(a * b)][1], "reversed": lambda a, b: next(reversed(a * b)),
    "array @": lambda a, b: A @ (a * b), "array *": lambda a, b: A * a * b,
    "np.float64 *": lambda a, b: np.float64(2) * a * b, "abs": lambda a, b: abs(a) * b,
    "np.concatenate": lambda a, b: np.concatenate([a, b], axis=1), "np.stack": lambda a, b: np.stack([a, b]),
    "np.where": lambda a, b: np.where(A > 0, a, b), "np.sum": lambda a, b: np.sum(a * b, axis=0),
    "np.mean": lambda a, b: np.mean(a * b, axis=0, keepdims=True), "np.max": lambda a, b: np.max(a, axis=1) * b,
    "np.reshape": lambda a, b: np.reshape(a * b, (4,)), "np.transpose": lambda a, b: np.transpose(a * b),
    "np.clip": lambda a, b: np.clip(a, -1.0, 1.0) * b, "norm": lambda a, b: minilq.norm(a * b, axis=0),
}
REFUSED = {
    **{f"np.{name}": lambda r, name=name: getattr(np, name)([r, r]) for name in (
        "vstack", "hstack", "dstack", "column_stack", "block")},
    **{f"np.{name}": lambda r, name=name: getattr(np, name)(r, r) for name in (
        "dot", "inner", "outer", "vdot", "kron", "cross", "convolve", "append", "matmul", "maximum", "minimum", "add",
        "subtract", "multiply", "divide", "power", "hypot", "arctan2", "broadcast_arrays")},
    **{f"np.{name}": lambda r, name=name: getattr(np, name)(r) for name in (
        "cumsum", "cumprod", "prod", "sort", "ravel", "squeeze", "diag", "trace", "var", "std", "median", "copy",
        "round", "min", "average", "nan_to_num", "flip", "diff", "atleast_2d", "ptp", "exp", "sqrt", "sin", "abs",
        "sign", "negative", "square", "isfinite", "triu", "real")},
    "np.split": lambda r: np.split(r, 2), "np.einsum": lambda r: np.einsum("ij->i", r),
    "np.roll": lambda r: np.roll(r, 1), "np.swapaxes": lambda r: np.swapaxes(r, 0, 1),
    "np.tile": lambda r: np.tile(r, 2), "np.repeat": lambda r: np.repeat(r, 2), "np.take": lambda r: np.take(r, 0),
    "np.percentile": lambda r: np.percentile(r, 50), "np.linalg.norm": np.linalg.norm, "np.linalg.inv": np.linalg.inv,
    "np.moveaxis": lambda r: np.moveaxis(r, 0, 1), "np.expand_dims": lambda r: np.expand_dims(r, 0),
    "np.pad": lambda r: np.pad(r, 1), "np.clip out": lambda r: np.clip(r, 0, 1, out=np.zeros((2, 2))),
    "np.sum out": lambda r: np.sum(r, out=np.zeros(())), "add.reduce": np.add.reduce,
    "add.accumulate": np.add.accumulate,
    "add.outer": lambda r: np.add.outer(r, r), "add.at": lambda r: np.add.at(np.zeros(2), [0], r[0]),
    "np.add(array, r)": lambda r: np.add(A, r), "np.exp out": lambda r: np.exp(r, out=np.zeros((2, 2))),
    "array +=": lambda r: A.copy().__iadd__(r), "x[0] =": lambda r: r.__setitem__(0, 1.0), "bool": bool,
    "Tensor of a list": lambda r: Tensor([r[0], r[1]]), "int": lambda r: int(r.sum()), "//": lambda r: r // 2,
    "%": lambda r: r % 2, "2 **": lambda r: 2.0**r, "round": lambda r: round(r.sum()), "divmod": lambda r: divmod(r, 2),
    "copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": pickle.dumps, "len of a number": lambda r: len(r.sum()),
}


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_has_the_right_gradient(name):
    assert gradcheck(RECORDED[name], A, B)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_recorded_says_so(name):
    result = Tensor(A, requires_grad=True) * 2.0
    with pytest.raises((MinilqError, TypeError, AttributeError)) as error:
        REFUSED[name](result)
    assert "\n" not in str(error.value)


def test_numbers_that_are_asked_for_are_numbers():
    x = Tensor(A, requires_grad=True) * 2.0
    assert math.exp(x.sum()) == math.exp(6.0)
    assert float(x[0, 0]) == 3.0
    assert (x > 0).tolist() == [[True, False], [True, True]]
    assert 3.0 in x
    assert 3.5 not in x
    assert np.argmax(x) == 3
    assert len(x) == 2
    with no_grad():
        assert np.vstack([x, x]).shape == (4, 2)
        assert type(np.asarray(x)) is np.ndarray
        assert not np.shares_memory(np.asarray(x), x.array)
        array = np.zeros((2, 2))
        array[:] = x
        np.testing.assert_array_equal(array, 2 * A)
    np.testing.assert_array_equal(np.asarray(x.detach()), 2 * A)


@pytest.mark.parametrize("cut", [
    np.asarray, np.array, lambda x: np.array([x[0, 0], x[0, 1]]), lambda x: np.full(3, x[0, 0]),
    lambda x: np.zeros((2, 2)).__setitem__(0, x[0]), lambda x: np.zeros((2, 2)).__setitem__(slice(None), x)])
def test_an_array_of_what_is_recorded_would_cut_the_tape(cut):
    for x in (Tensor(A, requires_grad=True) * 2.0, Parameter(A)):
        with pytest.raises(TapeError, match=r"stack or concatenate; for the numbers alone take x\.numpy\(\)"):
            cut(x)


def test_copies_of_what_one_made_are_of_their_own():
    for make in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        x = Parameter(A, Within(-5), lr=0.5)
        y = make(x)
        assert type(y) is Parameter
        assert (y.lr, y.constraint, y.requires_grad) == (0.5, Within(-5), True)
        x.data[...] = 0
        np.testing.assert_array_equal(y.numpy(), A)
        (y * 2.0).sum().backward()
        assert x.grad is None


def test_a_result_says_that_it_hangs_on_its_tape():
    with pytest.raises(TapeError, match=r"a result of multiply. Write x.detach\(\)"):
        copy.deepcopy({"loss": Tensor(A, requires_grad=True) * 2.0})
    assert copy.deepcopy(Tensor(A) * 2.0).numpy().tolist() == (2 * A).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_norm_of_zeros_large_and_small_numbers(dtype):
    for x, y, dx in (([0.0, 0.0], 0.0, [0.0, 0.0]), ([3e30, 4e30], 5e30, [0.6, 0.8]),
                     ([3e-30, -4e-30], 5e-30, [0.6, -0.8])):
        t = Tensor(x, requires_grad=True, dtype=dtype)
        n = minilq.norm(t)
        n.backward()
        assert n.item() == pytest.approx(y, rel=1e-6)
        np.testing.assert_allclose(t.grad, dx, rtol=1e-6)
    assert np.isnan(minilq.norm(np.array([np.nan, 1.0], dtype)))
    assert minilq.norm(np.array([np.inf, 1.0], dtype)) == np.inf
    assert minilq.norm(np.zeros((0, 3), dtype), axis=0).tolist() == [0, 0, 0]
