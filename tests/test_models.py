"""The thesis' networks, layers for images, and from settings to a trainer."""

import dataclasses

import numpy as np
import pytest

import minilq
from minilq import ConfigError, Nested, Scaled, ShapeError, Tensor, quantize
from minilq.experiments import build, models
from minilq.experiments.config import RunConfig
from minilq.experiments.thesis import RECIPES
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool2D,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)
from minilq.objective import l2
from minilq.quantize import SCALE_MIN
from minilq.schedule import steps
from tests.networks import everywhere, latents, quantized, scales, weights
from tests.strategies import GRANULARITIES


def rng(seed=0):
    return np.random.default_rng(seed)


def images(*shape, seed=0):
    return Tensor(rng(seed).uniform(0, 255, shape), dtype=np.float32)


# ---- layers


@pytest.mark.parametrize("granularity", GRANULARITIES[4])
def test_a_convolution_sees_the_reconstruction_of_its_kernel_in_every_granularity(granularity):
    layer = Conv2D(3, 4, (3, 2), rng(), stride=(2, 1), padding="valid", dtype=np.float64)
    plain = [layer.weight.latent.numpy(), layer.bias.latent.numpy()]
    quantize(layer, everywhere(Scaled("nearest", granularity=granularity)))
    assert scales(layer)["weight"].shape == minilq.scale_shape(granularity, (3, 2, 3, 4))
    for scale in scales(layer).values():
        np.testing.assert_array_equal(scale.numpy(), SCALE_MIN)
        scale.data[...] = 0.03
    x = rng(1).standard_normal((2, 6, 5, 3))
    kernel, bias = (0.03 * np.rint(latents(layer)[name].numpy() / 0.03) for name in ("weight", "bias"))
    want = minilq.conv2d(x, kernel, bias, (2, 1), "valid")
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), want, rtol=1e-12)
    assert not np.allclose(want, minilq.conv2d(x, *plain, (2, 1), "valid"), rtol=1e-3)


def test_layers_of_images_are_their_ops():
    x = images(2, 7, 7, 3)
    for layer, want in ((MaxPool2D(3, 2, "same"), minilq.max_pool2d(x, 3, 2, "same")),
                        (AveragePool2D(2), minilq.average_pool2d(x, 2)),
                        (GlobalAveragePool2D(), minilq.global_average_pool2d(x))):
        np.testing.assert_array_equal(layer(x).numpy(), want.numpy())
        assert layer.tensors() == layer.sites() == {}


def test_batch_norm_follows_the_batch_in_training_only():
    layer = BatchNorm(3)
    x = images(4, 5, 5, 3)
    y = layer(x, training=True).numpy()
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-3)
    np.testing.assert_allclose(layer.mean, 0.01 * x.numpy().mean(axis=(0, 1, 2)), rtol=1e-4)
    before = layer.mean.copy()
    predicted = layer(x).numpy()
    np.testing.assert_array_equal(layer.mean, before)
    want = (x.numpy() - before) / np.sqrt(layer.variance + 1e-3)
    np.testing.assert_allclose(predicted, want, rtol=1e-4)


def test_dropout_drops_in_training_only_and_draws_from_its_generator():
    layer, x = Dropout(0.5, rng(7)), Tensor(np.ones((100, 100)), dtype=np.float32)
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())
    dropped = layer(x, training=True).numpy()
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert abs(dropped.mean() - 1) < 0.05
    np.testing.assert_array_equal(Dropout(0.5, rng(7))(x, training=True).numpy(), dropped)


