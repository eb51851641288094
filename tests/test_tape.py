"""The tape: accumulation, freeing, in-place changes, dtypes, ownership, and what Tensors accept."""

import gc
import threading
import weakref

import numpy as np
import pytest

import minilq
from minilq import Tensor, no_grad, ops
from minilq.autodiff.tape import TOGETHER, same_bits


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def test_gradients_accumulate_over_backward_calls():
    x = leaf(1.0, 2.0)
    for times in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, times * 2 * x.numpy())


def test_a_tensor_used_twice_gets_both_gradients():
    x = leaf(3.0)
    y = x * x + x
    (y * y + y).sum().backward()                 # d/dx (y^2 + y) = (2y + 1)(2x + 1), y = 12
    assert x.grad.tolist() == [25 * 7]


def test_a_diamond_visits_each_node_once_and_in_order():
    x = leaf(1.5)
    a = x * 2.0
    b = ops.exp(a) + a
    c = a * b
    (c + b).sum().backward()
    minilq.gradcheck(lambda x: (lambda a: a * (ops.exp(a) + a) + ops.exp(a) + a)(x * 2.0), np.array([1.5]))
    a_, e = 3.0, np.exp(3.0)
    np.testing.assert_allclose(x.grad, [2 * ((e + a_) + a_ * (e + 1) + e + 1)], rtol=1e-12)


def test_a_second_backward_on_a_freed_tape_is_an_error_and_changes_nothing():
    x = leaf(1.0)
    loss = ops.exp(x).sum()
    loss.backward()
    before = x.grad.copy()
    with pytest.raises(minilq.TapeError, match=r"sum: .*once"):
        loss.backward()
    np.testing.assert_array_equal(x.grad, before)


def test_a_part_of_the_tape_that_was_freed_is_reported():
    x = leaf(1.0)
    hidden = ops.exp(x)
    hidden.sum().backward()
    with pytest.raises(minilq.TapeError, match="exp"):
        (hidden * 2.0).sum().backward()


def test_backward_needs_a_gradient_to_go_to():
    with pytest.raises(minilq.TapeError, match="asks for a gradient"):
        Tensor([1.0]).backward()
    x = leaf(1.0, 2.0)
    with pytest.raises(minilq.ShapeError, match="needs g"):
        (x * 2.0).backward()
    with pytest.raises(minilq.ShapeError, match=r"shape \(2,\)"):
        (x * 2.0).backward(np.ones(3))
    with pytest.raises(minilq.DTypeError, match="float64"):
        (x * 2.0).backward(np.ones(2, np.float32))
    (x * 2.0).backward(np.array([1.0, -1.0]))
    assert x.grad.tolist() == [2, -2]


def test_backward_on_a_leaf():
    x = leaf(1.0, 2.0)
    g = np.array([3.0, 4.0])
    x.backward(g)
    g[:] = 0
    assert x.grad.tolist() == [3, 4]


# In-place changes.

WRITES = {
    "item": lambda x: x.data.__setitem__(0, 9.0),
    "augmented": lambda x: setattr(x, "data", x.data.__iadd__(1.0)),
    "ufunc out": lambda x: np.multiply(x.data, 2.0, out=x.data),
    "fill": lambda x: x.data.fill(np.nan),
    "sign of zero": lambda x: np.copysign(x.data, -1.0, out=x.data),
}

