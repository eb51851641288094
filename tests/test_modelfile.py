"""Model files: what is loaded is what was saved, bit for bit, and the bytes are those that the documentation says."""

import io
import json
import os
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minilq
from minilq import Adam, Tensor, files, nn, softmax_cross_entropy
from minilq.autodiff.parameter import Parameter
from minilq.coding.coders import CODERS
from minilq.errors import ConfigError, DataError, DTypeError, NonFiniteError, UnwritableError
from minilq.experiments import models
from minilq.nn.layer import KINDS
from minilq.quantize import Coded, Nested, Scaled, Table, frozen, stochastic, threshold
from minilq.quantize.method import Quantizer, plain
from minilq.quantize.methods import LSQ, PACT, Affine, FixedGrid, FixedRange, LSQPlus, Pruned
from minilq.quantize.statistics import entropy_of
from minilq.store.architecture import MAX_DEPTH, describe, planned
from minilq.store.codes import SMALLEST
from minilq.store.modelfile import LATENTS, contents, load, save
from minilq.store.sections import Sections, joined, split
from minilq.store.shares import OTHERS, shares
from tests.strategies import seeds

compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="large arrays, in plain Python")
GOLDEN = Path(__file__).parent / "golden"
FACTS = {"model": "mnist_mlp", "accuracy": 0.1 + 0.2, "input": "raw", "shape": [28, 28], "none": None, "name": "é"}


def choosing(weights, inputs=None, biases=True):
    """The method `weights` at weights and, scalar, at biases; `inputs` at inputs."""
    def choose(name):
        if name.endswith("input"):
            return inputs
        if name.endswith("weight") or weights is None:
            return weights
        return replace(weights, granularity="scalar") if biases and hasattr(weights, "granularity") else None
    return choose


def disturbed(model, rng):
    """Other scales, and other statistics of batch normalisation, than a new model has."""
    for site in model.sites().values():
        for name, part in site.held.items():
            if site.latent is not None and name.endswith("scale") and isinstance(part, Parameter):
                s = rng.uniform(0.01, 0.06, part.shape)
                part.array[...] = {"scale": s, "exp_scale": np.log(s), "softplus_scale": np.log(np.expm1(s)),
                                   "power_of_two_scale": np.log2(s)}[name]
                part.changed_in_place()
    for name, tensor in model.tensors().items():
        if "batchnorm" in name:
            plain(tensor)[...] = rng.uniform(0.5, 2, tensor.shape)
    return model


def same_grid(a, b):
    assert type(a) is type(b)
    assert a.stored().keys() == b.stored().keys()
    for name, array in a.stored().items():
        np.testing.assert_array_equal(array, b.stored()[name])


def assert_same(stored, model, x, own_methods=True):
    """What was loaded is what was saved: codes, grids, values, predictions; with own_methods also what methods hold."""
    coded, again = nn.coded_in(model), nn.coded_in(stored.network)
    assert list(stored.coded) == list(again) == list(coded)
    for name, c in coded.items():
        back = stored.coded[name]
        assert back.codes.dtype == c.codes.dtype
        np.testing.assert_array_equal(back.codes, c.codes)
        np.testing.assert_array_equal(again[name].codes, c.codes)
        same_grid(back.grid, c.grid)
        same_grid(again[name].grid, c.grid)
        np.testing.assert_array_equal(stored.network.sites()[name]().numpy(), c.values)
    mine = stored.network.tensors()
    for name, tensor in model.tensors().items():
        if name.removesuffix(".latent") not in coded and (own_methods or name.rpartition(".")[0] not in coded):
            assert plain(mine[name]).tobytes() == plain(tensor).tobytes()
            assert plain(mine[name]).dtype == plain(tensor).dtype
    if own_methods:
        assert {n: s.method for n, s in stored.network.sites().items()} == {
            n: s.method for n, s in model.sites().items()}
    assert repr(stored.network) == repr(model)
    np.testing.assert_array_equal(stored.network(x).numpy(), model(x).numpy())


@pytest.mark.parametrize(("coder", "make", "shape"), [
    ("range", models.mnist_mlp, (28, 28)), ("huffman", models.lenet, (28, 28, 1)),
    ("packed", models.cifar10_cnn, (32, 32, 3)),
    pytest.param("packed", lambda rng: models.imagenette_resnet(rng, size=32), (32, 32, 3),
                 marks=(compiled, pytest.mark.deep))],
    ids=["mnist_mlp", "lenet", "cifar10_cnn", "imagenette_resnet"])
def test_the_networks_of_the_thesis_come_back_with_their_codes_and_predictions(coder, make, shape, tmp_path):
    rng = np.random.default_rng(3)
    model = disturbed(nn.quantize(make(rng), choosing(Scaled("floor", granularity="channel"))), rng)
    save(tmp_path / "model.mlq", model, coder)
    stored = load(tmp_path / "model.mlq")
    x = rng.uniform(0, 1, (1, *shape)).astype(np.float32)
    assert_same(stored, model, x)
    before = minilq.kernels_in_use()
    minilq.use_kernels(not before)
    try:
        np.testing.assert_array_equal(stored.network(x).numpy(), model(x).numpy())
    finally:
        minilq.use_kernels(before)


