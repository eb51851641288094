"""Relative indices: of sparse codes only those that are not 0, each with the number of zeros before it.

    fields      zeros before an entry, 0 .. 2^bits - 1: the distance from the entry before it, less 1
    values      the codes of the entries

Where there are more zeros than a field can say, a bridging entry of code 0 stands behind 2^bits - 1 of them: 2^bits
zeros with its own. Zeros at the end have no entry, the number of codes is known. Both are meant for a coder of their
own each.

Source      Deep Compression (Han et al. 2016), figure 2 and equation 1; the released AlexNet has this form
"""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_whole, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.coding.packing import WIDTHS
from minilq.errors import ConfigError, DataError, ShapeError
from minilq.quantize.coded import check_codes


def encode(codes: Array, bits: int) -> tuple[Array, Array]:
    """Fields and values of flat codes, int64.

    Raises      ShapeError, DTypeError for what are no flat integers; ConfigError for bits outside 0..32

    >>> encode(np.array([0, 0, 0, 0, 0, 7, 8, 0]), 2)
    (array([3, 1, 0]), array([0, 7, 8]))
    """
    check_codes(codes)
    if codes.ndim != 1:
        raise ShapeError("relative_index", "codes must be flat", got=str(codes.shape), cause="Write codes.reshape(-1)")
    if not is_whole(bits, WIDTHS[0], WIDTHS[-1]):
        raise ConfigError("relative_index", "bits must be a whole number in 0..32", got=shown(bits))
    places = np.flatnonzero(codes)
    runs = np.diff(places, prepend=-1) - 1
    bridges = runs >> bits                       # each stands for 2^bits zeros
    own = np.cumsum(bridges + 1) - 1             # entries of the codes themselves; all others are bridges
    entries = int(bridges.sum()) + len(places)
    fields, values = np.full(entries, (1 << bits) - 1), np.zeros(entries, np.int64)
    fields[own], values[own] = runs & (1 << bits) - 1, codes[places]
    return fields, values


def decode(fields: Array, values: Array, bits: int, count: int) -> Array:
    """The `count` codes, flat int64, that `encode` made these of.

    Raises      DTypeError for what are no integers; DataError for what `encode` never gives: fields without a value
                each, outside 0 .. 2^bits - 1, entries beyond the end, a code 0 that bridges nothing; in bounded time
                and memory
    """
    check_whole("relative_index", "count", count, 0)
    for what, array in (("fields", fields), ("values", values)):
        check_codes(array)
        if array.ndim != 1:
            raise DataError("relative_index", f"{what} must be flat", got=str(array.shape))
    if not is_whole(bits, WIDTHS[0], WIDTHS[-1]):
        raise DataError("relative_index", "bits must be a whole number in 0..32", got=shown(bits))
    if len(fields) != len(values) or len(values) > count:
        raise DataError("relative_index", f"there must be a field for each value, at most {count}",
                        got=f"{len(fields)} fields, {len(values)} values", cause="They are damaged")
    most = (1 << bits) - 1
    if len(fields) and not 0 <= fields.min() <= fields.max() <= most:
        raise DataError("relative_index", f"fields must lie in 0..{most}", got=f"{fields.min()}..{fields.max()}",
                        cause="They are damaged")
    bridging = values == 0
    if (bridging & (fields != most)).any() or bridging[-1:].any():
        raise DataError("relative_index", f"a code of 0 must bridge {most + 1} zeros, and an entry must follow",
                        got="one that does not", cause="They are damaged")
    places = np.cumsum(fields.astype(np.int64) + 1) - 1
    if len(places) and places[-1] >= count:
        raise DataError("relative_index", f"the last entry must be one of {count} codes", got=f"at {places[-1]}",
                        cause="They are damaged")
    codes = np.zeros(count, np.int64)
    codes[places] = values
    return codes
