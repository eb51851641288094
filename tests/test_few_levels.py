"""The methods of few levels: what their cards promise beyond reference vectors, and planted wrong derivatives."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import Adam, Dense, ReLU, Sequential, Tensor, nn, replay_check, softmax_cross_entropy
from minilq.autodiff.primitive import OPERATORS
from minilq.errors import ConfigError, GradientError
from minilq.integer.engine import convert
from minilq.quantize import check
from minilq.quantize.methods import BWN, BinaryConnect
from minilq.quantize.methods.binary_connect import binary_connect
from minilq.quantize.methods.bwn import Centred, bwn, scale_and_signs
from minilq.store.modelfile import load, save
from tests.strategies import seeds


def silent(line):
    pass


def random(seed, shape=(8, 5), scale=1.0, dtype=np.float64):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


# --- what is true of all of them ------------------------------------------------------------------------------------

# A method, the operation behind it, and derivatives of it that people write: each must be found.
WRONG = {
    "binary_connect: masked": (BinaryConnect(), "binary_connect",
                               lambda g, y, w, H, u: (g * (np.abs(w) < H),)),
    "binary_connect: times H": (BinaryConnect(0.25), "binary_connect", lambda g, y, w, H, u: (g * H,)),
    "bwn: 1 / n forgotten": (BWN(), "bwn", lambda g, y, w, *flags: (
        scale_and_signs(w, "filter")[0] * g * (np.abs(w) <= 1),)),
    "bwn: mean over all axes": (BWN(gradient="exact"), "bwn", lambda g, y, w, *flags: (
        np.sign(w) / len(w) * (g * np.sign(w)).sum() + scale_and_signs(w, "filter")[0] * g * (np.abs(w) <= 1),)),
    "bwn: no mask": (BWN(), "bwn", lambda g, y, w, *flags: (g / len(w) + scale_and_signs(w, "filter")[0] * g,)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_wrong_derivative_is_found(name, monkeypatch):
    method, operation, wrong = WRONG[name]
    monkeypatch.setattr(OPERATORS[operation].primitive, "vjp", wrong)
    with pytest.raises(GradientError, match="gradient"):
        check(method, silent)


WEIGHTS = [BinaryConnect(), BinaryConnect(0.25, stochastic=True, rate="glorot"), BWN(), BWN("scalar", centre=True)]


@pytest.mark.parametrize("method", WEIGHTS, ids=str)
def test_a_network_is_trained_saved_and_run_on_integers(method, tmp_path):
    """A file keeps what the network sees, to the bit; integers come as near as their activations' 8 bits."""
    rng = np.random.default_rng(0)
    x, labels = rng.uniform(0, 1, (40, 30)).astype(np.float32), rng.integers(0, 3, 40)
    model = Sequential(Dense(30, 16, rng), ReLU(), Dense(16, 3, rng))
    nn.quantize(model, lambda name: method if name.endswith("weight") else None)
    optimizer, losses = Adam(model.parameters().values(), 1e-2), []
    for _ in range(5):
        optimizer.zero_grad()
        loss = softmax_cross_entropy(model(Tensor(x), training=True), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    y = model(x).numpy()
    save(tmp_path / "m.mlq", model)
    np.testing.assert_array_equal(load(tmp_path / "m.mlq").network(x).numpy(), y)
    integers = convert(model, x)
    logits = integers(integers.grid.codes(x)) * integers.logits_scale
    assert np.abs(logits - y).max() < 0.03 * np.abs(y).max()


def test_what_is_wrong_is_said_in_one_line():
    for method, flags, message in [
            (BinaryConnect, {"H": 0}, "H must be a number > 0; got 0"), (BinaryConnect, {"H": "1"}, "got '1'"),
            (BinaryConnect, {"rate": "fast"}, "rate must be one of plain, glorot"),
            (BinaryConnect, {"stochastic": 1}, "stochastic must be a bool"),
            (BWN, {"gradient": "true"}, "gradient must be one of paper, exact, stopped, code"),
            (BWN, {"granularity": "kernel"}, "granularity must be one of"), (BWN, {"centre": 0}, "centre must be")]:
        with pytest.raises(ConfigError, match=r"^[A-Za-z]+: ") as error:
            method(**flags)
        assert message in str(error.value)


# --- BinaryConnect --------------------------------------------------------------------------------------------------

@given(seed=seeds, H=st.sampled_from([0.25, 1.0]))
def test_binary_connect_is_odd_and_idempotent(seed, H):
    w = random(seed)
    y = binary_connect(w, H)
    assert set(np.unique(np.abs(y))) == {H}
    np.testing.assert_array_equal(binary_connect(-w, H), -y)     # no w is 0
    np.testing.assert_array_equal(binary_connect(y, H), y)


def test_binary_connect_draws_are_unbiased_and_told_by_what_is_remembered():
    """E y = clip(w, -H, H), to five standard deviations of 4000 draws; each batch another, the same again on demand."""
    w, method = np.array([-0.7, -0.25, -0.1, 0.0, 0.2, 0.3]), BinaryConnect(0.25, stochastic=True)
    held = method.start(w)
    first = held["draw"].copy()
    drawn = [method(Tensor(w), held, training=True).numpy() for _ in range(4000)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), np.clip(w, -0.25, 0.25), atol=5 * 0.25 / np.sqrt(4000))
    assert held["draw"].tolist() == [first[0], 4000]
    np.testing.assert_array_equal(method(Tensor(w), {"draw": first}, training=True).numpy(), drawn[0])
    assert len({row.tobytes() for row in drawn}) > 4
    assert np.array_equal(method(Tensor(w), held).numpy(), binary_connect(w, 0.25))              # no draw outside


