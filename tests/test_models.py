"""The thesis' networks, layers for images, and from settings to a trainer."""

import numpy as np
import pytest

import minilq
from minilq import ConfigError, Quantizer, ShapeError, Tensor, threshold
from minilq.experiments import build, models
from minilq.experiments.config import RunConfig
from minilq.experiments.rounded import round_to_nearest
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
    scalar,
)
from minilq.objective import l2
from minilq.quantize import SCALE_MIN
from tests.strategies import GRANULARITIES


def rng(seed=0):
    return np.random.default_rng(seed)


def images(*shape, seed=0):
    return Tensor(rng(seed).uniform(0, 255, shape), dtype=np.float32)


# ---- layers


@pytest.mark.parametrize("granularity", GRANULARITIES[4])
def test_a_convolution_sees_the_reconstruction_of_its_kernel_in_every_granularity(granularity):
    q = Quantizer("nearest", granularity=granularity)
    layer = Conv2D(3, 4, (3, 2), rng(), q, scalar(q), stride=(2, 1), padding="valid", dtype=np.float64)
    assert layer.scales()["kernel"].shape == minilq.scale_shape(granularity, (3, 2, 3, 4))
    for scale in layer.scales().values():
        np.testing.assert_array_equal(scale.numpy(), SCALE_MIN)
        scale.data[...] = 0.03
    x = rng(1).standard_normal((2, 6, 5, 3))
    kernel, bias = (0.03 * np.rint(layer.parameters()[name].numpy() / 0.03) for name in ("kernel", "bias"))
    want = minilq.conv2d(x, kernel, bias, (2, 1), "valid")
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), want, rtol=1e-12)
    assert not np.allclose(want, minilq.conv2d(x, layer.kernel.numpy(), layer.bias.numpy(), (2, 1), "valid"), rtol=1e-3)


def test_layers_of_images_are_their_ops():
    x = images(2, 7, 7, 3)
    for layer, want in ((MaxPool2D(3, 2, "same"), minilq.max_pool2d(x, 3, 2, "same")),
                        (AveragePool2D(2), minilq.average_pool2d(x, 2)),
                        (GlobalAveragePool2D(), minilq.global_average_pool2d(x))):
        np.testing.assert_array_equal(layer(x).numpy(), want.numpy())
        assert layer.parameters() == layer.buffers() == {}


def test_batch_norm_follows_the_batch_in_training_only():
    layer = BatchNorm(3)
    x = images(4, 5, 5, 3)
    y = layer(x, training=True).numpy()
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-3)
    np.testing.assert_allclose(layer.mean.numpy(), 0.01 * x.numpy().mean(axis=(0, 1, 2)), rtol=1e-4)
    before = layer.mean.numpy().copy()
    predicted = layer(x).numpy()
    np.testing.assert_array_equal(layer.mean.numpy(), before)
    want = (x.numpy() - before) / np.sqrt(layer.variance.numpy() + 1e-3)
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
    assert list(block.parameters()) == ["body.conv2d1.kernel", "body.conv2d1.bias", "shortcut.conv2d1.kernel",
                                        "shortcut.conv2d1.bias", "shortcut.batchnorm1.gamma",
                                        "shortcut.batchnorm1.beta"]
    same = Residual(Sequential(Conv2D(2, 2, 3, rng(0)), ReLU()))
    np.testing.assert_allclose(same(x).numpy(), same.layers["body"](x).numpy() + x.numpy(), rtol=1e-6)
    with pytest.raises(ShapeError, match=r"body \(2, 4, 4, 3\), shortcut \(2, 4, 4, 2\).*1 x 1 convolution"):
        Residual(body)(x)


def test_wrong_layers_are_refused_with_their_names():
    for make, match in ((lambda: Conv2D(0, 3, 3, rng()), "n_in=0, n_out=3"),
                        (lambda: Conv2D(1, 3, 0, rng()), "Conv2D: size must be at least 1"),
                        (lambda: Conv2D(1, 3, 3, rng(), stride=0), "Conv2D: stride must be at least 1"),
                        (lambda: Conv2D(1, 3, 3, 42), "Conv2D: rng must be"),
                        (lambda: Conv2D(1, 3, 3, rng(), "floor"), "Conv2D: quantizers must be"),
                        (lambda: Conv2D(1, 3, 3, rng(), None, Quantizer()), "Conv2D: a bias has one scale"),
                        (lambda: BatchNorm(0), "channels must be at least 1"),
                        (lambda: Residual(ReLU), "Write ReLU"),
                        (lambda: Residual(ReLU(), 3), "every layer must be a Layer")):
        with pytest.raises(ConfigError, match=match):
            make()


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
    return [name.rsplit(".", 1)[0] for name in model.parameters() if name.endswith((".kernel", ".weight"))]


