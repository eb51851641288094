"""ONNX: the graphs give what the networks give, in the reference evaluator and in onnxruntime, and hold integers."""

import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minilq import ConfigError, ShapeError, Tensor, nn, no_grad
from minilq.experiments import models
from minilq.ops.window import geometry
from minilq.quantize.coded import Coded, Even, Table
from minilq.quantize.method import Quantizer
from minilq.quantize.methods import (
    LSQ,
    PACT,
    Affine,
    FixedGrid,
    FixedRange,
    HashedNets,
    LSQPlus,
    Polino,
    PolinoPoints,
    Pruned,
    Scaled,
)
from minilq.quantize.vectors import Vectors
from minilq.store import modelfile
from minilq.store.onnx import to_onnx
from tests.strategies import GRANULARITIES, convolutions, poolings, seeds

NETWORKS = {"mnist_mlp": (28, 28), "lenet": (28, 28, 1), "cifar10_cnn": (32, 32, 3), "imagenette_resnet": (32, 32, 3)}


def by_reference(path, x, *more):
    evaluator = pytest.importorskip("onnx.reference", reason="the oracle is the package onnx").ReferenceEvaluator
    return evaluator(str(path)).run(["output", *more], {"input": x})


def by_onnxruntime(path, x):
    runtime = pytest.importorskip("onnxruntime", reason="the oracle is the package onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": x})


@pytest.fixture(params=[by_reference, by_onnxruntime], ids=["reference", "onnxruntime"])
def run(request):
    pytest.importorskip("onnx", reason="needs the package onnx")
    return request.param


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx", reason="needs the package onnx")


def weights(model, q, *names):
    """The method q at all weights, or those of these names, and its scalar kin at their biases."""
    def choose(name):
        layer, _, part = name.rpartition(".")
        if q is None or part == "input" or (names and f"{layer}.{part}" not in names and layer not in names):
            return None
        return q if part == "weight" else replace(q, granularity="scalar")
    return nn.quantize(model, choose)


def set_scales(model, low, high, seed=1):
    rng = np.random.default_rng(seed)
    for site in model.sites().values():
        if "scale" in site.held and site.latent is not None:
            site.held["scale"].array[...] = rng.uniform(low, high, site.held["scale"].shape)
            site.held["scale"].changed_in_place()
    return model


def random_state(model, seed=1):
    """Numbers of ordinary size everywhere, so that nothing stays at 0, at 1, or dead behind a ReLU."""
    rng = np.random.default_rng(seed)
    for name, tensor in model.parameters().items():
        if name.endswith(("gamma", "beta", "bias.latent")):
            tensor.array[...] = rng.normal(name.endswith("gamma"), 0.3, tensor.shape)
        elif name.endswith(".latent"):
            tensor.array[...] *= 3
        tensor.changed_in_place()
    for name, array in model.tensors().items():
        if name.endswith("variance"):
            array[...] = rng.uniform(0.5, 2, array.shape)
        elif name.endswith("mean"):
            array[...] = rng.normal(0, 1, array.shape)
    return set_scales(model, 0.03, 0.1, seed)


def predicted(model, x):
    with no_grad():
        return model(Tensor(x)).numpy()


def assert_same(model, x, run, path, rtol=1e-5, **options):
    """The graph gives what the model gives, up to float32 sums in another order."""
    to_onnx(model, path, x.shape[1:], **options)
    want, (got,) = predicted(model, x), run(path, x)
    assert got.dtype == np.float32
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=rtol * max(1, np.abs(want).max(initial=0)))
    return want


def images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


# ---- whole networks


@pytest.mark.parametrize("methods", [False, True])
def test_a_vision_transformer_gives_the_same(methods, run, tmp_path):
    model, x = models.vit(np.random.default_rng(0), channels=8, heads=2, hidden=12), images(3, 28, 28, 1)
    random_state(model)
    if methods:
        nn.quantize(model, lambda name: Scaled("nearest", granularity="scalar") if name.endswith("weight") else
                    LSQ(8, signed="probabilities" not in name) if name.endswith("input") else None)
        set_scales(model, 0.03, 0.1)
        nn.calibrate(model, x)
    logits = assert_same(model, x, run, tmp_path / "model.onnx", rtol=1e-5 if not methods else 0.02)
    assert np.abs(logits[0] - logits[1]).max() > 0.05 * np.abs(logits).max()


