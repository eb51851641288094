"""Integer inference with the grids that methods at inputs have trained: against the trained network itself."""

from dataclasses import dataclass

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import nn
from minilq.autodiff.tape import no_grad
from minilq.autodiff.tensor import Tensor
from minilq.data import load
from minilq.errors import ConfigError
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.integer.grid import DOWN
from minilq.integer.trained import trained_grid
from minilq.integer.weights import parts_of
from minilq.optim import Adam
from minilq.quantize import Coded, Even, Nested, Quantizer, Scaled, Table, pretend
from minilq.quantize.methods import LSQ, PACT, Affine, FixedRange, LQNets, LSQPlus
from minilq.store import modelfile
from minilq.train.metrics import INPUTS
from minilq.train.task import cross_entropy
from tests.strategies import seeds
from tests.test_engine import PADDINGS, disturbed, pictures


@dataclass(frozen=True)
class Trits(Quantizer):
    """A reader's own: -down, 0, up of each output."""

    def start(self, x):
        return {"levels": np.stack([level * np.abs(x).mean(axis=tuple(range(x.ndim - 1))) for level in (-1.2, 0, 0.9)])}

    def __call__(self, x, held, training=False):
        return pretend(x, self.coded(x.array, held).values)

    def coded(self, x, held):
        levels = held["levels"]
        return Coded((1 + (x > levels[2] / 2) - (x < levels[0] / 2)).astype(np.int8), Table(levels))


def signs(granularity="scalar"):
    return Scaled("sign", granularity=granularity, scale_rule="chain_rule()", qmin=-1, qmax=1, surrogate="clipped")


AT_WEIGHTS = [None, LSQ(2), LSQ(4, granularity="filter"), LSQ(3, granularity="channel"), LSQ(12, granularity="row"),
              LSQPlus(3, offset=False), LSQPlus(2), Affine(), Affine(4, granularity="filter"),
              Affine(8, signed=False), Scaled("floor", granularity="scalar"), signs("filter"), Trits()]
AT_INPUTS = [None, LSQ(4), LSQ(8), LSQ(8, signed=False), LSQ(3, granularity="filter"), LSQ(12), LSQPlus(2),
             LSQPlus(8, signed=False), LSQPlus(4, granularity="filter"), PACT(4, alpha=2.0), PACT(8), PACT(10, alpha=3),
             Affine(4, ranges="data"), Affine(ranges="average", signed=False), Affine(5, ranges="data", symmetric=True),
             Affine(4, ranges="learned"), FixedRange(4), FixedRange(3, per="channel"), signs(),
             Scaled("floor", granularity="scalar", qmin=-5, qmax=9), LQNets(1, signed=False), LQNets(2, signed=False),
             LQNets(3, granularity="scalar")]


def trained(model, images, rng, steps=2):
    """The model after a few steps towards random labels, its inputs calibrated before."""
    for site in model.sites().values():
        if isinstance(site.method, Scaled) and site.latent is not None:
            site.held["scale"].array[...] = 0.05
            site.held["scale"].changed_in_place()
    nn.calibrate(model, images)
    for site in model.sites().values():
        if isinstance(site.method, Scaled) and site.latent is None:
            site.held["scale"].array[...] = rng.uniform(0.2, 0.6)
            site.held["scale"].changed_in_place()
    adam = Adam(model.parameters().values(), lr=0.01)
    for _ in range(steps):
        loss, _ = cross_entropy(model, Tensor(images), rng.integers(0, 4, len(images)))
        loss.backward()
        adam.step()
        adam.zero_grad()
    return model