READERS = {
    "multiply": lambda x: x * x, "exp": ops.exp, "log": ops.log, "divide": lambda x: 1.0 / x,
    "absolute": ops.absolute, "power": lambda x: x**3,
    "matmul": lambda x: x.reshape(1, -1) @ x.reshape(-1, 1), "max": lambda x: x.max(),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("reader", READERS)
def test_an_array_that_a_derivative_needs_must_not_change(reader, write):
    x = leaf(1.0, 2.0)
    y = READERS[reader](x)
    WRITES[write](y if reader == "exp" else x)
    with pytest.raises(minilq.TapeError, match=f"{reader}: .*in place"):
        y.sum().backward()
    assert x.grad is None


def test_a_view_taken_before_recording_is_watched_too():
    x = leaf(1.0, 2.0)
    array = x.data
    y = x * x
    array[0] = 5
    with pytest.raises(minilq.TapeError, match="multiply: a must still hold"):
        y.sum().backward()


def test_a_write_through_a_view_of_the_input_is_found():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    rows = x.reshape(2, 2)
    y = ops.exp(rows) * rows
    rows.data[0, 0] = 7
    with pytest.raises(minilq.TapeError, match="multiply"):
        y.sum().backward()


def test_changes_that_no_derivative_needs_are_allowed():
    x = leaf(1.0, 2.0)
    y = (x + 1.0).reshape(2, 1).sum()
    x.data[0] = 9
    y.backward()
    assert x.grad.tolist() == [1, 1]


def test_changes_before_recording_are_allowed():
    x = leaf(1.0, 2.0)
    x.data[0] = 5
    x.data += 1
    (x * x).sum().backward()
    assert x.grad.tolist() == [12, 6]
    x.data[:] = 1                                # and between two programs
    (x * x).sum().backward()
    assert x.grad.tolist() == [14, 8]


def test_writing_back_the_same_numbers_is_no_change():
    x = leaf(1.0, np.nan)
    y = x * x
    x.data[:] = x.data.copy()
    y.sum().backward()
    assert x.grad[0] == 2


def test_an_optimizer_step_between_forward_and_backward_is_found():
    w = leaf(1.0, 2.0)
    early, late = (w * w).sum(), (w * w).sum()
    sgd = minilq.SGD([w], lr=0.1)
    early.backward()
    sgd.step()
    with pytest.raises(minilq.TapeError, match="multiply"):
        late.backward()


def test_the_callers_array_is_copied():
    values = np.array([1.0, 2.0])
    x = Tensor(values, requires_grad=True)
    y = (x * x).sum()
    values[:] = 100
    y.backward()
    assert x.grad.tolist() == [2, 4]


def test_plain_arrays_labels_and_keys_are_copied_when_a_derivative_needs_them():
    x, factor = leaf(1.0, 2.0), np.array([10.0, 20.0])
    y = (x * factor).sum()
    factor[:] = 0
    y.backward()
    assert x.grad.tolist() == [10, 20]
    x, key = leaf(1.0, 2.0, 3.0), np.array([0, 1])
    y = x[key].sum()
    key[:] = 2
    y.backward()
    assert x.grad.tolist() == [1, 1, 0]
    z, labels = leaf([0.0, 0.0]), np.array([0])
    loss = ops.softmax_cross_entropy(z, labels)
    labels[:] = 1
    loss.backward()
    assert z.grad.tolist() == [[-0.5, 0.5]]
    images, w = np.array([[1.0, 2.0]]), leaf([1.0], [1.0])             # a reused batch buffer
    y = ops.dense(images, w, leaf(0.0)).sum()
    images[:] = 7
    y.backward()
    assert w.grad.tolist() == [[1], [2]]


def test_numpy_gives_a_read_only_view():
    x = leaf(1.0)
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 2


def test_assigning_data_keeps_shape_and_dtype():
    x = leaf(1.0, 2.0, dtype=np.float32)
    x.data = [3, 4]
    assert x.dtype == np.float32
    assert x.numpy().tolist() == [3, 4]
    with pytest.raises(minilq.ShapeError, match="keep the shape"):
        x.data = np.zeros(3)
    y = x * 2.0
    with pytest.raises(minilq.TapeError, match="result of multiply"):
        y.data = np.zeros(2)


# Ownership of gradients.

def test_no_two_gradients_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = np.array([1.0, 1.0])
    (a + b).backward(g)
    a.grad += 10
    assert b.grad.tolist() == [1, 1]
    assert g.tolist() == [1, 1]
    c, d = leaf(1.0, 2.0), leaf(3.0, 4.0)
    ((c + d) * 2.0).sum().backward()
    assert not np.shares_memory(c.grad, d.grad)


def test_views_do_not_leak_into_gradients():
    x = leaf(1.0, 2.0)
    g = np.array([[5.0], [6.0]])
    x.reshape(2, 1).backward(g)
    x.grad[:] = 0
    assert g.tolist() == [[5], [6]]
    y = leaf(1.0, 2.0)
    y.sum().backward()
    y.grad += 1                                  # a broadcast view would refuse, or change both entries at once
    assert y.grad.tolist() == [2, 2]


def test_a_vjp_that_returns_its_argument_does_not_alias_it():
    @minilq.primitive
    def half_square(x):
        return 0.5 * x * x

    @minilq.vjp_of(half_square, kind="exact")
    def half_square_vjp(g, y, x):
        return (x,) if (g == 1).all() else (g * x,)

    try:
        x = leaf(1.0, 2.0)
        half_square(x).sum().backward()
        x.grad += 1
        assert x.numpy().tolist() == [1, 2]
    finally:
        del minilq.autodiff.primitive.PRIMITIVES["half_square"]


# Recording.

def test_no_grad_records_nothing_and_is_restored_after_an_error():
    x = leaf(1.0)

    def fail():
        with no_grad():
            with no_grad():
                pass
            assert not (x * 2.0).requires_grad
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert (x * 2.0).requires_grad


def test_no_grad_can_be_entered_again_and_decorate():
    x, block = leaf(1.0), no_grad()
    with block, block:
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad

    @no_grad()
    def twice(x):
        return x * 2.0

    assert not twice(x).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_is_per_thread():
    x, seen = leaf(1.0), []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2.0).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_the_tape_dies_with_its_result():
    x = leaf(1.0)
    y = ops.exp(x)
    node = weakref.ref(y.node.y.base if y.node.y.base is not None else y.node.y)
    gc.disable()
    try:
        del y
        assert node() is None                    # no cycle, no global list
    finally:
        gc.enable()


