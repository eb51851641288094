"""Numbers as bits, one after the other: of given widths, and as Elias' gamma codes, which end by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DataError

CHUNK = 1 << 13
"""Numbers taken apart at once, so that memory is bounded. A multiple of 8: they end with a byte, whatever the width."""
LARGEST = 1 << 32
"""The largest number that tables hold: that of the code -2^31, and more than any distance between two codes."""


def pieces(array: Array) -> Iterator[Array]:
    """A flat array in pieces of CHUNK entries."""
    return (array[start:start + CHUNK] for start in range(0, len(array), CHUNK))


def written(parts: Iterable[tuple[Array, Array]]) -> bytes:
    """Each number >= 0 in its own width, most significant bit first; zeros fill the last byte.

    parts   pairs (numbers, widths) of integer arrays of one length, each of which is worked on at once

    >>> written([(np.array([1, 5]), np.array([2, 3]))]).hex()        # 01 101 (000)
    '68'
    """
    whole, rest = [], np.empty(0, np.uint8)
    for numbers, widths in parts:
        places = np.arange(int(widths.max(initial=0)) - 1, -1, -1)
        bits = (numbers[:, None] >> places & 1).astype(np.uint8)[places < widths[:, None]]
        bits = np.concatenate([rest, bits])
        end = len(bits) // 8 * 8
        whole.append(np.packbits(bits[:end]))
        rest = bits[end:]
    return np.concatenate([*whole, np.packbits(rest)]).tobytes()


def gamma_widths(numbers: Array) -> Array:
    """Bits of Elias' gamma code of numbers m >= 1: 2 floor(log2 m) + 1.

    The code is floor(log2 m) zeros and then m in binary, which begins with a one: m itself, in that many bits. So
    `written` of m and gamma_widths(m) writes it.
    Source      Elias 1975, Universal codeword sets

    >>> gamma_widths(np.array([1, 2, 3, 4]))
    array([1, 3, 3, 5])
    """
    return 2 * np.frexp(np.asarray(numbers, np.float64))[1].astype(np.int64) - 1     # frexp: floor(log2 m) + 1


def gamma_codes(numbers: list[int] | Array) -> bytes:
    """Gamma codes of numbers 1..LARGEST, zeros filling the last byte."""
    return written((part, gamma_widths(part)) for part in pieces(np.asarray(numbers, np.int64)))


class GammaReader:
    """Reads gamma codes from a table that may be damaged; DataError where none can stand.

    >>> reader = GammaReader(gamma_codes([24, 1]))
    >>> reader.number(), reader.number()
    (24, 1)
    """

    def __init__(self, table: bytes) -> None:
        self.table = table
        self.at = 0                              # in bits

    def number(self) -> int:
        """The next number, 1..LARGEST."""
        byte, bit = divmod(self.at, 8)
        window = int.from_bytes(self.table[byte:byte + 9].ljust(9, b"\0"), "big") << bit & (1 << 72) - 1
        width = 2 * (72 - window.bit_length()) + 1
        number = window >> max(72 - width, 0)
        if number > LARGEST or self.at + width > 8 * len(self.table):
            raise DataError("table", "must hold as many numbers, each at most 2^32, as it promises",
                            got=f"none at bit {self.at} of {8 * len(self.table)}", cause="It is cut off or damaged")
        self.at += width
        return number


def folded(code: int) -> int:
    """A whole number as a positive one, small ones as small ones: 0, -1, 1, -2 -> 1, 2, 3, 4."""
    return 2 * code + 1 if code >= 0 else -2 * code


def unfolded(number: int) -> int:
    """The code that `folded` made a number >= 1 of.

    >>> [unfolded(folded(code)) for code in (-2, -1, 0, 7)]
    [-2, -1, 0, 7]
    """
    return number // 2 if number % 2 else -(number // 2)
