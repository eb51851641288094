"""A codebook: the codes that occur, numbered, and the number of each code in as few bits as numbers need.

    table     gamma codes: how many codes occur; the smallest, `folded`; of each further one its distance from the one
              before
    content   the numbers, packed, in ceil(log2(how many)) bits each

It beats packing where codes within the range are left out. Source: Deep Compression (Han et al. 2016), weight sharing.
"""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.coding.bits import GammaReader, folded, gamma_codes, unfolded
from minilq.coding.packing import pack, unpack
from minilq.errors import DataError
from minilq.quantize.statistics import bits_for, histogram


def write(codes: Array) -> tuple[bytes, bytes]:
    """Table and content of flat codes."""
    if codes.size == 0:
        return b"", b""
    values, _ = histogram(codes)
    table = gamma_codes([len(values), folded(int(values[0])), *np.diff(values).tolist()])
    return table, pack(np.searchsorted(values, codes), 0, bits_for(len(values)))


def read(table: bytes, content: bytes, count: int) -> Array:
    """The codes behind a table and a content; DataError when they cannot be."""
    if count == 0:
        return np.empty(0, np.int64)
    reader = GammaReader(table)
    different = reader.number()
    if different > count:
        raise DataError("codebook", f"{count} codes cannot be more than {count} different ones", got=str(different))
    values = np.cumsum([unfolded(reader.number()), *(reader.number() for _ in range(different - 1))])
    numbers = unpack(content, count, 0, bits_for(different))
    if numbers.max() >= different:
        raise DataError("codebook", f"every number must be below {different}", got=str(numbers.max()))
    return values[numbers]
