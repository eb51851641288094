"""Integer inference against the same network in float64, layer by layer, and what cannot be converted."""

import os
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import nn
from minilq.autodiff.tape import no_grad
from minilq.data import load
from minilq.errors import ConfigError, DTypeError, NonFiniteError, ShapeError
from minilq.experiments.build import trainer_for
from minilq.experiments.config import RunConfig
from minilq.experiments.models import cifar10_cnn, imagenette_resnet, lenet, mnist_mlp
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.integer.grid import grid_of_pixels, grid_over
from minilq.integer.product import LONGEST
from minilq.integer.steps import Beside, Product, Rescale, Sum
from minilq.quantize import Scaled
from minilq.store import modelfile
from minilq.train.metrics import INPUTS
from tests.strategies import seeds

OF_KERNELS = ["scalar", "row", "column", "channel", "filter", (0, 3), (2, 3), (0, 1), (0, 1, 2), (1, 2, 3)]
OF_DENSE = ["scalar", "row", "column", (0, 1)]
PADDINGS = ["same", "valid", 1, ((0, 1), (2, 0))]


def set_scales(model, rng, low=0.005, high=0.03):
    for site in model.sites().values():
        if "scale" in site.held:
            scale = site.held["scale"]
            scale.array[...] = rng.uniform(low, high, scale.shape)
            scale.changed_in_place()


def disturbed(model, rng, gammas=(-1.5, -0.3, 0.0, 1e-12, 1e-3, 0.5, 1.0, 2.0)):
    """Statistics and factors of batch normalisation as training leaves them, and worse."""
    for name, tensor in model.tensors().items():
        array, kind = getattr(tensor, "array", tensor), name.split(".")[-1]
        if kind == "gamma":
            array[...] = rng.choice(gammas, array.shape)
        elif kind in ("beta", "mean"):
            array[...] = rng.standard_normal(array.shape)
        elif kind == "variance":
            array[...] = rng.uniform(0, 4, array.shape)
        if array is not tensor:
            tensor.changed_in_place()
    return model


@st.composite
def networks(draw):
    """(model, images): a few layers of every kind, in any order; codes of one byte or of two."""
    rng = np.random.default_rng(draw(seeds))
    C, side = draw(st.integers(1, 3)), draw(st.integers(12, 13))
    rounding = draw(st.sampled_from(["floor", "nearest"]))

    def method(name):
        if name.endswith("input") or draw(st.integers(0, 5)) == 0:
            return None
        granularities = ["scalar"] if name.endswith("bias") else OF_KERNELS if "conv" in name else OF_DENSE
        return Scaled(rounding, granularity=draw(st.sampled_from(granularities)))

    def conv(n_in, n_out, padding=None, stride=None):
        size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        return nn.Conv2D(n_in, n_out, size, rng, stride or draw(st.integers(1, 2)),
                         padding or draw(st.sampled_from(PADDINGS)), std=0.3)

    layers, channels = [], C
    for _ in range(draw(st.integers(0, 2))):
        n_out = draw(st.integers(1, 4))
        layers += [conv(channels, n_out), *draw(st.permutations([nn.ReLU(),
                                                                 nn.BatchNorm(n_out)]))[:draw(st.integers(0, 2))]]
        channels = n_out
        if draw(st.booleans()):
            layers.append(draw(st.sampled_from([nn.MaxPool2D(2, 1, "same"), nn.MaxPool2D((2, 1), padding="same"),
                                                nn.AveragePool2D(2, 1, "same"), nn.Dropout(0.5, rng)])))
        if draw(st.integers(0, 2)) == 0:
            body = [conv(channels, channels, "same", 1), *draw(st.permutations([nn.ReLU(), nn.BatchNorm(channels)]))]
            shortcut = draw(st.sampled_from([None, conv(channels, channels, "same", 1), nn.BatchNorm(channels)]))
            layers += [nn.Residual(nn.Sequential(body), shortcut), nn.ReLU()]
        if draw(st.integers(0, 2)) == 0:
            inner = draw(st.integers(1, 2))
            layers.append(nn.Concatenate(nn.Sequential(conv(channels, inner, "same", 1), nn.ReLU())))
            channels += inner
        if draw(st.integers(0, 2)) == 0:
            groups = draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
            layers.append(nn.GroupedConv2D(channels, 2 * channels, (2, 3), groups, rng, draw(st.integers(1, 2)),
                                           draw(st.sampled_from(["same", ((1, 1), (2, 0))])), std=0.3))
            channels *= 2
    images = pictures(draw, rng, (8, side, side, C))
    layers.append(draw(st.sampled_from([nn.Flatten(), nn.GlobalAveragePool2D()])))
    with no_grad():
        features = disturbed(nn.Sequential(layers), rng)(images).shape[1]
    hidden = draw(st.integers(1, 5))
    layers += [nn.Dense(features, hidden, rng, std=0.3), nn.ReLU()]
    if draw(st.booleans()):
        layers.append(nn.BatchNorm(hidden))
    layers.append(nn.Dense(hidden, 4, rng, std=0.3))
    model = nn.quantize(disturbed(nn.Sequential(layers), rng), method)
    low = draw(st.sampled_from([2e-4, 0.01, 0.2]))
    set_scales(model, rng, low, 4 * low)
    return model, images


