"""Batch normalisation folded into a layer while it is trained: Folded, fold, for_inference."""

from importlib.util import find_spec

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minilq import (
    LSQ,
    SGD,
    Affine,
    BatchNorm,
    Conv2D,
    Dense,
    MaxPool2D,
    Nested,
    ReLU,
    Residual,
    Sequential,
    Tensor,
    calibrate,
    penalty_on,
    quantize,
)
from minilq.errors import ConfigError, ShapeError
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.nn import Flatten, Folded, Site, coded_in, fold, for_inference
from minilq.ops import softmax_cross_entropy
from minilq.store.modelfile import load, save
from minilq.store.onnx import to_onnx
from minilq.train.history import integer_columns
from minilq.train.metrics import sqnr_in
from tests.networks import weights
from tests.strategies import seeds
from tests.test_fold import learned

KINDS = ("dense", "conv")


def pair(kind, rng, dtype=np.float64):
    """A layer, its learned norm and an input."""
    if kind == "dense":
        layer, x = Dense(5, 4, rng, 0.5, dtype=dtype), rng.standard_normal((7, 5))
    else:
        layer = Conv2D(2, 4, 3, rng, stride=2, padding="valid", std=0.5, dtype=dtype)
        x = rng.standard_normal((3, 6, 5, 2))
    return layer, learned(BatchNorm(4, momentum=0.7, dtype=dtype), rng), x.astype(dtype)


def network(rng, conv=True):
    """Two layers with a norm, one of them within a Residual, and one without."""
    if not conv:
        return Sequential(Dense(6, 8, rng, 0.5), learned(BatchNorm(8), rng), ReLU(), Dense(8, 3, rng, 0.5))
    body = Sequential(Conv2D(4, 4, 3, rng, std=0.3), learned(BatchNorm(4), rng), ReLU())
    return Sequential(Conv2D(2, 4, 3, rng, std=0.3), learned(BatchNorm(4), rng), ReLU(), Residual(body), MaxPool2D(2),
                      Flatten(), Dense(16, 3, rng, 0.3))


@pytest.mark.parametrize("statistics", ["running", "batch"])
@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds)
def test_in_full_precision_it_is_batch_normalisation_with_all_its_gradients(kind, statistics, seed):
    layer, norm, x = pair(kind, np.random.default_rng(seed))
    one = Folded(layer, norm, statistics)
    a, b = (Tensor(x, requires_grad=True) for _ in range(2))
    y, expected = one(a, training=True), norm(layer(b), training=True)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-9)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(g)
    expected.backward(g)
    for mine, theirs in ((a, b), (one.weight.latent, layer.weight.latent), (one.norm.gamma, norm.gamma),
                         (one.norm.beta, norm.beta)):
        np.testing.assert_allclose(mine.grad, theirs.grad, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(one.norm.variance, norm.variance)
    np.testing.assert_allclose(one(Tensor(x)).numpy(), norm(layer(Tensor(x))).numpy(), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_method_is_given_is_what_inference_multiplies(kind):
    layer, norm, x = pair(kind, np.random.default_rng(2), np.float32)
    one = Folded(layer, norm)
    one.weight.change(LSQ(3))
    factors = norm.gamma.numpy() / np.sqrt(norm.variance + norm.eps)
    np.testing.assert_allclose(one.weight.real().numpy(), layer.weight.latent.numpy() * factors, rtol=1e-6)
    plain = one.in_inference()
    assert type(plain) is type(layer)
    np.testing.assert_array_equal(plain.weight.coded().codes, one.weight.coded().codes)
    np.testing.assert_array_equal(plain(Tensor(x)).numpy(), one(Tensor(x)).numpy())
    # in training with running statistics the same codes, scaled and shifted by those of the batch
    shifted = one(Tensor(x), training=True).numpy().reshape(-1, 4)
    sums = layer.product(Tensor(x), one.weight(), Tensor(np.zeros(4, np.float32))).numpy().reshape(-1, 4)
    for channel in range(4):
        line = np.polyfit(sums[:, channel], shifted[:, channel], 1)
        np.testing.assert_allclose(np.polyval(line, sums[:, channel]), shifted[:, channel], atol=1e-4)


def test_frozen_statistics_stay_and_training_is_inference():
    layer, norm, x = pair("dense", np.random.default_rng(3))
    one = Folded(layer, norm, freeze=2)
    one.weight.change(LSQ(4))
    seen = []
    for _ in range(4):
        y = one(Tensor(x), training=True)
        seen.append((one.norm.mean.copy(), np.array_equal(y.numpy(), one(Tensor(x)).numpy())))
    assert [same for _, same in seen] == [False, False, True, True]
    assert (seen[0][0] != seen[1][0]).all()
    np.testing.assert_array_equal(seen[1][0], seen[3][0])
    y.backward(np.ones(y.shape))
    assert all(np.abs(p.grad).max() > 0 for p in one.parameters().values())


@pytest.mark.parametrize("during", [False, True])
def test_a_folded_network_gives_what_the_network_gave(during):
    rng = np.random.default_rng(4)
    model, x = network(rng), Tensor(rng.standard_normal((5, 4, 4, 2)).astype(np.float32))
    before = model.state()
    one = fold(model, during)
    np.testing.assert_allclose(one(x).numpy(), model(x).numpy(), atol=2e-5)
    assert not any(isinstance(layer, BatchNorm) for layer in one.layers.values())
    assert [name for name in one.sites() if name.endswith("weight")] == (
        ["folded1.weight", "residual1.body.folded1.weight", "dense1.weight"] if during else
        ["conv2d1.weight", "residual1.body.conv2d1.weight", "dense1.weight"])
    assert all(type(site) is Site for site in for_inference(one).sites().values())
    for tensor in one.parameters().values():
        tensor.data[...] = 0
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])
    assert for_inference(model) is model


