"""A static range coder: n codes of entropy H in n H / 8 bytes and hardly one more, after a table of their counts.

    table     gamma codes: the smallest code, `folded`, and its count; then for each further code that occurs its
              distance from the one before, and its count. No mark ends it: it ends when the counts add up to n.
    content   one number in [0, 1), as the bytes behind its point; see interval.py. Each code in turn narrows the
              interval from which the number may come, to a part as long as the code is frequent. Zeros at the end are
              left out; one code alone needs no number at all.

A code that occurs c times, while smaller codes occur b times in all, makes of the interval

    step = floor(span / n),  low + step b,  step c

For n < 2^31 all that fits into 64 bits, and what rounding loses is below n / 2^48 of each interval.
"""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.coding.bits import GammaReader, folded, gamma_codes, pieces, unfolded
from minilq.coding.interval import Followed, Narrowed
from minilq.errors import ConfigError, DataError
from minilq.kernels import twin
from minilq.quantize.statistics import histogram

MOST = (1 << 31) - 1
"""Codes in one content."""


def write(codes: Array) -> tuple[bytes, bytes]:
    """Table and content of flat codes. Raises ConfigError for more than 2^31 - 1 of them."""
    if codes.size > MOST:
        raise ConfigError("range", f"at most {MOST} codes can stand in one content", got=str(codes.size))
    if codes.size == 0:
        return b"", b""
    values, counts = histogram(codes)
    if len(values) == 1:
        return _table(values, counts), b""
    symbols = np.empty(codes.size, np.int32)     # in pieces, to save memory
    for k, part in zip(pieces(symbols), pieces(codes), strict=True):
        k[...] = np.searchsorted(values, part)
    return _table(values, counts), narrowed(symbols, _ends(counts)).tobytes().rstrip(b"\0")


def read(table: bytes, content: bytes, count: int) -> Array:
    """The codes behind a table and a content; DataError when they cannot be."""
    if count == 0:
        return np.empty(0, np.int64)
    if count > MOST:
        raise DataError("range", f"at most {MOST} codes can stand in one content", got=str(count))
    values, counts = _read_table(table, count)
    if len(values) == 1:
        return np.full(count, values[0])
    symbols, well = followed(np.frombuffer(content, np.uint8), _ends(counts))
    if not well:
        raise DataError("range", "the content must lie within the intervals of its codes", got="a number between them",
                        cause="Table or content is damaged")
    return values.take(symbols, out=symbols, mode="clip")               # in place


def _ends(counts: Array) -> Array:
    """Where the part of each symbol begins within 0..n, and n."""
    return np.concatenate([[0], np.cumsum(counts)])


@twin("entropy")
def narrowed(symbols: Array, ends: Array) -> Array:
    """The shortest number (uint8 behind the point, zeros at its end) in the interval that the symbols narrow to.

    Symbol k has the part ends[k]..ends[k + 1] of 0..ends[-1].
    """
    n, number = int(ends[-1]), Narrowed()
    for k in symbols.tolist():
        step = number.span // n
        number.to(step * int(ends[k]), step * int(ends[k + 1] - ends[k]))
    return number.shortest()


@twin("entropy")
def followed(content: Array, ends: Array) -> tuple[Array, bool]:
    """The symbols, int64, whose intervals hold the number; False beside them when it lies in no symbol's part."""
    n, inside = int(ends[-1]), Followed(content)
    symbols = np.zeros(n, np.int64)
    for i in range(n):
        step = inside.span // n
        if inside.number >= step * n:
            return symbols, False
        k = int(np.searchsorted(ends, inside.number // step, "right")) - 1
        symbols[i] = k
        inside.to(step * int(ends[k]), step * int(ends[k + 1] - ends[k]))
    return symbols, True


def _table(values: Array, counts: Array) -> bytes:
    numbers = [folded(int(values[0])), int(counts[0])]
    for distance, number in zip(np.diff(values).tolist(), counts[1:].tolist(), strict=True):
        numbers += [distance, number]
    return gamma_codes(numbers)


def _read_table(table: bytes, count: int) -> tuple[Array, Array]:
    """The codes that occur, ascending, and their counts, which add up to `count`."""
    reader = GammaReader(table)
    values, counts = [unfolded(reader.number())], [reader.number()]
    left = count - counts[0]
    while left > 0:
        values.append(values[-1] + reader.number())
        counts.append(reader.number())
        left -= counts[-1]
        if values[-1] > MOST:
            break
    if left != 0:
        raise DataError("range", f"the counts of the table must add up to {count}, of codes below 2^31",
                        got=f"{count - left} up to code {values[-1]}", cause="It is damaged")
    return np.array(values), np.array(counts)