@st.composite
def networks(draw, at_weights=AT_WEIGHTS, at_inputs=AT_INPUTS):
    """(model, images) of every kind of layer, with methods at weights and inputs, and Quantize layers."""
    rng = np.random.default_rng(draw(seeds))
    C, side = draw(st.integers(1, 3)), draw(st.integers(9, 11))

    def method(name):
        even = [m for m in at_inputs if not isinstance(m, LQNets)]           # what a Quantize layer may have
        if "quantize" in name:
            return draw(st.sampled_from([m for m in even if "channel" not in repr(m) and "filter" not in repr(m)]))
        return draw(st.sampled_from(at_weights if name.endswith("weight") else even if name.endswith("shortcut.input")
                                    else at_inputs if name.endswith("input") else [None, LSQ(8)]))

    def conv(n_in, n_out, padding=None, stride=None):
        size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        return nn.Conv2D(n_in, n_out, size, rng, stride or draw(st.integers(1, 2)),
                         padding or draw(st.sampled_from(PADDINGS)), std=0.3)

    layers, channels = [], C
    for _ in range(draw(st.integers(0, 2))):
        n_out = draw(st.integers(1, 4))
        layers += [conv(channels, n_out), *draw(st.permutations([nn.ReLU(), nn.BatchNorm(n_out), nn.Quantize()]))[:2]]
        channels = n_out
        if draw(st.booleans()):
            layers.append(draw(st.sampled_from([nn.MaxPool2D(2, 1, "same"), nn.AveragePool2D(2, 1, "same"),
                                                nn.Dropout(0.5, rng)])))
        if draw(st.booleans()):
            body = [conv(channels, channels, "same", 1), *draw(st.permutations([nn.ReLU(), nn.BatchNorm(channels)]))]
            shortcut = draw(st.sampled_from([None, conv(channels, channels, "same", 1), nn.Quantize()]))
            layers += [nn.Residual(nn.Sequential(body), shortcut), nn.ReLU()]
    images = pictures(draw, rng, (8, side, side, C))
    layers.append(draw(st.sampled_from([nn.Flatten(), nn.GlobalAveragePool2D()])))
    with no_grad():
        features = nn.Sequential(layers)(images).shape[1]
    layers += [nn.Dense(features, 5, rng, std=0.3), nn.ReLU(), nn.Dense(5, 4, rng, std=0.3)]
    model = nn.quantize(disturbed(nn.Sequential(layers), rng), method)
    return trained(model, images, rng), images


@pytest.mark.filterwarnings("ignore:convert", "ignore:calibrate")    # dead layers are among them
@given(made=networks(), split=st.booleans(), kernels=st.booleans())
def test_codes_differ_by_at_most_one_from_those_of_the_methods(made, split, kernels):
    model, images = made
    minilq.use_kernels(kernels)
    network = convert(model, images, split)
    result = compare(network, FloatTwin(model, network), images)
    minilq.use_kernels(True)
    for name, difference in result.alone.items():
        assert difference.largest <= 1, name
    assert result.logits < 2**13                 # of 2^30 steps; planes and bytes share the bits of the factors


SCALARS = [m for m in AT_INPUTS if m is not None and "filter" not in repr(m) and "channel" not in repr(m)]


@pytest.mark.filterwarnings("ignore:calibrate")
@given(made=networks(at_inputs=SCALARS), first=st.sampled_from([m for m in SCALARS if not isinstance(m, LQNets)]))
def test_trained_networks_need_no_images(made, first):
    model, images = made
    first = nn.Quantize(first)
    model = nn.calibrate(nn.Sequential(first, *model.layers.values()), images)
    network = convert(model, shape=images.shape[1:])
    result = compare(network, FloatTwin(model, network), images)
    assert all(difference.largest <= 1 for difference in result.alone.values())
    assert network.grid is network.grids["quantize1"]


def fitted(layers, images, weights=None, inputs=None):
    """A network of these layers with one method for all weights and one for all inputs, calibrated."""
    model = nn.quantize(nn.Sequential(layers), lambda name: weights if name.endswith("weight")
                        else inputs if name.endswith("input") else None)
    return nn.calibrate(model, images)


def close(network, model, images):
    """The logits of both, which are equal but for single steps of 2^30 and float32, when all codes are."""
    with no_grad():
        want = model(images).numpy()
    logits = network(network.grid.codes(images)) * network.logits_scale
    np.testing.assert_allclose(logits, want, atol=2e-6 * np.abs(want).max())


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("method", [
    LSQPlus(4, signed=False), LSQPlus(3, granularity="filter"), signs(), FixedRange(3), FixedRange(2, per="channel"),
    LSQ(4), LSQ(12), LSQ(3, granularity="filter")], ids=repr)