DENSE = ["scalar", "row", "column", "filter", (0,), (1,), (0, 1)]
KERNEL = ["scalar", "row", "column", "channel", "filter", (0, 3), (1, 2), (0, 1, 2, 3), (-1, 0)]


@st.composite
def quantizers(draw, granularities):
    low = draw(st.sampled_from([None, -8, 0]))
    return Scaled(draw(st.sampled_from(["floor", "nearest", "ceil", "trunc", "sign"])),
                  granularity=draw(st.sampled_from(granularities)),
                  scale_rule=draw(st.sampled_from([frozen(), threshold(1e-9)])),
                  qmin=low, qmax=draw(st.sampled_from([None, 7])),
                  mask=draw(st.sampled_from(["clip_first", "round_first"])),
                  positivity=draw(st.sampled_from(["clamp", "exp", "softplus", "power_of_two"])))


def shown(model, x):
    """A model whose inputs have seen x; layers may be dead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.calibrate(model, x)


@st.composite
def networks(draw):
    """(model, x): small, with or without quantizers, of all kinds of layers."""
    rng = np.random.default_rng(draw(seeds))
    q, q2 = (draw(st.none() | quantizers(g)) for g in (KERNEL, DENSE))
    stride, padding = draw(st.sampled_from([1, 2, (2, 1)])), draw(st.sampled_from(["same", "valid", 1, (0, 1),
                                                                                   ((1, 0), (0, 2))]))
    pool = draw(st.sampled_from([nn.MaxPool2D, nn.AveragePool2D]))
    x = rng.uniform(-1, 1, (2, 6, 7, 2)).astype(np.float32)
    first = draw(st.sampled_from([None, FixedRange(3), FixedRange(4, "pixel"), FixedRange(8, "channel"), LSQ(4),
                                  LSQPlus(3, granularity="filter"), Affine(4, ranges="average"), Affine(5),
                                  Affine(3, ranges="learned"),
                                  Scaled("nearest", granularity="filter")]))
    layers = [] if first is None else [nn.Quantize(first, (1, 1, 1, 2))]
    layers += [nn.Conv2D(2, 3, (3, 2), rng, stride, padding), nn.BatchNorm(3, 0.9, 1e-4), nn.ReLU(),
               nn.Residual(nn.Sequential(nn.Conv2D(3, 3, 3, rng), nn.Dropout(0.3, rng)),
                           draw(st.sampled_from([None, nn.Conv2D(3, 3, 1, rng)]))),
               pool(2, draw(st.sampled_from([None, 1])), draw(st.sampled_from(["same", ((0, 1), (1, 0))])))]
    if draw(st.booleans()):
        layers += [nn.GlobalAveragePool2D()]
        n = 3
    else:
        layers += [nn.Flatten()]
        n = shown(nn.Sequential(*layers), x)(x).shape[1]
    model = nn.Sequential(*layers, nn.Sequential(nn.Dense(n, 4, rng), nn.ReLU()), nn.Dense(4, 2, rng))
    inputs = draw(st.sampled_from([None, PACT(3), LSQ(4, signed=False), Affine(4, ranges="data")]))
    for name, site in model.sites().items():
        if name != "quantize1.input" and "shortcut" not in name:
            site.change(choosing(q2 if "dense" in name else q, inputs)(name))
    return shown(disturbed(model, rng), x), x


@given(made=networks(), coder=st.sampled_from([*sorted(CODERS), SMALLEST]))
def test_any_network_comes_back_with_its_codes_and_predictions(made, coder, tmp_path):
    model, x = made
    save(tmp_path / "model.mlq", model, coder, FACTS)
    stored = load(tmp_path / "model.mlq")
    assert stored.facts == FACTS
    assert_same(stored, model, x)
    assert not any("methods" in text for text in stored.missing)
    save(tmp_path / "again.mlq", stored.network, coder, FACTS)           # a loaded network is saved as it was
    assert (tmp_path / "again.mlq").read_bytes() == (tmp_path / "model.mlq").read_bytes()


def test_a_stochastic_rounding_gives_whole_codes_around_the_latents(tmp_path):
    q = Scaled(stochastic(np.random.default_rng(5)), granularity="row")
    model = nn.quantize(models.mnist_mlp(np.random.default_rng(0)), choosing(q))
    disturbed(model, np.random.default_rng(1))
    save(tmp_path / "m.mlq", model)
    stored = load(tmp_path / "m.mlq")
    for name, c in stored.coded.items():
        site = model.sites()[name]
        assert (np.abs(c.codes - site.latent.numpy() / site.scale.numpy()) < 1).all()
        assert isinstance(stored.network.sites()[name].method, FixedGrid)            # a function has no text
    assert "the methods of dense1.weight, dense1.bias, dense2.weight, dense2.bias" in stored.missing[1]


def test_codes_as_wide_as_32_bits_and_none_at_all(tmp_path):
    model = nn.Sequential(nn.Dense(3, 2, np.random.default_rng(0)))
    nn.quantize(model, choosing(Scaled("nearest", granularity="scalar")))
    site = model.sites()["dense1.weight"]
    site.held["scale"].data[...] = 2.0**-24
    site.latent.data[...] = [[-128, 127.9999], [0, 1], [3, 4]]
    save(tmp_path / "wide.mlq", model)
    assert load(tmp_path / "wide.mlq").coded["dense1.weight"].codes.dtype == np.int32
    assert_same(load(tmp_path / "wide.mlq"), model, np.ones((1, 3), np.float32))
    save(tmp_path / "none.mlq", nn.Sequential(nn.Flatten(), nn.ReLU()))
    assert load(tmp_path / "none.mlq").coded == {}


# What is loaded goes on.
@dataclass(frozen=True)
class Shared(Quantizer):
    """Three levels that are trained, and codes that are remembered, as of weights that share their values."""

    def start(self, x):
        return {"levels": Parameter(np.array([-0.1, 0, 0.1], x.dtype)), "codes": np.digitize(x, [-0.03, 0.03])}

    def __call__(self, x, held, training=False):
        return Tensor(self.coded(x.array, held).values)

    def coded(self, x, held):
        return Coded(held["codes"].astype(np.int8), Table(held["levels"].array))


METHODS = [LSQ(4), LSQ(3, granularity="filter"), LSQPlus(4), LSQPlus(4, signed=False, granularity="filter"), PACT(3),
           Affine(4), Affine(4, ranges="data"), Affine(4, ranges="learned"), FixedGrid(-7, 7), Nested(),
           Affine(8, symmetric=True, ranges="average"),
           Nested(positivity="exp"), *(Scaled(rounding, granularity="filter") for rounding in (
               "floor", "nearest", "ceil", "trunc", "sign")), Scaled("floor", qmin=-2, qmax=1, granularity="scalar"),
           Shared()]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_network_that_was_loaded_is_trained_on_and_saved_with_its_integers(method, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (20, 30)).astype(np.float32)
    model = nn.Sequential(nn.Dense(30, 8, rng), nn.ReLU(), nn.Dense(8, 3, rng))
    nn.quantize(model, choosing(method, LSQ(4), biases=False))
    nn.calibrate(disturbed(model, rng), x)
    for site in model.sites().values():
        if "count" in site.held:
            site.held["count"][...] = 1
    save(tmp_path / "m.mlq", model)
    stored = load(tmp_path / "m.mlq")
    again = method != Affine(4)                              # whose grid comes from the latents each time
    assert_same(stored, model, x, again)
    assert len(stored.missing) == 1 or method == Affine(4)
    size = (tmp_path / "m.mlq").stat().st_size
    save(tmp_path / "again.mlq", stored.network)
    assert (tmp_path / "again.mlq").stat().st_size < size + 100
    if isinstance(method, Shared):
        return                                               # whose call knows no gradient
    optimizer = Adam(stored.network.parameters().values(), 1e-2)
    before = stored.network(x).numpy()
    softmax_cross_entropy(stored.network(Tensor(x), training=True), rng.integers(0, 3, 20)).backward()
    optimizer.step()
    assert not np.array_equal(stored.network(x).numpy(), before)
    save(tmp_path / "trained.mlq", stored.network)
    assert_same(load(tmp_path / "trained.mlq"), stored.network, x, again)
    assert (tmp_path / "trained.mlq").stat().st_size < size + 200


def test_load_then_save_keeps_the_integers(tmp_path):
    """Of the thesis' network, and of files of version 1: once 20,009 bytes became 51,060."""
    model = nn.quantize(models.mnist_mlp(np.random.default_rng(0)), choosing(Nested()))
    disturbed(model, np.random.default_rng(1))
    save(tmp_path / "a.mlq", model)
    stored = load(tmp_path / "a.mlq")
    save(tmp_path / "b.mlq", stored.network, facts=stored.facts)
    assert (tmp_path / "a.mlq").read_bytes() == (tmp_path / "b.mlq").read_bytes()
    old = load(GOLDEN / "model-v1-range.mlq")
    save(tmp_path / "c.mlq", old.network, facts=old.facts)
    new = load(tmp_path / "c.mlq")
    for name, codes in nn.codes_in(old.network).items():
        np.testing.assert_array_equal(new.coded[name].codes, codes)
    assert (tmp_path / "c.mlq").stat().st_size < (GOLDEN / "model-v1-range.mlq").stat().st_size + 400