@pytest.mark.parametrize("form", ["erf", "tanh"])
def test_a_network_of_tokens_gives_the_same(form, run, tmp_path):
    rng = np.random.default_rng(0)
    model = random_state(nn.Sequential(
        nn.Embedding(9, 4, rng), nn.Position((5, 4), rng), nn.SelfAttention(4, rng, 2), nn.Dense(4, 6, rng),
        nn.GELU(form), nn.LayerNorm(6), nn.Softmax(), nn.Flatten(), nn.Dense(30, 3, rng)))
    assert_same(model, rng.integers(0, 9, (4, 5)).astype(np.float32), run, tmp_path / "model.onnx")


@pytest.mark.parametrize(("name", "granularity"), [
    ("mnist_mlp", "row"), ("mnist_mlp", "column"), ("mnist_mlp", None), ("lenet", "scalar"), ("lenet", "row"),
    ("lenet", "channel"), ("lenet", "filter"), ("cifar10_cnn", "channel"), ("cifar10_cnn", None),
    ("imagenette_resnet", "filter")], ids=str)
def test_every_network_gives_the_same(name, granularity, run, tmp_path):
    method = None if granularity is None else Scaled("nearest", granularity=granularity)
    size = {"size": 32} if name == "imagenette_resnet" else {}
    model = random_state(weights(getattr(models, name)(np.random.default_rng(0), **size), method))
    logits = assert_same(model, images(2, *NETWORKS[name]), run, tmp_path / "model.onnx")
    assert np.abs(logits[0] - logits[1]).max() > 0.05 * np.abs(logits).max()       # it looks at the images


def test_a_file_of_int8_is_a_quarter_of_the_floats(onnx, tmp_path):
    model = random_state(weights(models.lenet(np.random.default_rng(0)), Scaled("nearest", granularity="filter")))
    to_onnx(model, tmp_path / "a.onnx", (28, 28, 1))
    to_onnx(model, str(tmp_path / "b.onnx"), (28, 28, 1))
    content = (tmp_path / "a.onnx").read_bytes()
    assert content == (tmp_path / "b.onnx").read_bytes()
    assert len(content) < 0.28 * 4 * sum(p.size for p in model.parameters().values())
    proto = onnx.load_from_string(content)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for name, one in nn.coded_in(model).items():
        codes = one.codes.transpose(3, 2, 0, 1) if one.codes.ndim == 4 else one.codes
        assert stored[f"{name}.codes"].dtype == np.int8
        np.testing.assert_array_equal(stored[f"{name}.codes"], codes)
        np.testing.assert_array_equal(stored[f"{name}.scale"].ravel(), one.grid.scale.ravel())


def test_a_model_file_becomes_the_same_graph(onnx, tmp_path):
    model = random_state(weights(models.cifar10_cnn(np.random.default_rng(0)), Scaled(granularity="channel")))
    modelfile.save(tmp_path / "model.mlq", model, "range")
    to_onnx(model, tmp_path / "a.onnx", (32, 32, 3))
    to_onnx(modelfile.load(tmp_path / "model.mlq"), tmp_path / "b.onnx", (32, 32, 3))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


# ---- parameters


def kinds(path, onnx):
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize(("step", "dtype"), [(0.03, np.int8), (0.0003, np.int16), (1e-6, np.int32)])
@pytest.mark.parametrize("granularity", [*GRANULARITIES[2], (), (1, 0)], ids=str)
def test_a_dense_weight_arrives_bit_for_bit(granularity, step, dtype, run, onnx, tmp_path):
    model = nn.Sequential(nn.Dense(5, 4, np.random.default_rng(0), std=0.3))
    set_scales(weights(model, Scaled("nearest", granularity=granularity)), step, 2 * step)
    model.layers["dense1"].bias.latent.data[...] = 0
    assert nn.coded_in(model)["dense1.weight"].codes.dtype == dtype
    want = assert_same(model, np.eye(5, dtype=np.float32), run, tmp_path / "a.onnx", rtol=0)
    np.testing.assert_array_equal(want, model.layers["dense1"].weight().numpy())
    two_axes = granularity in ((0, 1), (1, 0))
    assert kinds(tmp_path / "a.onnx", onnx) == (["Cast", "Mul"] if two_axes else ["DequantizeLinear"]) + [
        "DequantizeLinear", "Gemm", "Identity"]


