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

from minilq.coding.coders import CODERS
from minilq.errors import DataError
from minilq.store.modelfile import load
from minilq.store.sections import Sections, joined, split

GOLDEN = Path(__file__).parent / "golden"
MB = 1 << 20
CODER = st.sampled_from(sorted(CODERS))


@functools.cache
def golden(coder="range"):
    return (GOLDEN / f"model-v1-{coder}.mlq").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Each coder has been compiled before memory is measured."""
    for coder in CODERS:
        load(GOLDEN / f"model-v1-{coder}.mlq")


@functools.cache
def sections_of(coder="range"):
    return split(io.BytesIO(golden(coder)), len(golden(coder)))


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
    """DataError, or a model whose parameters are codes * scale and all of whose numbers are finite."""
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
        assert (c.scale > 0).all()
        np.testing.assert_array_equal(stored.network.parameters()[name].numpy(), c.codes.astype(np.float32) * c.scale)
    for tensor in stored.network.state().values():
        assert np.isfinite(tensor).all()
    return True


# Damage: what the CRCs and lengths find.
def test_every_byte_that_changes_is_noticed(tmp_path):
    for place in range(len(golden())):
        content = bytearray(golden())
        content[place] ^= 1 << place % 8
        place_of(tmp_path / "m.mlq", content)
        with pytest.raises(DataError):
            load(tmp_path / "m.mlq")


@given(place=st.integers(0, len(golden()) - 1), mask=st.integers(1, 255), coder=CODER)
def test_any_other_byte_is_noticed(place, mask, coder, tmp_path):
    content = bytearray(golden(coder))
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


def raw(*sections):
    """A file of any sections with correct CRCs; a length may be given in place of the right one."""
    content = golden()[:9]
    for kind, part, *length in sections:
        content += struct.pack("<cII", kind, *(length or [len(part)]), zlib.crc32(part, zlib.crc32(kind))) + part
    return content


def text_of(header):
    return json.dumps(header, separators=(",", ":")).encode()


@given(order=st.permutations([0, 1, 2]), kept=st.integers(0, 3))
def test_sections_in_another_order_or_number(order, kept, tmp_path):
    header, codes, floats = sections_of()
    three = [(b"J", text_of(header)), (b"C", codes), (b"F", floats)]
    content = raw(*[three[i] for i in order[:kept]])
    if order[:kept] == [0, 1, 2]:
        assert refused_or_sound(tmp_path / "m.mlq", content)
        refused(tmp_path / "m.mlq", raw(*three, three[2]), "more bytes")
        refused(tmp_path / "m.mlq", raw(*three[:2], (b"X", floats)), "section F was expected; got section b'X'")
    else:
        refused(tmp_path / "m.mlq", content, "was expected; got")


@pytest.mark.parametrize("length", [0, 1, 2**16, 2**16 + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_no_length_is_believed(length, which, tmp_path):
    header, codes, floats = sections_of()
    three = [[b"J", text_of(header)], [b"C", codes], [b"F", floats]]
    three[which].append(length)
    refused(tmp_path / "m.mlq", raw(*three))


# Crafted: correct CRCs around a header that lies.
def crafted(change, coder="range"):
    """A file whose header was changed by a function, with codes and floats as they were."""
    header = copy.deepcopy(sections_of(coder).header)
    change(header)
    return joined(Sections(header, *sections_of(coder)[1:]))


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


LIES = {
    "huge dense": (layer(6, n_in=2**31 - 1, n_out=2**31 - 1), "at most .* numbers"),
    "wide dense": (layer(6, n_in=2**25), "at most .* numbers"),
    "huge kernel": (layer(0, size=[2**31 - 1, 2**31 - 1]), "at most .* numbers"),
    "huge border": (layer(0, padding=[[0, 2**16], [0, 0]]), r"padding\.0\.1: must be a whole number in 0\.\.65535"),
    "huge norm": (layer(1, channels=2**31 - 1), "at most .* numbers"),
    "huge data": (lambda h: h["layers"].insert(0, {
        "kind": "DataQuantizer", "scale": [2**30] * 32, "offset": [], "rounding": "floor", "qmin": None, "qmax": None,
        "mask": "clip_first"}), "at most .* numbers"),
    "too many axes": (lambda h: h["layers"].insert(0, {
        "kind": "DataQuantizer", "scale": [1] * 33, "offset": [], "rounding": "floor", "qmin": None, "qmax": None,
        "mask": "clip_first"}), r"scale: must be a list of 0\.\.32"),
    "crossed bounds": (lambda h: h["layers"].insert(0, {
        "kind": "DataQuantizer", "scale": [1], "offset": [], "rounding": "floor", "qmin": 3, "qmax": 2,
        "mask": "clip_first"}), "qmin must not be above qmax"),
    **{f"n_in {i}": (layer(6, n_in=value), r"n_in: must be a whole number in 1\.\.2147483647")
       for i, value in enumerate((2**31, 10**300, 0, -16, True, 16.0, "16", [16], None))},
    "other rows": (layer(6, n_in=17), None), "fewer rows": (layer(6, n_in=15), None),
    "no kind": (layer(6, kind=None), "a layer, one of"), "list as kind": (layer(6, kind=["Dense"]), "a layer, one of"),
    "other kind": (layer(6, kind="Layer"), "a layer, one of"),
    "changed kind": (layer(6, kind="ReLU"), "ReLU with the settings"),
    "a setting more": (layer(6, std=0.05), "Dense with the settings n_in, n_out"),
    "a setting less": (lambda h: h["layers"][6].pop("n_in"), "Dense with the settings"),
    "stride 0": (layer(0, stride=[0, 1]), r"stride\.0: must be a whole number"),
    "stride 3": (layer(0, stride=[1, 1, 1]), "stride: must be a list of 2"),
    "padding": (layer(0, padding="full"), "padding: must be a list of 2"),
    "negative padding": (layer(0, padding=[[0, -1], [0, 0]]), r"padding\.0\.1: must be a whole number"),
    "eps 0": (layer(1, eps=0.0), "eps: must be a number"), "eps of an int": (layer(1, eps=1), "eps: must be a number"),
    "momentum 1": (layer(1, momentum=1.0), "momentum: must be a number"), "rate": (lambda h: h["layers"].append(
        {"kind": "Dropout", "rate": -0.5}), "rate: must be a number"),
    "deep": (nested(100, "Sequential"), "more than 16 containers"),
    "deep residuals": (nested(17, "Residual"), "more than 16 containers"),
    "layers of a dict": (lambda h: h.update(layers={}), "layers: must be a list"),
    "layers of null": (lambda h: h.update(layers=None), "layers: must be a list"),
    "no layers": (lambda h: h.update(layers=[]), "the name of a parameter"),
    "a layer of text": (lambda h: h["layers"].append("ReLU"), "a layer, one of"),
    "no coder": (lambda h: h.pop("coder"), "layers, coder, codes and facts"),
    "a key more": (lambda h: h.update(schema=2), "layers, coder, codes and facts"),
    "other coder": (lambda h: h.update(coder="zip"), "coder: one of"),
    "coder of a list": (lambda h: h.update(coder=[]), "coder: one of"),
    "wrong coder": (lambda h: h.update(coder="huffman"), None),
    "facts of text": (lambda h: h.update(facts="x"), "facts: an object"),
    "codes of a list": (lambda h: h.update(codes=[]), "codes, an object"),
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
    "granularity of a number": (code("dense1.weight", [1, 0, 0]), "a granularity was expected"),
    "granularity of numbers": (code("dense1.weight", [[0, True], 0, 0]), "a granularity was expected"),
    "an axis too far": (code("dense1.weight", [[2], 0, 0]), "keeps axis 2"),
    "a huge axis": (code("dense1.weight", [[-10**30], 0, 0]), "keeps axis"),
    "a channel of a matrix": (code("dense1.weight", ["channel", 0, 0]), "keeps axis 2"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(lie, tmp_path):
    change, match = LIES[lie]
    refused(tmp_path / "m.mlq", crafted(change), match)


ANYTHING = st.sampled_from([None, True, -1, 0, 1, 2, 3, 16, 2**16, 2**31 - 1, 2**63, 10**30, 0.5, 1e308, "", "row",
                            "scalar", "Dense", "Sequential", [], [0], [[]], [3, 3], {}, {"kind": "ReLU"}])


def nodes(value):
    """Every (container, key) in a JSON value."""
    for key in (range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()):
        yield value, key
        yield from nodes(value[key])


@given(data=st.data(), coder=CODER)
def test_any_header_gives_a_sound_model_or_none(data, coder, tmp_path):
    header = copy.deepcopy(sections_of(coder).header)
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
    refused_or_sound(tmp_path / "m.mlq", joined(Sections(header, *sections_of(coder)[1:])), most=24 * MB)


@given(data=st.data(), coder=CODER)
def test_any_codes_and_floats_give_a_sound_model_or_none(data, coder, tmp_path):
    header, codes, floats = sections_of(coder)
    parts = [bytearray(codes), bytearray(floats)]
    for _ in range(data.draw(st.integers(1, 4))):
        part = parts[data.draw(st.integers(0, 1))]
        part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    refused_or_sound(tmp_path / "m.mlq", joined(Sections(header, *map(bytes, parts))))


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
    "a parameter twice": (b"J", with_text(b'"codes":{', b'"codes":{"dense1.weight":["row",0,0],'), "a key twice"),
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
    (0, np.inf, "finite"), (0, 3e38, r"code \* scale must be finite"), (-1, -0.5, "variances >= 0"),
    (-1, np.nan, r"batchnorm1\.variance: finite"), (-8, np.inf, r"batchnorm1\.mean: finite")])
def test_numbers_that_no_model_has_are_refused(place, value, match, tmp_path):
    header, codes, floats = sections_of()
    array = np.frombuffer(floats, "<f4").copy()
    array[place] = value
    refused(tmp_path / "m.mlq", joined(Sections(header, codes, array.tobytes())), match)


@pytest.mark.parametrize("change", [-4, -1, 1, 4, 400_000])
@pytest.mark.parametrize("which", ["codes", "floats"])
def test_more_or_fewer_bytes_than_the_header_means(which, change, tmp_path):
    header, codes, floats = sections_of()
    parts = {"codes": codes, "floats": floats}
    parts[which] = parts[which][:change] if change < 0 else parts[which] + bytes(change)
    refused(tmp_path / "m.mlq", joined(Sections(header, **parts)), "were expected; got", most=6 * MB)


def test_a_small_file_cannot_ask_for_much_memory(tmp_path):
    """Constant codes cost nothing: a file of a few bytes may hold 2^20 numbers, and hardly more."""
    def constant(rows, most_rows=MB // 1024):
        table, content = CODERS["range"].encode(np.zeros((min(rows, most_rows), 1024), np.int8))
        header = {"layers": [{"kind": "Dense", "n_in": rows, "n_out": 1024}], "coder": "range",
                  "codes": {"dense1.weight": ["scalar", len(table), len(content)]}, "facts": {}}
        return Sections(header, table + content, np.ones(1 + 1024, "<f4").tobytes())

    honest = constant(MB // 1024)
    assert refused_or_sound(tmp_path / "m.mlq", joined(honest), most=20 * MB)
    refused(tmp_path / "m.mlq", joined(honest._replace(floats=honest.floats[4:])), "numbers of 4 bytes")
    refused(tmp_path / "m.mlq", joined(constant(2 * MB // 1024 + 100)), "at most .* numbers")
    refused(tmp_path / "m.mlq", joined(constant(MB)), "at most .* numbers")
    # A file of a megabyte may hold 2^28 numbers, but not say so without them.
    layers = [{"kind": "Dense", "n_in": 2**17, "n_out": 2**11 - 1}, {"kind": "BatchNorm", "channels": 2**17,
                                                                      "momentum": 0.5, "eps": 0.5}]
    lie = Sections({"layers": layers, "coder": "range", "codes": {}, "facts": {}}, b"", bytes(MB))
    refused(tmp_path / "m.mlq", joined(lie), "numbers of 4 bytes")


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