def test_arrays_that_are_the_same_stand_in_a_file_once():
    model = nn.quantize(models.mnist_mlp(np.random.default_rng(0)),
                        lambda n: Nested() if n.endswith("weight") else None)
    disturbed(model, np.random.default_rng(1))
    header = split(io.BytesIO(content := contents(model)), len(content)).header
    assert header["arrays"] == [["f4", [784, 1]], ["f4", [128, 1]]]
    assert header["sites"]["dense1.weight"]["grid"] == {"scale": 0}
    assert "held" not in header["sites"]["dense1.weight"]                # it is the grid
    shared = nn.Sequential(nn.Dense(30, 20, np.random.default_rng(0)))
    shared.layers["dense1"].weight.change(Shared())
    header = split(io.BytesIO(content := contents(shared)), len(content)).header
    assert header["arrays"] == [["f4", [3]]]
    assert header["sites"]["dense1.weight"]["held"] == {"levels": 0, "codes": "codes"}


@pytest.mark.parametrize("keep", [0.2, 1.0])
def test_a_mask_that_the_codes_tell_takes_no_bytes(keep, tmp_path):
    model = nn.quantize(nn.Sequential(nn.Dense(30, 20, np.random.default_rng(0))),
                        lambda name: Pruned(keep) if name.endswith("weight") else None)
    save(tmp_path / "m.mlq", model)
    header = split(io.BytesIO(content := contents(model)), len(content)).header
    assert header["sites"]["dense1.weight"]["held"] == {"mask": "support"}
    back = load(tmp_path / "m.mlq").network.sites()["dense1.weight"]
    mask = model.sites()["dense1.weight"].held["mask"]
    assert back.held["mask"].dtype == bool
    np.testing.assert_array_equal(back.held["mask"], mask)
    assert_same(load(tmp_path / "m.mlq"), model, np.ones((1, 30), np.float32))
    model.sites()["dense1.weight"].latent.data[mask.nonzero()[0][0], mask.nonzero()[1][0]] = 0       # kept, and yet 0
    save(tmp_path / "m.mlq", model)
    back = load(tmp_path / "m.mlq").network.sites()["dense1.weight"]
    np.testing.assert_array_equal(back.held["mask"], mask)


