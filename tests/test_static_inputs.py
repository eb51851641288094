"""SPIQ: grids of inputs from what batch normalisation says, one for each channel, without an image."""

import copy

import numpy as np
import pytest

from minilq import Affine, BatchNorm, ConfigError, Conv2D, Dense, Flatten, MaxPool2D, ReLU, Sequential, Tensor, quantize
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.post import fold_batch_norms, spiq
from minilq.store.modelfile import load, save
from tests.test_fold import learned


def network(conv):
    """With channels of very different sizes behind batch normalisation, whose statistics are those of its images."""
    rng = np.random.default_rng(0)
    if conv:
        model = Sequential(Conv2D(2, 6, 3, rng, std=0.5), BatchNorm(6), ReLU(), MaxPool2D(2), Flatten(),
                           Dense(24, 3, rng, 0.5))
        x = rng.standard_normal((300, 4, 4, 2)).astype(np.float32)
    else:
        model = Sequential(Dense(5, 6, rng, 0.5), BatchNorm(6), ReLU(), Dense(6, 3, rng, 0.5))
        x = rng.standard_normal((300, 5)).astype(np.float32)
    first, norm = list(model.layers.values())[:2]
    learned(norm, rng)
    z = first(Tensor(x)).numpy().reshape(-1, 6)
    norm.mean[...], norm.variance[...] = z.mean(axis=0), z.var(axis=0)
    sizes = np.array([0.01, 0.03, 0.1, 1, 10, 30], np.float32)
    norm.gamma.data[...] = sizes
    norm.beta.data[...] *= sizes
    last = list(model.layers.values())[-1].weight.latent
    last.data[...] /= np.resize(sizes, len(last))[:, None]       # and all of them count
    return model, x


@pytest.mark.parametrize("conv", [False, True])
def test_without_a_grid_nothing_changes_and_with_it_every_channel_has_its_steps(conv, tmp_path):
    model, x = network(conv)
    expected = model(Tensor(x)).numpy()
    one = copy.deepcopy(model)
    (name,) = spiq(one, fold_batch_norms(one))
    site = one.sites()[name]
    assert (site.method.low, site.method.high, site.held["scale"].tolist()) == (0, 255, [1.0])
    y = one(Tensor(x)).numpy()
    rival = quantize(model, lambda site: Affine(8, signed=False) if site == name else None)
    off = [np.abs(z - expected).max() for z in (y, rival(Tensor(x)).numpy())]
    assert off[0] < off[1] / 5                   # one range for all channels leaves the small ones hardly a code
    site.change(None)
    np.testing.assert_allclose(one(Tensor(x)).numpy(), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_weight_divided_by_the_scales_as_printed_is_another_network():
    model, x = network(False)
    expected = model(Tensor(x)).numpy()
    w = model.sites()["dense2.weight"].latent
    before = w.numpy().copy()
    moments = fold_batch_norms(model)
    spiq(model, moments)
    right = np.abs(model(Tensor(x)).numpy() - expected).max()
    s = w.numpy()[:, 0] / before[:, 0]
    w.data[...] = before / s[:, None]
    assert right < 0.05 * np.abs(expected).max() < np.abs(model(Tensor(x)).numpy() - expected).max()


def test_files_and_integers_take_it(tmp_path):
    model, x = network(True)
    spiq(model, fold_batch_norms(model), spread=4.0)
    quantize_weights = {name: Affine(8, symmetric=True, narrow=True, granularity="filter")
                        for name in model.sites() if name.endswith("weight")}
    for name, method in quantize_weights.items():
        model.sites()[name].change(method)
    save(tmp_path / "a.mlq", model)
    stored = load(tmp_path / "a.mlq")
    np.testing.assert_array_equal(stored.network(Tensor(x)).numpy(), model(Tensor(x)).numpy())
    integers = convert(stored, x)
    assert compare(integers, FloatTwin(stored, integers), x).agreement == 1


def test_without_a_relu_codes_are_signed_and_what_cannot_be():
    rng = np.random.default_rng(0)
    model = Sequential(Dense(3, 2, rng), BatchNorm(2), Dense(2, 2, rng))
    assert spiq(model, fold_batch_norms(model), 4) == ["dense2.input"]
    method = model.sites()["dense2.input"].method
    assert (method.low, method.high) == (-7, 7)
    with pytest.raises(ConfigError, match="full precision"):
        spiq(model, {})
    with pytest.raises(ConfigError, match="bits must be at most 16, and spread a number > 0"):
        spiq(model, {}, 8, 0.0)
    with pytest.raises(ConfigError, match="moments must be what fold_batch_norms gave"):
        spiq(model, None)
