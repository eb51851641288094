"""Quantizers: the replay check, published formulas, laws of the threshold rule, and the true derivative."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Scaled, Surrogate, Tensor, chain_rule, codes_of, fake_quantize, frozen, ops, threshold
from minilq.quantize.granularity import reduced_axes
from minilq.quantize.methods.scaled import MASKS
from minilq.quantize.rounding import ROUNDINGS
from minilq.quantize.scale_rule import SCALE_RULES, threshold_scale_gradient
from minilq.quantize.surrogate import SURROGATES
from minilq.selfcheck import CHECKED_RULES, HEURISTICS, transcribed_threshold
from tests.strategies import parameters_in_cells, seeds

pytestmark = pytest.mark.usefixtures("both_backends")

bounds = st.sampled_from([(None, None), (-4, 3), (0, 7), (None, 2), (-3, None)])
masks = st.sampled_from(MASKS)
roundings = st.sampled_from(sorted(ROUNDINGS))


def gradients(P, s, quantizer, g):
    P, s = Tensor(P, requires_grad=True), Tensor(s, requires_grad=True)
    y = fake_quantize(P, s, quantizer)
    y.backward(g)
    return y.numpy(), P.grad, s.grad


@pytest.mark.parametrize("surrogate", SURROGATES)
@given(case=parameters_in_cells(), rounding=roundings, bound=bounds, mask=masks, seed=seeds,
       factor=st.sampled_from([1.0, 0.1, -2.0]))
def test_replay_check_of_every_surrogate(surrogate, case, rounding, bound, mask, seed, factor):
    P, s, granularity = case
    q = Scaled(rounding, surrogate, granularity, chain_rule(factor), *bound, mask)
    minilq.replay_check(lambda P, s: fake_quantize(P, s, q), P, s, seed=seed)


@given(case=parameters_in_cells(max_dims=2), rule=st.sampled_from([frozen(), chain_rule()]), bound=bounds, mask=masks,
       seed=seeds)
def test_replay_check_of_stochastic_rounding(case, rule, bound, mask, seed):
    P, s, granularity = case
    q = Scaled(minilq.stochastic(np.random.default_rng(seed)), "straight_through", granularity, rule, *bound, mask)
    minilq.replay_check(lambda P, s: fake_quantize(P, s, q), P, s, seed=seed)


@given(seed=seeds, rounding=roundings)
def test_replay_check_through_a_whole_network(seed, rounding):
    rng = np.random.default_rng(seed)
    q1 = Scaled(rounding, "straight_through", "row", chain_rule())
    q2 = Scaled(rounding, "straight_through", "column", threshold(0.01), -3, 3)
    x, labels = rng.standard_normal((4, 5)), rng.integers(0, 3, 4)
    s1, s2 = rng.uniform(0.1, 0.3, (5, 1)), rng.uniform(0.1, 0.3, (1, 3))
    w1 = (rng.integers(-4, 4, (5, 6)) + rng.uniform(0.1, 0.4, (5, 6))) * s1
    w2 = (rng.integers(-4, 4, (6, 3)) + rng.uniform(0.1, 0.4, (6, 3))) * s2

    def network(w1, s1, w2):
        hidden = ops.tanh(ops.matmul(Tensor(x), fake_quantize(w1, s1, q1)))
        return ops.softmax_cross_entropy(ops.matmul(hidden, fake_quantize(w2, s2, q2)), labels)

    minilq.replay_check(network, w1, s1, w2)


def test_plain_finite_differences_disagree_with_a_surrogate():
    P, s = np.array([0.33, -0.8]), np.array([0.25])
    q = Scaled("nearest", granularity="scalar", scale_rule=chain_rule())
    assert not minilq.gradcheck(lambda P, s: fake_quantize(P, s, q), P, s, raises=False)
    assert minilq.replay_check(lambda P, s: fake_quantize(P, s, q), P, s)


def test_a_heuristic_cannot_be_replay_checked():
    with pytest.raises(minilq.ConfigError, match="derivative of nothing"):
        minilq.replay_check(lambda P, s: fake_quantize(P, s, Scaled()), np.ones((2, 2)), np.full((2, 1), 0.3))


def test_a_program_that_changes_under_replay_is_reported():
    q = Scaled("nearest", granularity="scalar", scale_rule=frozen())
    calls = []

    def unsteady(P):
        calls.append(1)
        return sum((fake_quantize(P, np.array([0.5]), q) for _ in range(min(len(calls), 2))), start=P)

    with pytest.raises(minilq.ConfigError, match="more calls"):
        minilq.replay_check(unsteady, np.array([0.3]))
    calls.extend([1] * 10)

    def fewer(P):
        calls.append(1)
        return sum((fake_quantize(P, np.array([0.5]), q) for _ in range(2 if len(calls) == 12 else 1)), start=P)

    calls[:] = [1] * 11
    with pytest.raises(minilq.ConfigError, match="fewer calls"):
        minilq.replay_check(fewer, np.array([0.3]))


@given(case=parameters_in_cells(), seed=seeds)
def test_the_true_derivative(case, seed):
    """Away from thresholds y does not move with P, and dy/ds = k: what straight-through replaces by g and k - v."""
    P, s, granularity = case
    q = Scaled("floor", "zero", granularity, chain_rule())
    g = np.random.default_rng(seed).standard_normal(P.shape)
    _, dP, ds = gradients(P, s, q, g)
    assert not dP.any()
    minilq.gradcheck(lambda P, s: fake_quantize(P, s, q), P, s, seed=seed)
    k = np.floor(P / s)
    np.testing.assert_allclose(ds, (g * k).sum(axis=reduced_axes(P.shape, s.shape)).reshape(s.shape), rtol=1e-9,
                               atol=1e-12)


@given(case=parameters_in_cells(), seed=seeds)
def test_lsq_as_published(case, seed):
    """Esser et al. 2020, equations 1 to 3, with the gradient factor 1 / sqrt(N Qp)."""
    P, s, granularity = case
    qn, qp = 4, 3
    q = Scaled("nearest", "straight_through", granularity, chain_rule("lsq"), -qn, qp)
    g = np.random.default_rng(seed).standard_normal(P.shape)
    y, dP, ds = gradients(P, s, q, g)
    v = P / s
    inside = (-qn < v) & (v < qp)
    np.testing.assert_array_equal(y, np.rint(np.clip(v, -qn, qp)) * s)
    np.testing.assert_array_equal(dP, np.where(inside, g, 0))
    d = np.where(inside, np.rint(v) - v, np.where(v <= -qn, -qn, qp))
    want = (g * d).sum(axis=reduced_axes(P.shape, s.shape)).reshape(s.shape) / math.sqrt(P.size / s.size * qp)
    np.testing.assert_allclose(ds, want, rtol=1e-9, atol=1e-12)


def test_clip_passes_the_gradient_at_its_bounds():
    P, s = np.array([-2.5, -2.0, 0.0, 1.0, 1.5]), np.array([1.0])
    for surrogate in ("straight_through", "clipped"):
        q = Scaled("nearest", surrogate, "scalar", frozen(), -2, 1)
        assert gradients(P, s, q, np.ones(5))[1].tolist() == [0, 1, 1, 1, 0]


def test_clipped_without_bounds_is_the_saturated_straight_through_of_binary_networks():
    P, s = np.array([-1.5, -1.0, -0.2, 0.0, 1.0, 1.1]), np.array([1.0])
    y, dP, _ = gradients(P, s, Scaled("sign", "clipped", "scalar", frozen()), np.ones(6))
    assert y.tolist() == [-1, -1, -1, 1, 1, 1]
    assert dP.tolist() == [0, 1, 1, 1, 1, 0]


def test_a_surrogate_of_ones_own_is_checked_like_the_built_in_ones():
    soft = Surrogate("soft", lambda u, low, high: np.tanh(u), lambda u, low, high: 1 - np.tanh(u) ** 2)
    wrong = Surrogate("wrong", lambda u, low, high: np.tanh(u), lambda u, low, high: 1 - np.tanh(u))
    P, s = np.array([0.33, -0.81, 0.06]), np.array([0.25])
    disguised = Surrogate("straight_through", soft.curve, soft.slope)
    for surrogate, ok in ((soft, True), (disguised, True), (wrong, False)):
        q = Scaled("sign", surrogate, "scalar", chain_rule())
        report = minilq.replay_check(lambda P, s, q=q: fake_quantize(P, s, q), P, s, raises=False)
        assert report.ok is ok


# The threshold rule: an independent transcription, and laws.

lambdas = st.sampled_from([0.0, 1e-11, 1e-10, 1e-4, 1e-3, 0.02, 1.0, 50.0])


def layer(seed, rows=4, columns=5, dtype=np.float64):
    rng = np.random.default_rng(seed)
    s = rng.uniform(0.02, 0.6, (rows, 1))
    P = (rng.integers(-7, 7, (rows, columns)) + rng.uniform(0.05, 0.95, (rows, columns))) * s
    g = rng.standard_normal(P.shape) * 10.0 ** rng.integers(-12, 2, P.shape)
    g[rng.random(P.shape) < 0.3] = 0
    g[0] = np.abs(g[0]) + 100                     # a row in which everything is sensitive
    return P.astype(dtype), s.astype(dtype), g.astype(dtype)


@given(seed=seeds, lam=lambdas, gate=st.booleans())
def test_threshold_rule_against_its_transcription(seed, lam, gate):
    P, s, g = layer(seed)
    y, dP, ds = gradients(P, s, Scaled(scale_rule=threshold(lam, gate)), g)
    np.testing.assert_array_equal(dP, g)
    np.testing.assert_allclose(ds, transcribed_threshold(g, y, s, lam, gate), rtol=1e-12)


@given(seed=seeds, lam=lambdas, gate=st.booleans())
def test_laws_of_the_threshold_rule(seed, lam, gate):
    P, s, g = layer(seed)
    rule = Scaled(scale_rule=threshold(lam, gate))
    ds = gradients(P, s, rule, g)[2]
    n_max = np.abs(np.floor(P / s)).max(axis=1, keepdims=True)
    assert (ds <= 0).all()                                                 # scales only grow
    assert (ds >= -np.tanh(lam) * n_max * (1 + 1e-12)).all()
    if lam == 0:
        assert not ds.any()
    if not gate:
        np.testing.assert_allclose(ds, -np.tanh(lam) * n_max, rtol=1e-12)
    shuffled = np.random.default_rng(seed).permutation(P.shape[1])
    np.testing.assert_allclose(gradients(P[:, shuffled], s, rule, g[:, shuffled])[2], ds, rtol=1e-12)
    np.testing.assert_allclose(gradients(P, s, rule, -g)[2], ds, rtol=1e-15)    # only |g| counts


def test_the_rule_tends_to_the_largest_code_for_large_lambda():
    P, s, g = layer(3)
    ds = gradients(P, s, Scaled(scale_rule=threshold(1e6)), g)[2]
    np.testing.assert_array_equal(ds, -np.abs(np.floor(P / s)).max(axis=1, keepdims=True))


def test_the_jump_of_the_rule_when_the_last_voter_turns_sensitive():
    P, s = np.array([[1.0, 1.0, 1.0, 1.0]]), np.array([[0.5]])
    rule = Scaled(scale_rule=threshold(0.01))
    one_voter = gradients(P, s, rule, np.array([[1, 1, 1, 0.0099]]))[2]
    none = gradients(P, s, rule, np.array([[1, 1, 1, 0.01]]))[2]
    np.testing.assert_allclose(one_voter, -np.tanh(0.0001) / 4 * 2, rtol=1e-9)
    np.testing.assert_allclose(none, -np.tanh(0.01) * 2, rtol=1e-12)


@given(seed=seeds)
def test_scalar_granularity_is_one_row(seed):
    P, s, g = layer(seed)
    one = gradients(P, s[:1, 0], Scaled(granularity="scalar"), g)[2]
    row = gradients(P.reshape(1, -1), s[:1], Scaled(granularity="row"), g.reshape(1, -1))[2]
    np.testing.assert_allclose(one, row[0], rtol=1e-12)


def test_every_scale_rule_has_a_check_of_its_kind():
    assert set(SCALE_RULES) == set(CHECKED_RULES) | set(HEURISTICS)
    for name, make in SCALE_RULES.items():
        rule = make(0.1) if name == "threshold" else make()
        assert rule.name == name
        assert rule.kind == ("surrogate" if name in CHECKED_RULES else "heuristic")


def test_a_nan_gradient_is_not_hidden_by_the_rule():
    g, y, s = np.array([[0.0, np.nan]]), np.array([[1.0, 1.0]]), np.array([[0.5]])
    assert np.isnan(threshold_scale_gradient(g, y, s, 0.01)).all()
    assert codes_of(y, s, Scaled()).tolist() == [[2, 2]]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("limits", [{}, {"qmin": -4, "qmax": 3}, {"qmin": -4}, {"qmax": 3}])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_parameter_that_is_not_finite_is_refused_with_and_without_bounds(value, limits, mask, dtype):
    q = Scaled("nearest", granularity="scalar", mask=mask, **limits)
    P, s = np.array([0.3, value], dtype), np.array([0.5], dtype)
    for call in (fake_quantize, codes_of):
        with pytest.raises(minilq.NonFiniteError, match=r"P\[1\] = "):
            call(P, s, q)
    P[1] = np.finfo(dtype).max
    for call in (fake_quantize, codes_of):
        with np.errstate(over="ignore"), pytest.raises(minilq.NonFiniteError, match="the scale is far too small"):
            call(P, s, q)


@pytest.mark.parametrize("qmax", [255, np.uint8(255), np.int16(255), 255.0, np.float32(255)])
def test_bounds_of_any_whole_number_give_one_factor(qmax):
    q = Scaled("nearest", granularity="scalar", scale_rule=chain_rule("lsq"), qmin=0, qmax=qmax)
    assert (q.qmax, type(q.qmax)) == (255, int)
    P, s, g = np.linspace(-1, 1, 300), np.array([0.5]), np.full(300, 0.1)
    want = gradients(P, s, Scaled("nearest", granularity="scalar", scale_rule=chain_rule(), qmin=0, qmax=255), g)[2]
    np.testing.assert_allclose(gradients(P, s, q, g)[2], want / math.sqrt(300 * 255), rtol=1e-12)


def test_bounds_from_the_codes_themselves():
    codes = codes_of(np.array([63.5, -64.0]), np.array([0.5]), Scaled("nearest", granularity="scalar"))
    q = Scaled("nearest", granularity="scalar", scale_rule=chain_rule("lsq"), qmin=codes.min(), qmax=codes.max())
    assert (q.qmin, q.qmax) == (-128, 127)
    assert np.isfinite(gradients(np.ones(300), np.array([0.5]), q, np.ones(300))[2]).all()
