"""Dropout: what it drops, how often, and when it does nothing."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import ConfigError, DTypeError, Tensor, ops
from tests.strategies import arrays, seeds, shapes

rates = st.sampled_from([0.1, 0.25, 0.5, 0.9, 1 - 1e-9])


@given(x=arrays(shapes(1, 4)), rate=rates, seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_each_number_is_dropped_or_grows(both_backends, x, rate, seed, dtype):
    x = (np.abs(x) + 0.1).astype(dtype)                          # no zeros before
    y = ops.dropout(x, rate, np.random.default_rng(seed))
    assert y.dtype == dtype
    assert y.shape == x.shape
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept].astype(float) / (1 - rate), rtol=1e-6 if dtype == np.float32 else 1e-14)


@given(x=arrays(shapes(1, 4)), rate=rates, seed=seeds)
def test_gradient_of_the_drawn_mask(both_backends, x, rate, seed):
    minilq.gradcheck(lambda x: ops.dropout(x, rate, np.random.default_rng(seed)), x, seed=seed)


@given(x=arrays(shapes()), seed=seeds)
def test_the_gradient_is_dropped_where_the_number_was(both_backends, x, seed):
    x = Tensor(np.abs(x) + 0.1, requires_grad=True)
    y = ops.dropout(x, 0.5, np.random.default_rng(seed))
    y.backward(np.ones(x.shape))
    np.testing.assert_array_equal(x.grad, 2.0 * (y.numpy() != 0))


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.97])
def test_the_share_and_the_mean_are_those_asked_for(both_backends, rate):
    """Within six standard deviations of a binomial."""
    n = 400_001
    y = ops.dropout(np.ones(n), rate, np.random.default_rng(7))
    deviation = 6 * (rate * (1 - rate) / n) ** 0.5
    assert abs(np.mean(y == 0) - rate) < deviation
    assert abs(y.mean() - 1) < deviation / (1 - rate)


def test_neighbours_are_independent():
    """Four numbers share one draw of 64 bits; no two places, and no two calls, go together."""
    rng = np.random.default_rng(3)
    rows = np.array([ops.dropout(np.ones(8), 0.5, rng) for _ in range(20_000)])
    np.testing.assert_allclose(np.corrcoef(rows.T), np.eye(8), atol=0.05)
    assert abs(np.corrcoef(rows[1:, 0], rows[:-1, 0])[0, 1]) < 0.05


def test_equal_states_drop_equal_numbers_and_backends_agree():
    masks, before = [], minilq.kernels_in_use()
    try:
        for on in (True, False):
            minilq.use_kernels(on)
            masks.append(ops.dropout(np.ones((40, 50), np.float32), 0.3, np.random.default_rng(5)))
    finally:
        minilq.use_kernels(before)
    np.testing.assert_array_equal(*masks)
    rng = np.random.default_rng(5)
    assert (ops.dropout(np.ones(100), 0.5, rng) != ops.dropout(np.ones(100), 0.5, rng)).any()


@pytest.mark.parametrize("options", [(0.5, False), (0, True), (0.0, False)])
def test_without_training_and_for_rate_0_nothing_happens(both_backends, options):
    rate, training = options
    x = np.arange(6.0)
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert ops.dropout(x, rate, rng, training) is x
    t = Tensor(x, requires_grad=True)
    ops.dropout(t, rate, rng, training).backward(x + 1)
    np.testing.assert_array_equal(t.grad, x + 1)
    assert rng.bit_generator.state == before


def test_special_numbers_follow_the_product(both_backends):
    with np.errstate(invalid="ignore"):
        y = ops.dropout(np.full(200, np.inf), 0.5, np.random.default_rng(0))
    assert set(np.isnan(y)) == {True, False}                     # infinity times 0
    assert np.isnan(ops.dropout(np.full(20, np.nan), 0.5, np.random.default_rng(0))).all()
    assert ops.dropout(np.zeros((0, 3)), 0.5, np.random.default_rng(0)).shape == (0, 3)


def test_errors():
    rng = np.random.default_rng(0)
    for rate in (1, 1.0, -0.1, np.nan, "0.5", None, True):
        with pytest.raises(ConfigError, match=r"dropout: rate must be a number with 0 <= rate < 1.*that is dropped"):
            ops.dropout(np.ones(3), rate, rng)
    for wrong in (0, None, np.random, np.random.RandomState(0)):
        with pytest.raises(ConfigError, match=r"dropout: rng must be a numpy\.random\.Generator"):
            ops.dropout(np.ones(3), 0.5, wrong)
    with pytest.raises(DTypeError, match="dropout: x must be an array of floats"):
        ops.dropout(np.ones(3, int), 0.5, rng)
