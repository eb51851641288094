"""What a gradient check can tell: saturation, cancellation, entries of very different size, and what it is asked."""

import numpy as np
import pytest

import minilq
from minilq import Tensor, gradcheck, ops, replay_check
from minilq.quantize.penalties import inverse_term


@pytest.mark.parametrize("d", [0, 5, 12, 14, 17, 20, 23, 26, 30, 34, 36.7, 40, 50, 800])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_saturated_softmax_is_right(d, label, seed):
    alone = np.array([[0.0, d]])
    assert gradcheck(lambda z: ops.softmax_cross_entropy(z, np.array([label])), alone, seed=seed)
    both = np.array([[0.0, d], [0.3, -0.4]])
    assert gradcheck(lambda z: ops.softmax_cross_entropy(z, np.array([label, 0])), both, seed=seed)


@pytest.mark.parametrize("d", [0, 5, 12, 16, 20])
def test_a_wrong_derivative_of_a_saturated_softmax_is_found(d):
    labels = np.array([1])

    def wrong(g, y, z):
        return (1.001 * ops.loss.softmax_cross_entropy_vjp(g, y, z, labels)[0],)

    assert not gradcheck(lambda z: ops.softmax_cross_entropy(z, labels), np.array([[0.0, d]]), vjp=wrong, raises=False)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_network_on_raw_pixels_saturates_and_is_right(n, seed):
    rng = np.random.default_rng(seed)
    x, labels = rng.integers(0, 256, (n, 60)) * (rng.random((n, 60)) < 0.2) * 1.0, rng.integers(0, 10, n)
    w1, b1, w2, b2 = (rng.normal(0, std, shape) for std, shape in
                      ((0.3, (60, 16)), (1, 16), (0.3, (16, 10)), (1, 10)))

    def loss(w1, b1, w2, b2):
        return ops.softmax_cross_entropy(ops.dense(ops.relu(ops.dense(Tensor(x), w1, b1)), w2, b2), labels)

    assert gradcheck(loss, w1, b1, w2, b2, seed=seed).entries == 60 * 16 + 16 + 160 + 10


def linear(slope, constant):
    return lambda x: 3 * x + constant, lambda g, y, x: (slope * g,)


@pytest.mark.parametrize("constant", [1e5, 1e9, 1e10, 1e12, 1e15, 1e17])
@pytest.mark.parametrize("slope", [2.9, 0, -3])
@pytest.mark.parametrize("x", [1.0, 0.01, 0.0, 300.0])
def test_a_large_constant_hides_no_wrong_derivative(constant, slope, x):
    f, vjp = linear(slope, constant)
    report = gradcheck(f, np.array([x]), vjp=vjp, raises=False)
    assert not report
    if constant <= 1e9 and x >= 1:
        assert not report.cannot_tell


def test_what_cannot_be_told_is_said():
    f, vjp = linear(0, 1e17)
    with pytest.raises(minilq.GradientError, match=r"cannot tell: f cancels, .* rounding hides what it does"):
        gradcheck(f, np.array([1.0]), vjp=vjp)
    assert gradcheck(f, np.array([1.0]), vjp=vjp, raises=False).cannot_tell
    f, vjp = linear(3, 1e5)
    assert gradcheck(f, np.array([1.0, 0.3]), vjp=vjp)


def test_a_wrong_entry_is_named_before_one_that_cannot_be_told():
    report = gradcheck(lambda x: np.array([3 * x[0] + 1e17, x[1]]), np.array([1.0, 1.0]),
                       vjp=lambda g, y, x: (g * [3, 2],), raises=False)
    assert (report.ok, report.cannot_tell, report.index) == (False, False, (1,))


WIDE = {
    "inverse": (lambda s: 1 / s, lambda s: -1 / s**2, np.array([1.2e-5, 1.0])),
    "cube": (lambda x: x**3, lambda x: 3 * x**2, np.array([1.0, 1e-6, 0.0, 1e6])),
    "log": (np.log, lambda x: 1 / x, np.array([1.0, 1e-9, 1e9])),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x)**2, np.array([1.0, 1e-9, 1e-30, 0.0])),
    "scaled down": (lambda x: 1e-20 * x, lambda x: np.full_like(x, 1e-20), np.array([1.0, 2.0])),
}


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("summed", [False, True])
def test_each_entry_is_judged_at_its_own_size(name, summed):
    f, slope, x = WIDE[name]
    f_ = (lambda x: f(x).sum()) if summed else f
    assert gradcheck(f_, x, vjp=lambda g, y, x: (g * slope(x),))
    if not summed:
        for i in np.flatnonzero(slope(x)):
            off = np.ones(len(x))
            off[i] = 1.00001
            report = gradcheck(f_, x, vjp=lambda g, y, x, off=off: (g * slope(x) * off,), raises=False)
            assert not report
            assert report.index == (i,)


def test_the_inverse_penalty_of_a_small_and_a_large_scale():
    assert gradcheck(inverse_term, np.array([1.2e-5, 1.0]))


def test_where_f_is_not_defined_a_careful_look_goes_no_further():
    assert gradcheck(lambda s: inverse_term(s) + (s * s).sum() + 1e3, np.array([1e-9, 1.0]))
    with pytest.raises(minilq.ConfigError, match="every scale must be > 0"):
        gradcheck(inverse_term, np.array([-1.0]))


@pytest.mark.parametrize("rtol", [0, -1e-6, np.nan, 1, 2.0, np.inf, "1e-6", None])
@pytest.mark.parametrize("check", [gradcheck, replay_check])
def test_a_tolerance_that_accepts_everything_is_refused(check, rtol):
    with pytest.raises(minilq.ConfigError, match="rtol must be a number with 0 < rtol < 1"):
        check(lambda x: x * x, np.array([1.0]), rtol=rtol)


@pytest.mark.parametrize("result", [np.ones(2), 1.0, (Tensor([1.0]),) * 2, None, [1.0]], ids=str)
@pytest.mark.parametrize("check", [gradcheck, replay_check])
def test_f_must_return_one_tensor(check, result):
    with pytest.raises(minilq.ConfigError, match=f"f must return one Tensor; got {type(result).__name__}"):
        check(lambda x: result, np.ones(2))


def test_f_on_arrays_must_return_one_array():
    with pytest.raises(minilq.ConfigError, match="f must return one array; got tuple"):
        gradcheck(lambda x: (x, x), np.ones(2), vjp=lambda g, y, x: (g,))
    assert gradcheck(lambda x: float(x @ x), np.ones(2), vjp=lambda g, y, x: (2 * g * x,))


@pytest.mark.parametrize("check", [gradcheck, replay_check])
def test_nothing_to_compare_is_no_agreement(check):
    for inputs in ((), (np.ones(0),), (np.ones((0, 3)), np.ones((2, 0)))):
        with pytest.raises(minilq.ConfigError, match="nothing to compare"):
            check(lambda *x: Tensor(1.0), *inputs)
    assert check(lambda x, y: x.sum() * 1.0, np.ones(2), np.ones(0)).entries == 2


def test_the_callers_inputs_stay_as_they_are():
    x = np.ones(2)

    def f(x):
        x += 1
        return x

    with pytest.raises(minilq.TapeError, match="gradcheck: f: must not write"):
        gradcheck(f, x, vjp=lambda g, y, x: (g,))
    assert x.tolist() == [1, 1]