def test_an_input_that_has_seen_nothing_has_to_see_something_after_it_was_loaded(tmp_path):
    model = nn.Sequential(nn.Dense(4, 3, np.random.default_rng(0)))
    nn.quantize(model, lambda name: LSQ(4) if name == "dense1.input" else None)
    save(tmp_path / "m.mlq", model)
    network = load(tmp_path / "m.mlq").network
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    with pytest.raises(ConfigError, match="must be seen"):
        network(x)
    np.testing.assert_array_equal(nn.calibrate(network, x)(x).numpy(), nn.calibrate(model, x)(x).numpy())


def test_an_input_with_a_function_keeps_its_steps_or_is_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    model = nn.calibrate(nn.Sequential(nn.Quantize(Scaled(np.floor, granularity="scalar", qmin=-3))), x)
    model.sites()["quantize1.input"].held["scale"].data[...] = 0.3
    save(tmp_path / "m.mlq", model)
    stored = load(tmp_path / "m.mlq")
    assert stored.network.sites()["quantize1.input"].method == FixedGrid(-3, None, "floor")
    np.testing.assert_array_equal(stored.network(x).numpy(), model(x).numpy())
    model = nn.Sequential(nn.Quantize(Scaled(stochastic(np.random.default_rng(0)), granularity="scalar")))
    with pytest.raises(ConfigError, match=r"function among its flags.*quantize1\.input"):
        save(tmp_path / "n.mlq", nn.calibrate(model, x))


# The architecture.
def test_every_kind_of_layer_is_described_in_json_and_built_from_it():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (2, 4, 4, 1)).astype(np.float32)
    model = nn.Sequential(
        nn.Quantize(shape=(1, 4, 4, 1)), nn.Conv2D(1, 2, (3, 1), rng, stride=(2, 1), padding=(1, 0)), nn.ReLU(),
        nn.BatchNorm(2, 0.5, 1e-5), nn.Dropout(0.25, rng), nn.MaxPool2D(2, 1, "same"), nn.AveragePool2D(np.int64(2),
                                                                                                        None, 1),
        nn.Residual(nn.Sequential(nn.Conv2D(2, 2, 1, rng)), nn.Conv2D(2, 2, 1, rng)), nn.Residual(nn.ReLU()),
        nn.Sequential(), nn.Concatenate(nn.Sequential(nn.ReLU())), nn.GroupedConv2D(4, 2, (2, 1), 2, rng),
        nn.XNORConv2D(2, 2, 1, rng), nn.ShiftBatchNorm(2, 0.25), nn.QuantizedGradient(6, rng),
        nn.SelfAttention(2, rng, 2), nn.LayerNorm(2, 1e-3), nn.GELU("tanh"), nn.Softmax(), nn.Position((2, 3, 2), rng),
        nn.Sequential(nn.GlobalAveragePool2D()), nn.Flatten(), nn.Dense(2, 3, rng))
    described = json.loads(json.dumps(describe(model)))
    mine = {kind for kind, layer in KINDS.items() if layer.__module__.startswith("minilq.nn")}
    elsewhere = {"GlobalAveragePool2D", "Embedding", "RNN", "GRU", "LSTM"}               # of sequences
    assert {layer["kind"] for layer in described} | elsewhere == mine
    plan = planned(described, most=10**6)
    built = plan.make()
    assert plan.shapes == {n: t.shape for n, t in model.tensors().items()}
    assert describe(built) == describe(model)
    assert [(n, t.shape) for n, t in built.state().items()] == [(n, t.shape) for n, t in model.state().items()]
    built.load_state(model.state())
    np.testing.assert_array_equal(built(x).numpy(), model(x).numpy())
    dropout, norm = built.layers["dropout1"], built.layers["batchnorm1"]
    assert (dropout.rate, norm.momentum, norm.eps) == (0.25, 0.5, 1e-5)


