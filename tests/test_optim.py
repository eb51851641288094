"""Optimizers against independent transcriptions; schedules, constraints, rates of their own, saved states."""

import math

import numpy as np
import pytest

import minilq
from minilq import SCALE_MIN, SGD, Adam, Parameter, Tensor, Within
from minilq.optim import Together
from minilq.schedule import constant, cosine, steps
from tests.networks import scales, weights

pytestmark = pytest.mark.usefixtures("both_backends")


def parameter(values, dtype=np.float64):
    return Tensor(np.array(values), requires_grad=True, dtype=dtype)


def run(optimizer, tensor, gradients):
    for g in gradients:
        tensor.grad = np.array(g, tensor.dtype)
        optimizer.step()
    return tensor.numpy()


def textbook_adam(x, gradients, lr, b1, b2, eps, form):
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        if form == "torch":
            x -= lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
        else:
            x -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (math.sqrt(v) + eps)
    return x


@pytest.mark.parametrize("form", ["keras", "torch"])
@pytest.mark.parametrize("size", [1e-9, 1e-3, 10.0])
def test_adam_against_the_textbook(form, size):
    gradients = size * np.random.default_rng(0).standard_normal(20)
    x = parameter([0.7])
    got = run(Adam([x], lr=0.01, epsilon=1e-7, form=form), x, gradients[:, None])
    np.testing.assert_allclose(got, [textbook_adam(0.7, gradients, 0.01, 0.9, 0.999, 1e-7, form)], rtol=1e-12)


def test_the_two_forms_differ_where_gradients_are_as_small_as_epsilon():
    ends = []
    for form in ("keras", "torch"):
        x = parameter([0.0])
        ends.append(float(run(Adam([x], lr=1e-4, form=form), x, [[-1e-8]] * 100)[0]))
    assert ends[1] > 1.2 * ends[0] > 0


def test_below_epsilon_adam_is_gradient_descent_with_rate_lr_over_epsilon():
    x = parameter([0.0])
    c, n = 1e-12, 5_000
    moved = float(run(Adam([x], lr=1e-4, epsilon=1e-7), x, [[-c]] * n)[0])
    full_steps = np.sqrt(1 - 0.999 ** np.arange(1, n + 1)).sum()          # the correction of v, below 1 at first
    np.testing.assert_allclose(moved, full_steps * c * 1e-4 / 1e-7, rtol=1e-4)


def test_adam_flushes_denormal_moments():
    x = parameter([1.0, 1.0], np.float32)
    adam = Adam([x])
    run(adam, x, [[1e-30, 1.0]] + [[0.0, 0.0]] * 200)
    moments = np.concatenate([adam.state()["0/m"], adam.state()["0/v"]])
    tiny = np.finfo(np.float32).tiny
    assert not np.any((moments != 0) & (np.abs(moments) < tiny))
    assert adam.state()["0/m"][0] == 0 < adam.state()["0/m"][1]


def test_sgd_with_momentum_against_the_textbook():
    gradients = np.random.default_rng(0).standard_normal((10, 3))
    x = parameter([1.0, 2.0, 3.0])
    got = run(SGD([x], lr=0.1, momentum=0.9), x, gradients)
    want, b = np.array([1.0, 2.0, 3.0]), 0
    for g in gradients:
        b = 0.9 * b + g
        want = want - 0.1 * b
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_the_parameters_of_a_model_hold_their_scales_up():
    layer = minilq.Dense(3, 2, np.random.default_rng(0))
    minilq.quantize(layer, weights(minilq.Scaled(scale_rule=minilq.chain_rule())))
    adam = Adam(layer.parameters().values(), lr=0.1)
    for _ in range(5):
        adam.zero_grad()
        layer(Tensor(np.ones((4, 3), np.float32))).sum().backward()
        adam.step()
    s = scales(layer)["weight"].numpy()
    assert s.min() >= np.float32(SCALE_MIN)
    assert s.max() > 2 * SCALE_MIN


def test_a_single_tensor_will_do():
    for x in (parameter([0.0]), Parameter([0.0])):
        x.grad = np.array([1.0])
        SGD(x, lr=1.0).step()
        assert x.item() == -1


def test_what_has_a_constraint_stays_within_it_and_the_rest_is_free():
    w, s = parameter([1.0], np.float32), Parameter([2 * SCALE_MIN], Within(SCALE_MIN), dtype=np.float32)
    sgd = SGD([w, s], lr=1.0)
    w.grad, s.grad = np.float32([5.0]), np.float32([5.0])
    sgd.step()
    assert w.numpy().tolist() == [-4]
    assert s.numpy()[0] == np.float32(SCALE_MIN)