def pictures(draw, rng, shape):
    kind = draw(st.sampled_from(["raw", "unit", "normal"]))
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    return rng.standard_normal(shape).astype(np.float32) if kind == "normal" else INPUTS[kind](pixels)


@given(seed=seeds, gammas=st.sampled_from([(0.3, 1.0), (-1.5, 0.0, 0.7)]), twice=st.booleans())
def test_codes_are_made_before_the_largest_is_taken(seed, gammas, twice):
    rng = np.random.default_rng(seed)
    pools = [nn.MaxPool2D(2), nn.MaxPool2D((1, 2), 1, "same")] if twice else [nn.MaxPool2D(3, 2, "same")]
    model = nn.Sequential(nn.Conv2D(2, 5, 3, rng, std=0.3), nn.BatchNorm(5), *pools, nn.BatchNorm(5), nn.ReLU(),
                          nn.Conv2D(5, 3, 2, rng, std=0.3))
    images = rng.standard_normal((5, 9, 8, 2)).astype(np.float32)
    network = convert(disturbed(model, rng, gammas), images)
    steps = [type(step).__name__ for step in network.steps]
    between = ["Rescale"] if any((layer.gamma.array < 0).any() for name, layer in model.layers.items()
                                 if name == "batchnorm2") else []
    assert steps == ["Product", *["Maximum"] * len(pools), *between, "Product"]
    alone = compare(network, FloatTwin(model, network), images).alone
    assert max(difference.largest for difference in alone.values()) <= 1


@pytest.mark.filterwarnings("ignore:convert")    # dead layers are among them
@given(made=networks(), split=st.booleans(), outside=st.sampled_from([0, 1e-4, 0.05]), bits=st.sampled_from([8, 16]))
def test_codes_differ_by_at_most_one_when_inputs_are_equal(made, split, outside, bits):
    model, images = made
    network = convert(model, images, split, bits, outside)
    result = compare(network, FloatTwin(model, network), images)
    assert set(result.alone) == {name.removesuffix(".weight") for name in model.sites() if name.endswith(".weight")}
    for name, difference in result.alone.items():
        assert difference.largest <= (1 if bits == 8 else 256), name
    assert result.logits < 256                   # of 2^30 steps; codes of two bytes cost up to eight bits


@pytest.mark.filterwarnings("ignore:convert")
@given(made=networks(), split=st.booleans(), bits=st.sampled_from([8, 16]))
def test_no_step_holds_or_makes_a_float(made, split, bits):
    model, images = made
    network = convert(model, images, split, bits=bits)

    def check(steps):
        for step in steps:
            if isinstance(step, Sum):
                check(step.body + step.beside)
            if isinstance(step, Beside):
                check(step.first + step.second)
            for rescale in [step.rescale] if isinstance(step, (Product, Rescale)) else []:
                assert {a.dtype for a in rescale[:5]} == {np.dtype(np.int64)}
                assert np.abs(rescale.factor).max() <= 2**31
            for part in step.parts if isinstance(step, Product) else []:
                assert part.codes.dtype == np.int8

    check(network.steps)
    codes = network.codes_between(network.grid.codes(images))
    assert codes.pop("logits").dtype == np.int32
    allowed = {np.dtype(np.uint8)} if bits == 8 else {np.dtype(np.uint8), np.dtype(np.uint16)}
    assert {q.dtype for q in codes.values()} <= allowed