class Scale(nn.Layer):
    """A layer of a user's own that a file can hold, because it says its settings."""

    def __init__(self, factor, inner):
        self.factor, self.inner = factor, inner
        self.shift = Parameter(np.zeros(3, np.float32))

    def __call__(self, x, training=False):
        return self.factor * self.inner(x, training) + self.shift

    def settings(self):
        return {"factor": self.factor, "inner": self.inner}

    @classmethod
    def shapes(cls, **settings):
        return {"shift": (3,)}


def test_a_layer_of_ones_own_that_says_its_settings_is_saved(tmp_path):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Residual(Scale(2.5, nn.Dense(3, 3, rng))))
    model.parameters()["residual1.body.shift"].data[...] = [1, 2, 3]
    save(tmp_path / "m.mlq", model)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(load(tmp_path / "m.mlq").network(x).numpy(), model(x).numpy())


class Doubled(nn.Layer):
    def __call__(self, x, training=False):
        return x + x


class MyDense(nn.Dense):
    pass


def test_layers_that_a_file_cannot_hold_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match=r"doubled1 \(Doubled\)"):
        describe(nn.Sequential(nn.ReLU(), Doubled()))
    with pytest.raises(ConfigError, match=r"residual1\.body\.mydense1 \(MyDense\)"):
        describe(nn.Sequential(nn.Residual(nn.Sequential(MyDense(2, 2, rng)))))
    with pytest.raises(ConfigError, match=r"got Dense"):
        describe(nn.Dense(2, 2, rng))
    twice = nn.Dense(2, 2, rng)
    with pytest.raises(ConfigError, match=r"dense2 \(Dense\) again"):
        describe(nn.Sequential(twice, nn.ReLU(), twice))
    relu = nn.ReLU()
    assert len(describe(nn.Sequential(relu, relu))) == 2
    deep = nn.Sequential(nn.ReLU())
    for _ in range(MAX_DEPTH):
        deep = nn.Sequential(deep)
    with pytest.raises(ConfigError, match="16 containers"):
        describe(deep)
    assert planned(describe(deep.layers["sequential1"]), 0).make()


# What cannot be saved.
def small(dtype=np.float32):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(4, 3, rng, dtype=dtype), nn.ReLU(), nn.Dense(3, 2, rng, dtype=dtype))
    choose = choosing(Scaled("nearest", granularity="row"))
    nn.quantize(model, lambda name: choose(name) if name.startswith("dense1") else None)
    for site in model.sites().values():
        if site.held:
            site.held["scale"].data[...] = 0.02
    return model


def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "m.mlq"
    with pytest.raises(ConfigError, match="packed, huffman, range, context; got 'zip'"):
        save(path, small(), "zip")
    with pytest.raises(DTypeError, match="float64"):
        save(path, small(np.float64))
    for facts in ({"accuracy": float("nan")}, {"array": np.zeros(2)}, {"x": {1, 2}}):
        with pytest.raises(ConfigError, match="JSON"):
            save(path, small(), facts=facts)
    with pytest.raises(ConfigError, match="65536 bytes of JSON"):
        save(path, small(), facts={"history": "x" * 70_000})
    for name in ("dense1.weight", "dense2.bias"):
        model = small()
        model.parameters()[f"{name}.latent"].data[0] = np.nan
        with pytest.raises(NonFiniteError):
            save(path, model)
    layer = nn.Dropout(0.5, np.random.default_rng(0))
    layer.rate = 1.5
    with pytest.raises(ConfigError, match=r"rate.*1\.5"):
        save(path, nn.Sequential(layer))
    model = small()
    model.sites()["dense1.weight"].held["scale"].data[...] = 1e-12
    with pytest.raises(ConfigError, match="scale is far too small"):
        save(path, model)
    assert list(tmp_path.iterdir()) == []


