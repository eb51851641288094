"""Coders: integer codes to bytes and back, trusting nothing that is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.tape import Array
from minilq.coding import huffman, packing, range_coder
from minilq.errors import ConfigError, DataError
from minilq.quantize.coded import check_codes

CODES = np.iinfo(np.int32)


class Encoded(NamedTuple):
    """Codes as bytes: the table says how the content is to be read."""

    table: bytes
    content: bytes


class Coder(NamedTuple):
    """A way to store integer codes. Their number stands in neither table nor content: the reader must know it.

    write   flat int64 codes within int32 -> (table, content), always the same bytes for the same codes
    read    (table, content, count) -> flat int64 codes; DataError, in bounded time and memory, when that cannot be
    """

    name: str
    write: Callable[[Array], tuple[bytes, bytes]]
    read: Callable[[bytes, bytes, int], Array]

    def encode(self, codes: Array) -> Encoded:
        """Codes of any shape, in C order. Raises DTypeError for no integers, ConfigError for codes beyond int32."""
        check_codes(codes)
        if codes.size and not (CODES.min <= codes.min() and codes.max() <= CODES.max):
            raise ConfigError(self.name, f"codes must lie in {CODES.min}..{CODES.max}",
                              got=f"{codes.min()}..{codes.max()}", cause="The scale is far too small for these values")
        return Encoded(*self.write(codes.reshape(-1).astype(np.int64, copy=False)))

    def decode(self, table: bytes, content: bytes, count: int) -> Array:
        """The `count` codes, flat int64, that `encode` turned into these bytes.

        Raises DataError for all bytes that `encode` does not write for any codes: what was decoded is encoded once more
        and compared. So a damaged file gives no codes, or, where no checksum is looked at, other codes that fit its
        bytes; never a crash. Beyond the result it takes at most as much memory once more, a few MB, and up to 300
        bytes for each code that differs from all others.
        """
        if not (isinstance(table, bytes) and isinstance(content, bytes)):
            raise ConfigError(self.name, "table and content must be bytes", got=shown(
                content if isinstance(table, bytes) else table))
        if not is_whole(count, 0):
            raise DataError(self.name, "the number of codes must be a whole number, not negative", got=shown(count))
        codes = self.read(table, content, count)
        if codes.size and not (CODES.min <= codes.min() and codes.max() <= CODES.max):
            raise DataError(self.name, f"codes must lie in {CODES.min}..{CODES.max}",
                            got=f"{codes.min()}..{codes.max()}", cause="The table is damaged")
        if self.write(codes) != (table, content):
            raise DataError(self.name, f"{len(table)} bytes of table and {len(content)} of content must be what "
                            f"encoding {count} codes gives", got="other bytes", cause="They are damaged")
        return codes


CODERS = {coder.name: coder for coder in (
    Coder("packed", packing.write, packing.read),
    Coder("huffman", huffman.write, huffman.read),
    Coder("range", range_coder.write, range_coder.read),
)}
"""The coders of the model file."""
