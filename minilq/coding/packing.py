"""Bit-packing: integers of a small range in as few bits each as the range needs."""

from __future__ import annotations

import numpy as np

from minilq.arguments import as_array, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.coding.bits import CHUNK, pieces, written
from minilq.errors import ConfigError, DataError
from minilq.quantize.coded import check_codes

WIDTHS = range(33)
HEADER = 5
"""Bytes of the table: the smallest code (int32, little end first) and the width (uint8)."""


def pack(codes: Array, low: int, width: int) -> bytes:
    """Each code minus `low` in `width` bits, most significant first, the last byte filled with zeros.

    Raises ConfigError when a code does not fit, DTypeError for codes that are no integers.

    >>> pack(np.array([-2, 1, 0]), low=-2, width=2).hex()        # 00 11 10 (00)
    '38'
    """
    codes = as_array("pack", codes, "codes")
    if codes.size:
        check_codes(codes)
    codes = codes.reshape(-1).astype(np.int64, copy=False)
    if not is_whole(width, 0, 32) or not is_whole(low):
        raise ConfigError("pack", "low must be a whole number and width lie in 0..32",
                          got=f"{shown(low)}, {shown(width)}")
    high = low + (1 << width) - 1
    if codes.size and not (low <= codes.min() and codes.max() <= high):
        raise ConfigError("pack", f"codes must lie in {low}..{high} for {width} bits",
                          got=f"{codes.min()}..{codes.max()}")
    return written((part - low, np.full(len(part), width)) for part in pieces(codes))


def packed_length(count: int, width: int) -> int:
    """Bytes that `pack` makes of `count` codes; ConfigError for a width that it has not.

    >>> packed_length(3, 2)
    1
    """
    if not is_whole(width, 0, 32) or not is_whole(count, 0):
        raise ConfigError("pack", "the width must lie in 0..32 and count not be negative",
                          got=f"{shown(width)}, {shown(count)}")
    return -(-count * width // 8)


def unpack(packed: bytes, count: int, low: int, width: int) -> Array:
    """The `count` codes (int64) that `pack` made; DataError when the length is not that of count codes."""
    if not is_whole(width, 0, 32) or not is_whole(count, 0) or not is_whole(low):
        raise ConfigError("unpack", "low must be a whole number, width lie in 0..32 and count not be negative",
                          got=f"{shown(low)}, {shown(width)}, {shown(count)}")
    if not isinstance(packed, bytes):
        raise ConfigError("unpack", "what is packed must be bytes", got=shown(packed))
    if len(packed) != (length := packed_length(count, width)):
        raise DataError("unpack", f"{count} codes of {width} bits take {length} bytes",
                        got=f"{len(packed)} bytes")
    codes = np.full(count, low, np.int64)
    values = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
    content = np.frombuffer(packed, np.uint8)
    for start in range(0, count if width else 0, CHUNK):
        part = codes[start:start + CHUNK]
        bits = np.unpackbits(content[start * width // 8:][:CHUNK * width // 8], count=len(part) * width)
        part += bits.reshape(-1, width).astype(np.int64) @ values
    return codes


def write(codes: Array) -> tuple[bytes, bytes]:
    """Table and content of flat codes: the smallest and the width, see HEADER; then `pack`."""
    low, high = (int(codes.min()), int(codes.max())) if codes.size else (0, 0)
    width = (high - low).bit_length()
    return low.to_bytes(4, "little", signed=True) + bytes([width]), pack(codes, low, width)


def read(table: bytes, content: bytes, count: int) -> Array:
    """The codes behind a table and a content; DataError when they cannot be."""
    if len(table) != HEADER or table[4] not in WIDTHS:
        raise DataError("packed codes", f"the table must have {HEADER} bytes, the last one a width of 0..32",
                        got=table[:2 * HEADER].hex(" ") or "nothing")
    return unpack(content, count, int.from_bytes(table[:4], "little", signed=True), table[4])
