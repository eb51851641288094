"""The orientation of a JPEG picture, from its Exif data, and a picture turned as it is meant to be seen."""

import struct

import numpy as np
from numpy.typing import NDArray

_START_OF_SCAN, _EXIF_SEGMENT = 0xDA, 0xE1
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_ORIENTATION, _SHORT = 0x0112, 3


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The picture (H, W, ...) as it is meant to be seen: mirrored for 2, 4, 5, 7, turned for 3, 5, 6, 7, 8.

    >>> upright(np.array([[1, 2], [3, 4]], np.uint8), 6)         # a camera held upright: a quarter turn to the right
    array([[3, 1],
           [4, 2]], dtype=uint8)
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def orientation_of(jpeg: bytes | bytearray) -> int:
    """1 to 8 as in the Exif standard; 1, as it is stored, where there is none or it makes no sense.

    Only the first Exif segment before the picture itself is read, and in it only the first directory.
    """
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:                       # a byte that fills up
            at += 1
            continue
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        length = int.from_bytes(jpeg[at + 2:at + 4], "big")
        content = bytes(jpeg[at + 4:at + 2 + length])
        if marker == _START_OF_SCAN or length < 2 or len(content) != length - 2:
            return 1
        if marker == _EXIF_SEGMENT and content.startswith(b"Exif\0\0"):
            return _in_directory(content[6:])
        at += 2 + length
    return 1


def _in_directory(tiff: bytes) -> int:
    """The orientation in the first directory of TIFF data."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack(order + "I", tiff[4:8])
    entries = tiff[start:start + 2]
    if len(entries) < 2:
        return 1
    (count,) = struct.unpack(order + "H", entries)
    for k in range(count):
        entry = tiff[start + 2 + 12 * k:start + 14 + 12 * k]
        if len(entry) < 12:
            return 1
        tag, kind, numbers, value, _ = struct.unpack(order + "HHIHH", entry)
        if tag == _ORIENTATION:
            return int(value) if kind == _SHORT and numbers == 1 and 1 <= value <= 8 else 1
    return 1
