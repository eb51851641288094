"""What binary networks need beside methods: shift-based normalisation and AdaMax, the squared hinge, the map K."""

import numpy as np
import pytest

from minilq import BNN, BWN, Adam, BinaryConnect, Dense, Sequential, Tensor, Within, nn
from minilq import squared_hinge as loss_of
from minilq.autodiff.parameter import Parameter
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.integer.engine import convert
from minilq.nn import Conv2D, Flatten, ShiftBatchNorm, XNORConv2D
from minilq.ops.powers import ap2
from minilq.store.modelfile import load, save
from minilq.train.adamax import ShiftAdaMax
from minilq.train.task import squared_hinge


def binary_network(rng):
    model = Sequential(Dense(12, 32, rng), ShiftBatchNorm(32), Dense(32, 3, rng), ShiftBatchNorm(3))
    for name, site in model.sites().items():
        if name.endswith("weight"):
            site.latent.array[...] = rng.uniform(-1, 1, site.shape)
    weights = BinaryConnect(rate="glorot")
    return nn.quantize(model, {"dense1.weight": weights, "dense2.input": BNN(), "dense2.weight": weights}.get)


def test_the_recipe_of_bnn_learns():
    """Binary weights and activations, shifts for products, the squared hinge: three groups of points are told apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    x = (np.eye(3, 12)[labels] * 3 + rng.standard_normal((300, 12))).astype(np.float32)
    model = binary_network(rng)
    optimizer, right = ShiftAdaMax(model.parameters().values(), 2.0**-6), []
    for _ in range(60):
        optimizer.zero_grad()
        loss, correct = squared_hinge(model, Tensor(x), labels)
        loss.backward()
        optimizer.step()
        right.append(correct / 300)
    assert right[0] < 0.7 < 0.9 < right[-1]
    latent = model.layers["dense1"].weight.latent.array
    assert np.abs(latent).max() <= 1
    assert (model(x).numpy().argmax(axis=1) == labels).mean() > 0.85


def test_shift_batch_norm_multiplies_by_powers_of_two_and_follows_its_batches(tmp_path):
    rng = np.random.default_rng(0)
    layer, x = ShiftBatchNorm(3, momentum=0.5), Tensor(rng.normal(2, 3, (200, 3)).astype(np.float32))
    layer.gamma.array[...] = [0.3, -1.7, 5]
    y = layer(x, training=True).numpy()
    centred = x.numpy() - x.numpy().mean(axis=0)
    factor = (y / centred)[0]
    np.testing.assert_allclose(y, centred * ap2(factor), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.mean, x.numpy().mean(axis=0) / 2, rtol=1e-5)
    for _ in range(20):
        layer(x, training=True)
    np.testing.assert_allclose(layer(x).numpy(), y, atol=1e-3 * np.abs(y).max())     # as in training, by then
    model = Sequential(Dense(12, 3, rng), layer)
    nn.quantize(model, lambda name: BinaryConnect() if name.endswith("weight") else None)
    save(tmp_path / "m.mlq", model)
    images = rng.standard_normal((4, 12)).astype(np.float32)
    np.testing.assert_array_equal(load(tmp_path / "m.mlq").network(images).numpy(), model(images).numpy())
    with pytest.raises(ConfigError, match="ShiftBatchNorm"):
        convert(model, images)


def test_a_convolution_with_its_map_is_stored_and_refused_by_integers(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((6, 8, 8, 2)).astype(np.float32)
    layer = XNORConv2D(2, 4, 3, rng, stride=2)
    model = Sequential(layer, Flatten(), Dense(64, 3, rng))
    nn.quantize(model, {"xnorconv2d1.input": BNN(), "xnorconv2d1.weight": BWN()}.get)
    y = model(Tensor(images), training=True)
    y.sum().backward()
    assert layer.weight.latent.grad.any()
    plain = Conv2D(2, 4, 3, rng, stride=2)
    plain.weight.latent.array[...], plain.bias.latent.array[...] = layer.weight.latent.array, 0
    nn.quantize(plain, {"input": BNN(), "weight": BWN()}.get)
    K = layer.window_means(Tensor(images)).numpy()
    assert K.shape == (6, 4, 4, 1)
    expected = plain(Tensor(images), training=True).numpy() * K + layer.bias.latent.array
    np.testing.assert_allclose(layer(Tensor(images)).numpy(), expected, rtol=1e-5, atol=1e-6)
    save(tmp_path / "m.mlq", model)
    np.testing.assert_array_equal(load(tmp_path / "m.mlq").network(images).numpy(), model(images).numpy())
    with pytest.raises(ConfigError, match="XNORConv2D"):
        convert(model, images)


def test_a_power_of_two_more_in_the_rate_of_adamax_is_twice_the_step():
    steps = []
    for lr in (0.5, 1.0, 1.1):
        p = Parameter(np.zeros(3), Within(-10, 10))
        p.grad = np.array([1.0, -0.3, 0.0])
        ShiftAdaMax([p], lr).step()
        steps.append(p.array)
    np.testing.assert_array_equal(steps[1], 2 * steps[0])
    np.testing.assert_array_equal(steps[2], steps[1])            # 11 becomes 8 as 10 does
    assert steps[0][2] == 0
    for flags in ({"beta1": 1.0}, {"epsilon": 0}):
        with pytest.raises(ConfigError, match="ShiftAdaMax"):
            ShiftAdaMax([p], **flags)


def test_squared_hinge_is_flat_beyond_its_targets():
    x = Tensor([[2.0, -1.5], [0.5, 0.0]], requires_grad=True, dtype=np.float64)
    targets = np.array([[1.0, -1.0], [1.0, 1.0]])
    loss = loss_of(x, targets)
    assert loss.item() == (0.25 + 1) / 4
    loss.backward()
    np.testing.assert_array_equal(x.grad, [[0, 0], [-0.25, -0.5]])
    with pytest.raises(ShapeError, match="targets"):
        loss_of(x, targets[0])
    with pytest.raises(DTypeError, match="dtype"):
        loss_of(x.numpy(), targets.astype(np.float32))


@pytest.mark.parametrize(("flags", "message"), [
    ({"channels": 0}, "channels"), ({"channels": 2, "momentum": 1}, "momentum"), ({"channels": 2, "eps": 0}, "eps")])
def test_a_wrong_setting_is_said(flags, message):
    with pytest.raises(ConfigError, match=message):
        ShiftBatchNorm(**flags)


def test_the_optimizer_goes_on_from_its_state():
    rng = np.random.default_rng(0)
    p, q = Parameter(rng.standard_normal(4)), Parameter(np.zeros(4))
    first = ShiftAdaMax([p])
    p.grad = rng.standard_normal(4)
    first.step()
    q.array[...] = p.array
    second = ShiftAdaMax([q])
    second.load_state(first.state())
    q.grad = p.grad
    first.step()
    second.step()
    np.testing.assert_array_equal(p.array, q.array)
    assert p.second_moment is None                               # which only an Adam has
    Adam([p])
    assert p.second_moment is not None
