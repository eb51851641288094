"""Damaged and crafted model files: always a DataError, or the model that their bytes describe; never much memory."""

import copy
import functools
import io
import json
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minilq.coding.bits import gamma_codes
from minilq.coding.coders import CODERS
from minilq.errors import DataError
from minilq.store.modelfile import load, save
from minilq.store.numbers import written
from minilq.store.sections import Sections, joined, split

GOLDEN = Path(__file__).parent / "golden"
MB = 1 << 20
FILES = sorted(path.stem.removeprefix("model-") for path in GOLDEN.glob("*.mlq"))
FILE = st.sampled_from(FILES)


@functools.cache
def golden(file="v2-range"):
    return (GOLDEN / f"model-{file}.mlq").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Each coder has been compiled before memory is measured."""
    for file in FILES:
        load(GOLDEN / f"model-{file}.mlq")


@functools.cache
def sections_of(file="v2-range"):
    return split(io.BytesIO(golden(file)), len(golden(file)))


def place_of(path, content):
    path.write_bytes(content)
    return path


def refused(path, content, match=None, most=MB):
    """DataError in one line that names the file, for little memory."""
    place_of(path, content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=match) as caught:
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000 + len(str(path))
    assert peak < len(content) + most


def refused_or_sound(path, content, most=4 * MB):
    """DataError, or a model whose weights are what their codes stand for and all of whose numbers are finite."""
    place_of(path, content)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stored = load(path)
    except DataError:
        stored = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < len(content) + most
    if stored is None:
        return False
    for name, c in stored.coded.items():
        assert not hasattr(c.grid, "scale") or (c.grid.scale > 0).all()
        np.testing.assert_array_equal(stored.network.sites()[name]().numpy(), c.values)
    for tensor in stored.network.state().values():
        assert np.isfinite(tensor).all()
    save(path, stored.network, "packed")         # and it can be saved
    return True


# Damage: what the CRCs and lengths find.
@pytest.mark.deep
@pytest.mark.parametrize("file", ["v1-range", "v2-range"])
def test_every_byte_that_changes_is_noticed(file, tmp_path):
    for place in range(len(golden(file))):
        content = bytearray(golden(file))
        content[place] ^= 1 << place % 8
        place_of(tmp_path / "m.mlq", content)
        with pytest.raises(DataError):
            load(tmp_path / "m.mlq")


@given(place=st.integers(0, len(golden()) - 1), mask=st.integers(1, 255), file=FILE)
def test_any_other_byte_is_noticed(place, mask, file, tmp_path):
    content = bytearray(golden(file))
    content[place % len(content)] ^= mask
    refused(tmp_path / "m.mlq", content)


@given(length=st.integers(0, len(golden()) - 1))
@example(length=len(golden()) - 1)
@example(length=0)
def test_cut_off_at_any_byte(length, tmp_path):
    refused(tmp_path / "m.mlq", golden()[:length], "cut off|an empty file|to begin with|begins with")


@given(more=st.binary(min_size=1, max_size=40))
@example(more=golden())
@example(more=golden()[9:])
def test_nothing_may_follow(more, tmp_path):
    refused(tmp_path / "m.mlq", golden() + more, "more bytes")


@given(data=st.data())
def test_any_piece_taken_out_doubled_or_moved(data, tmp_path):
    good = golden()
    a, b, c = sorted(data.draw(st.lists(st.integers(0, len(good)), min_size=3, max_size=3)))
    for content in (good[:a] + good[b:], good[:b] + good[a:], good[:a] + good[b:c] + good[a:b] + good[c:]):
        if content != good:
            refused(tmp_path / "m.mlq", content)


@given(noise=st.binary(max_size=200))
def test_noise_is_no_model(noise, tmp_path):
    refused(tmp_path / "m.mlq", noise)
    refused(tmp_path / "m.mlq", golden()[:9] + noise)


def raw(*sections, version=2):
    """A file of any sections with correct CRCs; a length may be given in place of the right one."""
    content = golden()[:8] + bytes([version])
    for kind, part, *length in sections:
        content += struct.pack("<cII", kind, *(length or [len(part)]), zlib.crc32(part, zlib.crc32(kind))) + part
    return content


def text_of(header):
    return json.dumps(header, separators=(",", ":")).encode()


@given(order=st.permutations([0, 1, 2]), kept=st.integers(0, 3))
def test_sections_in_another_order_or_number(order, kept, tmp_path):
    header, codes, floats, *_ = sections_of()
    three = [(b"J", text_of(header)), (b"C", codes), (b"F", floats)]
    content = raw(*[three[i] for i in order[:kept]])
    if order[:kept] == [0, 1, 2]:
        assert refused_or_sound(tmp_path / "m.mlq", content)
        refused(tmp_path / "m.mlq", raw(*three, three[2]), "more bytes")
        refused(tmp_path / "m.mlq", raw(*three[:2], (b"X", floats)), "section F or N was expected; got section b'X'")
    else:
        refused(tmp_path / "m.mlq", content, "was expected; got")


@pytest.mark.parametrize("length", [0, 1, 2**16, 2**16 + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_no_length_is_believed(length, which, tmp_path):
    header, codes, floats, *_ = sections_of()
    three = [[b"J", text_of(header)], [b"C", codes], [b"F", floats]]
    three[which].append(length)
    refused(tmp_path / "m.mlq", raw(*three))


# Crafted: correct CRCs around a header that lies.
def crafted(change, file="v1-range"):
    """A file whose header was changed by a function, with codes and floats as they were."""
    header = copy.deepcopy(sections_of(file).header)
    change(header)
    return joined(Sections(header, *sections_of(file)[1:]))


def layer(index, **settings):
    return lambda header: header["layers"][index].update(settings)


def code(name, entry):
    return lambda header: header["codes"].update({name: entry})


def nested(depth, kind):
    inner = {"kind": "ReLU"}
    for _ in range(depth):
        inner = {"kind": "Sequential", "layers": [inner]} if kind == "Sequential" else {
            "kind": "Residual", "body": inner, "shortcut": None}
    return lambda header: header["layers"].append(inner)


LIES_1 = {
    "huge dense": (layer(6, n_in=2**31 - 1, n_out=2**31 - 1), "at most .* numbers"),
    "wide dense": (layer(6, n_in=2**25), "at most .* numbers"),
    "huge kernel": (layer(0, size=[2**16 - 1, 2**16 - 1]), "at most .* numbers"),
    "huge border": (layer(0, padding=[[0, 2**16], [0, 0]]), r"padding\.0\.1: must be a whole number in 0\.\.65535"),
    "huge norm": (layer(1, channels=2**31 - 1), "at most .* numbers"),
    "huge data": (lambda h: h["layers"].insert(0, {
        "kind": "DataQuantizer", "scale": [2**30] * 32, "offset": [], "rounding": "floor", "qmin": None, "qmax": None,
        "mask": "clip_first"}), None),
    "too many axes": (lambda h: h["layers"].insert(0, {
        "kind": "DataQuantizer", "scale": [1] * 33, "offset": [], "rounding": "floor", "qmin": None, "qmax": None,
        "mask": "clip_first"}), "scale: must be a shape"),
    "crossed bounds": (lambda h: h["layers"].insert(0, {
        "kind": "DataQuantizer", "scale": [1], "offset": [], "rounding": "floor", "qmin": 3, "qmax": 2,
        "mask": "clip_first"}), "low must not be above high|numbers of 4 bytes"),
    **{f"n_in {i}": (layer(6, n_in=value), None)
       for i, value in enumerate((2**31, 10**300, 0, -16, True, 16.0, "16", [16], None))},
    "other rows": (layer(6, n_in=17), None), "fewer rows": (layer(6, n_in=15), None),
    "no kind": (layer(6, kind=None), "a layer, one of"), "list as kind": (layer(6, kind=["Dense"]), "a layer, one of"),
    "other kind": (layer(6, kind="Layer"), "a layer, one of"),
    "changed kind": (layer(6, kind="ReLU"), None),
    "a setting more": (layer(6, std=0.05), "settings of a Dense"),
    "a setting less": (lambda h: h["layers"][6].pop("n_in"), "Dense with its settings"),
    "stride 0": (layer(0, stride=[0, 1]), "settings of a Conv2D"),
    "stride 3": (layer(0, stride=[1, 1, 1]), "settings of a Conv2D"),
    "padding": (layer(0, padding="full"), "settings of a Conv2D"),
    "negative padding": (layer(0, padding=[[0, -1], [0, 0]]), r"padding\.0\.1: must be a whole number"),
    **{f"{groups} groups": (lambda h, groups=groups: h["layers"].insert(0, {
        "kind": "GroupedConv2D", "n_in": 4, "n_out": 4, "groups": groups, "size": [1, 1], "stride": [1, 1],
        "padding": "same"}), None if groups in (3, 2**31) else "GroupedConv2D")
       for groups in (0, 3, 1.5, "2", None, [2], 2**31)},
    "a body of text": (lambda h: h["layers"].insert(0, {"kind": "Concatenate", "body": "ReLU"}), "Concatenate"),
    "eps 0": (layer(1, eps=0.0), "settings of a BatchNorm"),
    "eps of an int": (layer(1, eps=1), "settings of a BatchNorm"),
    "momentum 1": (layer(1, momentum=1.0), "settings of a BatchNorm"), "rate": (lambda h: h["layers"].append(
        {"kind": "Dropout", "rate": -0.5}), "settings of a Dropout"),
    "deep": (nested(100, "Sequential"), "more than 16 containers"),
    "deep residuals": (nested(17, "Residual"), "more than 16 containers"),
    "layers of a dict": (lambda h: h.update(layers={}), "layers"),
    "layers of null": (lambda h: h.update(layers=None), "layers"),
    "no layers": (lambda h: h.update(layers=[]), "the name of a parameter"),
    "a layer of text": (lambda h: h["layers"].append("ReLU"), "a number, a word or a list"),
    "no coder": (lambda h: h.pop("coder"), "layers, coder, codes, facts"),
    "a key more": (lambda h: h.update(schema=2), "layers, coder, codes, facts"),
    "other coder": (lambda h: h.update(coder="zip"), "coder: must be one of"),
    "coder of a list": (lambda h: h.update(coder=[]), "coder: must be one of"),
    "wrong coder": (lambda h: h.update(coder="huffman"), None),
    "facts of text": (lambda h: h.update(facts="x"), "facts: must be an object"),
    "codes of a list": (lambda h: h.update(codes=[]), "codes: must be an object"),
    "no such parameter": (code("dense3.weight", ["row", 0, 0]), "the name of a parameter"),
    "a buffer": (code("batchnorm1.mean", ["scalar", 0, 0]), "the name of a parameter"),
    "a parameter more": (code("batchnorm1.gamma", ["scalar", 0, 0]), None),
    "a parameter less": (lambda h: h["codes"].pop("dense1.weight"), None),
    "entry of a dict": (code("dense1.weight", {}), "a granularity and two lengths"),
    "negative length": (code("dense1.weight", ["filter", -1, 1]), "two lengths"),
    "huge length": (code("dense1.weight", ["filter", 2**62, 1]), "two lengths"),
    "float length": (code("dense1.weight", ["filter", 1.0, 1]), "two lengths"),
    "no length": (code("dense1.weight", ["filter", 0, 0]), "bytes were expected"),
    "granularity of no name": (code("dense1.weight", ["rows", 0, 0]), "must be one of scalar"),
    "granularity of a number": (code("dense1.weight", [1, 0, 0]), "must be one of scalar"),
    "granularity of numbers": (code("dense1.weight", [[0, True], 0, 0]), "must be one of scalar"),
    "an axis too far": (code("dense1.weight", [[2], 0, 0]), "keeps axis 2"),
    "a huge axis": (code("dense1.weight", [[-10**30], 0, 0]), "kept axes"),
    "a channel of a matrix": (code("dense1.weight", ["channel", 0, 0]), "keeps axis 2"),
}




def site(name, **entry):
    return lambda header: header["sites"][name].update(entry)


def without(name, key):
    return lambda header: header["sites"][name].pop(key)


def array(number, kind, shape):
    return lambda header: header["arrays"].__setitem__(number, [kind, shape])


LSQ4 = {"method": "lsq", "bits": 4}
LIES_2 = {
    **{name: LIES_1[name] for name in (
        "huge dense", "wide dense", "huge kernel", "huge border", "huge norm", "no kind", "changed kind", "stride 0",
        "a setting more", "a setting less", "padding", "eps 0", "rate", "deep", "deep residuals", "other coder",
        "wrong coder", "facts of text")},
    "a key more": (lambda h: h.update(schema=2), "layers, coder, arrays, sites, facts"),
    "no arrays": (lambda h: h.pop("arrays"), "layers, coder, arrays, sites, facts"),
    "no layers": (lambda h: h.update(layers=[]), "the name of a weight"),
    "arrays of a number": (lambda h: h.update(arrays=3), "arrays: must be a list"),
    "sites of a list": (lambda h: h.update(sites=[]), "sites: must be an object"),
    "an array less": (lambda h: h["arrays"].pop(), None),
    "an array more": (lambda h: h["arrays"].append(["f4", [1]]), None),
    "a huge array": (array(0, "f4", [2**31 - 1, 2**31 - 1]), "at most .* bytes"),
    "a negative array": (array(0, "f4", [-1]), "a type, one of"),
    "true axes": (array(0, "f4", [True]), "a type, one of"),
    "other type": (array(0, "c8", [1]), "a type, one of"), "python": (array(0, "O", [1]), "a type, one of"),
    "33 axes": (array(0, "f4", [1] * 33), "a type, one of"), "whole numbers": (array(0, "i4", [1, 1, 1, 4]), None),
    "no such site": (lambda h: h["sites"].update({"dense3.weight": h["sites"].pop("dense1.weight")}),
                     "the name of a weight"),
    "no such input": (lambda h: h["sites"].update({"relu1.input": {"method": LSQ4}}), "the name of an input"),
    "a statistic": (lambda h: h["sites"].update({"batchnorm1.mean": {"method": LSQ4}}), "the name of an input"),
    "codes of an input": (site("dense1.input", codes=[0, 0]), "the name of a weight"),
    "a weight without codes": (without("dense1.weight", "codes"), None),
    "an entry of text": (lambda h: h["sites"].update({"dense1.weight": "x"}), "an object"),
    "a key too many": (site("dense1.weight", more=1), "an object with"),
    "steps of a weight": (site("dense1.weight", bounds=[0, 1]), "an object with"),
    "no method": (without("dense1.weight", "method"), "an object with"),
    "no grid": (without("dense1.weight", "grid"), "an object with"),
    "an unknown method": (site("dense1.weight", method={"method": "exec"}), "must be one of"),
    "a method of text": (site("dense1.weight", method="lsq"), "an object that names a method"),
    "a method of nothing": (site("dense1.weight", method={}), "must name its method"),
    "a method's unknown flag": (site("conv2d1.weight", method={**LSQ4, "eval": "x"}), "flags are"),
    "a method's wrong flag": (site("conv2d1.weight", method={**LSQ4, "bits": "x"}), "bits must be"),
    "a method's flag of a dict": (site("conv2d1.weight", method={**LSQ4, "granularity": {}}), None),
    "another method": (site("conv2d1.weight", method={"method": "pact"}), "what PACT holds: alpha"),
    "another granularity": (site("conv2d1.weight", method=LSQ4), "scale of LSQ"),
    "other bits": (site("conv2d1.weight", method={**LSQ4, "bits": 2, "granularity": "filter"}), ""),
    "held of nothing": (site("conv2d1.weight", held={}), "what LSQ holds: scale"),
    "held of a list": (site("conv2d1.weight", held=[0]), "names with numbers"),
    "held of no array": (site("conv2d1.weight", held={"scale": 99}), "names with numbers"),
    "held of true": (site("conv2d1.weight", held={"scale": True}), "names with numbers"),
    "held of codes": (site("conv2d1.weight", held={"scale": "codes"}), "scale of LSQ"),
    "held of the support": (site("conv2d1.weight", held={"scale": "support"}), "scale of LSQ"),
    "a grid of the support": (site("conv2d1.weight", grid={"scale": "support"}), "float32"),
    "more held": (site("conv2d1.weight", held={"scale": 0, "more": 0}), "what LSQ holds: scale"),
    "a grid of nothing": (site("conv2d1.weight", grid={}), "a grid of scale"),
    "a grid of more": (site("conv2d1.weight", grid={"scale": 0, "more": 0}), None),
    "a grid of both": (site("conv2d1.weight", grid={"scale": 0, "levels": 0}), "a grid of scale"),
    "a grid of codes": (site("conv2d1.weight", grid={"scale": "codes"}), "float32"),
    "zeros of floats": (site("conv2d1.weight", grid={"scale": 0, "zero": 0}), "whole numbers"),
    "levels of few": (site("conv2d1.weight", grid={"levels": 0}), None),
    "bounds of one": (site("conv2d1.input", bounds=[0]), "a list of two"),
    "bounds of text": (site("conv2d1.input", bounds=["0", 15]), "low must be a whole number"),
    "crossed bounds": (site("conv2d1.input", bounds=[15, 0]), "low must not be above high"),
    "other bounds": (site("conv2d1.input", bounds=[0, 14]), "a grid that its method gives"),
    "other rounding": (site("conv2d1.input", rounding="floor"), "a grid that its method gives"),
    "no rounding": (without("conv2d1.input", "rounding"), "rounding must be one of"),
    "rounding of a list": (site("conv2d1.input", rounding=[]), "rounding must be one of"),
    "an input of no method": (site("conv2d1.input", method=None), ""),
    "negative length": (site("dense1.weight", codes=[-1, 1]), "two lengths"),
    "huge length": (site("dense1.weight", codes=[2**62, 1]), "two lengths"),
    "no length": (site("dense1.weight", codes=[0, 0]), "bytes were expected"),
    "four lengths": (site("dense1.weight", codes=[1, 1, "range", 1]), "two lengths"),
    "no such coder": (site("dense1.weight", codes=[0, 0, "zip"]), "coder of dense1.weight: must be one of"),
    "a coder of a list": (site("dense1.weight", codes=[0, 0, ["range"]]), "coder of dense1.weight: must be one of"),
    "an input as large as a house": (lambda h: h["layers"].insert(0, {"kind": "Quantize", "shape": [60_000, 60_000]})
                                     or h["sites"].update({"quantize1.input": {"method": LSQ4}}), "at most 1048576"),
}


@pytest.mark.parametrize(("version", "lie"), [*((1, lie) for lie in LIES_1), *((2, lie) for lie in LIES_2)])
def test_a_header_that_lies_is_refused(version, lie, tmp_path):
    change, match = (LIES_1 if version == 1 else LIES_2)[lie]
    content = crafted(change, f"v{version}-range")
    if match == "":                              # no lie that shows: a method that gives other codes is not taken up
        assert refused_or_sound(tmp_path / "m.mlq", content)
    else:
        refused(tmp_path / "m.mlq", content, match)


ANYTHING = st.sampled_from([None, True, -1, 0, 1, 2, 3, 16, 2**16, 2**31 - 1, 2**63, 10**30, 0.5, 1e308, "", "row",
                            "scalar", "Dense", "Sequential", [], [0], [[]], [3, 3], {}, {"kind": "ReLU"}, "codes", "f4",
                            "lsq", {"method": "lsq"}, {"method": "affine"}, {"scale": 0}, {"levels": 1}, "floor"])


def nodes(value):
    """Every (container, key) in a JSON value."""
    for key in (range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()):
        yield value, key
        yield from nodes(value[key])


@given(data=st.data(), file=FILE)
def test_any_header_gives_a_sound_model_or_none(data, file, tmp_path):
    header = copy.deepcopy(sections_of(file).header)
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(nodes(header))
        value, key = places[data.draw(st.integers(0, len(places) - 1))]
        what = data.draw(st.sampled_from(["replace", "delete", "double", "count"]))
        if what == "delete":
            del value[key]
        elif what == "double" and isinstance(value, list):
            value.insert(key, copy.deepcopy(value[key]))
        elif what == "count" and type(value[key]) is int:
            value[key] += data.draw(st.integers(-2, 2))
        else:
            value[key] = copy.deepcopy(data.draw(ANYTHING))
    # Whatever shapes it names, they hold at most 2^20 + 256 * 1 KB numbers: 5 MB of floats and codes, 10 of int64.
    refused_or_sound(tmp_path / "m.mlq", joined(Sections(header, *sections_of(file)[1:])), most=24 * MB)


@given(data=st.data(), file=FILE)
def test_any_codes_and_floats_give_a_sound_model_or_none(data, file, tmp_path):
    good = sections_of(file)
    parts = [bytearray(good.codes), bytearray(good.floats)]
    for _ in range(data.draw(st.integers(1, 4))):
        part = parts[data.draw(st.integers(0, 1))]
        part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    refused_or_sound(tmp_path / "m.mlq", joined(good._replace(codes=bytes(parts[0]),
                                                                    floats=bytes(parts[1]))), most=8 * MB)


@given(data=st.data())
def test_any_text_in_place_of_the_header(data, tmp_path):
    text = bytearray(text_of(sections_of().header))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.sampled_from(b'[]{}",:0123456789eE.-\\xn\x80\x00 '))
    refused_or_sound(tmp_path / "m.mlq", raw((b"J", bytes(text)), (b"C", sections_of().codes),
                                             (b"F", sections_of().floats)), most=24 * MB)


def with_text(old, new):
    text = text_of(sections_of().header)
    assert old in text
    return text.replace(old, new, 1)


def deflated(text):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(text) + deflate.flush()


TEXTS = {
    "NaN": (b"J", with_text(b'"momentum":0.99', b'"momentum":NaN'), "NaN, which is no number"),
    "infinity": (b"J", with_text(b'"eps":0.001', b'"eps":1e999'), "eps: must be a number"),
    "a key twice": (b"J", with_text(b'"coder":', b'"coder":"packed","coder":'), "a key twice"),
    "a site twice": (b"J", with_text(b'"sites":{', b'"sites":{"dense1.weight":{},'), "a key twice"),
    "lists without end": (b"J", b"[" * 60_000, "JSON"), "objects without end": (b"J", b'{"a":' * 12_000, "JSON"),
    "many lists": (b"J", b"[" + b"[]," * 20_000 + b"[]]", "layers, coder"),
    "a number without end": (b"J", b"1" * 60_000, "JSON"),
    "longer than allowed": (b"J", b" " * 70_000, "at most 65536 bytes"),
    "no ASCII": (b"J", '{"é":1}'.encode(), "JSON"), "no JSON": (b"J", b"\x00\x01", "JSON"),
    "nothing": (b"J", b"", "JSON"),
    "a bomb": (b"Z", deflated(b" " * 50_000_000)[:60_000], "more than that when inflated"),
    "a small bomb": (b"Z", deflated(b" " * 65_537), "more than that when inflated"),
    "cut deflate": (b"Z", deflated(b"[1, 2, 3]")[:-2], "end elsewhere"),
    "more than deflate": (b"Z", deflated(b"[1, 2, 3]") + b"x", "end elsewhere"),
    "no deflate": (b"Z", b"\xff\xff\xff", "JSON"), "deflated text": (b"J", deflated(b"[1, 2, 3]"), "JSON"),
}


@pytest.mark.parametrize("wrong", TEXTS)
def test_a_header_that_is_no_small_json_is_refused(wrong, tmp_path):
    kind, text, match = TEXTS[wrong]
    refused(tmp_path / "m.mlq", raw((kind, text), (b"C", sections_of().codes), (b"F", sections_of().floats)), match,
            most=3 * MB)


@pytest.mark.parametrize(("place", "value", "match"), [
    (0, np.nan, r"conv2d1\.kernel\.scale: finite"), (0, -1.0, "scales > 0"), (0, 0.0, "scales > 0"),
    (0, np.inf, "finite"), (0, 3e38, "must be finite"), (-1, -0.5, "variances >= 0"),
    (-1, np.nan, r"batchnorm1\.variance: finite"), (-8, np.inf, r"batchnorm1\.mean: finite")])
def test_numbers_that_no_model_of_version_1_has_are_refused(place, value, match, tmp_path):
    header, codes, floats, *_ = sections_of("v1-range")
    array = np.frombuffer(floats, "<f4").copy()
    array[place] = value
    refused(tmp_path / "m.mlq", joined(Sections(header, codes, array.tobytes(), 1)), match)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0, 3e38, 1e-45])
def test_numbers_that_no_model_has_are_refused(value, tmp_path):
    """Whatever number is another one: in a grid, in what a method holds, beside them."""
    header, codes, floats, *_ = sections_of()
    at, places = 0, []
    for kind, shape in header["arrays"]:
        if kind == "f4":
            places.append(at)
        at += int(kind[1]) * int(np.prod(shape))
    for place in (*places, at, len(floats) - 4):
        content = floats[:place] + np.float32(value).tobytes() + floats[place + 4:]
        sound = refused_or_sound(tmp_path / "m.mlq", joined(Sections(header, codes, content)))
        assert not (sound and not np.isfinite(value))


def coded_numbers(*arrays):
    """(header, section) of coded arrays, and of a Dense layer of 1 x 1 after them."""
    content, coded = written([*arrays, np.zeros((400, 1), np.float32), np.zeros(1, np.float32)])
    assert coded
    header = {"layers": [{"kind": "Dense", "n_in": 400, "n_out": 1}], "coder": "range", "sites": {}, "facts": {},
              "arrays": [[a.dtype.str[1:], list(a.shape)] for a in arrays]}
    return Sections(header, b"", content, coded=True)


def test_coded_numbers_that_lie_are_refused(tmp_path):
    good = coded_numbers(np.full((50, 2), 0.5, np.float32))
    assert refused_or_sound(tmp_path / "m.mlq", joined(good))
    start = good.floats
    assert start[0] == 1                         # coded; then the coder's number and its lengths
    for content, match in (
            (b"\2" + start[1:], "plain or coded"), (b"\0" + start[1:], "at most .* bytes|plain or coded"),
            (start[:-1], "bytes were expected"), (start + b"\0", "numbers of 4 bytes"), (start[:1], "must hold"),
            (b"\1" + gamma_codes([5, 1, 1]) + start[2:], "one of 4 coders"),
            (b"\1" + gamma_codes([1, 2**32, 2**32]), "at most .* bytes")):
        refused(tmp_path / "m.mlq", joined(good._replace(floats=content)), match)
    for lie in ([["f4", [2**31 - 1, 2**31 - 1]]], [["f4", [1 << 17]]], [["f8", [50, 2]]]):
        refused(tmp_path / "m.mlq", joined(good._replace(header={**good.header, "arrays": lie})))
    wide = {**good.header, "layers": [{"kind": "Dense", "n_in": 1 << 17, "n_out": 1}]}
    refused(tmp_path / "m.mlq", joined(good._replace(header=wide)), "at most .* coded numbers")
    nan = coded_numbers(np.full((50, 2), np.nan, np.float32))
    refused(tmp_path / "m.mlq", joined(nan), "finite")


@given(data=st.data())
def test_any_coded_numbers_give_a_sound_model_or_none(data, tmp_path):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    good = coded_numbers(np.exp2(rng.integers(-3, 0, (40, 1))).astype(np.float32), rng.integers(-3, 9, 30))
    content = bytearray(good.floats)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    refused_or_sound(tmp_path / "m.mlq", joined(good._replace(floats=bytes(content))))


@pytest.mark.parametrize("change", [-4, -1, 1, 4, 400_000])
@pytest.mark.parametrize("which", ["codes", "floats"])
def test_more_or_fewer_bytes_than_the_header_means(which, change, tmp_path):
    header, codes, floats, *_ = sections_of()
    parts = {"codes": codes, "floats": floats}
    parts[which] = parts[which][:change] if change < 0 else parts[which] + bytes(change)
    refused(tmp_path / "m.mlq", joined(Sections(header, **parts)), "were expected; got", most=6 * MB)


def test_a_small_file_cannot_ask_for_much_memory(tmp_path):
    """Constant codes cost nothing: a file of a few bytes may hold 2^20 numbers, and hardly more."""
    def constant(rows, most_rows=MB // 1024):
        table, content = CODERS["range"].encode(np.zeros((min(rows, most_rows), 1024), np.int8))
        header = {"layers": [{"kind": "Dense", "n_in": rows, "n_out": 1024}], "coder": "range", "arrays": [["f4", [1]]],
                  "sites": {"dense1.weight": {"method": None, "codes": [len(table), len(content)],
                                              "grid": {"scale": 0}}}, "facts": {}}
        return Sections(header, table + content, np.ones(1 + 1024, "<f4").tobytes())

    honest = constant(MB // 1024)
    assert refused_or_sound(tmp_path / "m.mlq", joined(honest), most=32 * MB)
    refused(tmp_path / "m.mlq", joined(honest._replace(floats=honest.floats[4:])), "numbers of 4 bytes")
    refused(tmp_path / "m.mlq", joined(constant(2 * MB // 1024 + 100)), "at most .* numbers")
    refused(tmp_path / "m.mlq", joined(constant(MB)), "at most .* numbers")
    # A file of a megabyte may hold 2^28 numbers, but not say so without them.
    layers = [{"kind": "Dense", "n_in": 2**17, "n_out": 2**11 - 1}, {"kind": "BatchNorm", "channels": 2**17,
                                                                      "momentum": 0.5, "eps": 0.5}]
    lie = Sections({"layers": layers, "coder": "range", "arrays": [], "sites": {}, "facts": {}}, b"", bytes(MB))
    refused(tmp_path / "m.mlq", joined(lie), "numbers of 4 bytes")


def test_lengths_beside_a_length_of_0_are_not_believed(tmp_path):
    def add(header):
        header["arrays"].append(["f4", [0, 2**31 - 1, 2**31 - 1, 2**31 - 1]])

    refused(tmp_path / "m.mlq", crafted(add, "v2-range"), "a type, one of f4.* and a shape")


def test_a_bucket_larger_than_memory_is_as_large_as_its_tensor(tmp_path):
    header = {"layers": [{"kind": "Dense", "n_in": 1, "n_out": 2}], "coder": "packed",
              "arrays": [["f4", [1]], ["f4", [1]], ["i8", [1]]], "facts": {}}
    table, content = CODERS["packed"].encode(np.array([[0, 3]]))
    header["sites"] = {"dense1.weight": {"method": None, "codes": [len(table), len(content)],
                                         "grid": {"scale": 0, "offset": 1, "size": 2}}}
    floats = np.array([0.5, 1.0], "<f4").tobytes() + np.array([2**62], "<i8").tobytes() + bytes(8)
    (tmp_path / "m.mlq").write_bytes(joined(Sections(header, table + content, floats)))
    assert load(tmp_path / "m.mlq").coded["dense1.weight"].values.tolist() == [[1.0, 2.5]]


def test_a_foreign_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "m.mlq"
    for start in (b"", golden()):
        with path.open("wb") as file:
            file.write(start)
            file.truncate(200 * MB)
        tracemalloc.start()
        with pytest.raises(DataError):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < MB
        tracemalloc.stop()
