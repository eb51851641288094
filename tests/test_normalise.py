"""Batch normalisation: its statistics, its two modes, and numbers that are hard on sums."""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import BatchNorm, ConfigError, Conv2D, DTypeError, ReLU, Sequential, ShapeError, Tensor, ops
from minilq.autodiff.gradcheck import compare, complex_step
from minilq.autodiff.tape import noting
from minilq.nn.model import together
from tests.strategies import normalisations, seeds


def slow(x, gamma, beta, mean, var, eps):
    """Channel by channel, number by number."""
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        c = at[-1]
        y[at] = (float(x[at]) - mean[c]) / (var[c] + eps) ** 0.5 * gamma[c] + beta[c]
    return y


def batch_statistics(x):
    columns = [[float(v) for v in x[..., c].ravel()] for c in range(x.shape[-1])]
    means = [sum(column) / len(column) for column in columns]
    return means, [sum((v - m) ** 2 for v in column) / len(column) for column, m in zip(columns, means, strict=True)]


@given(case=normalisations(), momentum=st.sampled_from([0.0, 0.5, 0.99]), eps=st.sampled_from([1e-3, 1e-5]))
def test_training_is_that_of_loops(both_backends, case, momentum, eps):
    (x, gamma, beta), (mean, var) = case
    before = mean.copy(), var.copy()
    y = ops.batch_norm(x, gamma, beta, mean, var, True, momentum, eps)
    batch_mean, batch_var = batch_statistics(x)
    np.testing.assert_allclose(y, slow(x, gamma, beta, batch_mean, batch_var, eps), rtol=1e-9, atol=1e-10)
    n = x.size // x.shape[-1]
    unbiased = np.array(batch_var) * n / (n - 1)
    for running, old, batch in ((mean, before[0], np.array(batch_mean)), (var, before[1], unbiased)):
        np.testing.assert_allclose(running, momentum * old + (1 - momentum) * batch, rtol=1e-11, atol=1e-14)


@given(case=normalisations(), eps=st.sampled_from([1e-3, 1e-5]))
def test_inference_is_that_of_loops_and_changes_nothing(both_backends, case, eps):
    (x, gamma, beta), (mean, var) = case
    before = mean.copy(), var.copy()
    for a in (mean, var):
        a.flags.writeable = False                              # only training writes
    y = ops.batch_norm(x, gamma, beta, mean, var, False, eps=eps)
    np.testing.assert_allclose(y, slow(x, gamma, beta, *before, eps), rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal((mean, var), before)


@given(case=normalisations(), training=st.booleans(), seed=seeds)
def test_gradients_in_both_modes(both_backends, case, training, seed):
    inputs, (mean, var) = case
    minilq.gradcheck(lambda *args: ops.batch_norm(*args, mean.copy(), var.copy(), training), *inputs, seed=seed)


@given(case=normalisations(), training=st.booleans(), seed=seeds)
def test_complex_step_in_both_modes(both_backends, case, training, seed):
    inputs, (mean, var) = case
    f = lambda *args: ops.batch_norm(*args, mean.copy(), var.copy(), training)  # noqa: E731
    tensors = [Tensor(a, requires_grad=True) for a in inputs]
    y = f(*tensors)
    g = np.random.default_rng(seed).standard_normal(y.shape)
    y.backward(g)
    compare("batch_norm", [t.grad for t in tensors], *complex_step(f, inputs, g), rtol=1e-11)


@given(case=normalisations(), training=st.booleans(), seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_after_a_relu_it_is_the_two_one_after_the_other_to_the_last_bit(both_backends, case, training, seed, dtype):
    rng = np.random.default_rng(seed)
    inputs, running = ([a.astype(dtype) for a in arrays] for arrays in case)
    inputs[0][rng.random(inputs[0].shape) < 0.2] = rng.choice([0.0, -0.0])
    found = []
    for op in (lambda x, *others: ops.batch_norm(ops.relu(x), *others), ops.relu_batch_norm):
        tensors, own = [Tensor(a, requires_grad=True) for a in inputs], [a.copy() for a in running]
        y = op(*tensors, *own, training)
        y.backward(np.random.default_rng(seed).standard_normal(y.shape).astype(dtype))
        found.append([y.numpy(), *own, *(t.grad for t in tensors)])
    for two, one in zip(*found, strict=True):
        assert one.dtype == two.dtype == dtype
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("training", [False, True])
def test_a_sequential_takes_a_relu_and_the_batch_norm_behind_it_in_one(training):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 5, 3)).astype(np.float32)
    layers = [Conv2D(3, 4, 3, rng), ReLU(), BatchNorm(4), ReLU(), ReLU(), BatchNorm(4), Conv2D(4, 2, 3, rng), ReLU()]
    with noting() as calls:
        y = Sequential(*copy.deepcopy(layers))(x, training)
    assert [call.primitive.name for call in calls] == ["conv2d", "relu_batch_norm", "relu", "relu_batch_norm", "conv2d",
                                                       "relu"]
    class Doubled(ReLU):
        def __call__(self, x, training=False):
            return 2 * super().__call__(x, training)

    assert type(next(together([Doubled(), BatchNorm(2)]))) is Doubled         # which does more than a relu
    one_by_one = x
    for layer in layers:
        one_by_one = layer(one_by_one, training)
    assert y.numpy().tobytes() == one_by_one.numpy().tobytes()


