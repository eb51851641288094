"""Pictures are turned as their Exif orientation says, whatever else stands in the file."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from minilq.data.exif import orientation_of, upright
from minilq.data.images import decode

# Four flat colours: what compression changes is small beside what tells the corners apart.
PIXELS = np.zeros((16, 24, 3), np.uint8)
PIXELS[:8, :12], PIXELS[:8, 12:], PIXELS[8:, :12] = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def jpeg(orientation=None, kind="jpeg"):
    out, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(out, kind, quality=95, exif=exif) if orientation is not None else \
        Image.fromarray(PIXELS).save(out, kind, quality=95)
    return out.getvalue()


def with_segment(tiff, marker=0xE1, before=b""):
    content = b"Exif\0\0" + tiff
    return jpeg()[:2] + before + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + jpeg()[2:]


def tiff(order="<", entries=((0x0112, 3, 1, 6),), start=8, count=None):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    packed = b"".join(struct.pack(order + "HHIHH", *entry, 0) for entry in entries)
    return head + b"\0" * (start - 8) + struct.pack(order + "H", len(entries) if count is None else count) + packed


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_what_another_program_makes_of_it(orientation):
    raw = jpeg(orientation)
    assert orientation_of(raw) == orientation
    want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(raw))))
    got = decode(raw, "x")
    assert (got.shape, got.dtype) == (want.shape, np.uint8)
    assert np.abs(got.astype(int) - want).max() <= 2
    as_stored = decode(jpeg(), "x")
    assert orientation == 1 or got.shape != as_stored.shape or np.abs(got.astype(int) - as_stored).max() > 100


def test_the_eight_orientations_are_the_eight_symmetries_of_a_square():
    x = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert len({upright(x, k).tobytes() for k in range(1, 9)}) == 8
    assert upright(x, 1).tolist() == x.tolist()
    for k in (2, 3, 4, 5, 7):
        assert upright(upright(x, k), k).tolist() == x.tolist()
    assert upright(upright(x, 6), 8).tolist() == x.tolist()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("start", [8, 30])
def test_both_byte_orders_and_a_directory_further_on(order, start):
    others = [(0x010F, 2, 5, 99), (0x0100, 3, 1, 7)]
    assert orientation_of(with_segment(tiff(order, [*others, (0x0112, 3, 1, 8)], start))) == 8


def test_other_segments_before_it_and_filling_bytes_are_passed():
    before = b"\xff\xe0\x00\x04ab" + b"\xff\xe1\x00\x06abcd" + b"\xff\xff"
    assert orientation_of(with_segment(tiff(), before=before)) == 6


@pytest.mark.parametrize("raw", [
    jpeg(), with_segment(b""), with_segment(tiff()[:7]), with_segment(b"XX*\0" + tiff()[4:]), with_segment(tiff()[:-1]),
    with_segment(tiff(start=8)[:9]), with_segment(tiff(entries=(), count=65535)),
    with_segment(tiff(entries=[(0x0112, 3, 1, 0)])), with_segment(tiff(entries=[(0x0112, 3, 1, 9)])),
    with_segment(tiff(entries=[(0x0112, 4, 1, 6)])), with_segment(tiff(entries=[(0x0112, 3, 2, 6)])),
    with_segment(b"II*\0\xff\xff\xff\xff" + tiff()[8:]), with_segment(tiff(), marker=0xE2),
    jpeg()[:2] + b"\xff\xe1\xff\xff" + b"Exif\0\0" + tiff(), jpeg()[:2] + b"\xff\xe1\x00\x01", jpeg()[:3]],
    ids=lambda raw: f"{len(raw)} bytes")
def test_what_makes_no_sense_leaves_the_picture_as_it_is_stored(raw):
    assert orientation_of(raw) == 1


def test_after_the_picture_begins_nothing_is_read():
    exif = with_segment(tiff())[2:]
    assert orientation_of(jpeg() + exif) == 1


@given(cut=st.integers(0, 200), at=st.integers(0, 120), byte=st.integers(0, 255))
def test_no_damage_makes_it_fail(cut, at, byte):
    raw = bytearray(with_segment(tiff()))
    raw[at] = byte
    assert orientation_of(raw[:cut]) in range(1, 9)


def test_a_png_has_no_orientation_here():
    raw = jpeg(6, "png")
    np.testing.assert_array_equal(decode(raw, "x"), PIXELS)


def test_a_grey_picture_is_turned_too():
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS[..., 0]).save(out, "jpeg", exif=exif)
    assert decode(out.getvalue(), "x").shape == (24, 16, 3)