def test_a_residual_adds_what_it_was_given_and_names_what_it_holds():
    body, shortcut = Sequential(Conv2D(2, 3, 3, rng(0))), Sequential(Conv2D(2, 3, 1, rng(1)), BatchNorm(3))
    block, x = Residual(body, shortcut), images(2, 4, 4, 2)
    np.testing.assert_allclose(block(x).numpy(), body(x).numpy() + shortcut(x).numpy(), rtol=1e-6)
    assert list(block.parameters()) == ["body.conv2d1.weight.latent", "body.conv2d1.bias.latent",
                                        "shortcut.conv2d1.weight.latent", "shortcut.conv2d1.bias.latent",
                                        "shortcut.batchnorm1.gamma", "shortcut.batchnorm1.beta"]
    remembered = set(block.tensors()) - set(block.parameters())
    assert remembered == {"shortcut.batchnorm1.mean", "shortcut.batchnorm1.variance"}
    same = Residual(Sequential(Conv2D(2, 2, 3, rng(0)), ReLU()))
    np.testing.assert_allclose(same(x).numpy(), same.layers["body"](x).numpy() + x.numpy(), rtol=1e-6)
    with pytest.raises(ShapeError, match=r"body \(2, 4, 4, 3\), shortcut \(2, 4, 4, 2\).*1 x 1 convolution"):
        Residual(body)(x)


@pytest.mark.parametrize(("make", "match"), [
    (lambda: Conv2D(0, 3, 3, rng()), "Conv2D: numbers of inputs and outputs .* at least 1; got 0"),
    (lambda: Conv2D(1, 2.5, 3, rng()), r"Conv2D: numbers of inputs and outputs .*; got 2\.5"),
    (lambda: Conv2D(1, 3, 0, rng()), "Conv2D: size must be"),
    (lambda: Conv2D(1, 3, (3, 2, 1), rng()), "Conv2D: size must be"),
    (lambda: Conv2D(1, 3, "3", rng()), "Conv2D: size must be"),
    (lambda: Conv2D(1, 3, 3, rng(), stride=0), "Conv2D: stride must be"),
    (lambda: Conv2D(1, 3, 3, rng(), stride=None), "Conv2D: stride must be"),
    (lambda: Conv2D(1, 3, 3, rng(), padding="SAME"), "Conv2D: padding must be .*'SAME'"),
    (lambda: Conv2D(1, 3, 3, rng(), padding=-1), "Conv2D: padding must not be negative"),
    (lambda: Conv2D(1, 3, 3, rng(), padding=None), "Conv2D: padding must be"),
    (lambda: Conv2D(1, 3, 3, 42), "Conv2D: rng must be"),
    (lambda: Conv2D(1, 3, 3, rng(), std=-1), "Conv2D: std must be"),
    (lambda: MaxPool2D(0), "MaxPool2D: size must be"),
    (lambda: MaxPool2D(None), "MaxPool2D: size must be"),
    (lambda: MaxPool2D(2, 0), "MaxPool2D: stride must be"),
    (lambda: MaxPool2D(2, padding="SAME"), "padding must be"),
    (lambda: MaxPool2D(2, padding=2), "padding"),
    (lambda: AveragePool2D(1.5), "AveragePool2D: size must be"),
    (lambda: AveragePool2D((2, 0)), "AveragePool2D: size must be"),
    (lambda: BatchNorm(0), "channels must be a whole number, at least 1; got 0"),
    (lambda: BatchNorm(2.0), r"channels must be a whole number, at least 1; got 2\.0"),
    (lambda: BatchNorm(3, momentum=5), "momentum must"),
    (lambda: BatchNorm(3, momentum=None), "momentum must"),
    (lambda: BatchNorm(3, eps=0), "eps must"),
    (lambda: BatchNorm(3, eps="small"), "eps must"),
    (lambda: Dropout(1.5, rng()), "rate must"),
    (lambda: Dropout(-0.1, rng()), "rate must"),
    (lambda: Dropout("half", rng()), "rate must"),
    (lambda: Dropout(None, rng()), "rate must"),
    (lambda: Dropout(0.5, 42), "rng must be|Generator"),
    (lambda: Dropout(0.5, None), "rng must be|Generator"),
    (lambda: Sequential(3), "every layer must be a Layer"),
    (lambda: Residual(ReLU), "Write ReLU"),
    (lambda: Residual(ReLU(), 3), "every layer must be a Layer")])
