"""The numbers of a file, array after array: plain, or each by the coders of the codes where that takes fewer bytes.

Plain (section F), an array is its numbers in C order, little end first. Coded (section N) it begins with a byte: 0, and
the plain numbers follow; or 1, and their parts follow, the most significant first. A part is an array of whole numbers
in the shape of the array: for "f4", "f8" and "i8" two bytes of each number, as signed 16 bits; for "i1", "i2" and "i4"
the numbers themselves. It is written as

    gamma codes     the number of its coder, from 1, among packed, huffman, range, context; bytes of its table + 1;
                    bytes of its content + 1; zeros fill the last byte
    table, content  as of codes

Scales that are alike have the same upper halves, or such as their neighbours have; the lower halves of trained ones are
noise, and packed. So the same bits come back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minilq.autodiff.tape import Array
from minilq.coding.bits import GammaReader, gamma_codes
from minilq.coding.coders import CODERS
from minilq.errors import DataError
from minilq.store.checks import short, wrong

NAMES = ("packed", "huffman", "range", "context")
LONGEST = 17
"""Bytes of the three gamma codes, at most: 5, 65 and 65 bits."""


def most_coded(size: int) -> int:
    """How many coded numbers a file of `size` bytes may hold: constant ones cost nothing."""
    return (1 << 16) + 64 * size


def plain(array: Array) -> bytes:
    """The numbers, little end first."""
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def written(arrays: Sequence[Array]) -> tuple[bytes, bool]:
    """The section, and whether it is coded: where that is shorter, and may be read again."""
    coded = b"".join(min(b"\0" + plain(array), b"\1" + b"".join(map(_part, _parts(array))), key=len)
                     if array.size > 2 else b"\0" + plain(array) for array in arrays)
    whole = b"".join(map(plain, arrays))
    if len(coded) < len(whole) and sum(array.size for array in arrays) <= most_coded(len(coded)):
        return coded, True
    return whole, False


def _parts(array: Array) -> list[Array]:
    if array.dtype.kind == "i" and array.itemsize < 8:
        return [array]
    halves = np.frombuffer(plain(array), "<i2").reshape(*array.shape, array.itemsize // 2)
    return [halves[..., i] for i in range(array.itemsize // 2 - 1, -1, -1)]


def _part(codes: Array) -> bytes:
    shortest = b""
    for number, name in enumerate(NAMES, start=1):
        table, content = CODERS[name].encode(codes)
        part = gamma_codes([number, len(table) + 1, len(content) + 1]) + table + content
        if not shortest or len(part) < len(shortest):
            shortest = part
    return shortest


class Numbers:
    """A section that is read, array after array. Nothing is trusted. Raises DataError

    >>> content, coded = written([np.full((40, 1), 0.25, np.float32)])
    >>> numbers = Numbers(content, coded)
    >>> len(content), bool((numbers.take("scale", "f4", (40, 1)) == 0.25).all()), numbers.left
    (9, True, 0)
    """

    def __init__(self, content: bytes, coded: bool) -> None:
        self.content, self.coded = content, coded
        self.at, self.most = 0, most_coded(len(content))

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self.content) - self.at

    def take(self, where: str, kind: str, shape: tuple[int, ...]) -> Array:
        """The next array, of this type and shape, finite."""
        dtype, count = np.dtype(f"<{kind}"), math.prod(shape)
        if self.coded:
            self._check_room(where, count)
            self.most -= count
        mark = self._bytes(where, 1) if self.coded else b"\0"
        if mark not in (b"\0", b"\1"):
            raise wrong(where, "plain or coded, 0 or 1", mark)
        if mark == b"\1":
            array = self._joined(where, dtype, shape)
        else:
            array = np.frombuffer(self._bytes(where, count * dtype.itemsize), dtype)
        if not np.isfinite(array).all():
            raise DataError(where, "finite numbers were expected", got="NaN or infinity")
        return array.astype(dtype.newbyteorder("=")).reshape(shape)

    def check_rest(self, count: int) -> None:
        """DataError unless so many numbers of 4 bytes can be the rest: before memory is taken for them."""
        if self.coded and count:
            self._check_room("numbers", count)
        elif self.left != 4 * count:
            raise DataError("numbers", f"{count} numbers of 4 bytes were expected", got=f"{self.left} bytes",
                            cause="The header belongs to other numbers")

    def _check_room(self, where: str, count: int) -> None:
        if count > self.most:
            raise DataError(where, f"at most {self.most} coded numbers were expected", got=short(count),
                            cause="The header belongs to other numbers")

    def _bytes(self, where: str, count: int) -> bytes:
        if count > self.left:
            raise DataError(where, f"at most {self.left} bytes were expected", got=short(count),
                            cause="The header belongs to other numbers")
        self.at += count
        return self.content[self.at - count:self.at]

    def _joined(self, where: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
        if dtype.kind == "i" and dtype.itemsize < 8:
            return self._whole(where, dtype, shape)
        halves = [self._whole(where, np.dtype("<i2"), shape) for _ in range(dtype.itemsize // 2)]
        return np.frombuffer(np.stack(halves[::-1], axis=-1).tobytes(), dtype)

    def _whole(self, where: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
        """A part: whole numbers that its coder gives."""
        reader = GammaReader(self.content[self.at:self.at + LONGEST])
        number, table, content = (reader.number() for _ in range(3))
        told = gamma_codes([number, table, content])
        if number > len(NAMES) or self._bytes(where, len(told)) != told:
            raise wrong(where, f"coded by one of {len(NAMES)} coders, zeros behind its lengths", number)
        encoded = self._bytes(where, table - 1), self._bytes(where, content - 1)
        try:
            codes = CODERS[NAMES[number - 1]].decode(*encoded, shape)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        limits = np.iinfo(dtype)                 # type: ignore[type-var]
        if codes.size and not (limits.min <= codes.min() and codes.max() <= limits.max):
            raise wrong(where, f"whole numbers in {limits.min}..{limits.max}", f"{codes.min()}..{codes.max()}")
        return codes.astype(dtype)