@pytest.mark.filterwarnings("ignore:convert")
@given(made=networks())
def test_pure_numpy_gives_the_same_integers(kernels_off, made):
    model, images = made
    network = convert(model, images)
    without = network(network.grid.codes(images))
    minilq.use_kernels(True)
    with_kernels = network(network.grid.codes(images))
    minilq.use_kernels(False)
    np.testing.assert_array_equal(with_kernels, without)


NETWORKS = {"mnist": (mnist_mlp, (28, 28)), "lenet": (lenet, (28, 28, 1)), "cifar10": (cifar10_cnn, (32, 32, 3)),
            "imagenette": (lambda rng: imagenette_resnet(rng, size=32), (32, 32, 3))}


ALL_WAYS = [(name, g, split) for name in NETWORKS for g in ("row", "channel") for split in (False, True)
            if (name, g) != ("mnist", "channel")]
EACH_ONCE = [("mnist", "row", False), ("mnist", "row", True), ("lenet", "channel", False), ("lenet", "row", True),
             ("cifar10", "row", False), ("cifar10", "channel", True)]


@pytest.mark.parametrize(("name", "granularity", "split"), [
    way if way in EACH_ONCE else pytest.param(*way, marks=pytest.mark.deep) for way in ALL_WAYS])
def test_the_networks_of_the_thesis_stay_near_to_themselves(name, granularity, split):
    make, shape = NETWORKS[name]
    rng = np.random.default_rng(3)
    model = nn.quantize(make(np.random.default_rng(1)), lambda name: Scaled("nearest", granularity=granularity)
                        if name.endswith("weight") else None)
    set_scales(model, rng)
    images = rng.integers(0, 256, (8, *shape)).astype(np.float32)
    network = convert(model, images, split, outside=0)
    logits = network(images.astype(np.uint8)) * network.logits_scale
    with no_grad():
        want = model(images).numpy()
    assert np.abs(logits - want).max() < 0.06 * np.abs(want).max()


def agreement(trainer, data, split=False, bits=8):
    """The share of validation images that the integers of a trained network classify as its floats do."""
    images = INPUTS["raw"](data.validation_images)
    network = convert(trainer.model, INPUTS["raw"](data.train_images[:1000]), split, bits)
    result = compare(network, FloatTwin(trainer.model, network), images)
    assert result.agreement >= 0.999
    assert max(d.largest for d in result.alone.values()) <= 1
    with no_grad():
        return np.mean(network.predict(images) == trainer.model(images).numpy().argmax(axis=1))


@pytest.mark.parametrize("granularity", [pytest.param("row", marks=pytest.mark.deep), "scalar"])
def test_digits_are_classified_as_by_the_float_network(granularity):
    data = load("digits")
    trainer = trainer_for("quantized", RunConfig(recipe="thesis", granularity=granularity, threshold=1e-9), data)
    assert trainer.run(1)
    assert agreement(trainer, data, bits=16) >= 0.999
    assert agreement(trainer, data, split=True) >= 0.995
    assert trainer.run(2)
    assert agreement(trainer, data) >= 0.995


def on_weight(method, *layers):
    """The layers in a row, with a method at the weight of the first Dense."""
    return nn.quantize(nn.Sequential(*layers), lambda name: method if name == "dense1.weight" else None)


def test_a_stored_model_becomes_the_same_integers(tmp_path):
    rng = np.random.default_rng(0)
    layers = nn.Flatten(), nn.Dense(16, 8, rng), nn.ReLU(), nn.Dense(8, 3, rng)
    model = on_weight(Scaled(granularity="row"), *layers)
    set_scales(model, rng)
    images = rng.integers(0, 256, (20, 4, 4)).astype(np.float32)
    modelfile.save(tmp_path / "model.mlq", model)
    network, stored = convert(model, images), convert(modelfile.load(tmp_path / "model.mlq"), images)
    np.testing.assert_array_equal(network(images.astype(np.uint8)), stored(images.astype(np.uint8)))
    assert stored.rounded == ["dense2.weight"]


def test_split_leaves_the_grid_as_it_is_and_absorbing_divides_it():
    rng = np.random.default_rng(0)
    model = on_weight(Scaled("nearest", granularity="row"), nn.Dense(3, 2, rng))
    set_scales(model, rng)
    s = model.sites()["dense1.weight"].scale.numpy().reshape(-1)
    images = np.array([[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]], np.float32)
    split, absorbed = convert(model, images, split=True), convert(model, images, outside=0)
    assert (split.grids["dense1"].scale, split.grids["dense1"].zero) == (1.0, 0)
    np.testing.assert_allclose(absorbed.grids["dense1"].scale, s.max() / s)
    np.testing.assert_allclose(split(images.astype(np.uint8)) * split.logits_scale, model(images).numpy(), rtol=1e-5)