def test_what_stands_around_an_image_is_0_whether_or_not_it_has_a_code(method, padding):
    rng, images = np.random.default_rng(0), normal(4, 6, 7, 3) + 2
    layer = nn.Conv2D(3, 5, (3, 2), rng, padding=padding, std=0.3)
    model = fitted([layer], images, Affine(4, granularity="filter"), method)
    close(convert(model, shape=(6, 7, 3)), model, images)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("weights", [Affine(signed=False), Affine(2, granularity="filter"), LSQPlus(3), Trits(),
                                     LSQ(16, granularity="row"), LSQ(8, granularity=(0, 1)), signs("filter")], ids=repr)
def test_weights_on_any_grid_are_multiplied_as_they_are(weights, split):
    rng, images = np.random.default_rng(0), normal(9, 6)
    model = fitted([nn.Dense(6, 5, rng), nn.ReLU(), nn.Dense(5, 3, rng)], images, weights, LSQ(5))
    network = convert(model, split=split)
    assert network.rounded == []
    close(network, model, images)


def test_a_quantize_layer_gives_the_grid_that_the_next_layer_multiplies():
    rng, images = np.random.default_rng(0), normal(9, 2, 2, 3)
    weights = LSQ(6, granularity="row")          # its scales are not absorbed: the grid would be another
    for first in (LSQ(4), LSQ(4, granularity="filter")):
        layers = nn.Quantize(shape=(1, 1, 1, 3)), nn.MaxPool2D(1), nn.Flatten(), nn.Dense(12, 4, rng)
        model = nn.calibrate(nn.quantize(nn.Sequential(layers), lambda name, m=first: m if name == "quantize1.input"
                                         else weights if name.endswith("weight") else None), images)
        network = convert(model, images)
        close(network, model, images)
        assert set(network.codes_between(network.grid.codes(images))) == {"quantize1", "dense1", "logits"}


def test_parts_are_kept_apart_along_the_axes_of_any_plane():
    codes = np.arange(6, dtype=np.int8).reshape(3, 2)
    planes = [(np.ones((1, 1)), codes), (np.array([[1.0], [2.0], [3.0]]), codes + 1)]
    parts, scales, kept = parts_of("here", planes, np.ones(1))
    assert kept == (0,)
    assert [part.codes.tolist() for part in parts] == [[[0, 1]], [[2, 3]], [[4, 5]], [[1, 2]], [[3, 4]], [[5, 6]]]
    assert scales.tolist() == [[1, 1]] * 4 + [[2, 2], [3, 3]]


def test_a_grid_far_from_0_is_known_though_floats_there_are_half_a_step_apart():
    site = nn.Site(shape=(1, 1))
    site.change(LSQPlus(3, signed=False))
    step = np.spacing(np.float32(1000))
    site.held["scale"].array[...], site.held["offset"].array[...] = 2 * step, 1000
    assert trained_grid("here", site) == (2 * step, 0, 7, 1000.0, 0.5)


@dataclass(frozen=True)
class Levels(Trits):
    """Values of a table of six."""

    def start(self, x):
        return {"levels": np.linspace(-0.1, 0.13, 6, dtype=x.dtype)}

    def coded(self, x, held):
        return Coded(np.abs(x[..., None] - held["levels"]).argmin(axis=-1).astype(np.int8), Table(held["levels"]))


def test_a_weight_of_more_than_four_planes_is_rounded_and_named():
    rng, images = np.random.default_rng(0), normal(20, 6)
    model = fitted([nn.Dense(6, 5, rng), nn.ReLU(), nn.Dense(5, 3, rng)], images, Levels(), LSQ(8))
    network = convert(model)
    assert network.rounded == ["dense1.weight", "dense2.weight"]
    assert compare(network, FloatTwin(model, network), images).agreement == 1
    logits, want = network(network.grid.codes(images)) * network.logits_scale, model(images).numpy()
    assert np.abs(logits - want).max() < 0.02 * np.abs(want).max()


