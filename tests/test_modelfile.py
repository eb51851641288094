"""Model files: what is loaded is what was saved, bit for bit, and the bytes are those that the documentation says."""

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minilq
from minilq import files
from minilq.coding.coders import CODERS
from minilq.nn import coded_in
from minilq.errors import ConfigError, DataError, DTypeError, NonFiniteError, UnwritableError
from minilq.experiments import models
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    DataQuantizer,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    scalar,
)
from minilq.quantize import Quantizer, frozen, stochastic, threshold
from minilq.quantize.statistics import entropy_of
from minilq.store.architecture import KINDS, MAX_DEPTH, describe, planned
from minilq.store.modelfile import contents, load, save
from tests.strategies import seeds

compiled = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="large arrays, in plain Python")
GOLDEN = Path(__file__).parent / "golden"
FACTS = {"model": "mnist_mlp", "accuracy": 0.1 + 0.2, "input": "raw", "shape": [28, 28], "none": None, "name": "é"}


def disturbed(model, rng):
    """Other scales, and other statistics of batch normalisation, than a new model has."""
    for name, q in model.quantized().items():
        latent = model.scales()[name]
        s = rng.uniform(0.01, 0.06, latent.shape)
        latent.array[...] = {"clamp": s, "exp": np.log(s), "softplus": np.log(np.expm1(s)),
                             "power_of_two": np.log2(s)}[q.quantizer.positivity]
        latent.changed_in_place()
    for name, tensor in {**model.parameters(), **model.buffers()}.items():
        if "batchnorm" in name:
            tensor.array[...] = rng.uniform(0.5, 2, tensor.shape)
            tensor.changed_in_place()
    return model


def assert_same(stored, model, x):
    assert not stored.network.quantized()
    coded = coded_in(model)
    assert list(stored.coded) == list(coded)
    for name, c in coded.items():
        back = stored.coded[name]
        assert (back.codes.dtype, back.scale.dtype) == (c.codes.dtype, np.float32)
        assert (back.granularity, back.scale.shape) == (c.granularity, c.scale.shape)
        np.testing.assert_array_equal(back.codes, c.codes)
        np.testing.assert_array_equal(back.scale, c.scale)
        np.testing.assert_array_equal(stored.network.parameters()[name].numpy(), c.codes.astype(np.float32) * c.scale)
    for name, tensor in {**model.parameters(), **model.buffers()}.items():
        if name not in coded:
            mine = {**stored.network.parameters(), **stored.network.buffers()}[name]
            assert mine.numpy().tobytes() == tensor.numpy().tobytes()
    assert repr(stored.network) == repr(model)
    np.testing.assert_array_equal(stored.network(x).numpy(), model(x).numpy())


@pytest.mark.parametrize(("coder", "make", "shape"), [
    ("range", models.mnist_mlp, (28, 28)), ("huffman", models.lenet, (28, 28, 1)),
    ("packed", models.cifar10_cnn, (32, 32, 3)),
    pytest.param("packed", lambda rng, q: models.imagenette_resnet(rng, q, size=32), (32, 32, 3), marks=compiled)],
    ids=["mnist_mlp", "lenet", "cifar10_cnn", "imagenette_resnet"])
def test_the_networks_of_the_thesis_come_back_with_their_codes_and_predictions(coder, make, shape, tmp_path):
    rng = np.random.default_rng(3)
    model = disturbed(make(rng, Quantizer("floor", granularity="channel")), rng)
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
    return Quantizer(draw(st.sampled_from(["floor", "nearest", "ceil", "trunc", "sign"])),
                     granularity=draw(st.sampled_from(granularities)),
                     scale_rule=draw(st.sampled_from([frozen(), threshold(1e-9)])),
                     qmin=low, qmax=draw(st.sampled_from([None, 7])),
                     mask=draw(st.sampled_from(["clip_first", "round_first"])),
                     positivity=draw(st.sampled_from(["clamp", "exp", "softplus", "power_of_two"])))


