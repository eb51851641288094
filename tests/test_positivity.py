"""Scales behind latents: values, derivatives, laws, and networks that train them."""

import math
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import (
    SCALE_MIN,
    SGD,
    Adam,
    Dense,
    ReLU,
    Scaled,
    Sequential,
    Tensor,
    calibrate,
    chain_rule,
    codes_of,
    fake_quantize,
    quantize,
    replay_check,
    softmax_cross_entropy,
    threshold,
)
from minilq.autodiff.primitive import PRIMITIVES
from minilq.quantize.positivity import POSITIVITIES, positivity_named, power_of_two, softplus
from minilq.train.history import integer_columns
from tests.strategies import parameters_in_cells, seeds

LATENT = [name for name in POSITIVITIES if name != "clamp"]
floats = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SLOPES = {"exp": lambda s: s, "softplus": lambda s: -np.expm1(-s),       # ds/dtheta
          "power_of_two": lambda s: s * s.dtype.type(math.log(2))}
THRESHOLD = threshold(1e-3)


# Values.


@pytest.mark.parametrize("name", ["clamp", "exp", "softplus"])
def test_the_latent_of_a_scale_gives_it_back(name):
    s = np.array([1e-12, SCALE_MIN, 0.03, 1.0, 7.0, 300.0])
    p = positivity_named(name)
    np.testing.assert_allclose(p.scale_of(p.latent_of(s)), s, rtol=1e-13)


@given(seed=seeds)
def test_the_latent_of_a_scale_gives_the_power_of_two_nearest_in_ratio(seed):
    s = np.exp(np.random.default_rng(seed).uniform(-20, 5, 20))
    p = positivity_named("power_of_two")
    assert (np.abs(np.log2(p.scale_of(p.latent_of(s)) / s)) <= 0.5 + 1e-12).all()


@floats
def test_softplus_far_from_zero(dtype):
    theta = Tensor(np.array([-1000, -100, -20, 0, 20, 100, 1000], dtype), requires_grad=True)
    s = softplus(theta)
    s.backward(np.ones(7, dtype))
    expected = [math.log1p(math.exp(-abs(x))) + max(x, 0) for x in (-1000, -100, -20, 0, 20, 100, 1000)]
    slopes = [math.exp(min(x, 0)) / (1 + math.exp(-abs(x))) for x in (-1000, -100, -20, 0, 20, 100, 1000)]
    tiny = 1.5e-45 if dtype == np.float32 else 0                         # one denormal
    np.testing.assert_allclose(s.numpy(), expected, rtol=4 * np.finfo(dtype).eps, atol=tiny)
    np.testing.assert_allclose(theta.grad, slopes, rtol=4 * np.finfo(dtype).eps, atol=tiny)
    assert s.dtype == theta.grad.dtype == dtype


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.float32, -149, 127), (np.float64, -1074, 1023)])
def test_powers_of_two_are_exact_over_the_whole_range_of_the_floats(dtype, low, high):
    exponents = np.arange(low, high + 1)
    s = power_of_two((exponents + 0.3).astype(dtype))
    assert s.dtype == dtype
    assert s.tolist() == [math.ldexp(1, n) for n in exponents.tolist()]
    assert power_of_two(np.array([-0.5, 0.5, 1.5, 2.5], dtype)).tolist() == [1, 1, 4, 4]     # halves to even


# Derivatives. softplus and exp are exact: test_gradients.py.


@given(seed=seeds)
def test_replay_check_of_power_of_two(seed):
    theta = np.random.default_rng(seed).uniform(-6, 4, (3, 2))
    assert replay_check(power_of_two, theta, seed=seed).entries == 6
    assert not minilq.gradcheck(power_of_two, theta, raises=False)       # the forward itself is flat


@pytest.mark.parametrize("wrong", [lambda g, y, theta: (g * y,), lambda g, y, theta: (g * np.exp2(theta) * np.log(2),)],
                         ids=["ln 2 forgotten", "2^theta in place of s"])