def test_codes_of_two_bytes_at_inputs():
    rng, images = np.random.default_rng(0), normal(50, 6)
    model = fitted([nn.Dense(6, 5, rng), nn.ReLU(), nn.Dense(5, 3, rng)], images, LSQ(8), LSQ(12))
    network = convert(model)
    assert {q.dtype for q in network.codes_between(network.grid.codes(images)).values()} == {
        np.dtype(np.uint16), np.dtype(np.int32)}
    result = compare(network, FloatTwin(model, network), images)
    assert all(difference.largest <= 1 for difference in result.alone.values())


@pytest.mark.parametrize("method", [None, LSQ(4), LSQPlus(4)], ids=repr)
def test_a_layer_in_two_places_has_one_weight_and_a_grid_in_each(method):
    rng, images = np.random.default_rng(0), normal(30, 4)
    twice, kernel = nn.Dense(4, 4, rng, std=0.3), nn.Conv2D(2, 2, 3, rng, std=0.3)
    model = fitted([twice, nn.ReLU(), nn.Residual(twice), nn.Dense(4, 3, rng)], images, LSQ(4), method)
    network = convert(model, images)
    assert list(network.grids) == ["dense1", "residual1.body", "dense2"]
    assert list(network.coded) == ["dense1.weight", "dense2.weight"]
    if method is not None:
        assert network.grids["dense1"] == network.grids["residual1.body"]
    images = normal(30, 5, 5, 2)
    layers = kernel, nn.Residual(nn.Sequential(nn.ReLU(), kernel), kernel), nn.Flatten(), nn.Dense(50, 3, rng)
    convolved = fitted(layers, images, None, method)
    for net, layers, x in ((network, model, normal(30, 4)), (convert(convolved, images), convolved, images)):
        result = compare(net, FloatTwin(layers, net), x)
        assert all(difference.largest <= 1 for difference in result.alone.values())


def test_branches_of_a_residual_have_grids_of_their_own():
    rng, images = np.random.default_rng(0), normal(30, 4)
    methods = {"residual1.body.dense1.input": LSQ(4), "residual1.shortcut.input": LSQPlus(3),
               "dense1.input": PACT(8, alpha=3.0), "dense2.input": Affine(ranges="data")}
    model = nn.Sequential(nn.Dense(4, 5, rng, std=0.5), nn.BatchNorm(5),
                          nn.Residual(nn.Sequential(nn.Dense(5, 6, rng, std=0.5), nn.ReLU()), nn.Dense(5, 6, rng,
                                                                                                       std=0.5)),
                          nn.Dense(6, 3, rng))
    nn.calibrate(nn.quantize(model, lambda name: LSQ(4) if name.endswith("weight") else methods.get(name)), images)
    network = convert(model)
    assert {name: int(grid.top) for name, grid in network.grids.items()} == {
        "dense1": 255, "residual1.body.dense1": 15, "residual1.shortcut": 7, "dense2": 255}
    result = compare(network, FloatTwin(model, network), images)
    assert all(difference.largest <= 1 for difference in result.alone.values())
    assert result.agreement == 1


def test_halves_are_rounded_to_even_by_methods_and_up_by_integers():
    """x = 0, 1/2, 1 .. 4 on a grid of step 1: the method says 0 0 1 2 2 2 3 4 4, the integers 0 1 1 2 2 3 3 4 4."""
    pixels = np.arange(9, dtype=np.uint8)[:, None]
    model = nn.quantize(nn.Sequential(nn.Dense(1, 1, np.random.default_rng(0)), nn.Quantize(LSQ(4)), nn.Dense(1, 2,
                     np.random.default_rng(0))), lambda name: LSQ(4) if name == "quantize1.input" else None)
    dense = model.layers["dense1"]
    dense.weight.latent.array[...], dense.bias.latent.array[...] = 0.5, 0
    nn.calibrate(model, pixels.astype(np.float32))
    site = model.sites()["quantize1.input"]
    site.held["scale"].array[...] = 1
    site.held["scale"].changed_in_place()
    network = convert(model, pixels.astype(np.float32))
    q = network.codes_between(pixels)["quantize1"][:, 0].astype(int) - 8
    k = site.method.coded(pixels.astype(np.float32) / 2, site.held).codes[:, 0]
    assert k.tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4]
    assert q[::2].tolist() == k[::2].tolist()
    assert np.abs(q - k).max() == 1