def count(model, *endings):
    return sum(p.size for name, p in model.parameters().items() if name.endswith(endings))


def test_the_cifar10_network_of_the_thesis():
    model = models.cifar10_cnn(rng(), Quantizer(granularity="row"))
    kinds = [name.rstrip("0123456789") for name in model.layers]
    pair = ["conv2d", "relu", "batchnorm"] * 2 + ["maxpool2d", "dropout"]
    assert kinds == [*pair * 3, "flatten", "dense", "relu", "batchnorm", "dropout", "dense"]
    assert [layer.rate for layer in model.layers.values() if isinstance(layer, Dropout)] == [0.2, 0.3, 0.4, 0.5]
    assert [layer.kernel.shape[3] for layer in model.layers.values() if isinstance(layer, Conv2D)] == \
        [32, 32, 64, 64, 128, 128]
    assert set(model.quantized()) == {f"conv2d{i}.{p}" for i in range(1, 7) for p in ("kernel", "bias")}
    convolutions = sum(q.parameter.size for q in model.quantized().values())
    assert convolutions == 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 2 * (32 + 64 + 128)
    assert count(model, "dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias") == 2048 * 128 + 128 + 1290
    assert abs(model.parameters()["dense1.weight"].numpy().std() / 0.05 - 1) < 0.02
    assert model(images(2, 32, 32, 3)).shape == (2, 10)


def test_the_imagenette_network_of_the_thesis_has_twenty_convolutions():
    model = models.imagenette_resnet(rng(), Quantizer(granularity="channel"), size=64)
    names = [name for name in weighted(model) if "conv2d" in name]
    assert len(names) == 20
    assert set(model.quantized()) == {f"{name}.{p}" for name in names for p in ("kernel", "bias")}
    kernels = [model.parameters()[f"{name}.kernel"].shape for name in names]
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
    model = models.lenet(rng(), Quantizer(granularity="channel"), shape)
    assert model(images(2, *shape)).shape == (2, 10)
    assert weighted(model) == ["conv2d1", "conv2d2", "dense1", "dense2", "dense3"]
    assert sum(p.size for p in model.parameters().values()) == 61706 + 25 * 6 * (shape[2] - 1)
    assert model.scales()["conv2d2.kernel"].shape == (1, 1, 6, 1)
    assert model.scales()["dense1.weight"].shape == (400, 1)     # an input channel of a dense layer is a row
    by_filter = models.lenet(rng(), Quantizer(granularity="filter"), shape)
    assert by_filter.scales()["dense1.weight"].shape == (1, 120)
    with pytest.raises(ConfigError, match="28 x 28 or 32 x 32"):
        models.lenet(rng(), shape=(64, 64, 3))


@pytest.mark.parametrize("make", [models.cifar10_cnn, models.imagenette_resnet, models.lenet])
def test_any_layer_can_have_its_own_threshold_or_stay_in_full_precision(make):
    names = weighted(make(rng()))
    own = {names[1]: 1e-12, names[-2]: 1e-9}
    model = make(rng(), lambda name: Quantizer(granularity="scalar", scale_rule=threshold(own[name]))
                 if name in own else None)
    assert {name.rsplit(".", 1)[0]: q.quantizer.scale_rule.lam for name, q in model.quantized().items()} == own


def test_quantizers_and_dropout_do_not_change_the_initial_values():
    a, b = models.cifar10_cnn(rng(3)), models.cifar10_cnn(rng(3), Quantizer(), noise=rng(9))
    for name, p in a.parameters().items():
        np.testing.assert_array_equal(p.numpy(), b.parameters()[name].numpy())


def test_one_step_of_each_network_moves_every_parameter_and_scale():
    for make, shape in ((models.cifar10_cnn, (32, 32, 3)), (models.imagenette_resnet, (32, 32, 3)),
                        (models.lenet, (28, 28, 1))):
        model = make(rng(), lambda name: Quantizer(granularity="filter", scale_rule=threshold(1e-3)))
        adam = minilq.Adam(minilq.groups_of(model), lr=1e-3)
        tensors = {**model.parameters(), **{f"s {k}": s for k, s in model.scales().items()}}
        before = {name: t.numpy().copy() for name, t in tensors.items()}
        loss = minilq.softmax_cross_entropy(model(images(4, *shape), training=True), np.array([0, 1, 2, 3]))
        loss.backward()
        adam.step()
        still = [name for name, t in tensors.items() if np.array_equal(before[name], t.numpy())]
        # a bias before a batch norm has a gradient of rounding errors only, and may stay
        assert [name for name in still if not name.endswith("bias")] == []


