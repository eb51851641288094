"""Roundings, granularities, codes, and the laws of quantize-and-reconstruct."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import SCALE_MIN, Scaled, Tensor, chain_rule, codes_of, fake_quantize, frozen, scale_shape, threshold
from tests.strategies import parameters_in_cells, seeds

pytestmark = pytest.mark.usefixtures("both_backends")


def seen(P, s, quantizer):
    return fake_quantize(P, s, quantizer)


def random_layer(seed, dtype, rows=3, columns=7):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, columns)).astype(dtype),
            np.exp(rng.uniform(-6, 0, (rows, 1))).astype(dtype))


floats = st.sampled_from([np.float32, np.float64])


@given(seed=seeds, dtype=floats)
def test_error_of_each_rounding(seed, dtype):
    P, s = random_layer(seed, dtype)
    slack = 8 * np.finfo(dtype).eps * np.abs(P)
    error = {r: P - seen(P, s, Scaled(r)) for r in ("floor", "nearest", "ceil", "trunc")}
    assert (error["floor"] >= -slack).all()
    assert (error["floor"] <= s + slack).all()
    assert (np.abs(error["nearest"]) <= s / 2 + slack).all()
    assert (error["ceil"] <= slack).all()
    assert (error["ceil"] >= -s - slack).all()
    assert (error["trunc"] * np.sign(P) >= -slack).all()


def test_nearest_sends_halves_to_even():
    halves = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert codes_of(halves, np.ones(1), Scaled("nearest", granularity="scalar")).tolist() == [-2, -2, 0, 0, 2, 2]


@given(seed=seeds, dtype=floats)
def test_nearest_is_idempotent_bit_for_bit(seed, dtype):
    P, s = random_layer(seed, dtype)
    once = seen(P, s, Scaled("nearest"))
    assert seen(once, s, Scaled("nearest")).tobytes() == once.tobytes()


@given(seed=seeds, dtype=floats)
def test_floor_is_idempotent_for_powers_of_two(seed, dtype):
    P, s = random_layer(seed, dtype)
    s = (2.0 ** np.floor(np.log2(s))).astype(dtype)
    once = seen(P, s, Scaled())
    np.testing.assert_array_equal(seen(once, s, Scaled()), once)


def test_floor_of_a_reconstruction_loses_codes_so_codes_come_from_the_latent_value():
    P, s = random_layer(0, np.float32, 100, 200)
    codes = codes_of(P, s, Scaled())
    again = codes_of(seen(P, s, Scaled()), s, Scaled())
    lost = np.mean(again == codes.astype(int) - 1)
    assert 0.02 < lost < 0.07
    np.testing.assert_array_equal(codes * s, seen(P, s, Scaled()))


@given(seed=seeds, dtype=floats, power=st.integers(-10, 10), rounding=st.sampled_from(["floor", "nearest", "trunc"]))
def test_scale_equivariance_is_exact_for_powers_of_two(seed, dtype, power, rounding):
    P, s = random_layer(seed, dtype)
    c = dtype(2.0**power)
    q = Scaled(rounding)
    np.testing.assert_array_equal(seen(c * P, c * s, q), c * seen(P, s, q))


@given(case=parameters_in_cells())
def test_granularity_equals_stacked_scalars(case):
    P, s, granularity = case
    q, one = Scaled(granularity=granularity), Scaled(granularity="scalar")
    whole = seen(P, s, q)
    wide = np.broadcast_to(s, P.shape) if s.ndim == P.ndim else np.broadcast_to(s.reshape((1,) * P.ndim), P.shape)
    for scale in np.unique(s):
        where = wide == scale
        np.testing.assert_array_equal(whole[where], seen(P[where], np.array([scale]), one))


def test_stochastic_rounding_is_unbiased_within_a_hoeffding_bound():
    n, failure = 200_000, 1e-9
    bound = np.sqrt(np.log(2 / failure) / (2 * n))
    for u in (0.1, 0.5, 0.9, -0.3):
        q = Scaled(minilq.stochastic(np.random.default_rng(1)), granularity="scalar")
        k = codes_of(np.full(n, u), np.ones(1), q)
        assert set(np.unique(k)) <= {np.floor(u), np.floor(u) + 1}
        assert abs(k.mean() - u) < bound


def test_stochastic_rounding_repeats_with_its_seed():
    P, s = random_layer(0, np.float32)
    draws = [seen(P, s, Scaled(minilq.stochastic(np.random.default_rng(seed)))).tobytes() for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_preserved(dtype):
    P, s = random_layer(0, dtype)
    P_, s_ = Tensor(P, requires_grad=True), Tensor(s, requires_grad=True)
    for rule in (threshold(1e-10), threshold(0.3), chain_rule("lsq"), frozen()):
        for rounding in ("floor", "nearest", "ceil", "trunc", "sign", minilq.stochastic(np.random.default_rng(0))):
            P_.grad = s_.grad = None
            for mask in ("clip_first", "round_first"):
                y = fake_quantize(P_, s_, Scaled(rounding, "clipped", scale_rule=rule, qmin=-4, qmax=3, mask=mask))
                y.backward(np.ones_like(P))
                assert y.dtype == P_.grad.dtype == s_.grad.dtype == dtype
                assert s_.grad.shape == s.shape


def test_codes_take_the_narrowest_integer_type():
    q = Scaled(granularity="scalar")
    for largest, dtype in ((127, np.int8), (128, np.int16), (32768, np.int32), (2**31, np.int64)):
        codes = codes_of(np.array([0.0, largest]), np.ones(1), q)
        assert codes.dtype == dtype
        assert codes.tolist() == [0, largest]
    assert codes_of(np.zeros((0,)), np.ones(1), q).shape == (0,)


@pytest.mark.parametrize(("granularity", "shape", "expected"), [
    ("scalar", (3, 4), (1,)), ("row", (3, 4), (3, 1)), ("column", (3, 4), (1, 4)), ("filter", (3, 4), (1, 4)),
    ("channel", (3, 4), (3, 1)), ("filter", (7,), (7,)),
    ("row", (5, 3, 2, 7), (5, 1, 1, 1)), ("column", (5, 3, 2, 7), (1, 3, 1, 1)),
    ("channel", (5, 3, 2, 7), (1, 1, 2, 1)), ("filter", (5, 3, 2, 7), (1, 1, 1, 7)), ((0, -1), (5, 3, 2), (5, 1, 2)),
])
def test_scale_shapes(granularity, shape, expected):
    assert scale_shape(granularity, shape) == expected


def test_scale_min_is_the_thesis_constant():
    assert np.float32(SCALE_MIN) == np.float32(1.1920929e-05)


# A user's mistakes.

P, S = np.ones((3, 4), np.float32), np.full((3, 1), 0.5, np.float32)
ROUND_FIRST = Scaled("nearest", qmin=-4, qmax=3, mask="round_first")

MISTAKES = {
    "unknown granularity": (minilq.ConfigError, "granularity must be one of",
                            lambda: Scaled(granularity="diagonal")),
    "granularity of no axis": (minilq.ConfigError, "keeps axis 2", lambda: seen(P, S, Scaled(granularity=(2,)))),
    "granularity a list": (minilq.ConfigError, "tuple of axes", lambda: Scaled(granularity=[0])),
    "unknown rounding": (minilq.ConfigError, "rounding must be one of", lambda: Scaled("up")),
    "stochastic without rng": (minilq.ConfigError, "stochastic\\(rng\\)", lambda: Scaled("stochastic")),
    "rng a seed": (minilq.ConfigError, "Generator", lambda: minilq.stochastic(42)),
    "unknown surrogate": (minilq.ConfigError, "surrogate must be one of", lambda: Scaled(surrogate="magic")),
    "rule not called": (minilq.ConfigError, "called first", lambda: Scaled(scale_rule=threshold)),
    "unknown mask": (minilq.ConfigError, "mask must be one of clip_first, round_first", lambda: Scaled(mask="none")),
    "unknown positivity": (minilq.ConfigError, "positivity must be one of clamp, exp, softplus, power_of_two",
                           lambda: Scaled(positivity="square")),
    "negative lambda": (minilq.ConfigError, "lambda must be", lambda: threshold(-1e-10)),
    "NaN lambda": (minilq.ConfigError, "lambda must be", lambda: threshold(float("nan"))),
    "infinite factor": (minilq.ConfigError, "grad_factor", lambda: chain_rule(float("inf"))),
    "bounds exchanged": (minilq.ConfigError, "qmin must not be above qmax", lambda: Scaled(qmin=3, qmax=-4)),
    "fractional bound": (minilq.ConfigError, "whole number", lambda: Scaled(qmax=2.5)),
    "no quantizer": (minilq.ConfigError, "must be a Scaled", lambda: seen(P, S, "floor")),
    "rounding to halves": (minilq.ConfigError, "whole numbers",
                           lambda: seen(P * np.float32(0.3), S, Scaled(lambda u: np.rint(2 * u) / 2))),
    "LSQ factor without qmax": (minilq.ConfigError, "qmax > 0", lambda: Scaled(scale_rule=chain_rule("lsq"))),
    "LSQ factor with qmax 0": (minilq.ConfigError, "qmax > 0",
                               lambda: Scaled(scale_rule=chain_rule("lsq"), qmin=-1, qmax=0)),
    "infinite bound": (minilq.ConfigError, "None for no bound", lambda: Scaled(qmin=-np.inf)),
    "bound a text": (minilq.ConfigError, "whole number", lambda: Scaled(qmin="a")),
    "0-d parameter": (minilq.ShapeError, "at least one axis",
                      lambda: seen(np.array(1, np.float32), S[0], Scaled(granularity="scalar"))),
    "infinite scale": (minilq.NonFiniteError, "scale must be finite", lambda: seen(P, S * np.float32(np.inf),
                                                                                  Scaled())),
    "zero scale": (minilq.ConfigError, "every scale must be > 0", lambda: seen(P, 0 * S, Scaled())),
    "negative scale": (minilq.ConfigError, "every scale must be > 0", lambda: codes_of(P, -S, Scaled())),
    "NaN scale": (minilq.ConfigError, "every scale must be > 0", lambda: seen(P, np.nan * S, Scaled())),
    "wrong scale shape": (minilq.ShapeError, r"must have the shape \(3, 1\)", lambda: seen(P, S.T, Scaled())),
    "scale of another granularity": (minilq.ShapeError, r"must have the shape \(1, 4\)",
                                     lambda: seen(P, S, Scaled(granularity="column"))),
    "integers": (minilq.DTypeError, "P must be a float32 or float64", lambda: seen(P.astype(int), S, Scaled())),
    "half precision": (minilq.DTypeError, "P must be", lambda: codes_of(P.astype(np.float16), S, Scaled())),
    "scale a number": (minilq.DTypeError, "s must be a float32", lambda: seen(P, 0.5, Scaled())),
    "two dtypes": (minilq.DTypeError, "one dtype", lambda: seen(P, S.astype(np.float64), Scaled())),
    "NaN parameter": (minilq.NonFiniteError, r"P\[1, 2\] = nan",
                      lambda: seen(np.where(np.arange(12).reshape(3, 4) == 6, np.float32(np.nan), P), S, Scaled())),
    "NaN parameter, rounded first": (minilq.NonFiniteError, r"P\[0, 0\] = nan",
                                     lambda: seen(P * np.float32(np.nan), S, ROUND_FIRST)),
    "zero scale, rounded first": (minilq.ConfigError, "every scale must be > 0", lambda: seen(P, 0 * S, ROUND_FIRST)),
    "rounding to halves, rounded first": (
        minilq.ConfigError, "whole numbers",
        lambda: seen(P * np.float32(0.3), S, Scaled(lambda u: np.rint(2 * u) / 2, qmax=3, mask="round_first"))),
    "infinite parameter": (minilq.NonFiniteError, "inf", lambda: codes_of(P * np.float32(np.inf), S, Scaled())),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    error, message, call = MISTAKES[name]
    with np.errstate(all="ignore"), pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_scale_far_too_small_is_named():
    with np.errstate(all="ignore"), pytest.raises(minilq.NonFiniteError, match="scale is far too small"):
        seen(np.full((1, 1), 1e30, np.float32), np.full((1, 1), 1e-30, np.float32), Scaled())