@pytest.mark.parametrize("bits", [1, 3, 4, 5, 8])
def test_what_is_rounded_down_is_never_one_too_low(bits):
    """FixedRange's codes of pixels are those of the integers, also where a pixel stands on a code."""
    pixels = np.arange(256, dtype=np.uint8).reshape(-1, 1)
    model = fitted([nn.Dense(1, 2, np.random.default_rng(0))], INPUTS["raw"](pixels), None, FixedRange(bits))
    network, site = convert(model, INPUTS["raw"](pixels)), model.sites()["dense1.input"]
    codes = site.method.coded(INPUTS["raw"](pixels), site.held).codes
    np.testing.assert_array_equal(network.codes_between(pixels)["dense1"], codes)
    assert network.grids["dense1"].half == DOWN
    np.testing.assert_array_equal(convert(model).grid.codes(INPUTS["raw"](pixels)), codes)


def test_codes_without_bounds_end_where_those_of_the_images_do():
    rng, images = np.random.default_rng(0), normal(50, 4)
    model = fitted([nn.Dense(4, 5, rng, std=0.3), nn.Dense(5, 3, rng, std=0.3)], images, None,
                   Nested(granularity="scalar"))
    with pytest.raises(ConfigError, match=r"two bytes; got dense1\.input with -\d+\.\.\d+"):
        convert(model, images)
    for site in model.sites().values():
        if site.method is not None:
            site.held["scale"].array[...] = 0.1
            site.held["scale"].changed_in_place()
    network = convert(model, images)
    assert 0 < network.grids["dense1"].top < 255
    assert all(d.largest <= 1 for d in compare(network, FloatTwin(model, network), images).alone.values())
    with pytest.raises(ConfigError, match=r"images are needed; got dense1\.input with Nested"):
        convert(model)


@dataclass(frozen=True)
class Away(Quantizer):
    """Rounds away from 0, as no integer engine does."""

    def __call__(self, x, held, training=False):
        return pretend(x, self.coded(x.array, held).values)

    def coded(self, x, held):
        k = np.sign(x) * np.ceil(np.abs(np.clip(x, -7, 7)))
        return Coded(k.astype(np.int8), Even(np.ones(1, x.dtype)))


@dataclass(frozen=True)
class Upwards(Quantizer):
    """The next level above."""

    def __call__(self, x, held, training=False):
        return pretend(x, self.coded(x.array, held).values)

    def coded(self, x, held):
        levels = np.array([0, 1, 3], x.dtype)
        return Coded(np.minimum(np.searchsorted(levels, x), 2).astype(np.int8), Table(levels))