def test_wrong_settings_of_layers_are_found_when_they_are_made_and_said_in_one_line(make, match):
    with pytest.raises(ConfigError, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_l2_is_the_sum_of_squares_and_its_gradient():
    a, b = Tensor([1.0, -2.0], requires_grad=True), Tensor([[3.0]], requires_grad=True)
    loss = l2([a, b], 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(1.4)
    np.testing.assert_allclose(a.grad, [0.2, -0.4])
    np.testing.assert_allclose(b.grad, [[0.6]])
    with pytest.raises(ConfigError, match="there must be a parameter"):
        l2([], 0.1)


# ---- networks


def weighted(model):
    return [name.rsplit(".", 1)[0] for name in model.sites() if name.endswith(".weight")]


def test_the_cifar10_network_of_the_thesis():
    model = models.cifar10_cnn(rng())
    quantize(model, lambda name: everywhere(Nested())(name) if name.startswith("conv2d") else None)
    kinds = [name.rstrip("0123456789") for name in model.layers]
    pair = ["conv2d", "relu", "batchnorm"] * 2 + ["maxpool2d", "dropout"]
    assert kinds == [*pair * 3, "flatten", "dense", "relu", "batchnorm", "dropout", "dense"]
    assert [layer.rate for layer in model.layers.values() if isinstance(layer, Dropout)] == [0.2, 0.3, 0.4, 0.5]
    assert [layer.weight.latent.shape[3] for layer in model.layers.values() if isinstance(layer, Conv2D)] == \
        [32, 32, 64, 64, 128, 128]
    assert set(quantized(model)) == {f"conv2d{i}.{p}" for i in range(1, 7) for p in ("weight", "bias")}
    convolutions = sum(site.latent.size for site in quantized(model).values())
    assert convolutions == 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 2 * (32 + 64 + 128)
    assert sum(p.size for name, p in latents(model).items() if name.startswith("dense")) == 2048 * 128 + 128 + 1290
    assert abs(latents(model)["dense1.weight"].numpy().std() / 0.05 - 1) < 0.02
    assert model(images(2, 32, 32, 3)).shape == (2, 10)


def test_the_imagenette_network_of_the_thesis_has_twenty_convolutions():
    model = models.imagenette_resnet(rng(), size=64)
    names = [name for name in weighted(model) if "conv2d" in name]
    assert len(names) == 20
    kernels = [latents(model)[f"{name}.weight"].shape for name in names]
    assert kernels[0] == (7, 7, 3, 64)
    assert sum(k[:2] == (1, 1) for k in kernels) == 3
    assert [k[3] for k in kernels if k[0] == 3] == [64] * 4 + [128] * 4 + [256] * 4 + [512] * 4
    x = images(1, 64, 64, 3)
    y = x
    sides = []
    for layer in model.layers.values():
        y = layer(y)
        sides.append(y.shape[1])
    assert sides[0] == 32
    assert sides[3] == 16                                        # after the pooling
    assert [s for s, layer in zip(sides, model.layers.values(), strict=True) if isinstance(layer, Residual)] == \
        [16, 16, 8, 8, 4, 4, 2, 2]
    assert y.shape == (1, 10)
    with pytest.raises(ConfigError, match="at least 32"):
        models.imagenette_resnet(rng(), size=16)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_lenet_has_the_sizes_of_1998(shape):
    model = models.lenet(rng(), shape)
    assert model(images(2, *shape)).shape == (2, 10)
    assert weighted(model) == ["conv2d1", "conv2d2", "dense1", "dense2", "dense3"]
    assert sum(p.size for p in model.parameters().values()) == 61706 + 25 * 6 * (shape[2] - 1)
    quantize(model, weights(Nested(granularity="channel")))
    assert scales(model)["conv2d2.weight"].shape == (1, 1, 6, 1)
    assert scales(model)["dense1.weight"].shape == (400, 1)      # an input channel of a dense layer is a row
    quantize(model, weights(Nested(granularity="filter")))
    assert scales(model)["dense1.weight"].shape == (1, 120)
    with pytest.raises(ConfigError, match="28 x 28 or 32 x 32"):
        models.lenet(rng(), shape=(64, 64, 3))


@pytest.mark.parametrize(("shape", "tokens"), [((28, 28, 1), 16), ((32, 32, 3), 16), ((14, 7, 1), 2)])
def test_a_vision_transformer_sees_patches(shape, tokens):
    model = models.vit(rng(), shape)
    assert model(images(2, *shape)).shape == (2, 10)
    assert model.sites()["position1.weight"].latent.size == 64 * tokens
    assert shape != (28, 28, 1) or sum(p.size for p in model.parameters().values()) == 38474
    with pytest.raises(ConfigError, match="multiples of 7, or of 8"):
        models.vit(rng(), (30, 30, 1))


def test_a_run_quantizes_what_attention_multiplies():
    config = RunConfig(model="vit", weights={"method": "lsq"}, inputs={"method": "lsq"})
    model = build.network(config, build.streams(0))
    choose = build.methods_for(config, model, build.streams(0))
    assert all(choose(name) is not None for name in model.sites() if name.endswith(("weight", "input")))
    assert build.inputs_for(config)(np.zeros((3, 28, 28), np.uint8)).shape == (3, 28, 28, 1)
    inner = build.quantized_layers(RunConfig(model="vit", quantize="inner"), model)
    assert "position1" in inner
    assert not {"conv2d1", "dense1"} & set(inner)
    with pytest.raises(ConfigError, match="vit needs 28 x 28 or 32 x 32"):
        RunConfig(model="vit", data="imagenette")


@pytest.mark.parametrize("make", [models.cifar10_cnn, models.imagenette_resnet, models.lenet, models.vit])
def test_any_layer_can_have_its_own_threshold_or_stay_in_full_precision(make):
    model = make(rng())
    names = weighted(model)
    own = {f"{names[1]}.weight": 1e-12, f"{names[-2]}.weight": 1e-9, f"{names[-2]}.bias": 1e-9}
    quantize(model, lambda name: Nested(own[name], granularity="scalar") if name in own else None)
    assert {name: site.method.lam for name, site in quantized(model).items()} == own


def test_methods_and_dropout_do_not_change_the_initial_values():
    a, b = models.cifar10_cnn(rng(3)), models.cifar10_cnn(rng(3), noise=rng(9))
    quantize(b, everywhere(Nested()))
    for name, p in latents(a).items():
        np.testing.assert_array_equal(p.numpy(), latents(b)[name].numpy())


def test_one_step_of_each_network_moves_every_parameter_and_scale():
    for make, shape in ((models.cifar10_cnn, (32, 32, 3)), (models.imagenette_resnet, (32, 32, 3)),
                        (models.lenet, (28, 28, 1)), (models.vit, (28, 28, 1))):
        model = quantize(make(rng()), everywhere(Nested(1e-3, granularity="filter")))
        tensors = model.parameters()
        adam = minilq.Adam(tensors.values(), lr=1e-3)
        before = {name: t.numpy().copy() for name, t in tensors.items()}
        loss = minilq.softmax_cross_entropy(model(images(4, *shape), training=True), np.array([0, 1, 2, 3]))
        loss.backward()
        adam.step()
        still = [name for name, t in tensors.items() if np.array_equal(before[name], t.numpy())]
        # a bias before a batch norm has a gradient of rounding errors only, and may stay
        assert [name for name in still if not name.endswith("bias.latent")] == []


def test_a_network_keeps_its_running_statistics_when_saved_or_trained_on():
    model = models.cifar10_cnn(rng())
    x = images(16, 32, 32, 3)
    for _ in range(3):
        model(x, training=True)
    again = models.cifar10_cnn(rng(1))
    again.load_state(model.state())
    np.testing.assert_array_equal(model(x).numpy(), again(x).numpy())
    quantize(again, weights(Nested()))           # post-training: the scales begin anew
    np.testing.assert_array_equal(again.tensors()["batchnorm1.mean"], model.tensors()["batchnorm1.mean"])


# ---- from settings to networks


@pytest.mark.parametrize(("data", "recipe", "epochs", "factors"), [
    ("imagenette", "usual", 100, [1] * 40 + [0.5] * 20 + [0.1] * 40),
    ("imagenette", "usual", 20, [1] * 8 + [0.5] * 4 + [0.1] * 8),
    ("imagenette", "thesis", 200, [1] * 80 + [0.5] * 40 + [0.1] * 80),
    ("imagenette", "usual", 3, [1, 1, 0.1]),                    # 1.2 and 1.8 epochs: both fall at the end of the second
    ("imagenette", "usual", 2, [1, 0.5]),
    ("imagenette", "usual", 1, [1]),
    ("mnist", "few-levels", 15, [1] * 8 + [0.1] * 4 + [0.01] * 3),
    ("mnist", "few-levels", 5, [1] * 3 + [0.1] + [0.01]),
    ("mnist", "usual", 7, [1] * 7),
])
def test_schedules_stretch_to_the_epochs_of_a_run(data, recipe, epochs, factors):
    schedule = build.schedule_for(RunConfig(data=data, recipe=recipe, epochs=epochs))
    assert [schedule(epoch) for epoch in range(epochs)] == pytest.approx(factors)


def test_recipes_are_those_of_the_thesis():
    thesis = RECIPES["thesis"]
    assert (thesis["cifar10"].batch, thesis["cifar10"].epochs, thesis["cifar10"].threshold) == (128, 100, 1e-11)
    assert {(thesis[data].input, thesis[data].lr, thesis[data].granularity, thesis[data].threshold)
            for data in ("digits", "mnist", "fashion")} == {("raw", 1e-4, "row", 1e-10)}
    few = RECIPES["few-levels"]
    assert all(RECIPES[name][data] is thesis[data] for name in ("usual", "few-levels") for data in (
        "cifar10", "imagenette"))
    rates = [few["mnist"].lr * steps(few["mnist"].schedule)(epoch) for epoch in (0, 7, 8, 11, 12)]
    assert rates == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4])
    assert few["mnist"].epochs == 15
    config = RunConfig(data="imagenette")
    assert (config.batch, config.epochs, config.granularity, config.augment) == (64, 100, "channel", "thesis")
    assert config.image_shape == (64, 64, 3)
    generators = build.streams(0)
    assert set(generators) == {"init", "shuffle", "noise", "dropout", "augment"}
    model = build.network(config, generators)
    quantize(model, build.methods_for(config, model, generators))
    penalty = build.objective_for(config, model).parts["l2"]
    blocks = [p.numpy() for n, p in latents(model).items() if "residual" in n]
    assert len(blocks) == 2 * 19
    assert penalty().item() == pytest.approx(1e-4 * sum(float((p.astype(float) ** 2).sum()) for p in blocks), rel=1e-5)
    assert build.objective_for(RunConfig(data="cifar10"), models.cifar10_cnn(rng())).parts == {}


