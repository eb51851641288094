"""Coders: integer codes to bytes and back, trusting nothing that is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.tape import Array
from minilq.coding import context_coder, huffman, packing, range_coder
from minilq.errors import ConfigError, DataError
from minilq.quantize.coded import check_codes

CODES = np.iinfo(np.int32)


class Encoded(NamedTuple):
    """Codes as bytes: the table says how the content is to be read."""

    table: bytes
    content: bytes


class Coder(NamedTuple):
    """A way to store integer codes. Their shape stands in neither table nor content: the reader must know it.

    write   flat int64 codes within int32 -> (table, content), always the same bytes for the same codes
    read    (table, content, count) -> flat int64 codes; DataError, in bounded time and memory, when that cannot be
    shaped  whether `write` takes the codes in their shape, and `read` that shape, in place of flat ones and their count
    """

    name: str
    write: Callable[[Array], tuple[bytes, bytes]]
    read: Callable[[bytes, bytes, Any], Array]
    shaped: bool = False

    def encode(self, codes: Array) -> Encoded:
        """Codes of any shape, in C order. Raises DTypeError for no integers, ConfigError for codes beyond int32."""
        check_codes(codes)
        if codes.size and not (CODES.min <= codes.min() and codes.max() <= CODES.max):
            raise ConfigError(self.name, f"codes must lie in {CODES.min}..{CODES.max}",
                              got=f"{codes.min()}..{codes.max()}", cause="The scale is far too small for these values")
        k = codes.astype(np.int64, copy=False)
        return Encoded(*self.write(k if self.shaped else k.reshape(-1)))

    def decode(self, table: bytes, content: bytes, shape: int | tuple[int, ...]) -> Array:
        """The codes of this shape, or so many, flat int64, that `encode` turned into these bytes.

        Raises DataError for all bytes that `encode` does not write for any codes: what was decoded is encoded once more
        and compared. So a damaged file gives no codes, or, where no checksum is looked at, other codes that fit its
        bytes; never a crash. Beyond the result it takes at most as much memory once more, a few MB, and up to 300
        bytes for each code that differs from all others.
        """
        if not (isinstance(table, bytes) and isinstance(content, bytes)):
            raise ConfigError(self.name, "table and content must be bytes", got=shown(
                content if isinstance(table, bytes) else table))
        lengths = shape if isinstance(shape, tuple) else (shape,)
        if not all(is_whole(n, 0) for n in lengths):
            raise DataError(self.name, "the number of codes must be a whole number, not negative", got=shown(shape))
        count = math.prod(lengths)
        codes = self.read(table, content, lengths if self.shaped else count)
        if codes.size and not (CODES.min <= codes.min() and codes.max() <= CODES.max):
            raise DataError(self.name, f"codes must lie in {CODES.min}..{CODES.max}",
                            got=f"{codes.min()}..{codes.max()}", cause="The table is damaged")
        if self.write(codes.reshape(lengths) if self.shaped else codes) != (table, content):
            raise DataError(self.name, f"{len(table)} bytes of table and {len(content)} of content must be what "
                            f"encoding {count} codes gives", got="other bytes", cause="They are damaged")
        return codes


CODERS = {coder.name: coder for coder in (
    Coder("packed", packing.write, packing.read),
    Coder("huffman", huffman.write, huffman.read),
    Coder("range", range_coder.write, range_coder.read),
    Coder("context", context_coder.write, context_coder.read, shaped=True),
)}
"""The coders of the model file."""