def test_levels_of_a_table_come_first_or_behind_pixels():
    """Without images the first layer's levels are the network's grid; of pixels they are ranked. Both are exact."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (200, 6)) / 255).astype(np.float32)
    model = nn.Sequential(nn.Dense(6, 5, rng, std=0.3), nn.ReLU(), nn.Dense(5, 3, rng, std=0.3))
    methods = {"dense1.input": LQNets(2, granularity="scalar"), "dense2.input": LQNets(2, signed=False)}
    nn.calibrate(nn.quantize(model, lambda name: LSQ(4) if name.endswith("weight") else methods.get(name)), images)
    for name, basis in (("dense1.input", [0.2, 0.5]), ("dense2.input", [0.1, 0.25])):
        model.sites()[name].held["basis"][...] = basis
    levels = np.array([-0.7, -0.3, 0.3, 0.7], np.float32)
    with no_grad():
        expected = model(images).numpy()
    for network, grid in ((convert(model), levels), (convert(model, images), None)):
        np.testing.assert_allclose(network.grids["dense1"].levels, levels, rtol=1e-6)
        assert (network.grid is network.grids["dense1"]) == (grid is not None)
        logits = network(network.grid.codes(images)) * network.logits_scale
        np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())


def test_levels_of_a_table_are_for_products_alone():
    images = normal(40, 6)
    model = nn.quantize(nn.Sequential(nn.Quantize()), lambda name: LQNets(2, signed=False))
    nn.calibrate(model, images)
    with pytest.raises(ConfigError, match=r"a Quantize layer must be evenly spaced; got quantize1 with LQNets"):
        convert(model, images)


def test_a_layer_of_an_input_alone_has_a_grid_that_does_not_depend_on_it():
    """In front of a product it may: tests/test_dynamic.py."""
    model = nn.quantize(nn.Sequential(nn.Quantize()), lambda name: Affine(8))
    with pytest.raises(ConfigError, match=r"must not depend on the input; got quantize1\.input with Affine"):
        convert(model, normal(40, 6))


@pytest.mark.parametrize(("method", "message"), [
    (Away(), r"or the next below; got dense1\.input with Away"),
    (Trits(), r"one row for all channels; got dense1\.input with Trits"),
    (LQNets(5, signed=False), r"must be 2 to 16.*; got dense1\.input with LQNets"),
    (Upwards(), r"those of the nearest levels; got dense1\.input with Upwards")],
    ids=["away", "tables", "many levels", "upwards"])
def test_methods_that_cannot_stand_at_inputs_are_refused(method, message):
    model = nn.quantize(nn.Sequential(nn.Dense(4, 3, np.random.default_rng(0))),
                        lambda name: method if name.endswith("input") else None)
    model.sites()["dense1.input"].started = True
    with pytest.raises(ConfigError, match=message):
        convert(model, normal(5, 4))


def test_an_input_that_has_seen_nothing_is_refused_by_name():
    model = nn.quantize(nn.Sequential(nn.Dense(4, 3, np.random.default_rng(0))),
                        lambda name: LSQ() if name.endswith("input") else None)
    with pytest.raises(ConfigError, match=r"got dense1\.input with LSQ"):
        convert(model, normal(5, 4))


def test_scales_along_other_axes_than_the_channels_are_refused():
    x = normal(5, 6, 6, 2)
    model = fitted([nn.Quantize(), nn.Conv2D(2, 3, 3, np.random.default_rng(0))], x, None, FixedRange(per="pixel"))
    with pytest.raises(ConfigError, match=r"one for each channel; got quantize1\.input with FixedRange and scales"):
        convert(model, x)


def test_without_images_every_input_needs_a_grid_and_an_image_its_shape():
    rng, x = np.random.default_rng(0), normal(20, 2, 2)
    layers = [nn.Flatten(), nn.Dense(4, 3, rng), nn.ReLU(), nn.Dense(3, 2, rng)]
    model = fitted(layers, x, LSQ(4), LSQ(4))
    with pytest.raises(ConfigError, match=r"the shape of one is needed"):
        convert(model)
    assert convert(model, shape=(2, 2)).predict(x).shape == (20,)
    assert convert(fitted(layers[1:], x.reshape(-1, 4), LSQ(4), LSQ(4))).shape == (4,)
    model.sites()["dense2.input"].change(None)
    with pytest.raises(ConfigError, match=r"images are needed .* got dense2"):
        convert(model, shape=(2, 2))
    model.sites()["dense1.input"].change(None)
    with pytest.raises(ConfigError, match="first layer that computes"):
        convert(model, shape=(2, 2))
    first = fitted([nn.BatchNorm(2), nn.Flatten(), nn.Dense(4, 3, rng)], x, None, LSQ(4))
    with pytest.raises(ConfigError, match="first layer that computes"):
        convert(first, shape=(2, 2))
    assert convert(first, x).predict(x).shape == (20,)
    of_features = fitted(layers, x, None, LSQ(4, granularity="filter"))
    with pytest.raises(ConfigError, match=r"after Flatten, one of a single scale"):
        convert(of_features, shape=(2, 2))


def test_pixels_stay_pixels_and_other_numbers_get_the_grid_of_the_first_input():
    rng, pixels = np.random.default_rng(0), np.random.default_rng(1).integers(0, 256, (30, 4)).astype(np.uint8)
    model = fitted([nn.Dense(4, 3, rng)], INPUTS["unit"](pixels), LSQ(4), LSQ(4))
    network = convert(model, INPUTS["unit"](pixels))
    assert (network.grid.scale, network.grid.top) == (1 / 255, 255)
    other = convert(model, normal(30, 4))
    assert other.grid is other.grids["dense1"]


@pytest.mark.parametrize("value", [0, 255])
def test_blank_images_calibrate_nothing(value):
    model = nn.quantize(nn.Sequential(nn.Dense(4, 3, np.random.default_rng(0))),
                        lambda name: LSQ() if name.endswith("input") else None)
    with pytest.raises(ConfigError, match=rf"got {value} in all of them, so that dense1\.input never varied"):
        nn.calibrate(model, np.full((5, 4), value, np.float32))


def test_an_input_behind_dead_layers_is_named():
    rng = np.random.default_rng(0)
    model = nn.quantize(nn.Sequential(nn.Dense(4, 3, rng), nn.ReLU(), nn.Dense(3, 2, rng)),
                        lambda n: LSQ() if n.endswith("input") else None)
    model.parameters()["dense1.bias.latent"].array[...] = -1e3
    with pytest.warns(UserWarning, match=r"calibrate: dense2\.input was one number"):
        nn.calibrate(model, normal(5, 4))


@pytest.mark.parametrize(("weights", "inputs"), [
    (LSQ(4), LSQ(4, signed=False)), (LSQPlus(3, offset=False), LSQPlus(3, signed=False)),
    (LSQ(4, granularity="filter"), PACT(4, alpha=0.9)), (Affine(8), Affine(8, signed=False, ranges="average")),
    (Trits(), LSQ(2, signed=False))], ids=repr)
def test_trained_digits_are_classified_as_by_the_trained_network(weights, inputs):
    data, rng = load("digits"), np.random.default_rng(0)
    x = INPUTS["unit"](data.train_images)
    model = fitted([nn.Flatten(), nn.Dense(x[0].size, 32, rng), nn.BatchNorm(32), nn.ReLU(), nn.Dense(32, 10, rng)],
                   x[:500], weights,
                   inputs)
    adam = Adam(model.parameters().values(), lr=0.003)
    for start in range(0, len(x), 64):
        loss, _ = cross_entropy(model, Tensor(x[start:start + 64]), data.train_labels[start:start + 64])
        loss.backward()
        adam.step()
        adam.zero_grad()
    network, images = convert(model, shape=x.shape[1:]), INPUTS["unit"](data.validation_images)
    with no_grad():
        predicted = model(images).numpy().argmax(axis=1)
    assert np.mean(predicted == data.validation_labels) > 0.6
    assert np.mean(network.predict(images) == predicted) >= 0.999
    result = compare(network, FloatTwin(model, network), images)
    assert all(difference.largest <= 1 for difference in result.alone.values())
    assert result.agreement >= 0.999


@pytest.mark.filterwarnings("ignore:calibrate", "ignore:convert")
@given(made=networks())
def test_what_a_model_file_holds_becomes_the_same_integers(tmp_path_factory, made):
    model, images = made
    path = tmp_path_factory.mktemp("stored") / "model.mlq"
    modelfile.save(path, model)
    network, stored = convert(model, images), convert(modelfile.load(path), images)
    codes = network.grid.codes(images)
    np.testing.assert_array_equal(network(codes), stored(codes))
    assert network.grids.keys() == stored.grids.keys()


def test_a_trained_grid_is_that_of_the_method():
    site = nn.Site(shape=(1, 3))
    site.change(signs())
    site.held["scale"].array[...] = 0.5
    grid = trained_grid("here", site)
    assert grid.reals(np.arange(2)).tolist() == [-0.5, 0.5]
    assert grid.codes(np.array([-3, -0.01, 0, 3])).tolist() == [0, 0, 1, 1]
    site.change(LSQ(4))
    site.held["scale"].array[...] = 0.25
    assert trained_grid("here", site) == (0.25, 8, 15, 0.0, 0.5)