def set_weight(model, value, scale):
    """Those of dense1, in place."""
    site = model.sites()["dense1.weight"]
    for tensor, new in ((site.latent, value), (site.held["scale"], scale)):
        tensor.array[...] = new
        tensor.changed_in_place()


def test_codes_of_four_bytes_and_no_further():
    rng = np.random.default_rng(0)
    model = on_weight(Scaled("nearest", granularity="scalar"), nn.Dense(5, 3, rng, dtype=np.float64))
    codes = rng.choice([-2**31, 2**31 - 2**24, 32768, 127, -128, 128, -129, 0], (5, 3))
    images = rng.integers(0, 256, (9, 5)).astype(np.float64)
    for bits, rounded in ((0, []), (1, ["dense1.weight"])):
        set_weight(model, codes * 2.0 ** (bits - 10), 2.0**-10)
        network = convert(model, images)
        assert network.rounded == rounded
        y, want = network(images.astype(np.uint8)) * network.logits_scale, model(images).numpy()
        assert np.abs(y - want).max() < (1e-2 if rounded else 1e-6) * np.abs(want).max()


def test_the_longest_sum_fits_and_a_longer_one_is_refused():
    model = on_weight(Scaled("nearest", granularity="scalar"), nn.Dense(LONGEST, 2, np.random.default_rng(0)))
    set_weight(model, [-1.28, 1.27], 0.01)
    images = np.full((1, LONGEST), 255, np.float32)
    images[0, 0] = 254
    network = convert(model, images)
    logits = network(images.astype(np.uint8)) * network.logits_scale
    total = 255 * LONGEST - 1
    np.testing.assert_allclose(logits, [[-1.28 * total, 1.27 * total]], atol=0.2)        # float32 is 1e-4 off
    with pytest.raises(ConfigError, match=f"65793 terms, .* got dense1 with {LONGEST + 1} inputs"):
        convert(nn.Sequential(nn.Dense(LONGEST + 1, 2, np.random.default_rng(0))),
                np.arange(LONGEST + 1, dtype=np.float32)[None])


class Own(nn.Layer):
    def __call__(self, x, training=False):
        return x


def test_what_has_no_integer_form_is_refused_by_name():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2, 4)).astype(np.float32)
    twice = nn.Dense(4, 4, rng)
    for layers, message in (([Own()], r"got own1 \(Own\)"), ([nn.Residual(Own())], r"residual1.body \(Own\)")):
        with pytest.raises(ConfigError, match=message):
            convert(nn.Sequential(layers), x)
    with pytest.raises(ConfigError, match="Sequential"):
        convert(nn.Dense(4, 4, rng), x)
    with pytest.raises(ConfigError, match="8 or 16"):
        convert(nn.Sequential(twice), x, bits=4)
    for outside in (0.5, -0.1, np.nan, "few"):
        with pytest.raises(ConfigError, match="outside must lie"):
            convert(nn.Sequential(twice), x, outside=outside)
    with pytest.raises(ShapeError, match="at least one image"):
        convert(nn.Sequential(twice), x[:0])
    with pytest.raises(NonFiniteError, match="of dense1"):
        convert(nn.Sequential(twice), x * np.nan)
    network = convert(nn.Sequential(twice), x)
    for wrong in (x, x.tolist(), x.astype(int)):
        with pytest.raises(DTypeError, match=r"grid\.codes"):
            network(wrong)
    with pytest.raises(NonFiniteError, match="images"):
        network.predict(np.full_like(x, np.inf))
    assert network(np.zeros((0, 4), np.uint8)).shape == (0, 4)