def test_binary_connect_replays_its_draws():
    method, w = BinaryConnect(stochastic=True), random(1, scale=0.5)
    held = method.start(w)
    replay_check(lambda w: method(w, {"draw": held["draw"].copy()}, training=True), w)


# --- BWN ------------------------------------------------------------------------------------------------------------

@given(seed=seeds, granularity=st.sampled_from(["filter", "scalar", "row"]), factor=st.floats(0.5, 1.5))
def test_bwn_has_the_best_scale_and_signs(seed, granularity, factor):
    """|w - alpha B|^2 = |w|^2 - n alpha^2; no other alpha and no other signs come nearer."""
    w = random(seed, (3, 2, 4, 5))
    alpha, B = scale_and_signs(w, granularity)
    n = w.size // alpha.size
    error = ((w - bwn(w, granularity)) ** 2).sum()
    assert error == pytest.approx((w ** 2).sum() - n * (alpha ** 2).sum(), rel=1e-10)
    assert ((w - factor * alpha * B) ** 2).sum() >= error * (1 - 1e-12)
    other = np.where(np.random.default_rng(seed).random(w.shape) < 0.1, -B, B)
    assert ((w - alpha * other) ** 2).sum() >= error * (1 - 1e-12)


@given(seed=seeds, power=st.integers(-8, 8))
def test_bwn_is_equivariant(seed, power):
    w = random(seed)
    np.testing.assert_array_equal(bwn(2.0**power * w), 2.0**power * bwn(w))
    np.testing.assert_array_equal(bwn(-w), -bwn(w))


def test_the_exact_gradient_of_bwn_knows_that_alpha_grows_with_w():
    """When w grows by a factor, so does alpha: sum_i w_i dw_i has the term sum_i g_i y_i, which a constant lacks."""
    w, g = np.clip(random(3, scale=0.3), -0.9, 0.9), random(4)
    along = {}
    for gradient in ("exact", "stopped"):
        x = Tensor(w, requires_grad=True)
        bwn(x, "filter", gradient).backward(g)
        along[gradient] = (w * x.grad).sum(axis=0)
    np.testing.assert_allclose(along["exact"] - along["stopped"], (g * bwn(w)).sum(axis=0), rtol=1e-12)


def test_a_filter_of_zeros_has_codes_of_zeros():
    w = np.array([[0.5, 0.0], [-1.5, 0.0]], np.float32)
    coded = BWN().coded(w, {})
    assert coded.codes.tolist() == [[1, 0], [-1, 0]]
    assert coded.grid.scale.tolist() == [[1, 1]]


def test_centring_follows_every_step():
    site = nn.Site(nn.initialise.normal(np.random.default_rng(0), (3, 3, 4, 2), 1.0))
    site.change(BWN(centre=True))
    assert site.latent.constraint == Centred(-1, 1)
    site.latent.grad = random(1, (3, 3, 4, 2), dtype=np.float32)
    Adam([site.latent], lr=0.01).step()
    inside = (np.abs(site.latent.array) < 1).all(axis=2, keepdims=True)
    means = site.latent.array.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(means[inside], 0, atol=1e-6)