def test_a_network_keeps_its_running_statistics_when_saved_rounded_or_trained_on():
    model = models.cifar10_cnn(rng())
    x = images(16, 32, 32, 3)
    for _ in range(3):
        model(x, training=True)
    again = models.cifar10_cnn(rng(1))
    again.load_state(model.state())
    np.testing.assert_array_equal(model(x).numpy(), again(x).numpy())
    quantized = models.cifar10_cnn(rng(2), Quantizer())
    quantized.load_state(model.state(), scales=False)            # post-training: the scales begin anew
    np.testing.assert_array_equal(quantized.buffers()["batchnorm1.mean"].numpy(),
                                  model.buffers()["batchnorm1.mean"].numpy())
    rounded = round_to_nearest(model, models.cifar10_cnn, "row", 8)
    np.testing.assert_allclose(rounded(x).numpy(), model(x).numpy(), atol=0.3)


# ---- from settings to networks


def test_recipes_are_those_of_the_thesis():
    assert (RECIPES["cifar10"].batch, RECIPES["cifar10"].epochs, RECIPES["cifar10"].threshold) == (128, 100, 1e-11)
    config = RunConfig(data="imagenette")
    assert (config.batch, config.epochs, config.granularity, config.augment) == (64, 100, "channel", "thesis")
    assert config.image_shape == (64, 64, 3)
    generators = build.streams(0)
    assert set(generators) == {"init", "shuffle", "noise", "dropout", "augment"}
    model = build.network("quantized", config, generators)
    penalty = build.objective_for(config, model).parts["l2"]
    blocks = [p.numpy() for n, p in model.parameters().items() if "residual" in n and n.endswith(("kernel", "bias"))]
    assert len(blocks) == 2 * 19
    assert penalty().item() == pytest.approx(1e-4 * sum(float((p.astype(float) ** 2).sum()) for p in blocks), rel=1e-5)
    assert build.objective_for(RunConfig(data="cifar10"), models.cifar10_cnn(rng())).parts == {}


def quantized_layers(**settings):
    model = build.network("quantized", RunConfig(data="cifar10", **settings), build.streams(0))
    return sorted({name.rsplit(".", 1)[0]: q.quantizer.scale_rule.lam for name, q in model.quantized().items()}.items())


def test_quantize_chooses_the_layers_and_each_can_have_its_threshold():
    convolutions = [(f"conv2d{i}", 1e-11) for i in range(1, 7)]
    assert quantized_layers() == convolutions
    assert quantized_layers(quantize="all") == [*convolutions, ("dense1", 1e-11), ("dense2", 1e-11)]
    assert quantized_layers(quantize="inner") == [*convolutions[1:], ("dense1", 1e-11)]
    assert quantized_layers(layer_thresholds={"conv2d1": 1e-13}) == [("conv2d1", 1e-13), *convolutions[1:]]
    with pytest.raises(ConfigError, match=r"one of the quantized: conv2d1, .*conv2d6; got dense1"):
        quantized_layers(layer_thresholds={"dense1": 1e-10})
    assert build.network("float", RunConfig(data="cifar10", quantize="all"), build.streams(0)).quantized() == {}


def test_a_network_of_two_layers_has_no_inner_ones():
    with pytest.raises(ConfigError, match="a layer must be left to be quantized; got quantize 'inner' for mnist_mlp"):
        build.network("quantized", RunConfig(quantize="inner"), build.streams(0))


def test_the_rounded_baseline_rounds_what_the_run_quantizes():
    for quantize, layers in (("recipe", 6), ("all", 8), ("inner", 6)):
        config = RunConfig(data="cifar10", quantize=quantize)
        model = build.rounded_network(config, rng(), Quantizer("nearest", granularity="row", qmin=-4, qmax=3))
        assert len(model.quantized()) == 2 * layers


@pytest.mark.parametrize(("settings", "match"), [
    ({"model": "vgg"}, "model must be one of"),
    ({"data": "cifar10", "model": "mnist_mlp"}, "mnist_mlp needs 28 x 28 grey images; got cifar10, 32 x 32 x 3"),
    ({"model": "cifar10_cnn"}, "cifar10_cnn needs 32 x 32 colour"),
    ({"model": "imagenette_resnet"}, "imagenette_resnet needs colour"),
    ({"data": "imagenette", "model": "lenet"}, "lenet needs 28 x 28 or 32 x 32"),
    ({"granularity": "channel"}, "row, column or scalar; got 'channel'"),
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
    model = models.lenet(rng(), Quantizer(granularity="scalar", scale_rule=threshold(1e-6)))
    assert all(isinstance(layer, Dense) for name, layer in model.layers.items() if name.startswith("dense"))
    minilq.softmax_cross_entropy(model(images(4, 28, 28, 1), training=True), np.arange(4)).backward()
    assert all(s.grad is not None and s.grad.any() for s in model.scales().values())
