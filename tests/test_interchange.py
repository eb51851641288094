"""Codes for other programs: safetensors and .npz, bit for bit there and back, and whatever is wrong with a file."""

import io
import json
import tracemalloc
import zipfile

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq import DataError, DTypeError
from minilq.experiments.models import mnist_mlp
from minilq.nn import BatchNorm, Conv2D, Dense, Flatten, Quantize, Sequential, calibrate, coded_in, quantize
from minilq.quantize import Coded, Even, Scaled, Table
from minilq.quantize.methods import FixedRange
from minilq.store.arrays import floats_in
from minilq.store.npz import from_npz, to_npz
from minilq.store.safetensors import DTYPES, MAX_HEADER, from_safetensors, read, to_safetensors, write
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from tests.strategies import GRANULARITIES

FORMATS = {"npz": (to_npz, from_npz), "safetensors": (to_safetensors, from_safetensors)}


@pytest.fixture(params=FORMATS)
def both_ways(request):
    return FORMATS[request.param]


def same(a, b):
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def same_arrays(a, b):
    return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)


def scaled(model, low, high, rng):
    for site in model.sites().values():
        if site.latent is not None and site.held:
            site.held["scale"].data[...] = rng.uniform(low, high, site.held["scale"].shape)
    return model


def network(granularity, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    model = Sequential(Quantize(dtype=dtype), Conv2D(3, 4, 3, rng, dtype=dtype), BatchNorm(4, dtype=dtype), Flatten(),
                       Dense(64, 5, rng, dtype=dtype))
    quantize(model, {"quantize1.input": FixedRange(), "conv2d1.weight": Scaled("nearest", granularity=granularity),
                     "conv2d1.bias": Scaled("nearest", granularity="scalar"), "dense1.weight": Scaled("floor")}.get)
    return scaled(calibrate(model, rng.random((5, 4, 4, 3)).astype(dtype)), 1e-4, 0.1, rng)


# ---- codes, scales and floats


@pytest.mark.parametrize("granularity", [*GRANULARITIES[4], (), (-1,), (0, 1, 2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_scales_and_floats_come_back_bit_for_bit(both_ways, granularity, dtype, tmp_path):
    to, back = both_ways
    model = network(granularity, dtype)
    coded = coded_in(model)
    floats = floats_in(model, coded)
    assert list(floats) == ["quantize1.input.scale", "quantize1.input.offset", "batchnorm1.gamma", "batchnorm1.beta",
                            "batchnorm1.mean", "batchnorm1.variance", "dense1.bias.latent"]
    to(coded, tmp_path / "model", floats)
    again, floats_again = back(tmp_path / "model")
    assert same_arrays(floats_again, floats)
    assert again.keys() == coded.keys() == {"conv2d1.weight", "conv2d1.bias", "dense1.weight"}
    for name, one in coded.items():
        assert same(again[name].codes, one.codes)
        assert same(again[name].grid.scale, one.grid.scale)
        np.testing.assert_array_equal(again[name].values, model.sites()[name]().numpy())


@pytest.mark.parametrize("grid", [Even(np.ones((1, 3), np.float32), np.array([[1, 2, 3]])), Table(np.arange(9.0)),
                                  Even(np.array([0.5]), np.array(7), np.array([0.1])), Table(np.ones((9, 2, 1), "f4")),
                                  Even(np.ones((2, 3), np.float32), None, np.zeros((2, 3), np.float32))], ids=str)
def test_every_grid_comes_back(grid, both_ways, tmp_path):
    to, back = both_ways
    codes = np.array([[0, 1, 2], [3, 4, 5]], np.int16)
    to({"dense1.weight": Coded(codes, grid)}, tmp_path / "model")
    (again,) = back(tmp_path / "model")[0].values()
    assert type(again.grid) is type(grid)
    assert same(again.codes, codes)
    assert same_arrays(again.grid.stored(), {name: np.asarray(a) for name, a in grid.stored().items()})


def test_nothing_at_all_and_an_empty_parameter(both_ways, tmp_path):
    to, back = both_ways
    to({}, tmp_path / "model")
    assert back(tmp_path / "model") == ({}, {})
    empty = Coded(np.zeros((0, 3), np.int8), Even(np.ones((1, 3), np.float32)))
    to({"a.weight": empty}, str(tmp_path / "model"))
    ((name, one),) = back(str(tmp_path / "model"))[0].items()
    assert (name, one.codes.shape, one.grid.scale.shape) == ("a.weight", (0, 3), (1, 3))


def test_one_model_gives_one_file(both_ways, tmp_path):
    for name in "ab":
        both_ways[0](coded_in(network("filter")), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numpy_alone_reads_the_npz(tmp_path):
    rng = np.random.default_rng(0)
    model = quantize(mnist_mlp(rng), lambda n: None if n.endswith("input") else Scaled(granularity="scalar"))
    scaled(model, 0.01, 0.01, rng)
    to_npz(coded_in(model), tmp_path / "codes.npz", floats_in(model, coded_in(model)))
    with np.load(tmp_path / "codes.npz", allow_pickle=False) as file:
        assert set(file) == {"meta", *(f"dense{i}.{part}.{kind}" for i in (1, 2) for part in ("weight", "bias")
                                       for kind in ("codes", "scale"))}
        weight = file["dense1.weight.codes"] * file["dense1.weight.scale"]
        assert json.loads(str(file["meta"]))["holds"] == "codes"
    np.testing.assert_array_equal(weight, model.sites()["dense1.weight"]().numpy())
    assert (tmp_path / "codes.npz").stat().st_size < 0.27 * 4 * sum(p.size for p in model.parameters().values())


GOOD = {"a.codes": np.array([[1, -2]], np.int8), "a.scale": np.array([[0.5]], np.float32)}


def but(**changes):
    """GOOD with other arrays; None takes one away."""
    arrays = {**GOOD, **{f"a.{name}": array for name, array in changes.items()}}
    return {name: array for name, array in arrays.items() if array is not None}


ONE = np.ones(1, np.float32)
WRONG = {
    "no scale": but(scale=None), "scales of another shape": but(scale=np.ones((2, 1), np.float32)),
    "scales of more axes": but(scale=np.ones((1, 1, 1), np.float32)),
    "float codes": but(codes=GOOD["a.codes"].astype(np.float32)), "integer scales": but(scale=np.array([[1]], np.int8)),
    "NaN": but(scale=np.array([[np.nan]], np.float32)), "infinite": but(scale=np.array([[np.inf]], np.float32)),
    "zero": but(scale=np.array([[0]], np.float32)), "float zeros": but(zero=ONE),
    "a NaN offset": but(offset=ONE * np.nan),
    "zeros of another shape": but(zero=np.zeros((3, 1), int)), "both grids": but(levels=ONE),
    "codes beyond the levels": but(scale=None, levels=np.ones(2, np.float32)),
    "one level": but(scale=None, levels=np.float32(1)), "integer levels": but(scale=None, levels=np.arange(9))}


@pytest.mark.parametrize("arrays", WRONG.values(), ids=WRONG)
def test_arrays_that_are_no_codes_with_grids(arrays, tmp_path):
    save_checkpoint(tmp_path / "a.npz", arrays, {"holds": "codes"})
    with pytest.raises(DataError, match=r"a\.npz: codes with their grids were expected"):
        from_npz(tmp_path / "a.npz")
    write(tmp_path / "a", arrays)
    with pytest.raises(DataError, match="codes with their grids were expected"):
        from_safetensors(tmp_path / "a")


@pytest.mark.parametrize("meta", [{}, {"holds": None}, {"holds": ["codes"]}, {"holds": 7}], ids=str)
def test_a_checkpoint_of_a_run_holds_no_codes(meta, tmp_path):
    save_checkpoint(tmp_path / "a.npz", GOOD, meta)
    with pytest.raises(DataError, match="codes with their grids were expected"):
        from_npz(tmp_path / "a.npz")


def test_other_programs_metadata_are_no_matter(tmp_path):
    write(tmp_path / "a", GOOD, {"format": "np"})
    assert same(from_safetensors(tmp_path / "a")[0]["a"].codes, GOOD["a.codes"])


@pytest.mark.parametrize("what", ["deflated", "header"])
def test_an_npz_takes_no_more_memory_than_it_is_long(what, tmp_path):
    npy = io.BytesIO()
    np.save(npy, np.zeros(3 * 10**7, np.int8) if what == "deflated" else np.zeros(3, np.int8))
    content = npy.getvalue() if what == "deflated" else npy.getvalue().replace(b"(3,)", b"(300000000,)").replace(
        b" " * 8 + b"\n", b"\n")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED if what == "deflated" else 0) as archive:
        archive.writestr("a.npy", content)
    tracemalloc.start()
    try:
        for reader in (from_npz, load_checkpoint):
            with pytest.raises(DataError, match=r"numbers|bytes"):
                reader(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


# ---- the format


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__")
# Anything that the format has, in either order of bytes.
numbers = st.sampled_from([dtype.newbyteorder(order) for dtype in DTYPES.values() for order in "<>"])
some_arrays = st.dictionaries(names, hnp.arrays(numbers, hnp.array_shapes(min_dims=0, min_side=0, max_side=3)),
                              max_size=4)


def native(array):
    return array.astype(array.dtype.newbyteorder("="))


@given(arrays=some_arrays, metadata=st.dictionaries(names, names, max_size=3))
def test_every_array_and_text_comes_back(arrays, metadata, tmp_path):
    write(tmp_path / "a", arrays, metadata)
    back, texts = read(tmp_path / "a")
    assert same_arrays(back, {name: native(array) for name, array in arrays.items()})
    assert texts == metadata
    assert all(array.flags.writeable for array in back.values())
    write(tmp_path / "b", dict(reversed(arrays.items())), dict(reversed(metadata.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@given(arrays=some_arrays, metadata=st.dictionaries(names, names, max_size=3))
def test_the_formats_own_library_writes_the_same_and_reads_it(arrays, metadata, tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="the oracle is the package safetensors")
    arrays = {name: native(array) for name, array in arrays.items()}
    write(tmp_path / "a", arrays)
    assert (tmp_path / "a").read_bytes() == library.save(arrays)
    write(tmp_path / "a", arrays, metadata)
    assert same_arrays(library.load_file(tmp_path / "a"), arrays)
    (tmp_path / "b").write_bytes(library.save(arrays, metadata or None))     # {} gives no JSON
    back, texts = read(tmp_path / "b")
    assert same_arrays(back, arrays)
    assert texts == metadata


def test_strided_arrays_are_written_in_c_order(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write(tmp_path / "a", {"t": array.transpose(2, 0, 1), "s": array[:, ::2, ::-1]})
    back, _ = read(tmp_path / "a")
    np.testing.assert_array_equal(back["t"], array.transpose(2, 0, 1))
    np.testing.assert_array_equal(back["s"], array[:, ::2, ::-1])


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["a"]), np.array([None])], ids=str)
def test_numbers_that_the_format_does_not_have(array, tmp_path):
    with pytest.raises(DTypeError, match="x must be one of U64"):
        write(tmp_path / "a", {"x": array})
    assert list(tmp_path.iterdir()) == []


def file_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(start, stop, shape, dtype="U8"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


DAMAGED = {
    "empty": b"", "shorter than the length": b"1234567", "no header": bytes(8),
    "cut in the header": file_of({}, length=3), "a huge length": file_of({}, length=2**64 - 1),
    "a huge header": file_of(b"{" + b" " * MAX_HEADER + b"}"),
    "deep lists": file_of(b"[" * 100_000),
    "deep objects": file_of(b'{"a":' * 100_000), "a list": file_of([]),
    "a number": file_of(b"7"), "a text": file_of(b'"__metadata__"'), "no UTF-8": file_of(b"\xff\xfe"),
    "more after the JSON": file_of(b"{}x"), "metadata a number": file_of({"__metadata__": 7}),
    "a number in the metadata": file_of({"__metadata__": {"a": 7}}), "an entry a number": file_of({"a": 7}),
    "an empty entry": file_of({"a": {}}), "no such dtype": file_of({"a": entry(0, 1, [1], "U9")}, b"x"),
    "dtype a list": file_of({"a": entry(0, 1, [1], ["U8"])}, b"x"),
    "a larger shape": file_of({"a": entry(0, 1, [2])}, b"x"), "cut in the data": file_of({"a": entry(0, 2, [2])}, b"x"),
    "data of nothing": file_of({}, b"x"), "more data": file_of({"a": entry(0, 1, [1])}, b"xy"),
    "a hole before": file_of({"a": entry(1, 2, [1])}, b"xy"),
    "a hole between": file_of({"a": entry(0, 1, [1]), "b": entry(2, 3, [1])}, b"xyz"),
    "one place for two": file_of({"a": entry(0, 1, [1]), "b": entry(0, 1, [1])}, b"x"),
    "an overlap": file_of({"a": entry(0, 2, [2]), "b": entry(1, 3, [2])}, b"xyz"),
    "a negative shape": file_of({"a": entry(0, 1, [-1])}, b"x"),
    "two negative lengths": file_of({"a": entry(0, 1, [-1, -1])}, b"x"),
    "a negative offset": file_of({"a": entry(-1, 0, [1])}, b"x"),
    "shape true": file_of({"a": entry(0, 1, [True])}, b"x"),
    "offset false": file_of({"a": entry(False, 1, [1])}, b"x"), "shape 1.0": file_of({"a": entry(0, 1, [1.0])}, b"x"),
    "shape an object": file_of({"a": entry(0, 1, {})}, b"x"), "shape a number": file_of({"a": entry(0, 1, 1)}, b"x"),
    "shape a text": file_of({"a": entry(0, 1, "")}, b"x"), "0 times too much": file_of({"a": entry(0, 0, [0, 10**30])}),
    "too much": file_of({"a": entry(0, 10**30, [10**30])}), "33 axes": file_of({"a": entry(0, 1, [1] * 33)}, b"x"),
    "a slow product": file_of({"a": entry(0, 0, [10**4000] * 200)}),
    "one more key": file_of({"a": {**entry(0, 1, [1]), "more": 1}}, b"x"),
    "no offsets": file_of({"a": {"dtype": "U8", "shape": [1]}}, b"x"),
    "three offsets": file_of({"a": {**entry(0, 1, [1]), "data_offsets": [0, 1, 2]}}, b"x"),
    "offsets of all kinds": file_of({"a": entry("0", 1, [1]), "b": entry(0, 1, [1])}, b"x"),
    "a name twice": file_of(b'{"a":%(a)b,"a":%(a)b}' % {b"a": json.dumps(entry(0, 0, [0])).encode()}),
    "5000 digits": file_of(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,0]}}')}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_files_that_are_not_as_they_should_be(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="undamaged safetensors file was expected") as caught:
            read(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert str(tmp_path / "a") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def written(path):
    model = network("filter")
    to_safetensors(coded_in(model), path, {"mean": np.arange(3, dtype=np.float32)})
    return path.read_bytes()


@given(data=st.data())
def test_cut_extended_or_flipped_files_are_refused_or_give_arrays_of_their_length(data, tmp_path):
    content = bytearray(written(tmp_path / "good"))
    how = data.draw(st.sampled_from(["cut", "extend", "flip"]))
    if how == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)):]
    elif how == "extend":
        content += data.draw(st.binary(min_size=1, max_size=20))
    else:
        header = int.from_bytes(content[:8], "little") + 8
        content[data.draw(st.integers(0, header - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "a").write_bytes(content)
    if how != "flip":
        with pytest.raises(DataError):
            read(tmp_path / "a")
        return
    try:
        arrays, _ = read(tmp_path / "a")
        from_safetensors(tmp_path / "a")
    except DataError:
        return
    assert sum(array.nbytes for array in arrays.values()) == len(content) - header


def test_no_file_and_a_folder(both_ways, tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DataError, match="was expected"):
            both_ways[1](path)
