"""Zero runs: what is not zero, each with the number of zeros before it in a small field.

    table     gamma codes: width of the field + 1; width of a code + 1; the smallest code, `folded`; entries + 1
    content   the fields of all entries, packed; then their codes, packed

A run too long for the field is bridged by entries whose code is 0, each behind as many zeros as the field can say.
Zeros at the end have no entry: the number of codes is known. The width of the field is the one that takes fewest bits.

Source      Deep Compression (Han et al. 2016), relative indices
"""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.coding import relative_index
from minilq.coding.bits import GammaReader, folded, gamma_codes, unfolded
from minilq.coding.packing import WIDTHS, pack, unpack
from minilq.errors import DataError


def write(codes: Array) -> tuple[bytes, bytes]:
    """Table and content of flat codes."""
    if codes.size == 0:
        return b"", b""
    low, high = min(int(codes.min()), 0), max(int(codes.max()), 0)
    width = (high - low).bit_length()
    field = best_field(np.diff(np.flatnonzero(codes), prepend=-1) - 1, width)
    fields, values = relative_index.encode(codes, field)
    table = gamma_codes([field + 1, width + 1, folded(low), len(values) + 1])
    return table, pack(fields, 0, field) + pack(values, low, width)


def best_field(runs: Array, width: int) -> int:
    """Width of the field with which runs of zeros before codes of `width` bits take fewest bits in all.

    >>> best_field(np.array([0, 3, 1, 2]), 4), best_field(np.array([0, 0]), 4)
    (2, 0)
    """
    widths = range(int(runs.max(initial=0)).bit_length() + 1)
    return min(widths, key=lambda field: (int((runs >> field).sum()) + len(runs)) * (field + width))


def read(table: bytes, content: bytes, count: int) -> Array:
    """The codes behind a table and a content; DataError when they cannot be."""
    if count == 0:
        return np.zeros(0, np.int64)
    reader = GammaReader(table)
    field, width = reader.number() - 1, reader.number() - 1
    low, entries = unfolded(reader.number()), reader.number() - 1
    if field not in WIDTHS or width not in WIDTHS or entries > count:
        raise DataError("zero runs", f"fields and codes must have 0..32 bits, of at most {count} entries",
                        got=f"{field} and {width} bits, {entries} entries")
    middle = -(-entries * field // 8)
    fields, values = unpack(content[:middle], entries, 0, field), unpack(content[middle:], entries, low, width)
    return relative_index.decode(fields, values, field, count)
