"""Bit-packing: integers of a small range in as few bits each as the range needs."""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DataError, DTypeError

WIDTHS = range(33)


def pack(codes: Array, low: int, width: int) -> bytes:
    """Each code minus `low` in `width` bits, most significant first, the last byte filled with zeros.

    Raises ConfigError when a code does not fit, DTypeError for codes that are no integers.

    >>> pack(np.array([-2, 1, 0]), low=-2, width=2).hex()        # 00 11 10 (00)
    '38'
    """
    codes = np.asarray(codes)
    if codes.size and codes.dtype.kind not in "iu":
        raise DTypeError("pack", "codes must be integers", got=str(codes.dtype))
    offsets = codes.reshape(-1).astype(np.int64) - low
    if width not in WIDTHS:
        raise ConfigError("pack", "width must lie in 0..32", got=str(width))
    if offsets.size and (offsets.min() < 0 or offsets.max() >= 1 << width):
        raise ConfigError("pack", f"codes must lie in {low}..{low + (1 << width) - 1} for {width} bits",
                          got=f"{offsets.min() + low}..{offsets.max() + low}")
    places = np.arange(width - 1, -1, -1)
    return np.packbits((offsets[:, None] >> places & 1).astype(np.uint8)).tobytes()


def unpack(packed: bytes, count: int, low: int, width: int) -> Array:
    """The `count` codes (int64) that `pack` made; DataError when the length is not that of count codes."""
    if width not in WIDTHS or count < 0:
        raise ConfigError("unpack", "width must lie in 0..32 and count not be negative", got=f"{width}, {count}")
    if len(packed) != -(-count * width // 8):
        raise DataError("unpack", f"{count} codes of {width} bits take {-(-count * width // 8)} bytes",
                        got=f"{len(packed)} bytes")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=count * width).reshape(count, width)
    return bits.astype(np.int64) @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64)) + low