def test_a_wrong_derivative_of_power_of_two_is_killed(wrong, monkeypatch):
    theta = np.array([0.3, -2.2])
    assert replay_check(power_of_two, theta)
    monkeypatch.setattr(PRIMITIVES["power_of_two"], "vjp", wrong)
    monkeypatch.setattr(PRIMITIVES["power_of_two"], "needed_positions", {0})
    assert not replay_check(power_of_two, theta, raises=False)


@pytest.mark.parametrize("name", POSITIVITIES)
@given(case=parameters_in_cells(), rounding=st.sampled_from(["floor", "nearest"]), seed=seeds)
def test_replay_check_from_the_latent_to_the_reconstruction(name, case, rounding, seed):
    P, s, granularity = case
    p = positivity_named(name)
    theta = p.latent_of(s)
    q = Scaled(rounding, granularity=granularity, scale_rule=chain_rule(0.7), qmin=-4, qmax=3, positivity=name)
    cells = P / s * p.scale_of(theta)                                    # a power of two is not s, so P moves with it
    replay_check(lambda P, theta: fake_quantize(P, p.scale_of(theta), q), cells, theta, seed=seed)


def quantized(model, q):
    """Weights with the method, biases with one scale."""
    methods = {"weight": q, "bias": replace(q, granularity="scalar")}
    return quantize(model, lambda name: methods.get(name.rpartition(".")[2]))


def latents(model):
    """What is trained behind the scales, by site."""
    return {n: site.held[positivity_named(site.method.positivity).held_name]
            for n, site in model.sites().items() if site.method is not None}


def scales(model):
    """The scales > 0, by site."""
    return {n: site.scale for n, site in model.sites().items() if site.method is not None}