@pytest.mark.parametrize("data", ["digits", "mnist", "fashion"])
def test_what_is_said_goes_before_the_recipe_and_what_is_not_follows_it(data):
    usual, thesis = (RunConfig(data=data, recipe=recipe) for recipe in ("usual", "thesis"))
    assert RunConfig(data=data) == usual
    assert (usual.input, usual.lr, usual.granularity) == ("unit", 1e-3, "scalar")
    assert (thesis.input, thesis.lr, thesis.granularity, thesis.threshold) == ("raw", 1e-4, "row", 1e-10)
    assert RunConfig(data=data, recipe="thesis", **{name: getattr(usual, name) for name in (
        "input", "lr", "granularity", "threshold", "epochs")}) == dataclasses.replace(usual, recipe="thesis")


def network(**settings):
    """The quantized network of a run."""
    config, generators = RunConfig(**{"data": "cifar10", **settings}), build.streams(0)
    model = build.network(config, generators)
    return quantize(model, build.methods_for(config, model, generators))


def quantized_layers(**settings):
    """Layer and threshold of each quantized weight; its bias has the same."""
    found = quantized(network(**settings))
    layers = sorted({(name.rpartition(".")[0], site.method.lam) for name, site in found.items()})
    assert len(found) == 2 * len(layers)
    return layers