@pytest.mark.parametrize("make", [lambda p: Adam(p, lr=10.0), lambda p: SGD(p, lr=10.0, momentum=0.9)],
                         ids=["adam", "sgd"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_gradient_is_so_large_that_a_constraint_would_not_hold(make, dtype):
    p = Parameter([0.0, 0.5, -0.5], Within(-1, 1), dtype=dtype)
    optimizer = make([p])
    for g in ([1e15, -1e15, 0.0], [-1e12, 3.0, 1e-30]):
        p.grad = np.array(g, dtype)
        optimizer.step()
        assert np.abs(p.numpy()).max() <= 1
    assert p.dtype == dtype


def test_a_constraint_is_any_function_of_the_array_and_sees_it_after_the_step():
    def masked(p):
        seen.append(p.copy())
        p[::2] = 0

    seen = []
    p = Parameter([1.0, 2.0, 3.0, 4.0], masked)
    p.grad = np.ones(4)
    SGD([p], lr=1.0).step()
    assert seen[0].tolist() == [0, 1, 2, 3]
    assert p.numpy().tolist() == [0, 1, 0, 3]


@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_parameters_have_their_own_rates(optimizer):
    moved = []
    for own, lr in ((1.0, 0.1), (10.0, 0.01), (0.0, 0.1)):
        p = Parameter([0.0], lr=own)
        both = optimizer([p], lr=lr)
        both.lr_factor = 0.5
        p.grad = np.array([1.0])
        both.step()
        moved.append(p.item())
    assert moved[0] == pytest.approx(-0.05, rel=1e-5)
    assert moved[1] == pytest.approx(moved[0], rel=1e-12)
    assert moved[2] == 0


def test_an_update_between_forward_and_backward_is_noticed_also_when_only_a_constraint_acts():
    p = Parameter([0.5], lambda a: a.fill(0.25))
    y = p * p
    p.grad = np.array([0.0])
    SGD([p], lr=1.0).step()
    with pytest.raises(minilq.TapeError, match="changed in place"):
        y.backward()


# ---- a model whose methods change


def test_followed_parameters_keep_their_moments_and_new_ones_begin_at_their_first_step():
    old, gone, new = parameter([1.0]), parameter([1.0]), parameter([1.0])
    alone, beside = parameter([1.0]), parameter([1.0])
    adam, only_old, only_new = Adam([old, gone], lr=0.1), Adam([alone], lr=0.1), Adam([beside], lr=0.1)
    gradients = np.random.default_rng(0).standard_normal((6, 1))
    for step, g in enumerate(gradients):
        if step == 3:
            adam.follow([new, old])
        old.grad = gone.grad = new.grad = alone.grad = beside.grad = g
        adam.step()
        only_old.step()
        if step >= 3:
            only_new.step()
    assert old.item() == alone.item()
    assert new.item() == beside.item()


def test_a_saved_state_remembers_when_a_parameter_came():
    def train(optimizer, tensors, gradients):
        for g in gradients:
            for tensor in tensors:
                tensor.grad = g
            optimizer.step()

    gradients = np.random.default_rng(0).standard_normal((6, 1))
    a, b = parameter([1.0]), parameter([2.0])
    adam = Adam([a])
    train(adam, [a], gradients[:2])
    adam.follow([a, b])
    train(adam, [a, b], gradients[2:4])
    c, d = parameter(a.numpy()), parameter(b.numpy())
    again = Adam([c, d])
    again.load_state(adam.state())
    train(adam, [a, b], gradients[4:])
    train(again, [c, d], gradients[4:])
    assert (c.item(), d.item()) == (a.item(), b.item())


def test_follow_refuses_what_the_constructor_refuses_and_then_changes_nothing():
    x = parameter([1.0])
    adam = Adam([x])
    for wrong in ([], [x, x], {"x": x}, [x * 2.0], [3]):
        with pytest.raises(minilq.ConfigError, match="Adam"):
            adam.follow(wrong)
    assert adam.tensors == [x]


def test_weights_by_adam_and_scales_by_sgd():
    w, s = parameter([1.0]), parameter([1.0])
    both = Together(Adam([w], lr=0.1), SGD([s], lr=0.1))
    both.lr_factor = 0.5
    w.grad = s.grad = np.array([2.0])
    both.step()
    np.testing.assert_allclose([w.item(), s.item()], [1 - 0.05, 1 - 0.1], rtol=1e-6)
    saved = both.state()
    both.zero_grad()
    assert w.grad is None is s.grad
    fresh = Together(Adam([w], lr=0.1), SGD([s], lr=0.1))
    fresh.load_state(saved)
    assert all(np.array_equal(fresh.state()[k], v) for k, v in saved.items())


def test_tensors_without_a_gradient_are_left_alone():
    a, b = parameter([1.0]), parameter([1.0])
    adam = Adam([a, b])
    a.grad = np.array([1.0])
    adam.step()
    assert b.item() == 1
    assert a.item() != 1
    assert not adam.state()["1/m"].any()


def test_float32_and_float64_side_by_side():
    a, b = parameter([1.0], np.float32), parameter([1.0], np.float64)
    adam = Adam([a, b], lr=0.1)
    a.grad, b.grad = np.float32([1.0]), np.array([1.0])
    adam.step()
    assert (a.dtype, b.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose([a.item(), b.item()], 0.9, rtol=1e-4)


@pytest.mark.parametrize("make", [Adam, lambda p: SGD(p, momentum=0.9)])
def test_a_saved_state_goes_on_to_the_same_bits(make):
    gradients = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    one = parameter(np.ones(4), np.float32)
    straight = run(make([one]), one, gradients).tobytes()
    two = parameter(np.ones(4), np.float32)
    first = make([two])
    run(first, two, gradients[:3])
    second = make([two])
    second.load_state(first.state())
    assert run(second, two, gradients[3:]).tobytes() == straight


def test_schedules():
    assert [constant(e) for e in (0, 9)] == [1, 1]
    assert [steps({2: 0.5, 4: 0.2})(e) for e in range(5)] == [1, 1, 0.5, 0.5, 0.1]
    assert cosine(10)(0) == 1
    assert cosine(10)(10) == 0 == cosine(10)(11)


def state_with(change):
    return {"steps": np.array(1), "0/m": np.zeros(1), "0/v": np.zeros(1), **change}


def test_a_state_that_does_not_fit_changes_nothing():
    x = parameter([1.0])
    adam = Adam([x])
    x.grad = np.array([1.0])
    adam.step()
    before = adam.state()
    with pytest.raises(minilq.DTypeError):
        adam.load_state(state_with({"0/v": np.zeros(1, int)}))
    assert all(np.array_equal(before[k], v) for k, v in adam.state().items())


def test_a_read_only_parameter_is_refused_in_one_line():
    x = parameter([1.0], np.float32)
    x.array.flags.writeable = False              # as a memory map that was opened for reading
    with pytest.raises(minilq.ConfigError, match=r"writable; got one of shape \(1,\), read-only") as caught:
        Adam([x])
    assert "\n" not in str(caught.value)


def test_parameters_that_become_read_only_are_refused_in_one_line():
    x = parameter([1.0], np.float32)
    adam = Adam([x])
    x.grad = np.ones(1, np.float32)
    x.array.flags.writeable = False
    with pytest.raises(minilq.ConfigError, match="read-only") as caught:
        adam.step()
    assert "\n" not in str(caught.value)


def test_mistakes():
    x = parameter([1.0])
    for call, error, message in (
            (lambda: Adam([x], lr=-1), minilq.ConfigError, "learning rate"),
            (lambda: Adam([x], lr=float("nan")), minilq.ConfigError, "learning rate"),
            (lambda: Adam([x], form="tf"), minilq.ConfigError, "form"),
            (lambda: Adam([x], beta1=1), minilq.ConfigError, "beta1"),
            (lambda: Adam([x], epsilon=0), minilq.ConfigError, "epsilon"),
            (lambda: SGD([x], momentum=1), minilq.ConfigError, "momentum"),
            (lambda: Adam({"w": x}), minilq.ConfigError, r"model\.parameters\(\)\.values\(\)"),
            (lambda: Adam(object()), minilq.ConfigError, r"model\.parameters\(\)\.values\(\)"),
            (lambda: Adam([]), minilq.ConfigError, "there must be a parameter; got none"),
            (lambda: Adam(x for x in ()), minilq.ConfigError, "there must be a parameter; got none"),
            (lambda: Adam(None), minilq.ConfigError, "a NoneType"),
            (lambda: Adam("parameters"), minilq.ConfigError, "must be Parameters; got a str"),
            (lambda: Adam([np.ones(2)]), minilq.ConfigError, "must be Parameters; got a ndarray"),
            (lambda: Adam([x], lr=None), minilq.ConfigError, "learning rate"),
            (lambda: Adam([x], lr="0.1"), minilq.ConfigError, "learning rate"),
            (lambda: Adam([x], beta1=None), minilq.ConfigError, "beta1"),
            (lambda: Adam([x], epsilon="small"), minilq.ConfigError, "epsilon"),
            (lambda: SGD([x], momentum=None), minilq.ConfigError, "momentum"),
            (lambda: Parameter([1.0], constraint=3), minilq.ConfigError, "constraint must be a function"),
            (lambda: Parameter([1.0], lr=-1), minilq.ConfigError, "must be a number >= 0"),
            (lambda: Within(2, 1), minilq.ConfigError, "low must not be above high"),
            (lambda: Within("a"), minilq.ConfigError, "low must be a number"),
            (lambda: Within(high=math.nan), minilq.ConfigError, "high must be a number"),
            (lambda: Adam([x, x]), minilq.ConfigError, "twice"),
            (lambda: Adam([x * 2.0]), minilq.ConfigError, "result of an operation"),
            (lambda: Adam([Tensor([1.0])]), minilq.ConfigError, "require a gradient"),
            (lambda: Adam([x]).load_state({"steps": np.array(1)}), minilq.DataError, "0/m"),
            (lambda: Adam([x]).load_state({"steps": np.array(1), "0/m": np.zeros(2), "0/v": np.zeros(1)}),
             minilq.ShapeError, "0/m"),
            (lambda: Adam([x]).load_state(state_with({"0/m": np.zeros(1, complex)})), minilq.DTypeError, "0/m"),
            (lambda: Adam([x]).load_state(state_with({"0/v": np.array(["a"])})), minilq.DTypeError, "0/v"),
            (lambda: Adam([x]).load_state(state_with({"steps": np.zeros(3, int)})), minilq.DataError, "steps"),
            (lambda: Adam([x]).load_state(state_with({"steps": np.array(-1)})), minilq.DataError, "steps"),
            (lambda: Adam([x]).load_state(state_with({"steps": np.array(1.5)})), minilq.DataError, "steps")):
        with pytest.raises(error, match=message):
            call()


def test_all_differences_of_an_optimizers_state_are_listed_in_one_error():
    adam, sgd = Adam([Parameter(np.zeros(3)), Parameter(np.zeros(2))]), SGD([Parameter(np.zeros(3))])
    with pytest.raises(minilq.DataError, match=r"SGD: .*missing: 0/momentum; too much: 0/m, 0/v, 1/m, 1/v\."):
        sgd.load_state(adam.state())
    state = {**adam.state(), "0/m": np.zeros(4), "1/v": np.zeros(2, complex)}
    del state["steps"]
    with pytest.raises(minilq.DataError, match=r"missing: steps; of another kind: 1/v complex128, not float64; "
                       r"of another shape: 0/m \(4,\), not \(3,\)"):
        adam.load_state(state)


def test_several_optimizers_take_a_state_together_or_not_at_all():
    def made():
        return [Parameter(np.ones(3)), Parameter(np.ones(2))]

    one, two = made()
    both = Together(Adam([one]), SGD([two], momentum=0.9))
    for p in (one, two):
        p.grad = np.ones(p.shape)
    both.step()
    saved, fresh = both.state(), Together(*(kind([p]) for kind, p in zip((Adam, SGD), made(), strict=True)))
    before = fresh.state()
    with pytest.raises(minilq.ShapeError, match="0/momentum"):
        fresh.load_state({**saved, "1/0/momentum": np.zeros(5)})
    assert all(np.array_equal(before[key], array) for key, array in fresh.state().items())
    fresh.load_state(saved)
    assert all(np.array_equal(saved[key], array) for key, array in fresh.state().items())


@pytest.mark.parametrize("form", ["keras", "torch"])
@pytest.mark.parametrize("size", [1e15, 9e18, 1e19, 1e25, 3e38])
def test_adam_takes_gradients_whose_square_is_no_float(size, form):
    """As in float64, where it is one: every step is as long as the rate. Two such gradients were NaN."""
    paths = {}
    for dtype in (np.float32, np.float64):
        p = Parameter(np.zeros(3), dtype=dtype)
        optimizer, path = Adam([p], lr=0.01, form=form), []
        for _ in range(4):
            p.grad = (size * np.array([1.0, -1.0, 0.0])).astype(dtype)
            optimizer.step()
            path.append(p.numpy().copy())
        paths[dtype] = np.array(path)
    np.testing.assert_allclose(paths[np.float32], paths[np.float64], rtol=1e-4)
    np.testing.assert_allclose(paths[np.float32][:, 0], -0.01 * np.arange(1, 5), rtol=1e-3)


def test_adam_does_not_hide_an_infinite_gradient():
    p = Parameter(np.zeros(2), dtype=np.float32)
    p.grad = np.array([np.inf, 1.0], np.float32)
    with np.errstate(all="ignore"):
        Adam([p]).step()
    assert np.isnan(p.numpy()).tolist() == [True, False]
