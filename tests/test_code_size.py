"""The size of the codes as a penalty: what it counts, where it draws to, and what would be found if it were wrong."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Dense, Scaled, Sequential, Tensor, penalty_on, quantize, stochastic
from minilq.errors import ConfigError, NonFiniteError
from minilq.quantize.entropy import code_size_term, costs_of
from minilq.quantize.statistics import entropy_of
from tests.strategies import parameters_in_cells

NEAREST = Scaled("nearest", granularity="scalar")


@given(codes=st.lists(st.integers(-9, 5), min_size=1, max_size=40), s=st.sampled_from([0.25, 2.0]))
def test_in_the_middle_of_the_cells_it_is_the_entropy_of_the_codes(codes, s):
    k = np.array(codes)
    for rounding, middle in (("nearest", 0.0), ("floor", 0.5), ("ceil", -0.5)):
        P, quantizer = (k + middle) * s, Scaled(rounding)
        assert code_size_term(P, np.array([s]), quantizer) == pytest.approx(k.size * entropy_of(k), abs=1e-9)
        np.testing.assert_array_equal(minilq.codes_of(P, np.array([s]), Scaled(rounding, granularity="scalar")), k)


def test_with_stochastic_rounding_the_shares_are_those_that_are_expected():
    rng = np.random.default_rng(0)
    P, s, rounding = rng.normal(0, 0.3, 20_000), np.array([0.2]), stochastic(rng)
    drawn = entropy_of(rounding(P / s).astype(int))
    assert code_size_term(P, s, Scaled(rounding)) / P.size == pytest.approx(drawn, rel=3e-3)


def test_bounds_cut_off_codes_and_what_is_beyond_them_stays():
    P, s = Tensor(np.array([0.3, 9.0, -9.0, 1.2]), requires_grad=True), Tensor(np.array([1.0]), requires_grad=True)
    y = code_size_term(P, s, Scaled("nearest", qmin=-2, qmax=1))
    y.backward()
    counts = np.array([1, 0.7, 0.3 + 1 + 1])     # of -2, 0, 1
    assert y.item() == pytest.approx(-(counts * np.log2(counts / 4)).sum())
    assert (P.grad != 0).tolist() == [True, False, False, False]
    np.testing.assert_allclose(s.grad, -0.3 * P.grad[0])


def test_a_step_to_a_code_that_nothing_has_costs_some_bits_and_not_infinitely_many():
    P, s = Tensor(np.array([0.0, 1.0, 1.0, 3.0]), requires_grad=True), Tensor(np.ones(1))
    code_size_term(P, s, NEAREST).backward()
    # of four counts 1, 2, 0, 1: bits of a count that is small, less those of the code's own
    np.testing.assert_allclose(P.grad, [-1, 24 + 1, 24 + 1, 24])


@given(case=parameters_in_cells(), factor=st.sampled_from([0.25, 8.0]))
def test_it_does_not_see_the_unit_so_p_and_s_pull_against_each_other(case, factor):
    P, s, _ = case
    P_, s_ = Tensor(P, requires_grad=True), Tensor(s, requires_grad=True)
    y = code_size_term(P_, s_, NEAREST)
    y.backward()
    assert code_size_term(factor * P, factor * s, NEAREST) == y.numpy()
    np.testing.assert_allclose(np.vdot(P_.grad, P) + np.vdot(s_.grad, s), 0, atol=1e-9 * max(1, np.abs(P_.grad).max()))


def test_it_draws_to_the_commoner_code_and_the_rarer_the_other_the_harder():
    P = np.array([0.0] * 50 + [1.0] * 10 + [5.0, 0.6, 4.6])
    slope = costs_of(P, np.array([1.0]), NEAREST).slope
    assert slope[-2] > 0                         # from 0.6 down to 0
    assert slope[-1] < 0                         # from 4.6 up to 5: nothing else is at 4
    assert abs(slope[-2]) > 2                    # 50 against 10


def test_a_step_down_makes_the_file_smaller():
    rng = np.random.default_rng(1)
    P, s = rng.normal(0, 1, 500), np.array([0.5])
    before = entropy_of(np.rint(P / s).astype(int))
    for _ in range(50):
        P_, s_ = Tensor(P, requires_grad=True), Tensor(s, requires_grad=True)
        minilq.code_size([(P_, s_)], NEAREST).backward()
        P = P - 1e-3 * P_.grad
        assert s_.grad[0] < 0                    # coarser
    assert entropy_of(np.rint(P / s).astype(int)) < before - 0.1


def wrong(mistake):
    def vjp(g, y, P, s, *_):
        slope = costs_of(P, s, NEAREST).slope
        if mistake == "no logarithm":
            slope = np.sign(slope)
        if mistake == "downwards":
            slope = -slope
        dP = g * slope / (1 if mistake == "unit" else s)
        ds = -(dP * (1 if mistake == "value" else P / s)).sum(axis=1, keepdims=True)
        return dP, ds
    return vjp


@pytest.mark.parametrize("mistake", ["no logarithm", "downwards", "unit", "value"])
def test_wrong_derivatives_are_killed(mistake):
    s = np.array([[0.2], [0.3], [0.5]])
    P = (np.arange(12).reshape(3, 4) % 5 + 0.3) * s
    f = lambda P, s: code_size_term(P, s, NEAREST)  # noqa: E731
    assert minilq.gradcheck(f, P, s, vjp=wrong(""))
    with pytest.raises(minilq.GradientError):
        minilq.gradcheck(f, P, s, vjp=wrong(mistake))


def test_as_a_penalty_on_a_model():
    rng = np.random.default_rng(0)
    model = quantize(Sequential(Dense(5, 4, rng)), lambda name: minilq.LSQ(3) if name.endswith("weight") else None)
    part = penalty_on(model, "code_size", 0.5)
    site = model.sites()["dense1.weight"]
    want = 0.5 * code_size_term(site.latent.numpy(), site.scale.numpy(), Scaled("nearest", qmin=-4, qmax=3))
    assert part().item() == pytest.approx(float(want), rel=1e-6)
    part().backward()
    assert site.scale.grad is not None


@pytest.mark.parametrize(("P", "quantizer", "error", "message"), [
    ([1.0], Scaled("trunc"), ConfigError, "rounding must be one of floor, nearest, ceil, or stochastic; got 'trunc'"),
    ([1e9], NEAREST, NonFiniteError, "within 1048576 of 0"), ([np.nan], NEAREST, NonFiniteError, "within 1048576 of 0"),
])
def test_errors(P, quantizer, error, message):
    with pytest.raises(error, match=message):
        code_size_term(np.array(P), np.array([1.0]), quantizer)