def test_quantize_chooses_the_layers_and_each_can_have_its_threshold():
    convolutions = [(f"conv2d{i}", 1e-11) for i in range(1, 7)]
    assert quantized_layers() == convolutions
    assert quantized_layers(quantize="all") == [*convolutions, ("dense1", 1e-11), ("dense2", 1e-11)]
    assert quantized_layers(quantize="inner") == [*convolutions[1:], ("dense1", 1e-11)]
    assert quantized_layers(layer_thresholds={"conv2d1": 1e-13}) == [("conv2d1", 1e-13), *convolutions[1:]]
    with pytest.raises(ConfigError, match=r"must be one of .*conv2d1, .*conv2d6; got dense1"):
        quantized_layers(layer_thresholds={"dense1": 1e-10})
    assert quantized(build.network(RunConfig(data="cifar10", quantize="all"), build.streams(0))) == {}


def test_a_network_of_two_layers_has_no_inner_ones():
    with pytest.raises(ConfigError, match="a layer must be left to be quantized; got quantize 'inner' for mnist_mlp"):
        network(data="digits", quantize="inner")


@pytest.mark.parametrize(("chosen", "layers"), [("recipe", 6), ("all", 8), ("inner", 6)])
def test_sites_that_the_settings_quantize(chosen, layers):
    config = RunConfig(data="cifar10", quantize=chosen)
    assert len(build.quantized_sites(config, build.network(config, build.streams(0)))) == 2 * layers


