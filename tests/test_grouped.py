"""Grouped and depthwise convolution, what stands beside each other, and both in files and on integers."""

import numpy as np
import pytest
from hypothesis import given

from minilq import LSQ, ConfigError, Dense, ShapeError, Tensor, conv2d, grouped_conv2d, nn, no_grad, quantize
from minilq.integer.engine import convert
from minilq.integer.float_twin import FloatTwin, compare
from minilq.store.modelfile import load, save
from minilq.store.onnx import to_onnx
from tests.networks import weights
from tests.strategies import grouped_convolutions
from tests.test_fold import learned
from tests.test_onnx import by_onnxruntime, by_reference


@given(case=grouped_convolutions())
def test_values_are_those_of_each_group_alone(case):
    x, w, b, groups, stride, padding = case
    c, f = x.shape[3] // groups, w.shape[3] // groups
    parts = [conv2d(x[..., g * c:(g + 1) * c], w[..., g * f:(g + 1) * f], b[g * f:(g + 1) * f], stride, padding)
             for g in range(groups)]
    np.testing.assert_allclose(grouped_conv2d(*case), np.concatenate(parts, axis=3), rtol=1e-11, atol=1e-11)


@given(case=grouped_convolutions(np.float32))
def test_the_dtype_is_kept_forward_and_back(case):
    x, w, b, *options = case
    tensors = [Tensor(a, requires_grad=True) for a in (x, w, b)]
    y = grouped_conv2d(*tensors, *options)
    y.backward(np.ones(y.shape, np.float32))
    assert {y.dtype, *(t.grad.dtype for t in tensors)} == {np.dtype(np.float32)}
    assert [t.grad.shape for t in tensors] == [x.shape, w.shape, b.shape]


def network(kind):
    """Of images (8, 8, 2): a mobile block, or that of a DenseNet, as they are after training."""
    rng = np.random.default_rng(0)
    first = [nn.Conv2D(2, 4, 3, rng, std=0.3), nn.ReLU()]
    block = {"mobile": [nn.separable(4, 6, rng, 2), nn.GroupedConv2D(6, 4, 3, 2, rng, std=0.3), nn.ReLU()],
             "dense": [nn.dense_block(4, 3, 2, rng, 0.3)]}[kind]
    model = nn.Sequential(*first, *block, nn.GlobalAveragePool2D(), Dense(4 if kind == "mobile" else 10, 3, rng, 0.5))
    for layer in walked(model):
        if isinstance(layer, nn.BatchNorm):
            learned(layer, rng)
    return model, rng.standard_normal((20, 8, 8, 2)).astype(np.float32)


def walked(layer):
    yield layer
    for inner in getattr(layer, "layers", {}).values():
        yield from walked(inner)


@pytest.mark.parametrize("granularity", ["scalar", "filter", "channel", "row"])
@pytest.mark.parametrize("kind", ["mobile", "dense"])
def test_files_and_integers_hold_them(kind, granularity, tmp_path):
    model, x = network(kind)
    quantize(model, lambda name: LSQ(4, granularity="scalar" if "dense1" in name else granularity)
             if name.endswith("weight") else None)
    with no_grad():
        expected = model(Tensor(x)).numpy()
    save(tmp_path / "a.mlq", model)
    stored = load(tmp_path / "a.mlq")
    np.testing.assert_array_equal(stored.network(Tensor(x)).numpy(), expected)
    for split in (False, True):
        integers = convert(stored, x, split)
        result = compare(integers, FloatTwin(stored, integers), x)
        assert all(one.largest <= 1 for one in result.alone.values())
        assert result.agreement >= 0.95
        assert (result.predicted == expected.argmax(axis=1)).mean() >= 0.8


@pytest.mark.parametrize("run", [by_reference, by_onnxruntime])
@pytest.mark.parametrize("kind", ["mobile", "dense"])
def test_onnx_gives_what_they_give(kind, run, tmp_path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    model, x = network(kind)
    quantize(model, weights(LSQ(4)))
    to_onnx(model, tmp_path / "a.onnx", x.shape[1:])
    np.testing.assert_allclose(run(tmp_path / "a.onnx", x)[0], model(Tensor(x)).numpy(), atol=1e-5)


def test_a_folded_mobile_block_is_the_block():
    model, x = network("mobile")
    one = nn.fold(model)
    assert list(one.layers["sequential1"].layers) == ["groupedconv2d1", "relu1", "conv2d1", "relu2"]
    np.testing.assert_allclose(one(Tensor(x)).numpy(), model(Tensor(x)).numpy(), atol=1e-5)


def test_what_is_no_group_and_cannot_stand_beside():
    rng = np.random.default_rng(0)
    x, w, b = np.ones((1, 4, 4, 4)), np.ones((3, 3, 2, 6)), np.ones(6)
    with pytest.raises(ConfigError, match="divides the channels and the filters; got 3 for 4 channels and 6 filters"):
        grouped_conv2d(x, w, b, 3)
    with pytest.raises(ShapeError, match=r"w \(3, 3, 2, 6\) with 1 groups of 4 channels"):
        grouped_conv2d(x, w, b, 1)
    with pytest.raises(ConfigError, match="GroupedConv2D: groups must be a whole number"):
        nn.GroupedConv2D(4, 6, 3, 4, rng)
    with pytest.raises(ShapeError, match=r"x \(1, 4, 4, 4\), body \(1, 2, 2, 4\)"):
        nn.Concatenate(nn.MaxPool2D(2))(Tensor(x))
