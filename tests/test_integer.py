"""Codes as real integers: packed into bits and back, zipped, and what they weigh."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilq.coding import sizes
from minilq.coding.packing import HEADER, pack, unpack
from minilq.coding.sizes import narrowest, packed, zipped
from minilq.errors import ConfigError, DataError, DTypeError
from minilq.quantize import Coded, Even, Table


@pytest.mark.parametrize("width", range(33))
@settings(max_examples=20)                       # of each width
@given(data=st.data())
def test_every_width_comes_back_as_it_went_in(width, data):
    low = data.draw(st.integers(-2**31, 2**31 - 1))
    codes = data.draw(st.lists(st.integers(low, low + 2**width - 1), max_size=20))
    content = pack(np.array(codes, np.int64), low, width)
    assert len(content) == (len(codes) * width + 7) // 8
    back = unpack(content, len(codes), low, width)
    assert back.dtype == np.int64
    assert back.tolist() == codes


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_the_ends_of_every_integer_type_do_not_wrap(dtype):
    ends = np.array([np.iinfo(dtype).min, -1, 0, np.iinfo(dtype).max], dtype)
    if dtype is np.int64:
        with pytest.raises(ConfigError, match="codes must lie in"):
            pack(ends, 0, 32)
        return
    width = 8 * ends.itemsize
    assert unpack(pack(ends, int(ends[0]), width), 4, int(ends[0]), width).tolist() == ends.tolist()


def test_bits_stand_most_significant_first_and_the_rest_is_zero():
    assert pack(np.array([5, 2, 7]), 0, 3) == bytes([0b10101011, 0b10000000])
    assert pack(np.array([[-4], [-1]]), -4, 2) == bytes([0b00110000])
    assert unpack(bytes([0b10101011, 0b10000000]), 3, 10, 3).tolist() == [15, 12, 17]


def test_width_0_stores_nothing_and_gives_the_lowest_code():
    assert pack(np.full(5, -3), -3, 0) == b""
    assert unpack(b"", 5, -3, 0).tolist() == [-3] * 5
    assert pack(np.array([]), 0, 4) == b""
    assert unpack(b"", 0, 7, 9).tolist() == []


@pytest.mark.parametrize(("codes", "low", "width"), [
    ([4], 0, 2), ([-1], 0, 2), ([0, 1], 0, 0), ([2**32], 0, 32), ([3], 4, 8), ([127], -129, 8)])
def test_codes_that_do_not_fit_are_refused(codes, low, width):
    with pytest.raises(ConfigError, match="codes must lie in"):
        pack(np.array(codes), low, width)


@pytest.mark.parametrize("width", [-1, 33, 64])
def test_widths_that_do_not_exist_are_refused(width):
    with pytest.raises(ConfigError, match=r"0\.\.32"):
        pack(np.array([0]), 0, width)
    with pytest.raises(ConfigError, match=r"0\.\.32"):
        unpack(b"", 0, 0, width)


def test_floats_are_not_cut_to_integers_unseen():
    with pytest.raises(DTypeError, match="must be an array of integers; got an array of float64"):
        pack(np.array([0.7, 1.0]), 0, 2)


@given(count=st.integers(0, 50), width=st.integers(0, 32), extra=st.integers(-3, 3).filter(bool))
def test_a_wrong_length_is_refused(count, width, extra):
    length = (count * width + 7) // 8 + extra
    if length >= 0:
        with pytest.raises(DataError, match=f"{length} bytes"):
            unpack(bytes(length), count, 0, width)


def test_a_negative_count_is_refused():
    with pytest.raises(ConfigError, match="-1"):
        unpack(b"", -1, 0, 8)


def test_the_zip_that_is_weighed_is_valid_and_holds_the_arrays(monkeypatch):
    contents = []

    class Kept(io.BytesIO):
        def getvalue(self):
            contents.append(super().getvalue())
            return contents[-1]

    arrays = {"dense1.weight": np.zeros((100, 10), np.int8), "dense1.bias": np.arange(-5, 5, dtype=np.int8)}
    monkeypatch.setattr(sizes.io, "BytesIO", Kept)
    size = zipped(arrays)
    monkeypatch.undo()
    assert len(contents[-1]) == size
    with zipfile.ZipFile(io.BytesIO(contents[-1])) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["dense1.weight.npy", "dense1.bias.npy"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        for name, array in arrays.items():
            back = np.load(io.BytesIO(archive.read(name + ".npy")))
            assert back.dtype == np.int8
            np.testing.assert_array_equal(back, array)
    assert size < 1000                                       # 1000 zeros: deflated, not stored


def test_the_zip_of_random_bytes_is_not_smaller_than_they_are():
    noise = np.random.default_rng(0).integers(-128, 128, 10_000).astype(np.int8)
    assert 10_000 < zipped({"a": noise}) < 10_500
    assert zipped({"a": noise}) == zipped({"a": noise.copy()})


@pytest.mark.parametrize(("dtypes", "want"), [
    ([np.int8, np.int8], np.int8), ([np.int8, np.int16], np.int16), ([np.int32, np.int16], np.int32),
    ([np.int64, np.int8], np.int64)])
def test_all_codes_take_the_narrowest_type_that_holds_them(dtypes, want):
    codes = {str(i): np.array([np.iinfo(d).min, np.iinfo(d).max], d) for i, d in enumerate(dtypes)}
    small = narrowest(codes)
    assert {a.dtype for a in small.values()} == {np.dtype(want)}
    for name, k in codes.items():
        assert small[name].tolist() == k.tolist()            # nothing wrapped


def test_packed_counts_codes_at_their_own_width_scales_and_headers():
    codes = {"w": np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "b": np.array([3, 3, 3], np.int8),
             "wide": np.array([0, 256], np.int16)}
    scales = {"w": np.ones((4, 1), np.float32), "b": np.ones(1, np.float32), "wide": np.ones((1, 2), np.float32)}
    coded = {name: Coded(codes[name], Even(scales[name])) for name in codes}
    w = 16 * 4 // 8 + 4 * 4
    b = 0 + 4
    wide = 3 + 2 * 4                                         # 2 codes of 9 bits: 18 bits, 3 bytes
    assert packed(coded) == w + b + wide + 3 * HEADER
    assert packed({"w": Coded(codes["w"], Table(np.ones(16, np.float32)))}) == 8 + 64 + HEADER


def test_packed_codes_can_be_read_back_with_what_the_header_holds():
    k = np.random.default_rng(1).integers(-37, 91, 1000)
    width = int(k.max() - k.min()).bit_length()
    assert packed({"a": Coded(k, Even(np.ones(1)))}) == len(pack(k, int(k.min()), width)) + 4 + HEADER
    np.testing.assert_array_equal(unpack(pack(k, int(k.min()), width), 1000, int(k.min()), width), k)