@pytest.mark.parametrize(("settings", "match"), [
    ({"model": "vgg"}, "model must be one of"),
    ({"data": "cifar10", "model": "mnist_mlp"}, "mnist_mlp needs 28 x 28 grey images; got cifar10, 32 x 32 x 3"),
    ({"model": "cifar10_cnn"}, "cifar10_cnn needs 32 x 32 colour"),
    ({"model": "imagenette_resnet"}, "imagenette_resnet needs colour"),
    ({"data": "imagenette", "model": "lenet"}, "lenet needs 28 x 28 or 32 x 32"),
    ({"data": "cifar10", "granularity": "pixel"}, "granularity must be one of"),
    ({"augment": "crop"}, "augment is for colour images"),
    ({"data": "cifar10", "augment": "mixup"}, "augment must be one of"),
    ({"quantize": "some"}, "quantize must be one of"),
    ({"image_size": 32}, "image-size is an option of imagenette alone"),
    ({"data": "cifar10", "skip_damaged": True}, "skip-damaged is an option of imagenette alone"),
    ({"data": "imagenette", "image_size": 16}, "image_size must be a whole number, at least 32"),
    ({"limit": 0}, "limit must be a whole number, at least 1"),
    ({"layer_thresholds": {"dense1": -1.0}}, "threshold of dense1 must be a number >= 0"),
    ({"layer_thresholds": [1]}, "layer_thresholds must be a dict"),
])
def test_settings_that_do_not_go_together_are_refused(settings, match):
    with pytest.raises(ConfigError, match=match):
        RunConfig(**settings)


def test_augmenting_changes_what_the_network_sees_and_keeps_its_shape():
    batch = rng().integers(0, 256, (8, 72, 72, 3), dtype=np.uint8)
    for augment in ("crop", "thesis"):
        change = build.augment_for(RunConfig(data="imagenette", augment=augment))
        a, b, c = (change(batch, rng(seed)) for seed in (0, 0, 1))
        assert a.shape == (8, 64, 64, 3)
        assert 0 <= a.min() <= a.max() <= 255
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    assert build.augment_for(RunConfig(data="cifar10")) is None
    middle = build.augment_for(RunConfig(data="imagenette", augment="none"))
    np.testing.assert_array_equal(middle(batch, rng()), batch[:, 4:68, 4:68])


def test_lenet_takes_grey_images_through_an_axis_for_their_channel():
    batch = np.zeros((3, 28, 28), np.uint8)
    assert build.inputs_for(RunConfig(model="lenet"))(batch).shape == (3, 28, 28, 1)
    assert build.inputs_for(RunConfig())(batch).shape == (3, 28, 28)


def test_dense_layers_after_convolutions_learn_their_scales_too():
    model = quantize(models.lenet(rng()), everywhere(Nested(1e-6, granularity="scalar")))
    assert all(isinstance(layer, Dense) for name, layer in model.layers.items() if name.startswith("dense"))
    minilq.softmax_cross_entropy(model(images(4, 28, 28, 1), training=True), np.arange(4)).backward()
    assert all(s.grad is not None and s.grad.any() for s in scales(model).values())
