"""concatenate, stack and where; and NumPy's own functions on Tensors, which must not cut the tape without a word."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Tensor, gradcheck, ops
from tests.strategies import arrays, broadcasting_pairs, seeds, shapes


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


@given(data=st.data(), seed=seeds)
def test_concatenate(data, seed):
    shape = data.draw(shapes())
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any))
    x = [data.draw(arrays((*shape[:axis % len(shape)], n, *shape[axis % len(shape) + 1:]))) for n in lengths]
    np.testing.assert_array_equal(ops.concatenate(x, axis), np.concatenate(x, axis))
    gradcheck(lambda *x: ops.concatenate(x, axis), *x, seed=seed)


@given(data=st.data(), seed=seeds, count=st.integers(1, 4))
def test_stack(data, seed, count):
    shape = data.draw(shapes())
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    x = [data.draw(arrays(shape)) for _ in range(count)]
    np.testing.assert_array_equal(ops.stack(x, axis), np.stack(x, axis))
    gradcheck(lambda *x: ops.stack(x, axis), *x, seed=seed)


@given(pair=broadcasting_pairs(), seed=seeds)
def test_where(pair, seed):
    a, b = pair
    condition = np.random.default_rng(seed).random(np.broadcast_shapes(a.shape, b.shape)) < 0.5
    np.testing.assert_array_equal(ops.where(condition, a, b), np.where(condition, a, b))
    gradcheck(lambda a, b: ops.where(condition, a, b), a, b, seed=seed)
    gradcheck(lambda a: ops.where(condition, a, 0.0), a, seed=seed)


def test_a_tensor_of_where_that_is_not_taken_gets_a_zero_whatever_arrives():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    ops.where(np.array([True, False]), a, b).backward(np.array([1.0, np.inf]))
    assert (a.grad.tolist(), b.grad.tolist()) == ([1, 0], [0, np.inf])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    x = leaf(1.0, 2.0, dtype=dtype)
    for y in (ops.concatenate([x, x]), ops.stack([x, x]), ops.where(x > 1, x, 0), ops.where(np.array(True), x[0], 1)):
        assert y.dtype == dtype
        y.backward(np.ones(y.shape, dtype))
    assert x.grad.tolist() == [5, 5]


@pytest.mark.parametrize(("error", "message", "call"), [
    (minilq.ShapeError, "concatenate: there must be at least one", lambda: ops.concatenate([])),
    (minilq.ConfigError, r"stack: the first argument must be a list .*stack\(\[a, b\]\)", lambda: ops.stack(leaf(1.0))),
    (minilq.ShapeError, "concatenate: shapes must be alike but for axis 0",
     lambda: ops.concatenate([np.ones((2, 3)), np.ones((2, 2))])),
    (minilq.ShapeError, "concatenate: shapes", lambda: ops.concatenate([np.ones((2, 3)), np.ones(3)])),
    (minilq.ShapeError, "concatenate: axis must be one of the 1", lambda: ops.concatenate([leaf(1.0)], axis=1)),
    (minilq.ShapeError, "concatenate: axis must be one of the 0", lambda: ops.concatenate([Tensor(1.0)])),
    (minilq.ShapeError, "stack: all arrays must have one shape", lambda: ops.stack([np.ones(2), np.ones(3)])),
    (minilq.ShapeError, "stack: axis", lambda: ops.stack([np.ones(2)], axis=2)),
    (minilq.DTypeError, r"stack: x\[1\] must be an array of floats", lambda: ops.stack([leaf(1.0), 2.0])),
    (minilq.DTypeError, "float32", lambda: ops.concatenate([leaf(1.0), np.ones(1, np.float32)])),
    (minilq.DTypeError, r"where: the condition .* where\(x > 0, a, b\)", lambda: ops.where(leaf(1.0), 1.0, 2.0)),
    (minilq.ShapeError, "where: the condition must broadcast",
     lambda: ops.where(np.array([True, False]), leaf(1.0, 2.0, 3.0), 0.0)),
    (minilq.ShapeError, "where: shapes", lambda: ops.where(np.array(True), leaf(1.0, 2.0), np.ones(3)))])
def test_mistakes_name_the_operation(error, message, call):
    with pytest.raises(error, match=message):
        call()


# NumPy's functions.

def test_numpy_functions_that_minilq_has_are_recorded():
    w, a, b = Tensor([2.0, 3.0]), leaf(1.0), leaf(1.0)
    (w * np.concatenate([a, b])).sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([2], [3])
    a = leaf(1.0, 2.0)
    (np.where(a > 1.5, a, 0) + a * a).sum().backward()
    assert a.grad.tolist() == [2, 5]
    x = np.random.default_rng(0).standard_normal((2, 3))
    for f in (lambda x: np.sum(x, axis=0), lambda x: np.mean(x, axis=1, keepdims=True), np.max,
              lambda x: np.reshape(x, (3, 2)), np.transpose, lambda x: np.transpose(x, (1, 0)),
              lambda x: np.clip(x, -0.5, 0.5), lambda x: np.stack([x, x], axis=1)):
        recorded = f(Tensor(x, requires_grad=True))
        assert isinstance(recorded, Tensor)
        np.testing.assert_array_equal(recorded.numpy(), f(x))
        gradcheck(f, x)


@pytest.mark.parametrize(("call", "instead"), [
    (lambda x: np.dot(x, x), "np.dot: .* Write a @ b"), (np.linalg.norm, r"np.linalg.norm: .* Write norm\(x\)"),
    (np.std, "np.std"), (lambda x: np.vstack([x, x]), "np.vstack: .* concatenate"), (np.cumsum, "as a primitive"),
    (np.linalg.inv, "np.linalg.inv"), (lambda x: np.einsum("i,i", x, x), "np.einsum")])
def test_other_numpy_functions_of_what_is_recorded_name_the_way(call, instead):
    with pytest.raises(minilq.TapeError, match=instead):
        call(leaf(1.0, 2.0))


@pytest.mark.parametrize("call", [lambda x: np.sum(x, dtype=np.float32), lambda x: np.concatenate([x], out=np.ones(2)),
                                  lambda x: np.clip(x, 0, 1, out=np.ones(2)), np.where])
def test_arguments_that_only_numpy_has_are_refused(call):
    with pytest.raises(minilq.ConfigError, match="takes the arguments of minilq"):
        call(leaf(1.0, 2.0))


def test_what_cuts_no_tape_is_numpys():
    x = leaf(1.0, 3.0, 2.0)
    assert (np.argmax(x), np.shape(x), np.ndim(x), np.size(x), np.array_equal(x, x)) == (1, (3,), 1, 3, True)
    assert np.zeros_like(x).tolist() == [0, 0, 0]
    assert type(np.zeros_like(x)) is np.ndarray
    with minilq.no_grad():
        assert np.linalg.norm(x) == np.sqrt(14)
    for result in (np.dot(Tensor([3.0]), Tensor([4.0])), np.dot(x.detach(), x.numpy())):
        assert isinstance(result, float)


# What stands beside a Tensor, or becomes one.

@pytest.mark.parametrize("number", [1j, np.complex128(1j), np.complex64(1j), np.array([1j, 0])], ids=repr)
def test_complex_numbers_are_refused(number):
    for call in (lambda: leaf(1.0, 2.0) + number, lambda: number * leaf(1.0, 2.0), lambda: Tensor([1.0, 2.0]) / number):
        with pytest.raises(minilq.DTypeError, match=r"complex|real"):
            call()


def test_matrices_and_masked_arrays():
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0]])
    assert type(Tensor(matrix).array) is np.ndarray
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    with pytest.raises(minilq.DTypeError, match="MaskedArray"):
        Tensor(masked)
    for odd in (matrix, masked):
        for call in (lambda odd=odd: leaf([1.0, 2.0]) * odd, lambda odd=odd: odd * leaf([1.0, 2.0]),
                     lambda odd=odd: ops.relu(odd), lambda odd=odd: ops.tanh(odd)):
            with pytest.raises(minilq.DTypeError, match="plain NumPy arrays"):
                call()


def test_big_endian_numbers_are_taken_everywhere():
    for dtype in (">f4", ">f8"):
        x = Tensor(np.array([1.0, 2.0], dtype), requires_grad=True)
        assert x.dtype.isnative
        ops.relu(x).sum().backward()
        assert x.grad.tolist() == [1, 1]
    assert Tensor(np.array([1, 2], ">i4"), dtype=np.float32).numpy().tolist() == [1, 2]
    assert ops.relu(np.ones(1, ">f8")).tolist() == [1]
    x = leaf([1.0, 2.0])
    y = x * np.array([3.0, 4.0], ">f8")
    assert y.dtype.isnative
    y.sum().backward()
    assert x.grad.tolist() == [[3, 4]]
    assert ops.index(np.array([1.0, 2.0], ">f4"), 1).dtype == np.float32


def test_iterating_over_a_tensor_gives_its_rows_and_their_gradients():
    x = Tensor(np.arange(15.0).reshape(5, 3), requires_grad=True)
    rows = list(x)
    assert [row.numpy().tolist() for row in rows] == x.numpy().tolist()
    sum((i + 1) * row.sum() for i, row in enumerate(rows)).backward()
    np.testing.assert_array_equal(x.grad, np.outer(np.arange(1, 6), np.ones(3)))
    assert list(Tensor(np.zeros((0, 3)))) == []
    with pytest.raises(TypeError, match="unsized"):
        list(Tensor(np.array(3.0)))


@given(n=st.integers(1, 60))
def test_the_cost_of_iterating_grows_as_the_work(n):
    """Entries of the gradients that selections give on the way back: n log n of them, and not n^2."""
    nodes = {row.node for row in Tensor(np.zeros((n, 1)), requires_grad=True)}
    entries, seen = 0, set()
    while nodes:
        node = nodes.pop()
        seen.add(node)
        entries += node.inputs[0].size
        nodes |= {node.inputs[0].node} - seen - {None}
    assert entries <= 2 * n * (2 + np.log2(n))
