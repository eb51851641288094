"""The IDX reader: exact on good files, a DataError on every other."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilq.data.content import content_sha256, read_content
from minilq.data.idx import parse_idx, read_idx
from minilq.errors import DataError


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


SMALL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
GOOD = idx_bytes(SMALL)


@st.composite
def arrays(draw):
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    size = int(np.prod(shape))
    return np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8).reshape(shape)


@given(arrays(), st.booleans())
def test_round_trip(tmp_path_factory, array, gzipped):
    path = tmp_path_factory.getbasetemp() / "round-trip-ubyte"
    path.write_bytes(gzip.compress(idx_bytes(array)) if gzipped else idx_bytes(array))
    result = read_idx(path)
    assert result.dtype == np.uint8
    assert result.shape == array.shape
    assert np.array_equal(result, array)


def test_result_can_be_written_to(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(GOOD)
    array = read_idx(str(path))
    array[0] = 9
    assert np.array_equal(read_idx(path), SMALL)


@given(arrays(), st.data())
def test_every_truncation_is_found(array, data):
    raw = idx_bytes(array)
    keep = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(DataError):
        parse_idx(bytearray(raw[:keep]), "cut")


@given(arrays(), st.binary(min_size=1, max_size=20))
def test_every_extension_is_found(array, more):
    with pytest.raises(DataError):
        parse_idx(bytearray(idx_bytes(array) + more), "longer")


@given(arrays(), st.data())
def test_a_changed_byte_never_changes_the_shape(array, data):
    raw = bytearray(idx_bytes(array))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        result = parse_idx(raw, "flipped")
    except DataError:
        return
    assert result.shape == array.shape


@given(st.binary(max_size=64))
def test_random_bytes_never_crash(raw):
    try:
        result = parse_idx(bytearray(raw), "random")
    except DataError:
        return
    assert idx_bytes(result) == raw


@given(st.data())
def test_damaged_gzip_is_found_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    raw = bytearray(gzip.compress(GOOD, mtime=0))
    what = data.draw(st.sampled_from(["cut", "flip", "extend"]))
    if what == "cut":
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    elif what == "flip":
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        raw += data.draw(st.binary(min_size=1, max_size=40))
    path.write_bytes(raw)
    try:
        result = read_idx(path)
    except DataError:
        return
    # A flip in the time stamp, or zero padding, leaves the content whole. A cut never does.
    assert what != "cut"
    assert np.array_equal(result, SMALL)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty file"),
        (b"\0\0\x08", "magic number; got 3 bytes"),
        (b"PK\x03\x04rest", "two zero bytes; got bytes 50 4b 03 04"),
        (b"\0\0\x0d" + GOOD[3:], "type byte must be 0x08.*got 0x0d"),
        (b"\0\0\x08\0", "number of dimensions must be 1..4; got 0"),
        (b"\0\0\x08\xff" + GOOD[4:], "number of dimensions must be 1..4; got 255"),
        (GOOD[:10], "header of 16 bytes was expected; got 10"),
        (GOOD[:-1], r"24 bytes must follow a header of shape \(2, 3, 4\); got 23"),
        (GOOD + b"\0", r"24 bytes must follow a header of shape \(2, 3, 4\); got 25"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "must follow a header.*got 0 bytes"),
        (struct.pack(">BBBB2I", 0, 0, 8, 2, 0, 7), "every dimension must be at least 1"),
        (gzip.compress(GOOD)[:-9], "gzip file is damaged"),
        (gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:], "gzip file is damaged.*CRC"),
        (gzip.compress(GOOD) + b"junk", "gzip file is damaged"),
        (gzip.compress(GOOD) + gzip.compress(b"more"), "24 bytes must follow.*got 28 bytes"),
        (gzip.compress(b""), "empty file"),
    ],
)
def test_error_says_what_is_wrong_where_and_what_to_do(tmp_path, raw, words):
    path = tmp_path / "some-ubyte"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "elete it and fetch it again" in str(caught.value)


def test_missing_file_and_folder_are_data_errors(tmp_path):
    with pytest.raises(DataError, match=r"absent.*No such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(DataError, match="got a folder"):
        read_idx(tmp_path)


def test_content_has_a_limit(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(3 * 2**20)))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="at most 2097152 bytes"):
        read_content(path, limit=2**21)


def test_digest_is_of_the_uncompressed_content(tmp_path):
    plain, fast, best = tmp_path / "plain", tmp_path / "fast", tmp_path / "best"
    plain.write_bytes(GOOD)
    fast.write_bytes(gzip.compress(GOOD, 1))
    best.write_bytes(gzip.compress(GOOD, 9))
    assert content_sha256(plain) == content_sha256(fast) == content_sha256(best)
