"""Smooth programs: what a replay runs in place of a forward, and the pretend derivatives that are made of them."""

import itertools
import threading

import numpy as np
import pytest

import minilq
from minilq import Scaled, Tensor, fake_quantize, hold, nearest, ops, pretend, replay_check
from minilq.autodiff.memory import active, same_draws
from minilq.autodiff.primitive import PRIMITIVES
from minilq.selfcheck import verdicts

X = np.array([0.3, -1.2, 2.6])


@pytest.fixture
def steps():
    """Learned steps, one for all, as a primitive with a smooth program of its own."""
    @minilq.primitive
    def steps(x, s, factor=1.0):
        return s * np.rint(np.clip(x / s, -4, 3))

    @minilq.vjp_of(steps, kind="surrogate", needs="x s")
    def steps_vjp(g, y, x, s, factor=1.0):
        v = x / s
        inside, k = (v > -4) & (v < 3), np.rint(np.clip(v, -4, 3))
        return g * inside, factor * (g * (k - inside * v)).sum(keepdims=True)

    @minilq.smooth_of(steps)
    def steps_smooth(keep, x, s, factor=1.0):
        s = keep(s) + factor * (s - keep(s))
        u = np.clip(x / s, -4, 3)
        return s * (u + keep(np.rint(u) - u))

    yield steps
    del PRIMITIVES["steps"]


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_a_triple_of_ones_own(steps, factor):
    s = np.array([0.5])
    report = replay_check(lambda x, s: ops.tanh(steps(x, s, factor)), X, s)
    assert report.entries == 4
    wrong = lambda g, y, x, s, factor=1.0: (g, np.zeros(1))  # noqa: E731
    minilq.vjp_of(steps, kind="surrogate", needs="x s")(wrong)
    assert not replay_check(lambda x, s: ops.tanh(steps(x, s, factor)), X, s, raises=False)


def test_outside_a_replay_the_forward_runs_and_nothing_is_remembered(steps):
    x = Tensor(X, requires_grad=True)
    assert steps(x, np.array([0.5])).numpy().tolist() == [0.5, -1.0, 1.5]
    assert steps(X, np.array([0.5])).tolist() == [0.5, -1.0, 1.5]
    assert active.memory is None


def test_a_smooth_program_with_another_value_than_the_forward_is_refused(steps):
    @minilq.smooth_of(steps)
    def without_the_rounding(keep, x, s, factor=1.0):
        return s * np.clip(x / s, -4, 3)

    with pytest.raises(minilq.GradientError, match=r"steps_smooth: must have the value of steps .* up to 0.2"):
        replay_check(steps, X, np.array([0.5]))
    minilq.smooth_of(steps)(lambda keep, x, s, factor=1.0: s * 1.0)
    with pytest.raises(minilq.GradientError, match=r"shape \(1,\) for \(3,\)"):
        replay_check(steps, X, np.array([0.5]))


def test_a_smooth_program_belongs_to_a_primitive():
    with pytest.raises(minilq.ConfigError, match="smooth program belongs to a primitive"):
        minilq.smooth_of(np.rint)


def test_a_replay_is_of_its_thread_and_ends_with_an_error():
    seen = []

    def f(x):
        thread = threading.Thread(target=lambda: seen.append(active.memory))
        thread.start()
        thread.join()
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        replay_check(f, X)
    assert seen == [None]
    assert active.memory is None


def test_a_check_leaves_the_gradients_of_everything_else_alone():
    w = Tensor([2.0], requires_grad=True)
    minilq.gradcheck(lambda x: x * w, X)
    replay_check(lambda x: nearest(x) * w, X)
    assert w.grad is None


def test_generators_within_arguments_are_put_back():
    rng, other = np.random.default_rng(3), np.random.default_rng(4)
    quantizer = Scaled(minilq.stochastic(rng), granularity="scalar")
    with same_draws(quantizer, {"rng": [other]}):
        first = fake_quantize(X, np.array([0.5]), quantizer).tolist(), other.random()
    assert (fake_quantize(X, np.array([0.5]), quantizer).tolist(), other.random()) == first


# Heuristics.