def test_images_of_another_shape_are_refused_and_no_images_have_no_classes():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 8, 8, 2)).astype(np.float32)
    layers = nn.Conv2D(2, 3, 3, rng), nn.ReLU(), nn.BatchNorm(3), nn.Flatten(), nn.Dense(192, 4, rng)
    network = convert(nn.Sequential(*layers), x)
    for wrong in (x[0], x[..., 0], x[..., :1], x[:, :4], x.reshape(3, -1), np.ones(())):
        with pytest.raises(ShapeError, match="IntegerNetwork"):
            network.predict(wrong)
    for wrong in (None, x.tolist(), np.array(["a"])):
        with pytest.raises(DTypeError, match="images"):
            network.predict(wrong)
    assert network.predict(x[:0]).shape == (0,)
    pooled = nn.Sequential(nn.Conv2D(2, 3, 3, rng), nn.GlobalAveragePool2D(), nn.Dense(3, 4, rng))
    assert convert(pooled, x).predict(x[:, :4]).shape == (3,)                # images of any size
    with pytest.raises(ShapeError, match="compare"):
        compare(network, FloatTwin(pooled, network), x[:0])
    for wrong in (x.tolist(), np.ones(())):
        with pytest.raises(ShapeError, match="array"):
            convert(pooled, wrong)
    with pytest.raises(ConfigError, match="Sequential"):
        convert(None, x)


def test_weights_that_cancel_leave_codes_finer_than_the_int32_between_layers():
    """A sum that could be 127 * 255 * 10000 and is 0..8: a code of the next grid is finer than 2^-30 of that."""
    rng, K = np.random.default_rng(0), 20_000
    model = on_weight(Scaled("nearest"), nn.Dense(K, 4, rng), nn.Residual(nn.Sequential()), nn.Dense(4, 3, rng))
    weight = np.tile(np.where(np.arange(K) % 2, 127, -127)[:, None], 4)
    weight[:2] = [[1, 2, 3, 4], [0, 0, 0, 0]]
    set_weight(model, weight, 1)
    model.parameters()["dense1.bias.latent"].array[...] = 0
    images = np.full((20, K), 100, np.float32)
    images[:, 0] = rng.integers(0, 3, 20)
    images[0, 2:4] = 255
    network = convert(model, images)
    difference = compare(network, FloatTwin(model, network), images).alone["dense2"].largest
    step = 127 * 255 * (K / 2) / 2**30
    assert 1 < difference <= 1 + 2 * step / network.grids["dense2"].scale


def test_a_dead_network_gives_its_bias_with_a_warning():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(3, 4, rng), nn.ReLU(), nn.Dense(4, 2, rng))
    for name in ("dense1.weight.latent", "dense1.bias.latent"):
        model.parameters()[name].array[...] = -1
    x = rng.random((2, 3), np.float32)
    with pytest.warns(UserWarning, match="the input of dense2 was 0 for all images"):
        network = convert(model, x)
    logits = network(network.grid.codes(x)) * network.logits_scale
    np.testing.assert_allclose(logits, np.tile(model.parameters()["dense2.bias.latent"].numpy(), (2, 1)),
                               atol=2 * network.logits_scale)


@pytest.mark.parametrize("value", [0, 255])
def test_blank_images_are_refused(value):
    model = nn.Sequential(nn.Flatten(), nn.Dense(4, 3, np.random.default_rng(0)))
    with pytest.raises(ConfigError, match=f"got {value} in all of them, so that the input of flatten1 never varied"):
        convert(model, np.full((5, 2, 2), value, np.float32))


@given(low=st.floats(-1e4, 1e4), high=st.floats(-1e4, 1e4))
def test_a_grid_holds_zero_and_its_range(low, high):
    low, high = min(low, high), max(low, high)
    grid = grid_over(low, high)
    assert 0 <= grid.zero <= 255
    assert grid.reals(grid.codes(np.zeros(1)))[0] == 0
    x = np.linspace(low, high, 50)
    assert np.abs(grid.reals(grid.codes(x)) - x).max() <= grid.scale * (1 + 1e-9)      # half a step, and half for zero


def test_pixels_are_codes_as_they_are():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    for to_input in INPUTS.values():
        np.testing.assert_array_equal(grid_of_pixels(to_input(pixels)).codes(to_input(pixels)), pixels)
    assert grid_of_pixels(np.array([[-1.0, 0.3, 2.0]])) is None


@pytest.mark.deep
@pytest.mark.skipif(not os.environ.get("MINILQ_DATA"),
                    reason="needs full MNIST: set MINILQ_DATA to a folder that holds it")
@pytest.mark.parametrize("granularity", ["row", "scalar"])
def test_mnist_is_classified_as_by_the_float_network(granularity):
    data = load("mnist", Path(os.environ["MINILQ_DATA"]))
    assert len(data.validation_images) == 10_000
    trainer = trainer_for("quantized", RunConfig(data="mnist", recipe="thesis", granularity=granularity), data)
    assert trainer.run(1)
    assert agreement(trainer, data) >= 0.995