def test_keys_of_facts_become_strings(tmp_path):
    save(tmp_path / "m.mlq", small(), facts={1: "a", "1": "b", "shape": (2, 3)})
    assert load(tmp_path / "m.mlq").facts == {"1": "b", "shape": [2, 3]}


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    save(tmp_path / "m.mlq", small(), facts={"old": True})
    monkeypatch.setattr(files.os, "replace", lambda a, b: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(UnwritableError, match="No space left"):
        save(tmp_path / "m.mlq", small(), facts={"old": False})
    assert [p.name for p in tmp_path.iterdir()] == ["m.mlq"]
    assert load(str(tmp_path / "m.mlq")).facts == {"old": True}


# The format.
def read_as_documented(content):
    """{name: values} and facts of a file of version 2 with the packed coder, by the documentation alone."""
    assert content[:9] == b"\x89MLQ\r\n\x1a\n\x02"
    at, sections = 9, {}
    while at < len(content):
        kind, length, crc = struct.unpack_from("<cII", content, at)
        part = content[at + 9:at + 9 + length]
        assert zlib.crc32(kind + part) == crc
        sections[kind] = part
        at += 9 + length
    assert at == len(content)
    header = json.loads(zlib.decompress(sections[b"Z"], -15) if b"Z" in sections else sections[b"J"])
    numbers, pool, at = sections[b"F"], [], 0
    for kind, shape in header["arrays"]:
        pool.append(np.frombuffer(numbers, f"<{kind}", int(np.prod(shape)), at).reshape(shape))
        at += pool[-1].nbytes
    shapes = {}

    def walk(layers, prefix):
        seen = {}
        for layer in layers:
            kind = layer["kind"].lower()
            seen[kind] = seen.get(kind, 0) + 1
            visit(layer, f"{prefix}{kind}{seen[kind]}.")

    def visit(layer, name):
        match layer["kind"]:
            case "Dense":
                shapes[name + "weight"], shapes[name + "bias"] = (layer["n_in"], layer["n_out"]), (layer["n_out"],)
            case "Conv2D":
                shapes[name + "weight"] = (*layer["size"], layer["n_in"], layer["n_out"])
                shapes[name + "bias"] = (layer["n_out"],)
            case "BatchNorm":
                shapes.update({name + part: (layer["channels"],) for part in ("gamma", "beta", "mean", "variance")})
            case "Sequential":
                walk(layer["layers"], name)
            case "Residual":
                visit(layer["body"], name + "body.")
                if layer["shortcut"] is not None:
                    visit(layer["shortcut"], name + "shortcut.")

    walk(header["layers"], "")
    arrays, start = {}, 0
    for name, shape in shapes.items():
        if name not in header["sites"]:
            arrays[name] = np.frombuffer(numbers, "<f4", int(np.prod(shape)), at).reshape(shape)
            at += arrays[name].nbytes
    assert at == len(numbers)
    for name, entry in header["sites"].items():
        grid = {part: pool[number] for part, number in entry["grid"].items()}
        if "codes" not in entry:
            arrays[name] = grid, entry["bounds"], entry["rounding"]
            continue
        table, content = entry["codes"]
        codes = CODERS["packed"].decode(sections[b"C"][start:start + table],
                                        sections[b"C"][start + table:start + table + content],
                                        int(np.prod(shapes[name]))).reshape(shapes[name])
        start += table + content
        if "levels" in grid:
            arrays[name] = grid["levels"][codes]
        else:
            k = (codes - grid.get("zero", 0)).astype("f4")
            arrays[name] = k * grid["scale"] + grid.get("offset", np.float32(0))
    assert start == len(sections[b"C"])
    return arrays, header["facts"]


def by_formula(shape, k, modulus):
    i = np.arange(int(np.prod(shape)))
    return ((k * i * i + 3 * i) % modulus - modulus // 3).reshape(shape)


def golden_layers():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2D(1, 4, 3, rng, stride=2, padding="same"), nn.BatchNorm(4), nn.ReLU(),
        nn.Residual(nn.Sequential(nn.Conv2D(4, 4, 3, rng, padding=1), nn.Dropout(0.5, rng)), None),
        nn.MaxPool2D(2), nn.Flatten(), nn.Dense(16, 10, rng), nn.ReLU(), nn.Dense(10, 3, rng))


def golden_network():
    """The network of the files of version 1 in golden/; do not change it."""
    q, q2 = Scaled("nearest", granularity="filter"), Scaled("nearest", granularity=(0, 1))
    model = golden_layers()
    scalar = replace(q, granularity="scalar")
    methods = {"conv2d1.weight": q, "residual1.body.conv2d1.weight": q2, "dense1.weight": q, "conv2d1.bias": scalar,
               "residual1.body.conv2d1.bias": scalar, "dense1.bias": scalar}
    nn.quantize(model, methods.get)
    # In the order of version 1: all that is trained, then what is remembered.
    named = {name.removesuffix(".latent"): tensor for name, tensor in model.tensors().items() if "scale" not in name}
    order = [*(n for n, t in named.items() if isinstance(t, Parameter)),
             *(n for n, t in named.items() if not isinstance(t, Parameter))]
    for number, name in enumerate(order, start=1):
        tensor, site = named[name], model.sites().get(name)
        whole = by_formula(tensor.shape, number, 13)
        if site is not None and site.method is not None:
            scale = site.held["scale"]
            scale.array[...] = 2.0 ** (by_formula(scale.shape, number, 4) - 4)
            plain(tensor)[...] = whole * scale.array
        else:
            plain(tensor)[...] = np.abs(whole) / 4 if name.endswith("variance") else whole / 8
    return model


def golden_network_2():
    """That of the files of version 2: methods of all kinds of grids, and inputs; do not change it."""
    model = golden_layers()
    zero = FixedGrid(-2, 13)
    nn.quantize(model, {"conv2d1.weight": LSQ(4, granularity="filter"), "conv2d1.bias": Nested(granularity="scalar"),
                     "residual1.body.conv2d1.weight": LSQPlus(3), "dense1.weight": zero, "dense2.weight": FixedGrid(),
                     "conv2d1.input": PACT(4), "residual1.body.conv2d1.input": LSQPlus(4, signed=False),
                     "dense1.input": Affine(6, ranges="average"), "dense2.input": LSQ(4, signed=False)}.get)
    sites = model.sites()
    sites["dense1.weight"].held = {"scale": np.full((1, 10), 0.125, np.float32), "zero": np.full((1, 10), 3)}
    sites["dense2.weight"].held = {"levels": np.array([-1.5, -0.25, 0, 0.5, 2], np.float32)}
    for number, (name, tensor) in enumerate(model.tensors().items(), start=1):
        whole = by_formula(tensor.shape, number, 13)
        if name.endswith("scale") and isinstance(tensor, Parameter):
            tensor.array[...] = 2.0 ** (by_formula(tensor.shape, number, 4) - 4)
        elif name.endswith((".offset", ".alpha")):
            tensor.array[...] = np.abs(whole) / 4 + 0.5
        elif name.endswith((".input.low", ".input.high")):
            tensor[...] = -1.5 if name.endswith("low") else 3.25
        elif name.endswith(".count"):
            tensor[...] = 7
        elif name.endswith("latent"):
            tensor.array[...] = whole / 8
        elif "batchnorm" in name:
            plain(tensor)[...] = np.abs(whole) / 4 if name.endswith("variance") else whole / 8
    for site in sites.values():
        site.started = True
    return model


INPUT = (by_formula((5, 8, 8, 1), 7, 11) / 16).astype(np.float32)


@pytest.mark.parametrize(("version", "coder"), [
    *((1, coder) for coder in ("huffman", "packed", "range")), *((2, coder) for coder in [*sorted(CODERS), SMALLEST])])
def test_files_of_both_versions_load_for_ever(version, coder):
    stored = load(GOLDEN / f"model-v{version}-{coder}.mlq")
    assert_same(stored, golden_network() if version == 1 else golden_network_2(), INPUT, own_methods=version == 2)
    assert stored.facts == {"model": "golden", "coder": coder}
    assert len(stored.missing) == 3 - version
    assert all(("FixedGrid" in text) == (version == 1) for text in stored.missing[1:])


@pytest.mark.parametrize("file", sorted(path.name for path in GOLDEN.glob("model-v2-*.mlq")))
def test_every_byte_of_a_file_is_for_something(file):
    content = (GOLDEN / file).read_bytes()
    found, sections = shares(content), split(io.BytesIO(content), len(content))
    assert sum(share.total for share in found.values()) == len(content)
    assert sum(share.codes + share.tables for share in found.values()) == len(sections.codes)
    assert sum(share.grids + share.held for share in found.values()) + found[OTHERS].rest == len(sections.floats)
    coded = load(GOLDEN / file).coded
    assert {name for name, share in found.items() if share.codes + share.tables} <= coded.keys()


def test_a_file_of_version_1_is_weighed_as_it_would_be_written_now():
    with pytest.raises(DataError, match="version 1"):
        shares((GOLDEN / "model-v1-range.mlq").read_bytes())


# What CRC-32 the golden file gives of the codes, and of the values, of each site.
GRIDS = {
    "dense1.weight": ("VectorQuantization", 1518677113, 3732310564),
    "dense2.weight": ("Pruned", 239665328, 3247502595),
    "dense3.weight": ("DeepCompression", 2477078268, 1319830085),
    "dense4.weight": ("HashedNets", 2293944647, 3815126666),
    "dense5.weight": ("Polino", 3058983793, 3384691211),
    "dense6.weight": ("PolinoPoints", 2573969862, 1800816699),
    "dense7.weight": ("FewestBits", 418582344, 2627996653)}


def test_files_of_all_grids_load_for_ever():
    stored = load(GOLDEN / "model-v2-grids.mlq")
    assert stored.missing == (LATENTS,)
    assert {name: (type(site.method).__name__, zlib.crc32(stored.coded[name].codes.astype("<i8").tobytes()),
                   zlib.crc32(stored.coded[name].values.astype("<f4").tobytes()))
            for name, site in stored.network.sites().items() if site.method is not None} == GRIDS


def test_data_quantizers_of_version_1_become_fixed_grids(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 4, 3)).astype(np.float32)
    method = FixedRange(3, "pixel")
    held = method.start(x)
    for qmin, qmax, rounding in ((0, 7, "floor"), (None, None, "nearest"), (-2, None, "ceil"), (None, None, "sign")):
        layer = {"kind": "DataQuantizer", "scale": [1, 4, 3], "offset": [1, 4, 3], "rounding": rounding, "qmin": qmin,
                 "qmax": qmax, "mask": "clip_first"}
        header = {"layers": [layer, {"kind": "BatchNorm", "channels": 3, "momentum": 0.5, "eps": 0.5},
                             {**layer, "scale": [1, 1, 1], "offset": []}], "coder": "range", "codes": {}, "facts": {}}
        floats = [np.ones(3), np.zeros(3), held["offset"], held["scale"], np.zeros(3), np.ones(3), 0.25, 0.5]
        content = joined(Sections(header, b"", b"".join(np.asarray(a, "<f4").tobytes() for a in floats), version=1))
        (tmp_path / "m.mlq").write_bytes(content)
        stored = load(tmp_path / "m.mlq")
        site = stored.network.sites()["quantize1.input"]
        assert site.method == FixedGrid(qmin, qmax, rounding)
        if rounding == "floor":
            np.testing.assert_array_equal(site(Tensor(x)).numpy(), method(Tensor(x), held).numpy())
        assert set(np.unique(stored.network.sites()["quantize2.input"](Tensor(x)).numpy() % 0.5)) == {np.float32(0.25)}
        assert stored.missing == ("the methods of quantize1.input, quantize2.input: these go on with a FixedGrid",)