def test_a_heuristic_gradient_is_nan_under_a_replay_and_refused():
    heuristic = Scaled("nearest", granularity="scalar")
    s = Tensor([0.5], requires_grad=True)
    assert replay_check(lambda P: fake_quantize(P, s, heuristic), X)       # nobody asks for that of s
    for f in (lambda s: fake_quantize(X, s, heuristic), lambda s: fake_quantize(Tensor(X), ops.exp(s), heuristic)):
        with pytest.raises(minilq.ConfigError, match="gradient of s is a heuristic, the derivative of nothing"):
            replay_check(f, np.array([0.5]), raises=False)


def test_arguments_can_be_named_heuristics():
    @minilq.primitive
    def guess(x, s):
        return x * s

    try:
        with pytest.raises(minilq.ConfigError, match="heuristic must name arguments of guess"):
            minilq.vjp_of(guess, kind="surrogate", heuristic="w")
        minilq.vjp_of(guess, kind="surrogate", heuristic="s")(lambda g, y, x, s: (g * s, 7 * g))
        assert replay_check(lambda x: guess(x, np.ones(3)), X)
        with pytest.raises(minilq.ConfigError, match="guess's gradient of s is a heuristic"):
            replay_check(guess, X, X)
        minilq.vjp_of(guess, kind="heuristic")(lambda g, y, x, s: (g * s, g * x))
        with pytest.raises(minilq.ConfigError, match="guess's gradient of x is a heuristic"):
            replay_check(lambda x: guess(x, np.ones(3)), X)
    finally:
        del PRIMITIVES["guess"]


# The cheap ways.

def gradient(f, x):
    x = Tensor(x, requires_grad=True)
    y = f(x)
    y.sum().backward()
    return y.numpy().tolist(), x.grad.tolist()


def test_nearest_passes_the_gradient_straight_through():
    assert gradient(nearest, [0.5, 1.5, -0.2]) == ([0, 2, -0.0], [1, 1, 1])
    assert not minilq.gradcheck(nearest, X, raises=False)
    assert replay_check(lambda x: nearest(x * x) * x, X)


def test_a_held_number_stays_where_it_was_and_a_detached_one_does_not():
    def scaled(constant):
        return lambda x: nearest(x / constant(x.max())) * constant(x.max())

    assert replay_check(scaled(hold), X)
    assert not replay_check(scaled(Tensor.detach), X, raises=False)
    assert gradient(lambda x: x * hold(x), [2.0, 3.0]) == ([4, 9], [2, 3])


def test_pretend_has_the_value_to_the_last_bit_and_the_gradient_that_was_said():
    value = np.array([0.1, 1e9, -0.0])
    y, dx = gradient(lambda x: pretend(x, value, np.array([0, 1, 2])), X)
    assert (np.array(y).tobytes(), dx) == (value.tobytes(), [0, 1, 2])
    assert gradient(lambda x: pretend(x, np.sign(x.numpy())), X) == ([1, -1, 1], [1, 1, 1])
    assert replay_check(lambda x: pretend(x, np.sign(x.numpy()), 0.5) * x, X)
    value[:] = 7
    assert y[0] == 0.1


@pytest.mark.parametrize(("error", "call"), [
    (minilq.ShapeError, lambda: pretend(X, X[:2])), (minilq.ShapeError, lambda: pretend(X, X, np.ones((2, 3)))),
    (minilq.DTypeError, lambda: pretend(X, X.astype(np.float32))), (minilq.DTypeError, lambda: pretend(X, 1.0)),
    (minilq.ShapeError, lambda: pretend(X, X, np.ones(2))),
    (minilq.DTypeError, lambda: nearest(np.array([1]))), (minilq.DTypeError, lambda: hold(3))])
def test_what_the_cheap_ways_refuse(error, call):
    with pytest.raises(error):
        call()


def test_a_check_says_that_a_gradient_is_defined():
    checked = sum(entry.at is not None for entry in PRIMITIVES.values())
    kinds = {v.name: v.kind for v in itertools.islice(verdicts(), checked)}
    assert (kinds["nearest"], kinds["hold"], kinds["pretend"]) == ("surrogate", "defined", "defined")
