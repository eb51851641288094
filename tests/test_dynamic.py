"""Dynamic quantization: the range of an input is that of what comes, in floats and on integers."""

import numpy as np
import pytest

from minilq import (
    Affine,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    Tensor,
    calibrate,
    quantize,
)
from minilq.errors import ConfigError
from minilq.integer.dynamic import Ends, quotient
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.nn import GroupedConv2D, Site
from minilq.store.modelfile import load, save

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 8, 8, 2)).astype(np.float32)
REALS = RNG.standard_normal((40, 8, 8, 2)).astype(np.float32)


def network(granularity="scalar", bits=8, symmetric=False, weights="scalar"):
    rng = np.random.default_rng(1)
    body = Sequential(Conv2D(4, 4, 3, rng, std=0.2), ReLU())
    model = Sequential(Conv2D(2, 4, 3, rng, std=0.3), BatchNorm(4), ReLU(), GroupedConv2D(4, 4, 3, 2, rng, std=0.3),
                       MaxPool2D(2), Residual(body), Conv2D(4, 6, 3, rng, padding="valid", std=0.3), ReLU(),
                       AveragePool2D(2), Flatten(), Dense(6, 12, rng, 0.5), ReLU(), Dense(12, 5, rng, 0.5))
    model.layers["batchnorm1"].mean[...] = 0.3
    inputs = Affine(bits, signed=symmetric, symmetric=symmetric, granularity=granularity)
    return quantize(model, lambda name: None if name.endswith("bias") else inputs if name.endswith("input") else Affine(
        8, symmetric=True, granularity=weights))


@pytest.mark.parametrize("images", [PIXELS, REALS], ids=["pixels", "reals"])
@pytest.mark.parametrize(("granularity", "bits", "symmetric", "weights"), [
    ("scalar", 8, False, "filter"), ("row", 7, False, "scalar"), ("row", 8, True, "filter"),
    ("scalar", 4, False, "channel")])
def test_integers_are_within_a_code_of_their_twin(images, granularity, bits, symmetric, weights):
    model = network(granularity, bits, symmetric, weights)
    integers = convert(model, images)
    assert set(integers.dynamic) == {name.removesuffix(".input") for name in model.sites() if name.endswith("input")}
    assert integers.grids == {}
    beside = compare(integers, FloatTwin(model, integers), images)
    assert set(beside.alone) == set(integers.dynamic)
    for name, difference in beside.alone.items():
        assert difference.largest <= 1, name
        assert difference.share < 0.03, name        # ties
    assert beside.logits < 100                   # of 2^30 steps
    assert beside.agreement > 0.95
    y = integers(integers.grid.codes(images)) * integers.logits_scale
    wanted = model(Tensor(images)).numpy()       # the fake quantization that was trained
    assert np.abs(y - wanted).max() < (0.05 if bits > 4 else 0.3) * np.abs(wanted).max()


def test_each_image_has_a_range_of_its_own_where_rows_have():
    """So a bright image changes nothing for dark ones; with one range for all it does."""
    images = np.concatenate([PIXELS[:3] // 32, PIXELS[3:4]])
    for granularity, alone in (("row", True), ("scalar", False)):
        model = network(granularity)
        integers = convert(model, images)
        codes = integers.grid.codes(images)
        assert np.array_equal(integers(codes)[:3], integers(codes[:3])) == alone
        assert np.allclose(model(Tensor(images)).numpy()[:3], model(Tensor(images[:3])).numpy(), rtol=1e-4) == alone


@pytest.mark.parametrize("symmetric", [False, True])
def test_codes_of_integers_are_those_of_the_method(symmetric):
    method = Affine(8, signed=symmetric, symmetric=symmetric, granularity="row")
    site = Site(shape=(1, 50))
    site.change(method)
    x = np.random.default_rng(2).integers(-(2**29), 2**29, (30, 50))
    x[0], x[1], x[2] = np.abs(x[0]), -np.abs(x[1]), 0
    ends = Ends("dense1.input", site, 2, 2.0**-20)
    coded = method.coded(x * 2.0**-20, {})
    d, z = ends.of(x)
    low = method.bounds[0]
    np.testing.assert_array_equal(z, coded.grid.zero - low)
    near = np.abs(np.asarray(ends.codes(x, d, z), int) - (coded.codes.astype(int) - low))
    assert near.max() <= 1                       # halves go up here, to even there
    assert near.mean() < (0.02 if symmetric else 1e-3)     # of symmetric ranges an end is a half
    assert quotient(np.array([5, -5, 7]), np.array([2, 2, 2])).tolist() == [3, -2, 4]


def test_a_file_keeps_them(tmp_path):
    model = network("row", 7)
    save(tmp_path / "x.mlq", model)
    again = load(tmp_path / "x.mlq")
    np.testing.assert_allclose(again.network(Tensor(REALS)).numpy(), model(Tensor(REALS)).numpy(), rtol=1e-5, atol=1e-5)
    assert np.array_equal(convert(again, REALS).predict(REALS), convert(model, REALS).predict(REALS))


def test_what_has_no_such_integers_is_named():
    for inputs, says in ((Affine(9), "must fit into a byte; got dense1.input with 512 codes"),
                         (Affine(8, granularity="filter"), "or of each row; got dense1.input"),
                         (Affine(8, without_zero="shift"), "without_zero shift")):
        model = quantize(Sequential(Dense(3, 2, RNG)), {"dense1.input": inputs}.get)
        with pytest.raises(ConfigError, match=says):
            convert(model, REALS[:, 0, 0].repeat(2, axis=1)[:, :3])


def test_every_token_has_a_range_of_its_own():
    """Rows of a Dense layer are what comes for each token; the axes before the last are kept."""
    rng = np.random.default_rng(0)
    model = Sequential(Dense(2, 6, rng, 0.5), ReLU(), Dense(6, 4, rng, 0.5), GlobalAveragePool2D())
    quantize(model, lambda name: Affine(8, granularity=(0, 1, 2)) if name.endswith("input") else None)
    integers = convert(model, PIXELS)
    beside = compare(integers, FloatTwin(model, integers), PIXELS)
    assert all(one.largest <= 1 for one in beside.alone.values())
    codes = integers.codes_between(integers.grid.codes(PIXELS))
    assert (codes["dense2"].max(axis=-1) == 255).mean() > 0.9        # each reaches its own end


def test_static_and_dynamic_inputs_go_together():
    model = network()
    model.sites()["dense1.input"].change(Affine(8, ranges="data"))
    calibrate(model, REALS)
    integers = convert(model, REALS)
    assert "dense1" in integers.grids
    assert "dense1" not in integers.dynamic
    assert all(one.largest <= 1 for one in compare(integers, FloatTwin(model, integers), REALS).alone.values())