def test_the_documentation_is_enough_to_read_a_file():
    content = (GOLDEN / "model-v2-packed.mlq").read_bytes()
    arrays, facts = read_as_documented(content)
    assert facts == {"model": "golden", "coder": "packed"}
    network = load(GOLDEN / "model-v2-packed.mlq").network
    tensors = {name.removesuffix(".latent"): plain(tensor) for name, tensor in network.tensors().items()}
    for name, array in arrays.items():
        site = network.sites().get(name)
        if isinstance(array, tuple):
            grid, (low, high), rounding = array
            x = np.linspace(-4, 9, 400, dtype=np.float32).reshape(-1, 1)
            zero, offset = grid.get("zero", 0), grid.get("offset", np.float32(0))
            k = {"nearest": np.rint, "floor": np.floor}[rounding](np.clip((x - offset) / grid["scale"], low - zero,
                                                                           high - zero)) + zero
            np.testing.assert_array_equal((k - zero).astype("f4") * grid["scale"] + offset, site(Tensor(x)).numpy())
        else:
            np.testing.assert_array_equal(array, tensors[name] if site is None else site().numpy(), err_msg=name)
    assert len(arrays) == len([n for n in tensors if "input" not in n and "bias.scale" not in n
                               and "weight." not in n]) + 4
    assert contents(golden_network_2(), "packed", facts) == content