def trained(conv=True, steps=20):
    """A network of 4-bit weights and inputs that has been trained folded, and what it was trained on."""
    rng = np.random.default_rng(5)
    model = fold(network(rng, conv), during=True)
    quantize(model, lambda name: Affine(4, symmetric=True, narrow=True) if name.endswith("weight") else
             Affine(8, ranges="average") if name.endswith("input") else None)
    x = rng.standard_normal((40, 4, 4, 2) if conv else (40, 6)).astype(np.float32)
    labels = rng.integers(0, 3, 40)
    sgd = SGD(model.parameters().values(), 0.05)
    losses = []
    for _ in range(steps):
        loss = softmax_cross_entropy(model(Tensor(x), training=True), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return model, x


@pytest.mark.parametrize("conv", [False, True])
def test_files_and_integers_take_what_it_is_in_inference(conv, tmp_path):
    model, x = trained(conv)
    expected = model(Tensor(x)).numpy()
    save(tmp_path / "a.mlq", model)
    stored = load(tmp_path / "a.mlq")
    np.testing.assert_array_equal(stored.network(Tensor(x)).numpy(), expected)
    codes = coded_in(for_inference(model))
    assert list(stored.coded) == list(codes)
    integers = convert(model, x)
    result = compare(integers, FloatTwin(model, integers), x)
    assert result.agreement == 1
    assert all(one.largest <= 1 for one in result.alone.values())
    assert (result.predicted == expected.argmax(axis=1)).mean() >= 0.95
    if find_spec("onnx"):
        to_onnx(model, tmp_path / "a.onnx", x.shape[1:])


def test_penalties_and_statistics_are_of_the_folded_weight():
    rng = np.random.default_rng(6)
    model = quantize(fold(network(rng, conv=False), during=True), weights(LSQ(4)))
    bent = quantize(for_inference(quantize(model, weights(None))), weights(LSQ(4)))
    quantize(model, weights(LSQ(4)))
    for name in ("squared_deviation", "maxbin"):
        assert penalty_on(model, name, 0.1)().item() == pytest.approx(penalty_on(bent, name, 0.1)().item(), rel=1e-5)
    assert sqnr_in(model, coded_in(model)) == pytest.approx(sqnr_in(bent, coded_in(bent)), rel=1e-5)
    assert integer_columns(model)["zeros"] == integer_columns(bent)["zeros"]


@given(bits=st.sampled_from([2, 4]), seed=seeds)
def test_its_state_goes_on_to_the_same_bits(bits, seed):
    rng = np.random.default_rng(seed)
    layer, norm, x = pair("dense", rng)
    one, other = (Folded(layer, norm, freeze=3) for _ in range(2))
    for model in (one, other):
        model.weight.change(LSQ(bits))
    one(Tensor(x), training=True)
    other.load_state(one.state())
    for _ in range(4):
        np.testing.assert_array_equal(other(Tensor(x), training=True).numpy(), one(Tensor(x), training=True).numpy())
    assert other.batches == one.batches == 3


def test_what_cannot_be_folded_while_training():
    rng = np.random.default_rng(0)
    layer, norm = Dense(3, 2, rng), BatchNorm(2)
    with pytest.raises(ConfigError, match="statistics must be running or batch; got 'all'"):
        Folded(layer, norm, "all")
    with pytest.raises(ConfigError, match="freeze must be a whole number, at least 0; got -1"):
        Folded(layer, norm, freeze=-1)
    with pytest.raises(ShapeError, match="a layer of 2 outputs, a BatchNorm of 3"):
        Folded(layer, BatchNorm(3))
    with pytest.raises(ConfigError, match=r"directly behind a Dense or Conv2D; got Sequential\(dense1, relu1"):
        fold(Sequential(layer, ReLU(), norm))
    quantize(layer, lambda name: Nested() if name == "weight" else None)
    with pytest.raises(ConfigError, match=r"full precision; got a method at weight\. Fold first"):
        fold(Sequential(layer, norm), during=True)
    assert calibrate(Sequential(Folded(Dense(3, 2, rng), norm)), rng.random((4, 3)).astype(np.float32))