def layer_at(name, rule=THRESHOLD, dtype=np.float64):
    """A Dense layer 6 -> 4 with scales of different sizes, and the method of its weight."""
    rng = np.random.default_rng(0)
    q = Scaled(scale_rule=rule, positivity=name)
    layer = quantized(Dense(6, 4, rng, dtype=dtype), q)
    for latent in latents(layer).values():
        latent.data[...] = positivity_named(name).latent_of(rng.uniform(0.01, 0.05, latent.shape))
    return layer, q


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize("rule", [threshold(1e-2), threshold(1e-10), chain_rule()], ids=str)
@floats
def test_the_gradient_of_a_latent_is_that_of_its_scale_times_the_slope(name, rule, dtype):
    """Whatever the rule says, heuristics too: with exp, dtheta = ds s, to the bit."""
    layer, q = layer_at(name, rule=rule, dtype=dtype)
    x, g = np.random.default_rng(1).standard_normal((2, 5, 6)).astype(dtype), np.ones((5, 4), dtype)
    layer(Tensor(x[0])).backward(g)
    P = Tensor(layer.weight.latent.numpy(), requires_grad=True)
    s = Tensor(layer.weight.scale.numpy(), requires_grad=True)
    minilq.dense(Tensor(x[0]), fake_quantize(P, s, q), layer.bias()).backward(g)
    assert s.grad.any()
    np.testing.assert_array_equal(layer.weight.latent.grad, P.grad)
    assert latents(layer)["weight"].grad.dtype == dtype
    np.testing.assert_allclose(latents(layer)["weight"].grad, s.grad * SLOPES[name](s.numpy()),
                               rtol=0 if name == "exp" else 2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", LATENT)
def test_a_penalty_on_a_scale_reaches_its_latent(name):
    layer, _ = layer_at(name)
    s = layer.weight.scale
    minilq.mean(1.0 / s).backward()
    np.testing.assert_allclose(latents(layer)["weight"].grad, -SLOPES[name](s.numpy()) / s.numpy() ** 2 / 6, rtol=1e-12)


# Laws.


def one_step(name, c, lr=0.01):
    """s after a step of gradient descent by s before it, where P and s are c times as large, and the loss is not."""
    P, s = np.array([[0.31, -1.27, 0.82]]), np.array([[0.5]])
    p = positivity_named(name)
    theta = Tensor(p.latent_of(c * s), requires_grad=True)
    q = Scaled("nearest", scale_rule=chain_rule(), positivity=name)
    y = fake_quantize(Tensor(c * P), p.scale_of(theta), q)
    ((y / c - 1.0) ** 2).sum().backward()
    SGD([theta], lr).step()
    return (p.scale_of(theta).numpy() / (c * s)).item()


@given(c=st.floats(1e-3, 1e3))
def test_a_step_on_the_logarithm_does_not_depend_on_the_unit(c):
    """P -> c P, s -> c s only changes the unit. With exp the step is the same factor then; with clamp it is not."""
    np.testing.assert_allclose(one_step("exp", c), one_step("exp", 1.0), rtol=1e-12)
    assert one_step("exp", 1.0) != 1
    if not 0.99 < c < 1.01:
        assert abs(one_step("clamp", c) - one_step("clamp", 1.0)) > 1e-6


def test_under_the_threshold_rule_clamped_scales_grow_as_a_root_and_those_behind_exp_exponentially():
    """ds = -lambda max|P| / s. With clamp s^2 = s0^2 + 2 r lambda max|P| t, with exp s = s0 e^(r lambda max|P| t)."""
    P, s0, lam, t = np.array([[0.4, -2.0, 0.7]]), 0.001, 1e-8, np.arange(1, 401)
    q = Scaled("nearest", scale_rule=threshold(lam, gate=False))

    def scales(name, rate):
        p, found = positivity_named(name), []
        latent = Tensor(p.latent_of(np.array([[s0]])), requires_grad=True)
        sgd = SGD([latent], rate)
        for _ in t:
            sgd.zero_grad()
            fake_quantize(Tensor(P), p.scale_of(latent), replace(q, positivity=name)).backward(np.zeros((1, 3)))
            sgd.step()
            found.append(p.scale_of(latent).item())
        return np.array(found)

    # max|n| is a whole number: where about 2000, known to 1 / 4000
    np.testing.assert_allclose(scales("clamp", 0.1) ** 2, s0**2 + 2 * 0.1 * lam * 2.0 * t, rtol=1e-3)
    np.testing.assert_allclose(scales("exp", 1e5), s0 * np.exp(1e5 * lam * 2.0 * t), rtol=1e-3)


@floats
def test_with_powers_of_two_floor_is_idempotent_bit_for_bit(dtype):
    layer, q = layer_at("power_of_two", dtype=dtype)
    P, s = layer.weight.latent, layer.weight.scale
    assert (np.frexp(s.numpy())[0] == 0.5).all()
    once = fake_quantize(P, s, q).numpy()
    assert fake_quantize(once, s.numpy(), q).tobytes() == once.tobytes()
    np.testing.assert_array_equal(codes_of(once, s, q), codes_of(P, s, q))


# Layers, models, optimizers.


@pytest.mark.parametrize("name", POSITIVITIES)
@floats
def test_a_layer_starts_at_the_smallest_scale(name, dtype):
    q = Scaled(positivity=name)
    layer = quantized(Dense(3, 2, np.random.default_rng(0), dtype=dtype), q)
    for kind, latent in latents(layer).items():
        s = scales(layer)[kind]
        assert s.dtype == latent.dtype == dtype
        assert s.shape == latent.shape == minilq.scale_shape("row" if kind == "weight" else "scalar",
                                                             layer.parameters()[f"{kind}.latent"].shape)
        np.testing.assert_allclose(s.numpy(), 2.0**-16 if name == "power_of_two" else SCALE_MIN,
                                   rtol=16 * np.finfo(dtype).eps)


def test_a_clamped_scale_is_trained_itself():
    layer, _ = layer_at("clamp")
    for kind, s in latents(layer).items():
        assert s is scales(layer)[kind]


def network(name, seed=0, rule=THRESHOLD):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 6))
    q = Scaled("nearest", scale_rule=rule, positivity=name)
    model = quantized(Sequential(Dense(6, 8, rng, std=0.5, dtype=np.float64), ReLU(),
                                 Dense(8, 3, rng, std=0.5, dtype=np.float64)), q)
    model.sites()["dense1.input"].change(replace(q, granularity=(1,)))
    return calibrate(model, x), x