def test_with_the_range_coder_a_file_is_within_three_per_cent_of_the_bound():
    rng = np.random.default_rng(0)
    model = nn.quantize(models.mnist_mlp(rng), choosing(Scaled("nearest", granularity="row")))
    for site in model.sites().values():
        if site.held:
            scale = site.held["scale"]
            scale.data[...] = 0.16 * rng.uniform(0.7, 1.4, scale.shape)      # most codes 0, as in the thesis
    coded = nn.coded_in(model)
    bound = sum(c.codes.size * entropy_of(c.codes) / 8 + 4 * c.grid.scale.size for c in coded.values())
    sizes = {coder: len(contents(model, coder)) for coder in (*CODERS, SMALLEST)}
    assert 8_000 < bound < 13_000                             # that of the thesis is about 12,700
    assert bound < sizes["range"] < 1.03 * bound
    assert sizes["range"] < sizes["huffman"] < sizes["packed"]
    assert sizes["smallest"] < min(sizes["range"], sizes["context"]) - 500     # of 914 scales


@pytest.mark.parametrize("wrong", ["missing", "folder", "empty", "other", "text", "newer", "older", "short"])
def test_what_is_no_model_file_is_refused_with_its_cause(wrong, tmp_path):
    path = tmp_path / "m.mlq"
    good = contents(small())
    content, match = {
        "missing": (None, "No such file"), "folder": (None, "got a folder"), "empty": (b"", "an empty file"),
        "other": (b"PK\x03\x04" + bytes(100), "another kind of file"),
        "text": (good.replace(b"\r\n", b"\n"), "transferred as text"),
        "newer": (good[:8] + b"\x03" + good[9:], "version 3. It was written by a newer minilq"),
        "older": (good[:8] + b"\x00" + good[9:], "version 0. It is damaged"), "short": (good[:8], "cut off")}[wrong]
    if wrong == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