@pytest.mark.parametrize("granularity", [*GRANULARITIES[4], (0,), (1, 2), (0, 1, 2, 3)], ids=str)
def test_a_kernel_arrives_bit_for_bit(granularity, run, tmp_path):
    model = nn.Sequential(nn.Conv2D(2, 3, (4, 5), np.random.default_rng(0), padding="valid"))
    weights(model, Scaled("nearest", granularity=granularity), "conv2d1.weight")
    random_state(model).layers["conv2d1"].bias.latent.data[...] = 0
    x = np.eye(40, dtype=np.float32).reshape(40, 4, 5, 2)                            # one weight per image
    want = assert_same(model, x, run, tmp_path / "a.onnx", rtol=0)
    np.testing.assert_array_equal(want.reshape(4, 5, 2, 3), model.layers["conv2d1"].weight().numpy())


@dataclass(frozen=True)
class Gridded(Quantizer):
    """A method that gives the grid which it was told, whatever the tensor."""

    grid: object = None
    codes: object = None

    def __call__(self, x, held, training=False):
        return Tensor(self.coded(x.array, held).values)

    def coded(self, x, held):
        return Coded(self.codes, self.grid)


f4 = np.float32
GRIDS = {
    "zero": (np.int8, Even(np.array([0.3], f4), np.array([5]))),
    "a zero for each filter": (np.int8, Even(np.array([[0.3, 0.1, 0.7]], f4), np.array([[5, -128, 0]]))),
    "zero beyond the type": (np.int8, Even(np.array([0.3], f4), np.array([200]))),
    "zero of wide codes": (np.int32, Even(np.array([[0.3, 0.1, 0.7]], f4), np.array([[5, -4, 0]]))),
    "zeros of both axes": (np.int16, Even(np.linspace(0.1, 1, 12, dtype=f4).reshape(4, 3),
                                          np.arange(12).reshape(4, 3))),
    "offset": (np.int8, Even(np.array([0.3], f4), None, np.array([0.1], f4))),
    "both": (np.int16, Even(np.array([[0.3, 0.1, 0.7]], f4), np.array([3]), np.array([[0.1, 0, -2]], f4))),
    "table": (np.int8, Table(np.array([-0.7, 0, 0.9, 0.9, 3], f4))),
    "a table for each filter": (np.int8, Table(np.linspace(-1, 2, 15, dtype=f4).reshape(5, 3))),
    "a table for each row": (np.int8, Table(np.linspace(-1, 2, 20, dtype=f4).reshape(5, 4, 1)))}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kernel", [False, True], ids=["dense", "kernel"])
def test_every_grid_arrives_bit_for_bit(name, kernel, run, tmp_path):
    dtype, grid = GRIDS[name]
    high = 5 if isinstance(grid, Table) else 100
    codes = np.random.default_rng(0).integers(0 if high == 5 else -100, high, (4, 3)).astype(dtype)
    rng = np.random.default_rng(0)
    layer = nn.Conv2D(4, 3, 1, rng) if kernel else nn.Dense(4, 3, rng)
    layer.weight.change(Gridded(grid, codes.reshape(layer.weight.shape)))
    layer.bias.latent.data[...] = 0
    x = np.eye(4, dtype=f4).reshape(4, 1, 1, 4) if kernel else np.eye(4, dtype=f4)
    want = assert_same(nn.Sequential(layer), x, run, tmp_path / "a.onnx", rtol=0)
    np.testing.assert_array_equal(want.reshape(4, 3), grid.values(codes))