@st.composite
def networks(draw):
    """(model, x): small, with or without quantizers, of all kinds of layers."""
    rng = np.random.default_rng(draw(seeds))
    q, q2 = (draw(st.none() | quantizers(g)) for g in (KERNEL, DENSE))
    stride, padding = draw(st.sampled_from([1, 2, (2, 1)])), draw(st.sampled_from(["same", "valid", 1, (0, 1),
                                                                                   ((1, 0), (0, 2))]))
    pool = draw(st.sampled_from([MaxPool2D, AveragePool2D]))
    x = rng.uniform(-1, 1, (2, 6, 7, 2)).astype(np.float32)
    first = draw(st.sampled_from([None, "fixed", "learned"]))
    layers = []
    if first == "fixed":
        layers.append(DataQuantizer.fixed(x, bits=3, per=draw(st.sampled_from(["dataset", "feature", "channel"]))))
    elif first == "learned":
        layers.append(DataQuantizer.learned(x, frozen(), per="channel", rounding="nearest",
                                            positivity=draw(st.sampled_from(["clamp", "softplus"]))))
    layers += [Conv2D(2, 3, (3, 2), rng, q, scalar(q), stride, padding), BatchNorm(3, 0.9, 1e-4), ReLU(),
               Residual(Sequential(Conv2D(3, 3, 3, rng, q, scalar(q)), Dropout(0.3, rng)),
                        draw(st.sampled_from([None, Conv2D(3, 3, 1, rng)]))),
               pool(2, draw(st.sampled_from([None, 1])), draw(st.sampled_from(["same", ((0, 1), (1, 0))])))]
    if draw(st.booleans()):
        layers += [GlobalAveragePool2D()]
        n = 3
    else:
        layers += [Flatten()]
        n = Sequential(*layers)(x).shape[1]
    model = Sequential(*layers, Sequential(Dense(n, 4, rng, q2, scalar(q2)), ReLU()), Dense(4, 2, rng))
    return disturbed(model, rng), x


@given(made=networks(), coder=st.sampled_from(sorted(CODERS)))
def test_any_network_comes_back_with_its_codes_and_predictions(made, coder, tmp_path):
    model, x = made
    save(tmp_path / "model.mlq", model, coder, FACTS)
    stored = load(tmp_path / "model.mlq")
    assert stored.facts == FACTS
    assert_same(stored, model, x)
    save(tmp_path / "again.mlq", model, coder, FACTS)
    assert (tmp_path / "again.mlq").read_bytes() == (tmp_path / "model.mlq").read_bytes()


def test_a_stochastic_rounding_gives_whole_codes_around_the_latents(tmp_path):
    q = Quantizer(stochastic(np.random.default_rng(5)), granularity="row")
    model = disturbed(models.mnist_mlp(np.random.default_rng(0), q), np.random.default_rng(1))
    save(tmp_path / "m.mlq", model)
    for name, c in load(tmp_path / "m.mlq").coded.items():
        latent, scale, _ = model.quantized()[name]
        assert (np.abs(c.codes - latent.numpy() / scale.numpy()) < 1).all()


def test_codes_as_wide_as_32_bits_and_none_at_all(tmp_path):
    q = Quantizer("nearest", granularity="scalar")
    model = Sequential(Dense(3, 2, np.random.default_rng(0), q, q))
    model.scales()["dense1.weight"].array[...] = 2.0**-24
    model.parameters()["dense1.weight"].array[...] = [[-128, 127.9999], [0, 1], [3, 4]]
    save(tmp_path / "wide.mlq", model)
    assert load(tmp_path / "wide.mlq").coded["dense1.weight"].codes.dtype == np.int32
    assert_same(load(tmp_path / "wide.mlq"), model, np.ones((1, 3), np.float32))
    save(tmp_path / "none.mlq", Sequential(Flatten(), ReLU()))
    assert load(tmp_path / "none.mlq").coded == {}


# The architecture.
def test_every_kind_of_layer_is_described_in_json_and_built_from_it():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (2, 4, 4, 1)).astype(np.float32)
    model = Sequential(
        DataQuantizer.fixed(x, per="feature"), Conv2D(1, 2, (3, 1), rng, stride=(2, 1), padding=(1, 0)), ReLU(),
        BatchNorm(2, 0.5, 1e-5), Dropout(0.25, rng), MaxPool2D(2, 1, "same"), AveragePool2D(np.int64(2), None, 1),
        Residual(Sequential(Conv2D(2, 2, 1, rng)), Conv2D(2, 2, 1, rng)), Residual(ReLU()),
        Sequential(GlobalAveragePool2D()), Flatten(), Dense(2, 3, rng))
    described = json.loads(json.dumps(describe(model)))
    assert {layer["kind"] for layer in described} | {"GlobalAveragePool2D"} == set(KINDS)
    plan = planned(described, most=10**6)
    built = plan.make()
    assert plan.parameters == {n: t.shape for n, t in model.parameters().items()}
    assert plan.buffers == {n: t.shape for n, t in model.buffers().items()}
    assert describe(built) == described
    assert [(n, t.shape) for n, t in built.state().items()] == [(n, t.shape) for n, t in model.state().items()]
    built.load_state(model.state())
    np.testing.assert_array_equal(built(x).numpy(), model(x).numpy())
    dropout, norm = built.layers["dropout1"], built.layers["batchnorm1"]
    assert (dropout.rate, norm.momentum, norm.eps) == (0.25, 0.5, 1e-5)