@pytest.mark.parametrize("name", POSITIVITIES)
def test_a_saved_model_holds_the_latents(name):
    (a, x), (b, _) = network(name, 0), network(name, 1)
    for latent in latents(a).values():
        latent.data[...] += 0.7
    state, kept = a.state(), positivity_named(name).held_name
    assert {k for k in state if k.endswith("scale")} == {f"{n}.{kept}" for n in latents(a)}
    assert len(latents(a)) == 5
    for n, latent in latents(a).items():
        np.testing.assert_array_equal(state[f"{n}.{kept}"], latent.numpy())
    b.load_state(state)
    np.testing.assert_array_equal(b(x).numpy(), a(x).numpy())
    for n, s in scales(a).items():
        np.testing.assert_array_equal(scales(b)[n].numpy(), s.numpy())


@pytest.mark.parametrize("name", POSITIVITIES)
def test_an_optimizer_holds_up_scales_and_not_latents(name):
    model, _ = network(name)
    optimizer = SGD(model.parameters().values(), lr=1.0)
    for p in model.parameters().values():
        p.grad = np.full(p.shape, 30.0)
    optimizer.step()
    for latent in latents(model).values():
        assert ((latent.numpy() == SCALE_MIN) if name == "clamp" else (latent.numpy() < -20)).all()


@pytest.mark.parametrize("name", POSITIVITIES)
@pytest.mark.parametrize("rule", [threshold(1e-4), chain_rule()], ids=str)
def test_a_tiny_network_learns_and_its_scales_stay_positive_and_finite(name, rule):
    model, x = network(name, rule=rule)
    for n, latent in latents(model).items():
        latent.data[...] = positivity_named(name).latent_of(np.full(latent.shape, 0.02))
        assert (scales(model)[n].numpy() > 0.01).all()
    labels = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    adam, losses = Adam(model.parameters().values(), lr=0.02), []
    before = {n: s.numpy().copy() for n, s in scales(model).items()}
    for _ in range(150):
        loss = softmax_cross_entropy(model(x), labels)
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
        for s in scales(model).values():
            assert (s.numpy() > 0).all()
            assert np.isfinite(s.numpy()).all()
    assert losses[-1] < 0.5 * losses[0]
    assert any((s.numpy() != before[n]).any() for n, s in scales(model).items())


@pytest.mark.parametrize("name", POSITIVITIES)
def test_columns_and_codes_are_those_of_the_scales_not_of_the_latents(name):
    layer, _ = layer_at(name)
    model, s = Sequential(layer), layer.weight.scale.numpy()
    row = integer_columns(model)
    assert row["scale/dense1.weight/min"] == s.min()
    assert row["scale/dense1.weight/max"] == s.max() < 0.1
    k = np.floor(layer.weight.latent.numpy() / s)
    np.testing.assert_array_equal(layer.weight.coded().codes, k)
    assert row["integers/dense1.weight/max"] == k.max()


def test_latents_out_of_reach_are_named():
    layer, _ = layer_at("exp", dtype=np.float32)
    x = Tensor(np.ones((1, 6), np.float32))
    latents(layer)["weight"].data[0] = -200
    with pytest.raises(minilq.ConfigError, match=r"every scale must be > 0.*the latent has fallen too far"):
        layer(x)
    latents(layer)["weight"].data[0] = 200
    with np.errstate(all="ignore"), pytest.raises(minilq.NonFiniteError, match="every scale must be finite"):
        layer(x)
    with pytest.raises(minilq.NonFiniteError, match="1 of 3"):
        power_of_two(np.array([0.0, np.nan, 1.0]))
    for f in (softplus, power_of_two):
        with pytest.raises(minilq.DTypeError, match="floats"):
            f(np.array([1, 2]))