def test_a_kept_loss_does_not_keep_the_activations():
    x = leaf(1.0)
    hidden = ops.exp(x)
    array = weakref.ref(hidden.array)
    loss = hidden.sum()
    loss.backward()
    del hidden
    assert array() is None
    assert loss.item() == np.exp(1.0)


def test_large_results_that_no_derivative_reads_are_freed_before_the_backward_pass():
    x = minilq.Tensor(np.full(20_000, 2.0), requires_grad=True)
    negated = -x                                 # 160 kB, and relu's derivative reads its own result only
    rectified = ops.relu(negated)
    gone, kept = weakref.ref(negated.array), weakref.ref(rectified.array)
    squared = ops.multiply(rectified, rectified)
    del negated, rectified
    gc.collect()
    assert gone() is None
    assert kept() is not None                    # multiply reads its arguments
    squared.sum().backward()
    assert not x.grad.any()


def test_a_large_derivative_that_reads_more_than_it_said_gives_nan():
    @minilq.primitive
    def squared_wrongly(x):
        return x * x

    @minilq.vjp_of(squared_wrongly, kind="exact", needs="")
    def squared_wrongly_vjp(g, y, x):
        return (2 * g * x,)

    try:
        for n, right in ((10, True), (20_000, False)):
            x = minilq.Tensor(np.ones(n), requires_grad=True)
            squared_wrongly(1.0 * x).sum().backward()
            assert np.array_equal(x.grad, np.full(n, 2.0 if right else np.nan), equal_nan=True)
    finally:
        del minilq.autodiff.primitive.PRIMITIVES["squared_wrongly"]


def test_a_forward_may_hand_something_over_to_its_derivative():
    seen = []

    @minilq.primitive
    def scaled_by_a_draw(x, rng):
        factor = rng.random()
        return minilq.WithResidual(x * factor, factor)

    @minilq.vjp_of(scaled_by_a_draw, kind="exact", needs="")
    def scaled_by_a_draw_vjp(g, y, x, rng, residual):
        seen.append(residual)
        return (g * residual,)

    try:
        x = minilq.Tensor(np.ones(3), requires_grad=True)
        y = scaled_by_a_draw(x, np.random.default_rng(5))
        y.sum().backward()
        np.testing.assert_array_equal(x.grad, y.numpy())
        assert seen == [y.numpy()[0]]
        plain = scaled_by_a_draw(np.ones(3), np.random.default_rng(5))         # arrays in, an array out
        np.testing.assert_array_equal(plain, y.numpy())
        with minilq.no_grad():
            assert isinstance(scaled_by_a_draw(x, np.random.default_rng(5)), minilq.Tensor)
    finally:
        del minilq.autodiff.primitive.PRIMITIVES["scaled_by_a_draw"]


def test_detach_cuts_the_tape():
    x = leaf(2.0)
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [2]


# Dtypes and arguments.

@pytest.mark.parametrize("data", [[1, 2], [True], ["a"], [1j], np.ones(2, np.float16), None, {}])
def test_tensors_are_float32_or_float64(data):
    with pytest.raises(minilq.DTypeError, match="float32 or float64"):
        Tensor(data)


def test_a_dtype_converts_numbers_but_not_complex_ones():
    assert Tensor([1, True], dtype=np.float32).numpy().tolist() == [1, 1]
    with pytest.raises(minilq.DTypeError, match="complex128"):
        Tensor([1 + 2j], dtype=np.float64)


