"""Quantization-guided training: weights in full precision that are drawn to where a method would put them."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import SGD, Affine, ConfigError, Dense, ReLU, Sequential, Tensor, quantize
from minilq.objective import Objective, qgt_on
from minilq.ops import softmax_cross_entropy
from tests.networks import weights
from tests.strategies import seeds

GRID = Affine(3, symmetric=True, narrow=True)
X, LABELS = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32), np.arange(40) % 3


def network(seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(Dense(5, 8, rng, 0.5), ReLU(), Dense(8, 3, rng, 0.5))


@given(seed=seeds, rate=st.sampled_from([0.0, 0.3]))
def test_value_and_gradient_with_the_grid_held(seed, rate):
    model = network(seed)
    part = qgt_on(model, weights(GRID), rate, {"dense2": 2.0})()
    part.backward()
    expected = 0.0
    for layer, factor in (("dense1", rate), ("dense2", 2.0)):
        w = model.sites()[f"{layer}.weight"].latent
        apart = w.numpy() - GRID.coded(w.numpy(), {}).values
        expected += factor * (apart.astype(np.float64) ** 2).sum()
        np.testing.assert_allclose(w.grad, 2 * factor * apart, rtol=1e-6)
    assert part.item() == pytest.approx(expected, rel=1e-5)
    assert model.sites()["dense1.bias"].latent.grad is None


def trained(rate):
    """The latents of a network after some steps, and how far they are from the grid that they are then put on."""
    model = network()
    objective = Objective({} if rate is None else {"qgt": qgt_on(model, weights(GRID), rate)})
    sgd = SGD(model.parameters().values(), 0.05)
    for _ in range(60):
        total, _ = objective(softmax_cross_entropy(model(Tensor(X), training=True), LABELS))
        sgd.zero_grad()
        total.backward()
        sgd.step()
    latents = [site.latent.numpy().copy() for name, site in model.sites().items() if name.endswith("weight")]
    quantize(model, weights(GRID))
    return latents, sum(np.square(w - GRID.coded(w, {}).values).sum() for w in latents)


def test_without_a_rate_it_is_rounding_after_training_and_with_one_it_draws_to_the_grid():
    plain, none, some, much = (trained(rate) for rate in (None, 0.0, 0.1, 3.0))
    for a, b in zip(plain[0], none[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert 10 * much[1] < some[1] < plain[1]


def test_what_is_nothing_to_be_drawn_to():
    with pytest.raises(ConfigError, match="qgt: a weight must be chosen; got none"):
        qgt_on(network(), lambda name: GRID if name.endswith("input") else None, 0.1)
    with pytest.raises(ConfigError, match="a rate must be a number >= 0; got -1"):
        qgt_on(network(), weights(GRID), -1)
    with pytest.raises(ConfigError, match="what is chosen must be a Quantizer, or None"):
        qgt_on(network(), lambda name: "affine", 0.1)
