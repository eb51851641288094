"""What a derivative may not do: write into what it was handed, or read what its needs= does not name."""

import threading

import numpy as np
import pytest

import minilq
from minilq import Tensor, gradcheck, ops, replay_check
from minilq.autodiff import tape
from minilq.autodiff.primitive import PRIMITIVES

X = np.array([-1.0, 2.0, -3.0])


@pytest.fixture
def my_relu():
    @minilq.primitive
    def my_relu(x):
        return np.maximum(x, 0)

    yield my_relu
    del PRIMITIVES["my_relu"]


def into_g(g, y, x):
    dx = g
    dx[x <= 0] = 0
    return (dx,)


def into_x(g, y, x):
    x[:] = x > 0
    return (g * x,)


def into_y(g, y, x):
    y[y > 0] = 1
    return (np.multiply(g, y, out=y),)


def right(g, y, x):
    dx = g.copy()
    dx[x <= 0] = 0
    return (dx,)


@pytest.mark.parametrize("vjp", [into_g, into_x, into_y])
def test_a_derivative_that_writes_into_what_it_was_handed_is_refused(vjp, my_relu):
    g, arrays = np.array([1.0, 1.0, 1.0]), X.copy()
    with pytest.raises(minilq.TapeError, match=r"into_.*must not write .*dx = g.copy\(\)"):
        gradcheck(lambda x: np.maximum(x, 0), arrays, vjp=vjp, g=g)
    minilq.vjp_of(my_relu, kind="exact")(vjp)
    for check in (gradcheck, replay_check):
        with pytest.raises(minilq.TapeError, match=r"my_relu_vjp: must not write"):
            check(lambda x: my_relu(x) + x, arrays, g=g)
    x = Tensor(X, requires_grad=True)
    for backward in (lambda: my_relu(x).backward(g), lambda: (my_relu(x) + x).backward(g)):
        with pytest.raises(minilq.TapeError, match=r"my_relu_vjp: must not write"):
            backward()
    assert x.grad is None
    assert g.tolist() == [1, 1, 1]
    assert arrays.tolist() == x.numpy().tolist() == X.tolist()


def test_a_forward_that_writes_into_what_it_was_handed_is_refused():
    def rectify(x):
        x[x < 0] = 0
        return x

    def rectify_vjp(g, y, x):
        return (g * (y > 0),)

    my_rectifier = minilq.primitive(rectify)
    minilq.vjp_of(my_rectifier, kind="exact", needs="y")(rectify_vjp)
    try:
        x = Tensor(X, requires_grad=True)
        for call in (lambda: my_rectifier(x), lambda: gradcheck(my_rectifier, X), lambda: replay_check(my_rectifier, X),
                     lambda: gradcheck(rectify, X, vjp=rectify_vjp)):
            with pytest.raises(minilq.TapeError, match=r"rectify: must not write .*y = x.copy\(\)"):
                call()
    finally:
        del PRIMITIVES["rectify"]
    assert x.numpy().tolist() == X.tolist() == [-1, 2, -3]


def test_a_forward_may_hand_its_argument_through():
    through = minilq.primitive(lambda x: x)
    minilq.vjp_of(through, kind="exact", needs="")(lambda g, y, x: (g,))
    try:
        x = Tensor(X, requires_grad=True)
        y = through(x)
        assert y.array is x.array
        (y * y).backward(np.ones(3))
        assert x.grad.tolist() == [-2, 4, -6]
    finally:
        del PRIMITIVES["<lambda>"]


def test_a_copy_may_be_written_into(my_relu):
    minilq.vjp_of(my_relu, kind="exact")(right)
    x = Tensor(X, requires_grad=True)
    (my_relu(x) + x).sum().backward()
    assert x.grad.tolist() == [1, 2, 1]
    assert gradcheck(lambda x: my_relu(x) + x, X)
    assert gradcheck(lambda x: np.maximum(x, 0), X, vjp=right)


def test_other_errors_of_a_derivative_come_as_they_are(my_relu):
    def failing(g, y, x):
        raise ValueError("of its own")

    minilq.vjp_of(my_relu, kind="exact")(failing)
    with pytest.raises(ValueError, match="of its own"):
        my_relu(Tensor(X, requires_grad=True)).sum().backward()