def test_one_number_per_channel(both_backends):
    """n = 1: the batch says nothing about spread, y = beta, no gradient reaches x, and var is the biased one."""
    mean, var = np.zeros(2), np.ones(2)
    x = Tensor([[3.0, -1.0]], requires_grad=True)
    y = ops.batch_norm(x, np.array([2.0, 2.0]), np.array([5.0, 6.0]), mean, var, True, 0.5)
    y.backward([[1.0, 10.0]])
    assert y.numpy().tolist() == [[5, 6]]
    assert x.grad.tolist() == [[0, 0]]
    assert mean.tolist() == [1.5, -0.5]
    assert var.tolist() == [0.5, 0.5]


def test_a_channel_of_equal_numbers(both_backends):
    x = np.full((6, 1), 7.25)
    y = ops.batch_norm(x, np.ones(1), np.full(1, 0.5), np.zeros(1), np.ones(1))
    np.testing.assert_array_equal(y, np.full((6, 1), 0.5))


@pytest.mark.parametrize("shape", [(64, 16, 16, 3), (30000, 2), (40, 700)])
def test_a_large_mean_does_no_harm(both_backends, shape):
    """Mean 1e4 and spread 1 in float32: the textbook's mean of squares minus squared mean loses every digit."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal(shape)).astype(np.float32)
    C = shape[-1]
    mean, var = np.zeros(C, np.float32), np.ones(C, np.float32)
    y = ops.batch_norm(x, np.ones(C, np.float32), np.zeros(C, np.float32), mean, var, True, 0.0)
    exact = x.astype(np.float64).reshape(-1, C)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var(0, ddof=1), rtol=2e-6)
    want = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-3)
    np.testing.assert_allclose(y.reshape(-1, C), want, rtol=0, atol=3e-6)
    assert abs(np.square(exact.astype(np.float32)).mean(0) - np.square(mean) - 1).max() > 1       # the textbook's


@pytest.mark.parametrize("training", [True, False])
def test_tensors_that_follow_are_updated_in_place_and_get_no_gradient(both_backends, training):
    rng = np.random.default_rng(0)
    x, gamma, beta = (Tensor(rng.standard_normal(s), requires_grad=True) for s in ((8, 3), (3,), (3,)))
    mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
    y = ops.batch_norm(x, gamma, beta, mean, var, training, 0.9)
    np.testing.assert_allclose(mean.numpy(), 0.1 * x.numpy().mean(0) if training else 0)
    y.backward(np.ones(y.shape))
    assert mean.grad is None
    assert all(t.grad is not None for t in (x, gamma, beta))
    wrong = ops.batch_norm(x, gamma, beta, Tensor(np.zeros(3), requires_grad=True), var, training)
    with pytest.raises(ConfigError, match="only its first 3 arguments are differentiable"):
        wrong.backward(np.ones(y.shape))


def test_the_backward_pass_uses_the_statistics_of_its_forward(both_backends):
    """Other batches may pass, and the running statistics may move, before it comes."""
    rng = np.random.default_rng(1)
    data, g = rng.standard_normal((2, 6, 3))
    for training in (True, False):
        grads = []
        for disturbed in (False, True):
            mean, var = np.zeros(3), np.ones(3)
            x = Tensor(data, requires_grad=True)
            y = ops.batch_norm(x, np.ones(3), np.zeros(3), mean, var, training)
            if disturbed:
                ops.batch_norm(data + 5, np.ones(3), np.zeros(3), mean, var)
            y.backward(g)
            grads.append(x.grad)
        np.testing.assert_array_equal(*grads)


def test_only_the_parameters_want_a_gradient(both_backends):
    rng = np.random.default_rng(2)
    x, g = rng.standard_normal((2, 5, 3))
    gamma, beta = (Tensor(v, requires_grad=True) for v in (np.ones(3), np.zeros(3)))
    y = ops.batch_norm(Tensor(x), gamma, beta, np.zeros(3), np.ones(3))
    y.backward(g)
    np.testing.assert_allclose(gamma.grad, (g * y.numpy()).sum(0))
    np.testing.assert_allclose(beta.grad, g.sum(0))


def test_dtypes_are_kept(both_backends):
    for dtype in (np.float32, np.float64):
        for training in (True, False):
            tensors = [Tensor(np.ones(s, dtype), requires_grad=True) for s in ((4, 2), (2,), (2,))]
            mean, var = np.zeros(2, dtype), np.ones(2, dtype)
            y = ops.batch_norm(*tensors, mean, var, training)
            assert y.dtype == dtype
            y.backward(np.ones((4, 2), dtype))
            assert [t.grad.dtype for t in tensors] == [dtype] * 3


def test_an_empty_batch_passes_in_inference(both_backends):
    x = Tensor(np.zeros((0, 4, 4, 3)), requires_grad=True)
    y = ops.batch_norm(x, np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), False)
    y.backward(np.zeros(y.shape))
    assert y.shape == x.grad.shape == x.shape


def vectors(C=3, dtype=np.float64):
    return [np.ones(C, dtype) for _ in range(4)]


def test_errors():
    x = np.ones((2, 5, 4, 3))
    for which, name in enumerate(("gamma", "beta", "running_mean", "running_var")):
        wrong = vectors()
        wrong[which] = np.ones(5)
        with pytest.raises(ShapeError, match=rf"batch_norm: {name} must have one number for each channel.*got {name} "
                                             r"\(5,\), x \(2, 5, 4, 3\). x seems to be \(N, C, H, W\)"):
            ops.batch_norm(x, *wrong)
        wrong[which] = np.ones(4)
        with pytest.raises(ShapeError, match=rf"{name} must have one number for each channel.*\(2, 5, 4, 3\)$"):
            ops.batch_norm(x, *wrong)
        wrong[which] = np.ones(3, np.float32)
        with pytest.raises(DTypeError, match=f"{name} must have the dtype of x; got float32 beside float64"):
            ops.batch_norm(x, *wrong)
        wrong[which] = [1.0, 1.0, 1.0]
        with pytest.raises(DTypeError, match=f"{name} must be an array of floats"):
            ops.batch_norm(x, *wrong)
    with pytest.raises(DTypeError, match="x must be an array of floats"):
        ops.batch_norm(x.astype(int), *vectors())
    with pytest.raises(ShapeError, match=r"x must be \(N, C\) or .* One sample needs a batch axis: x\[None\]"):
        ops.batch_norm(np.ones(3), *vectors())
    with pytest.raises(ShapeError, match="with at least one channel"):
        ops.batch_norm(np.ones((2, 0)), *vectors(0))
    with pytest.raises(ShapeError, match="a batch to train on must not be empty"):
        ops.batch_norm(x[:0], *vectors())
    for momentum in (1, 1.0, -0.1, np.nan, "0.9"):
        with pytest.raises(ConfigError, match="momentum must be a number with 0 <= momentum < 1"):
            ops.batch_norm(x, *vectors(), momentum=momentum)
    for eps in (0, -1e-3, np.nan, None):
        with pytest.raises(ConfigError, match="eps must be a number > 0"):
            ops.batch_norm(x, *vectors(), eps=eps)
    for which in (2, 3):
        frozen = vectors()
        frozen[which].flags.writeable = False
        with pytest.raises(ConfigError, match="running statistics must be writable in training"):
            ops.batch_norm(x, *frozen)
