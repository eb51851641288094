"""Optimizers against independent transcriptions; schedules, groups, the constraint, saved states."""

import math

import numpy as np
import pytest

import minilq
from minilq import SCALE_MIN, SGD, Adam, Tensor
from minilq.optim import Group, Together, constant, cosine, group, steps

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


def test_groups_of_a_model_hold_the_scales_up():
    layer = minilq.Dense(3, 2, np.random.default_rng(0), minilq.Quantizer(scale_rule=minilq.chain_rule()))
    adam = Adam(minilq.groups_of(layer), lr=0.1)
    for _ in range(5):
        adam.zero_grad()
        layer(Tensor(np.ones((4, 3), np.float32))).sum().backward()
        adam.step()
    s = layer.scales()["weight"].numpy()
    assert s.min() >= np.float32(SCALE_MIN)
    assert s.max() > 2 * SCALE_MIN


def test_a_single_tensor_or_group_will_do():
    a, b = parameter([0.0]), parameter([0.0])
    for optimizer, x in ((SGD(a, lr=1.0), a), (SGD(group([b]), lr=1.0), b)):
        x.grad = np.array([1.0])
        optimizer.step()
        assert x.item() == -1


def test_scales_stay_at_or_above_their_minimum_and_parameters_are_free():
    w, s = parameter([1.0], np.float32), parameter([2 * SCALE_MIN], np.float32)
    sgd = SGD([w, group([s], minimum=SCALE_MIN)], lr=1.0)
    w.grad, s.grad = np.float32([5.0]), np.float32([5.0])
    sgd.step()
    assert w.numpy().tolist() == [-4]
    assert s.numpy()[0] == np.float32(SCALE_MIN)


def test_groups_have_their_own_rates():
    a, b = parameter([0.0]), parameter([0.0])
    sgd = SGD([group([a]), Group((b,), lr=10.0)], lr=1.0)
    sgd.lr_factor = 0.5
    a.grad = b.grad = np.array([1.0])
    sgd.step()
    assert (a.item(), b.item()) == (-0.5, -5.0)


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


def test_mistakes():
    x = parameter([1.0])
    for call, error, message in (
            (lambda: Adam([x], lr=-1), minilq.ConfigError, "learning rate"),
            (lambda: Adam([x], lr=float("nan")), minilq.ConfigError, "learning rate"),
            (lambda: Adam([x], form="tf"), minilq.ConfigError, "form"),
            (lambda: Adam([x], beta1=1), minilq.ConfigError, "beta1"),
            (lambda: Adam([x], epsilon=0), minilq.ConfigError, "epsilon"),
            (lambda: SGD([x], momentum=1), minilq.ConfigError, "momentum"),
            (lambda: Adam({"w": x}), minilq.ConfigError, r"groups_of\(model\)"),
            (lambda: Adam(object()), minilq.ConfigError, r"groups_of\(model\)"),
            (lambda: Adam([x, x]), minilq.ConfigError, "twice"),
            (lambda: Adam([x * 2.0]), minilq.ConfigError, "result of an operation"),
            (lambda: Adam([Tensor([1.0])]), minilq.ConfigError, "require a gradient"),
            (lambda: Adam([x]).load_state({"steps": np.array(1)}), minilq.DataError, "0/m"),
            (lambda: Adam([x]).load_state({"steps": np.array(1), "0/m": np.zeros(2), "0/v": np.zeros(1)}),
             minilq.ShapeError, "0/m")):
        with pytest.raises(error, match=message):
            call()