@pytest.mark.parametrize("kernel", [False, True], ids=["dense", "kernel"])
@pytest.mark.parametrize(("stages", "blocks"), [(1, 1), (2, 3)])
def test_vectors_arrive_bit_for_bit(stages, blocks, kernel, run, tmp_path):
    rng = np.random.default_rng(0)
    layer = nn.Conv2D(4, 6, 1, rng) if kernel else nn.Dense(4, 6, rng)
    books = rng.standard_normal((stages, blocks, 5, 6 // blocks)).astype(f4)
    grid, codes = Vectors(books, np.array(layer.weight.shape)), rng.integers(0, 5, (stages, blocks, 4)).astype(np.int8)
    layer.weight.change(Gridded(grid, codes))
    layer.bias.latent.data[...] = 0
    x = np.eye(4, dtype=f4).reshape(4, 1, 1, 4) if kernel else np.eye(4, dtype=f4)
    want = assert_same(nn.Sequential(layer), x, run, tmp_path / "a.onnx", rtol=0)
    np.testing.assert_array_equal(want.reshape(4, 6), grid.values(codes).reshape(4, 6))


@pytest.mark.parametrize("method", [Pruned(0.5), HashedNets(), Polino(bucket=4),
                                    PolinoPoints(bucket=4)], ids=str)
def test_grids_without_a_graph_are_refused_by_name(method, onnx, tmp_path):
    model = nn.quantize(nn.Sequential(nn.Dense(4, 3, np.random.default_rng(0))),
                        lambda name: method if name.endswith("weight") else None)
    grid = type(nn.coded_in(model)["dense1.weight"].grid).__name__
    with pytest.raises(ConfigError, match=rf"Even, a Table or Vectors; got dense1\.weight with {grid}"):
        to_onnx(model, tmp_path / "a.onnx", (4,))
    assert list(tmp_path.iterdir()) == []


def test_codes_beyond_32_bits_are_refused(onnx, tmp_path):
    model = weights(nn.Sequential(nn.Dense(1, 1, np.random.default_rng(0))), Scaled(granularity="scalar"))
    model.layers["dense1"].weight.latent.data[...] = 1e6
    with pytest.raises(ConfigError, match=r"32 bits; got dense1\.weight with 838"):
        to_onnx(model, tmp_path / "a.onnx", (1,))
    assert list(tmp_path.iterdir()) == []


# ---- inputs


INPUTS = {"lsq": LSQ(4, signed=False), "lsq8": LSQ(8), "filters": LSQ(3, granularity="filter"), "plus": LSQPlus(4),
          "plus filters": LSQPlus(8, signed=False, granularity="filter"), "pact": PACT(4, alpha=1.0), "pact8": PACT(8),
          "affine": Affine(ranges="data"), "affine4": Affine(4, signed=False, ranges="data", granularity="filter"),
          "average": Affine(6, ranges="average"), "learned": Affine(5, ranges="learned"), "wide": LSQ(12),
          "range": FixedRange(3), "pixel": FixedRange(4, "pixel"), "channel": FixedRange(8, "channel"),
          "floor": Scaled("floor", granularity="scalar"),
          "ceil": Scaled("ceil", granularity="filter", qmin=-4, qmax=9), "trunc": Scaled("trunc", granularity="scalar"),
          "sign": Scaled("sign", granularity="scalar"), "fixed": FixedGrid(-3, 3)}


@pytest.mark.parametrize("name", INPUTS)
def test_what_an_input_becomes_is_the_same_to_the_bit(name, run, onnx, tmp_path):
    x = images(40, 5, 4, 3)
    model = nn.calibrate(nn.Sequential(nn.Quantize(INPUTS[name], (1, 1, 1, 3))), x)
    site = model.layers["quantize1"].input
    if isinstance(site.method, Scaled):
        site.held["scale"].data[...] = 0.1
    if "count" in site.held:
        site.held["count"][...] = 1
    for either in (model, nn.Sequential(nn.MaxPool2D(1), *model.layers.values(), nn.MaxPool2D(1))):    # layout
        want = assert_same(either, x, run, tmp_path / "a.onnx", rtol=0)
        assert len(np.unique(want)) > 1
    if name in ("lsq", "lsq8", "filters", "plus", "plus filters", "fixed", "affine", "affine4", "average"):
        made = kinds(tmp_path / "a.onnx", onnx)
        assert "QuantizeLinear" in made
        assert ("Clip" in made) == (name not in ("lsq8", "plus filters", "affine"))


def test_a_network_with_methods_everywhere_and_its_file_are_one_graph(run, tmp_path):
    x, rng = np.abs(images(6, 6, 6, 2)), np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2D(2, 3, 3, rng, std=0.3), nn.ReLU(), nn.Flatten(), nn.Dense(108, 4, rng, std=0.3))
    nn.quantize(model, lambda name: LSQ(4, signed=False) if name.endswith("input") else LSQ(3, granularity="filter")
                if name.endswith("weight") else None)
    nn.calibrate(model, x)
    assert_same(model, x, run, tmp_path / "a.onnx")
    modelfile.save(tmp_path / "model.mlq", model)
    to_onnx(modelfile.load(tmp_path / "model.mlq"), tmp_path / "b.onnx", (6, 6, 2))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_inputs_without_steps_are_refused(onnx, tmp_path):
    model = nn.Sequential(nn.Quantize(Affine(), (1, 3)))
    with pytest.raises(ConfigError, match=r"quantize1\.input must have steps that do not depend on it"):
        to_onnx(model, tmp_path / "a.onnx", (3,))


# ---- layers


@settings(max_examples=50)
@given(problem=convolutions(dtype=np.float32), data=st.data())
def test_every_convolution(problem, data, run, tmp_path):
    x, w, b, stride, padding = problem
    model = nn.Sequential(nn.Conv2D(*w.shape[2:], w.shape[:2], np.random.default_rng(0), stride=stride,
                                    padding=padding))
    weights(model, Scaled("nearest", granularity=data.draw(st.sampled_from(GRANULARITIES[4]))), "conv2d1.weight")
    layer = model.layers["conv2d1"]
    layer.weight.latent.data[...], layer.bias.latent.data[...] = w, b
    set_scales(model, 0.125, 0.125)
    assert_same(model, x, run, tmp_path / "a.onnx")


@settings(max_examples=50)
@given(problem=poolings(), kind=st.sampled_from([nn.MaxPool2D, nn.AveragePool2D]))
def test_every_pooling(problem, kind, run, tmp_path):
    x, size, stride, padding = problem
    layer = kind(size, stride, padding)
    window = geometry("test", *x.shape[1:3], layer.size, layer.stride, padding)
    # onnx's own evaluator takes a pool's pads, begins before ends, as top, bottom, left, right.
    assume(run is not by_reference or window.bottom == window.left)
    assert_same(nn.Sequential(layer), x.astype(np.float32), run, tmp_path / "a.onnx")


@pytest.mark.parametrize("shape", [(3,), (4, 3), (5, 4, 3), (2, 5, 4, 3)], ids=str)
def test_batch_norm_of_any_number_of_axes_stands_alone_or_between_layers(shape, run, tmp_path):
    x = images(2, *shape)
    assert_same(random_state(nn.Sequential(nn.BatchNorm(3, eps=0.2))), x, run, tmp_path / "a.onnx")
    model = nn.Sequential(nn.BatchNorm(3), nn.ReLU(), nn.BatchNorm(3), nn.Flatten(), nn.BatchNorm(int(np.prod(shape))))
    assert_same(random_state(model), x, run, tmp_path / "a.onnx")


@given(seed=seeds)
@settings(max_examples=30)
def test_any_order_of_layers(seed, run, tmp_path):
    rng = np.random.default_rng(seed)
    pool = [lambda: nn.Conv2D(3, 3, 3, rng, std=0.3), nn.ReLU, lambda: nn.BatchNorm(3), lambda: nn.Dropout(0.5, rng),
            lambda: nn.MaxPool2D(3, 2, "same"), lambda: nn.AveragePool2D(3, 1, "same"),
            lambda: nn.Residual(nn.Conv2D(3, 3, 3, rng), None),
            lambda: nn.Residual(nn.ReLU(), nn.Sequential(nn.BatchNorm(3), nn.Conv2D(3, 3, 1, rng))),
            lambda: nn.Sequential(nn.ReLU(), nn.Residual(nn.Sequential()))]
    layers = [pool[i]() for i in rng.integers(0, len(pool), rng.integers(0, 7))]
    last = [[], [nn.Flatten()], [nn.GlobalAveragePool2D()], [nn.GlobalAveragePool2D(), nn.Residual(nn.Dense(3, 3,
                                                                                                            rng))]]
    model = nn.Sequential(*layers, *last[rng.integers(0, 4)])
    q = Scaled("nearest", granularity="filter")
    scalar = replace(q, granularity="scalar")
    nn.quantize(model, lambda name: [None, q if name.endswith("weight") else scalar][rng.integers(0, 2)]
                if not name.endswith("input") else None)
    random_state(model, seed)
    assert_same(model, images(2, 7, 6, 3, seed=seed), run, tmp_path / "a.onnx")


def test_a_layer_that_stands_twice_has_its_parameters_once(onnx, run, tmp_path):
    twice, norm = nn.Dense(4, 4, np.random.default_rng(0), std=0.5), nn.BatchNorm(4)
    model = nn.Sequential(twice, norm, twice, nn.ReLU(), norm, nn.Residual(norm))
    random_state(weights(model, Scaled("nearest", granularity="row")))
    assert_same(model, images(3, 4), run, tmp_path / "a.onnx")
    assert len([t.name for t in onnx.load(tmp_path / "a.onnx").graph.initializer if "weight" in t.name]) == 2


# ---- activations in uint8


def test_ranges_put_activations_into_uint8(run, onnx, tmp_path):
    """Whole numbers and powers of two: no sum rounds, so every code can be compared."""
    rng = np.random.default_rng(0)
    first, second = nn.Conv2D(2, 3, 3, rng), nn.Dense(3, 4, rng)
    model = nn.Sequential(first, nn.ReLU(), nn.Residual(nn.Sequential(nn.MaxPool2D(3, 1, "same"))),
                          nn.GlobalAveragePool2D(), second)
    weights(model, Scaled("nearest", granularity="scalar"), "conv2d1.weight", "dense1.weight")
    for layer in (first, second):
        layer.weight.latent.data[...] = rng.integers(-8, 8, layer.weight.shape)
        layer.bias.latent.data[...] = 0
    set_scales(model, 1, 1)
    x = rng.integers(0, 300, (6, 4, 4, 2)).astype(np.float32) / 2

    def uint8(name, y):
        scale, zero = ranges[name]
        return np.float32(scale) * (np.clip(np.rint(y / np.float32(scale)) + zero, 0, 255) - zero)

    ranges = {"input": (1.0, 0), "relu1": (8.0, 3), "residual1.body.maxpool2d1": (32.0, 0), "residual1": (16.0, 9),
              "dense1": (1024.0, 128)}
    y = uint8("relu1", predicted(nn.Sequential(first, nn.ReLU()), uint8("input", x)))
    y = uint8("residual1", y + uint8("residual1.body.maxpool2d1", predicted(nn.MaxPool2D(3, 1, "same"), y)))
    want = uint8("dense1", predicted(nn.Sequential(nn.GlobalAveragePool2D(), second), y))
    to_onnx(model, tmp_path / "a.onnx", x.shape[1:], ranges=ranges)
    (got,) = run(tmp_path / "a.onnx", x)
    np.testing.assert_array_equal(got, want)
    assert len(np.unique(want)) > 3
    assert np.abs(want - predicted(model, x)).max() > 1
    assert kinds(tmp_path / "a.onnx", onnx).count("QuantizeLinear") == len(ranges)


@pytest.mark.parametrize("ranges", [{"relu1": (0.0, 0)}, {"relu1": (-1.0, 0)}, {"relu1": (np.nan, 0)},
                                    {"relu1": (np.inf, 0)}, {"relu1": (1.0, 256)}, {"relu1": (1.0, -1)},
                                    {"relu1": None}, {"relu1": (1.0,)}, {"relu1": ("1", 0)}, {"relu1": (1.0, 0.5)}],
                         ids=str)
def test_ranges_that_are_none(ranges, onnx, tmp_path):
    with pytest.raises(ConfigError, match=r"a scale > 0 and a zero point in 0\.\.255; got relu1"):
        to_onnx(nn.Sequential(nn.ReLU()), tmp_path / "a.onnx", (3,), ranges=ranges)


def test_ranges_of_layers_that_are_not_there(onnx, tmp_path):
    with pytest.raises(ConfigError, match="a layer of the model; got relu2"):
        to_onnx(nn.Sequential(nn.ReLU()), tmp_path / "a.onnx", (3,), ranges={"relu1": (1.0, 0), "relu2": (1.0, 0)})


# ---- what is refused


class Square(nn.Layer):
    def __call__(self, x, training=False):
        return x * x


class Louder(nn.ReLU):
    pass


@pytest.mark.parametrize(("model", "shape", "error", "match"), [
    (nn.Sequential(nn.ReLU(), nn.Residual(Square())), (3,), ConfigError, r"got residual1\.body \(Square\)"),
    (nn.Sequential(Louder()), (3,), ConfigError, r"got louder1 \(Louder\)"),
    (nn.Sequential(nn.BatchNorm(3, dtype=np.float64)), (3,), ConfigError, r"float32; got batchnorm1\.gamma of float64"),
    (nn.Sequential(nn.Dense(3, 2, np.random.default_rng(0))), (4,), ShapeError, r"\(1, 4\)"),
    (nn.Sequential(nn.Conv2D(3, 2, 1, np.random.default_rng(0))), (4, 3), ShapeError, r"\(1, 4, 3\)"),
    (nn.calibrate(nn.Sequential(nn.Quantize(FixedRange())), images(2, 3)), (4, 4), ShapeError, "FixedRange")], ids=str)
def test_models_without_a_graph(model, shape, error, match, onnx, tmp_path):
    with pytest.raises(error, match=match):
        to_onnx(model, tmp_path / "a.onnx", shape)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'minilq\[onnx\]'"):
        to_onnx(nn.Sequential(nn.ReLU()), tmp_path / "a.onnx", (3,))