def test_dtypes_are_never_mixed_silently():
    a, b = Tensor(np.ones(2, np.float32)), Tensor(np.ones(2))
    for call in (lambda: a + b, lambda: ops.matmul(a.reshape(1, 2), b.reshape(2, 1)), lambda: a * np.ones(2),
                 lambda: ops.maximum(np.ones(2), a)):
        with pytest.raises(minilq.DTypeError, match="float32"):
            call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_python_numbers_take_the_dtype_of_the_tensor(dtype):
    x = Tensor(np.array(2.0, dtype), requires_grad=True)              # 0-d: where NumPy 1.26 would widen
    y = 3 * x**2 / 7 - 1.5 + (-x) + abs(x) + ops.exp(x) + ops.sigmoid(x) + ops.clip(x, -1.0, 1.0) + ops.maximum(x, 0.5)
    assert y.dtype == dtype
    y.backward()
    assert x.grad.dtype == dtype
    assert x.grad.shape == ()


def test_numpy_scalars_on_the_left():
    x = leaf(1.0, 2.0)
    y = np.float64(3.0) * x + np.array([1.0, 1.0])
    assert isinstance(y, Tensor)
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert (np.array([1.0, 1.0]) - x).numpy().tolist() == [0, -1]


def test_numpy_numbers_count_as_python_numbers():
    x = leaf(1.0, 2.0, dtype=np.float32)
    y = x / np.sqrt(2) * np.float64(2) + np.int64(1)
    assert y.dtype == np.float32
    (y ** np.float32(2)).sum().backward()
    assert x.grad.dtype == np.float32


def test_arrays_by_keyword_are_checked_too():
    with pytest.raises(minilq.DTypeError, match="float64 beside float32"):
        ops.multiply(leaf(1.0, dtype=np.float32), b=np.ones(1))


def test_what_python_expects_of_an_array():
    x = leaf(1.0, 2.0)
    a, b = x
    assert (float(a), f"{b.item():.1f}", bool(a), bool(leaf(0.0))) == (1.0, "2.0", True, False)
    (a * b).backward()
    assert x.grad.tolist() == [2, 1]
    with no_grad():
        np.testing.assert_allclose(x, [1, 2])
        assert np.asarray(x) is not x.array
    assert x.reshape(1, 2).transpose((1, 0)).shape == x.reshape(1, 2).T.shape == (2, 1)
    y = leaf(1.0, dtype=np.float32)
    (y * 2.0).backward([3.0])
    assert y.grad.tolist() == [6]


def test_comparisons_give_plain_arrays():
    x, y = leaf(1.0, 2.0), leaf(2.0, 2.0)
    assert (x < y).tolist() == [True, False]
    assert (x >= 2).tolist() == [False, True]
    assert isinstance(x > 0, np.ndarray)


def test_tensors_by_keyword():
    x, w, b = leaf([1.0, 2.0]), leaf([1.0], [1.0]), leaf(0.5)
    y = ops.dense(b=b, w=w, x=x)
    y.sum().backward()
    assert y.numpy().tolist() == [[3.5]]
    assert w.grad.tolist() == [[1], [2]]


def test_plain_arrays_in_plain_arrays_out():
    assert isinstance(ops.exp(np.ones(2)), np.ndarray)
    assert isinstance(ops.add(1.0, 2.0), float)