class Doubled(Layer):
    def __call__(self, x, training=False):
        return x + x


class MyDense(Dense):
    pass


def test_layers_that_a_file_cannot_hold_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match=r"doubled1 \(Doubled\)"):
        describe(Sequential(ReLU(), Doubled()))
    with pytest.raises(ConfigError, match=r"residual1\.body\.mydense1 \(MyDense\)"):
        describe(Sequential(Residual(Sequential(MyDense(2, 2, rng)))))
    with pytest.raises(ConfigError, match=r"got Dense"):
        describe(Dense(2, 2, rng))
    twice = Dense(2, 2, rng)
    with pytest.raises(ConfigError, match=r"dense2 \(Dense\) again"):
        describe(Sequential(twice, ReLU(), twice))
    relu = ReLU()
    assert len(describe(Sequential(relu, relu))) == 2
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ConfigError, match=r"dataquantizer1 .*function"):
        describe(Sequential(DataQuantizer.learned(x, frozen(), rounding=stochastic(rng))))
    deep = Sequential(ReLU())
    for _ in range(MAX_DEPTH):
        deep = Sequential(deep)
    with pytest.raises(ConfigError, match="16 containers"):
        describe(deep)
    assert planned(describe(deep.layers["sequential1"]), 0).make()


# What cannot be saved.
def small(dtype=np.float32):
    q = Quantizer("nearest", granularity="row")
    model = Sequential(Dense(4, 3, np.random.default_rng(0), q, scalar(q), dtype=dtype), ReLU(),
                       Dense(3, 2, np.random.default_rng(1), dtype=dtype))
    for latent in model.scales().values():
        latent.array[...] = 0.02
    return model


def test_what_a_file_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "m.mlq"
    with pytest.raises(ConfigError, match="packed, huffman, range; got 'zip'"):
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
        model.parameters()[name].array[0] = np.nan
        with pytest.raises(NonFiniteError):
            save(path, model)
    with pytest.raises(ConfigError, match=r"rate.*1\.5"):
        save(path, Sequential(Dropout(1.5, np.random.default_rng(0))))
    model = small()
    model.scales()["dense1.weight"].array[...] = 1e-12
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
    """{name: array} and facts of a file with the packed coder, by the documentation alone."""
    assert content[:9] == b"\x89MLQ\r\n\x1a\n\x01"
    at, sections = 9, {}
    while at < len(content):
        kind, length, crc = struct.unpack_from("<cII", content, at)
        part = content[at + 9:at + 9 + length]
        assert zlib.crc32(kind + part) == crc
        sections[kind] = part
        at += 9 + length
    assert at == len(content)
    header = json.loads(zlib.decompress(sections[b"Z"], -15) if b"Z" in sections else sections[b"J"])
    floats = np.frombuffer(sections[b"F"], "<f4")
    shapes, count = {}, {}

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
                shapes[name + "kernel"] = (*layer["size"], layer["n_in"], layer["n_out"])
                shapes[name + "bias"] = (layer["n_out"],)
            case "BatchNorm":
                shapes[name + "gamma"] = shapes[name + "beta"] = (layer["channels"],)
                count[name + "mean"] = count[name + "variance"] = (layer["channels"],)
            case "Sequential":
                walk(layer["layers"], name)
            case "Residual":
                visit(layer["body"], name + "body.")
                if layer["shortcut"] is not None:
                    visit(layer["shortcut"], name + "shortcut.")

    walk(header["layers"], "")
    arrays, scales, at = {}, {}, 0

    def take(shape):
        nonlocal at
        n = int(np.prod(shape))
        at += n
        return floats[at - n:at].reshape(shape)

    axes = {"scalar": (), "row": (0,), "column": (1,), "channel": (2,), "filter": (-1,)}
    for name, (granularity, _, _) in header["codes"].items():
        shape = shapes[name]
        kept = [a % len(shape) for a in (axes[granularity] if isinstance(granularity, str) else granularity)]
        scales[name] = take([n if i in kept else 1 for i, n in enumerate(shape)])
    for name, shape in {**shapes, **count}.items():
        if name not in scales:
            arrays[name] = take(shape)
    assert at == len(floats)
    start = 0
    for name, (_, n_table, n_content) in header["codes"].items():
        table = sections[b"C"][start:start + n_table]
        content = sections[b"C"][start + n_table:start + n_table + n_content]
        start += n_table + n_content
        n = int(np.prod(shapes[name]))
        arrays[name] = CODERS["packed"].decode(table, content, n).reshape(shapes[name]).astype("f4") * scales[name]
    assert start == len(sections[b"C"])
    return arrays, header["facts"]