def test_what_a_derivative_hands_through_can_be_written_into_by_the_next(my_relu):
    """A read-only g would be another type for a compiled kernel."""
    minilq.vjp_of(my_relu, kind="exact")(lambda g, y, x: (g,))
    seen = []

    @minilq.primitive
    def before(x):
        return x * 1.0

    minilq.vjp_of(before, kind="exact", needs="")(lambda g, y, x: (seen.append(g.base) or g,))
    try:
        x, g = Tensor(X, requires_grad=True), np.ones(3)
        my_relu(before(x)).backward(g)
        assert seen[0] is g
        x.grad[:] = 7
        assert g.tolist() == [1, 1, 1]
    finally:
        del PRIMITIVES["before"]


# Reading.

@pytest.mark.parametrize(("needs", "vjp", "missing"), [
    ("", lambda g, y, x: (3 * x**2 * g,), "x"), ("x", lambda g, y, x: (3 * y / x * g,), "y"),
    ("", lambda g, y, x: (3 * y / x * g,), "y, x"), ("", lambda g, y, x: (g * (x > 0),), "x")])
def test_a_wrong_needs_is_found_by_a_check_of_small_arrays(needs, vjp, missing):
    @minilq.primitive
    def cube(x):
        return x**3

    try:
        minilq.vjp_of(cube, kind="exact", needs=needs)(vjp)
        for check in (gradcheck, replay_check):
            with pytest.raises(minilq.GradientError, match=f"cube_vjp: may read only .* depends on {missing}"):
                check(lambda x: cube(x).sum(), X)
    finally:
        del PRIMITIVES["cube"]


def test_a_derivative_that_looks_at_what_it_has_not_named_may_raise():
    @minilq.primitive
    def halved(x):
        return x / 2

    def halved_vjp(g, y, x):
        if not np.isfinite(x).all():
            raise minilq.NonFiniteError("halved_vjp", "x must be finite")
        return (g / 2,)

    try:
        minilq.vjp_of(halved, kind="exact", needs="")(halved_vjp)
        with pytest.raises(minilq.GradientError, match="needs= does not name x"):
            gradcheck(halved, X)
    finally:
        del PRIMITIVES["halved"]


def test_every_argument_of_a_primitive_of_many_is_watched():
    @minilq.primitive
    def product_of(*x):
        return x[0] * x[1] * x[2]

    try:
        minilq.vjp_of(product_of, kind="exact")(lambda g, y, *x: (g * x[1] * x[2], g * x[0] * x[2], g * x[0] * x[1]))
        assert gradcheck(product_of, X, X + 1, X + 2)
        a, b, c = (Tensor(X, requires_grad=True) for _ in range(3))
        y = product_of(a, b, c)
        c.data[0] = 9
        with pytest.raises(minilq.TapeError, match="product_of: x must still hold"):
            y.sum().backward()
        minilq.vjp_of(product_of, kind="exact", needs="")(PRIMITIVES["product_of"].vjp)
        with pytest.raises(minilq.GradientError, match="may read only"):
            gradcheck(product_of, X, X + 1, X + 2)
    finally:
        del PRIMITIVES["product_of"]


def test_a_check_is_of_its_block_and_its_thread():
    assert not tape.mode.checking
    seen = []

    def f(x):
        seen.append(tape.mode.checking)
        thread = threading.Thread(target=lambda: seen.append(tape.mode.checking))
        thread.start()
        thread.join()
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        gradcheck(f, X)
    assert seen == [True, False]
    assert not tape.mode.checking


def test_freed_arrays_change_no_gradient(monkeypatch):
    def gradients():
        x, w, b = (Tensor(np.random.default_rng(i).standard_normal(shape), requires_grad=True)
                   for i, shape in enumerate([(4, 6, 6, 2), (3, 3, 2, 3), (3,)]))
        y = ops.relu(ops.conv2d(1.0 * x, 1.0 * w, 1.0 * b))
        (ops.tanh(ops.max_pool2d(y, 2)) * ops.sigmoid(y[:, ::2, ::2])).sum().backward()
        return [t.grad.tobytes() for t in (x, w, b)]

    before = gradients()
    monkeypatch.setattr(tape, "LARGE", 0)
    assert gradients() == before