MISTAKES = {
    "add: shapes": lambda: leaf(1.0, 2.0) + np.ones(3),
    "dense: columns of x and rows of w": lambda: ops.dense(np.ones((2, 3)), np.ones((4, 5)), np.ones(5)),
    "dense: columns of w and the length of b": lambda: ops.dense(np.ones((2, 3)), np.ones((3, 5)), np.ones(4)),
    "dense: shapes must be": lambda: ops.dense(np.ones(3), np.ones((3, 5)), np.ones(5)),
    "matmul: both sides": lambda: leaf(1.0, 2.0) @ leaf(1.0, 2.0),
    "matmul: columns of a": lambda: ops.matmul(np.ones((2, 3)), np.ones((2, 3))),
    "matmul: stacks": lambda: ops.matmul(np.ones((2, 1, 3)), np.ones((3, 3, 1))),
    "reshape: the new shape must hold 2": lambda: leaf(1.0, 2.0).reshape(3),
    "transpose: axes": lambda: ops.transpose(np.ones((2, 3)), (0, 0)),
    "index: the key": lambda: leaf(1.0)[3],
    "sum: axis": lambda: leaf(1.0).sum(axis=1),
    "max: x must not be empty": lambda: ops.max(np.ones((0, 2)), axis=0),
    "mean: x must not be empty": lambda: ops.mean(np.ones(0)),
    "softmax_cross_entropy: logits": lambda: ops.softmax_cross_entropy(np.ones((2, 3)), np.array([0])),
    "softmax_cross_entropy: labels must lie": lambda: ops.softmax_cross_entropy(np.ones((1, 3)), np.array([3])),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_wrong_shapes_name_the_op(message):
    with pytest.raises(minilq.ShapeError, match=message):
        MISTAKES[message]()


def test_other_mistakes_name_the_op():
    with pytest.raises(minilq.DTypeError, match="labels must be integers"):
        ops.softmax_cross_entropy(np.ones((1, 3)), np.array([1.0]))
    with pytest.raises(minilq.ConfigError, match="clip: low"):
        ops.clip(np.ones(1), 2.0, 1.0)
    with pytest.raises(minilq.ConfigError, match="exponent"):
        leaf(2.0) ** leaf(2.0)
    for bound in (leaf(2.0), None, np.ones(1)):
        with pytest.raises(minilq.ConfigError, match="bounds must be numbers"):
            ops.clip(leaf(1.0), 0.0, bound)
    for axis in (1.0, [0, 1], "0"):
        with pytest.raises(minilq.ShapeError, match="axis must be one of"):
            leaf([1.0, 2.0]).sum(axis)
    with pytest.raises(minilq.ShapeError, match="named once"):
        leaf([1.0, 2.0]).sum((0, -2))
    with pytest.raises(minilq.ShapeError, match="axes must name"):
        leaf([1.0, 2.0]).transpose(-3, 0)
    with pytest.raises(minilq.ShapeError, match="equal lengths"):
        Tensor([[1.0], [1.0, 2.0]])
    with pytest.raises(minilq.ShapeError, match="one element"):
        leaf(1.0, 2.0).item()
    for call in (lambda: leaf(1.0) * [2.0], lambda: leaf(1.0) + np.array([1]), lambda: [[1.0]] @ leaf([1.0]),
                 lambda: ops.dense([[1.0]], leaf([1.0]), leaf(1.0)),
                 lambda: ops.softmax_cross_entropy([[1.0, 2.0]], [1])):
        with pytest.raises(minilq.DTypeError, match="float"):
            call()


# Primitives of one's own.

def test_a_primitive_of_ones_own():
    @minilq.primitive
    def cube(x):
        return x**3

    try:
        with pytest.raises(minilq.ConfigError, match="cube_vjp"):
            cube(leaf(2.0))

        @minilq.vjp_of(cube, kind="exact", needs="x")
        def cube_vjp(g, y, x):
            return (g * 3 * x**2,)

        assert minilq.gradcheck(cube, np.array([1.0, -2.0]))
        with pytest.raises(minilq.ConfigError, match="kind must be"):
            minilq.vjp_of(cube, kind="approximate")
        with pytest.raises(minilq.ConfigError, match="needs must name"):
            minilq.vjp_of(cube, kind="exact", needs="w")
    finally:
        del minilq.autodiff.primitive.PRIMITIVES["cube"]


@pytest.mark.parametrize(("returned", "error"), [
    (lambda g, x: (g.sum(),), minilq.ShapeError), (lambda g, x: (None,), minilq.ShapeError),
    (lambda g, x: (g.astype(np.float32),), minilq.DTypeError), (lambda g, x: g, minilq.ConfigError)])
def test_a_wrong_gradient_of_ones_own_is_reported(returned, error):
    @minilq.primitive
    def identity(x):
        return x * 1.0

    @minilq.vjp_of(identity, kind="exact")
    def identity_vjp(g, y, x):
        return returned(g, x)

    try:
        x = leaf(1.0, 2.0)
        with pytest.raises(error, match="identity_vjp"):
            identity(x).sum().backward()
        assert x.grad is None
    finally:
        del minilq.autodiff.primitive.PRIMITIVES["identity"]


def test_a_derivative_belongs_to_a_primitive():
    with pytest.raises(minilq.ConfigError, match="@primitive above"):
        minilq.vjp_of(lambda x: x, kind="exact")


def test_names_of_primitives_are_unique():
    with pytest.raises(minilq.ConfigError, match="name of its own"):
        @minilq.primitive
        def exp(x):
            return x


@pytest.mark.parametrize("size", [0, 1, 7, TOGETHER, TOGETHER + 1, 3 * TOGETHER])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits(size, dtype):
    a = np.zeros(size, dtype)
    assert same_bits(a, a.copy())
    assert same_bits(a, np.repeat(a, 2)[::2])
    assert not same_bits(a, np.zeros(size + 1, dtype))
    assert not same_bits(a, a[None])
    for place in {0, size - 1} if size else ():
        for number in (-0.0, np.nan, 1e-44):
            b = a.copy()
            b[place] = number
            assert not same_bits(a, b)
            assert same_bits(b, b.copy())