def by_formula(shape, k, modulus):
    i = np.arange(int(np.prod(shape)))
    return ((k * i * i + 3 * i) % modulus - modulus // 3).reshape(shape)


def golden_network():
    """A network whose every number follows from a formula, for the files in golden/; do not change it."""
    rng = np.random.default_rng(0)
    q, q2 = Quantizer("nearest", granularity="filter"), Quantizer("nearest", granularity=(0, 1))
    model = Sequential(
        Conv2D(1, 4, 3, rng, q, scalar(q), stride=2, padding="same"), BatchNorm(4), ReLU(),
        Residual(Sequential(Conv2D(4, 4, 3, rng, q2, scalar(q2), padding=1), Dropout(0.5, rng)), None),
        MaxPool2D(2), Flatten(), Dense(16, 10, rng, q, scalar(q)), ReLU(), Dense(10, 3, rng))
    for number, (name, tensor) in enumerate({**model.parameters(), **model.buffers()}.items(), start=1):
        whole = by_formula(tensor.shape, number, 13)
        if name in model.quantized():
            scale = model.scales()[name]
            scale.array[...] = 2.0 ** (by_formula(scale.shape, number, 4) - 4)
            tensor.array[...] = whole * scale.array
        else:
            tensor.array[...] = np.abs(whole) / 4 if name.endswith("variance") else whole / 8
    return model


@pytest.mark.parametrize("coder", sorted(CODERS))
def test_files_of_version_1_load_for_ever(coder):
    stored = load(GOLDEN / f"model-v1-{coder}.mlq")
    x = (by_formula((5, 8, 8, 1), 7, 11) / 16).astype(np.float32)
    assert_same(stored, golden_network(), x)
    assert stored.facts == {"model": "golden", "coder": coder}


def test_the_documentation_is_enough_to_read_a_file():
    content = (GOLDEN / "model-v1-packed.mlq").read_bytes()
    arrays, facts = read_as_documented(content)
    assert facts == {"model": "golden", "coder": "packed"}
    stored = load(GOLDEN / "model-v1-packed.mlq")
    loaded = {**stored.network.parameters(), **stored.network.buffers()}
    assert set(arrays) == set(loaded)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, loaded[name].numpy(), err_msg=name)
    assert read_as_documented(contents(golden_network(), "packed", facts))[1] == facts


def test_with_the_range_coder_a_file_is_within_two_per_cent_of_the_bound():
    rng = np.random.default_rng(0)
    q = Quantizer("nearest", granularity="row")
    model = models.mnist_mlp(rng, q)
    for latent in model.scales().values():
        latent.array[...] = 0.16 * rng.uniform(0.7, 1.4, latent.shape)       # most codes 0, as in the thesis
    coded = coded_in(model)
    bound = sum(c.codes.size * entropy_of(c.codes) / 8 + 4 * c.scale.size for c in coded.values())
    sizes = {coder: len(contents(model, coder)) for coder in CODERS}
    assert 8_000 < bound < 13_000                             # that of the thesis is about 12,700
    assert bound < sizes["range"] < 1.02 * bound
    assert sizes["range"] < sizes["huffman"] < sizes["packed"]


@pytest.mark.parametrize("wrong", ["missing", "folder", "empty", "other", "text", "newer", "older", "short"])
def test_what_is_no_model_file_is_refused_with_its_cause(wrong, tmp_path):
    path = tmp_path / "m.mlq"
    good = contents(small())
    content, match = {
        "missing": (None, "No such file"), "folder": (None, "directory|denied"), "empty": (b"", "an empty file"),
        "other": (b"PK\x03\x04" + bytes(100), "another kind of file"),
        "text": (good.replace(b"\r\n", b"\n"), "transferred as text"),
        "newer": (good[:8] + b"\x02" + good[9:], "version 2. It was written by a newer minilq"),
        "older": (good[:8] + b"\x00" + good[9:], "version 0. It is damaged"), "short": (good[:8], "cut off")}[wrong]
    if wrong == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
