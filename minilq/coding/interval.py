"""The interval of a range coder: a number in [0, 1) that is narrowed down, from both sides of a file.

An interval [low, low + span) is kept as integers, in units that shrink: at first low = 0 and span = 2^56. While span <
2^48 both are multiplied by 256, in units of 1/256; low keeps 56 bits, and its upper bytes move out to the content. The
last interval holds the shortest number, the smallest of equals, which is the content: the bytes behind its point.

Source      Martin 1979, Range encoding; the carry as in Witten, Neal and Cleary 1987, but into bytes already written
"""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array

TOP = 56
"""Bits of low, above which there is a carry."""
SHORT = 1 << TOP - 8
"""Spans below this one are widened."""
ALL = (1 << TOP) - 1
SHARE = 16
"""Bits of a probability: a bit is 1 in so many of 2^16 parts."""


class Narrowed:
    """What is written.

    >>> number = Narrowed()
    >>> number.to(number.span // 3, number.span // 3)            # the middle third: 0.333... to 0.666...
    >>> number.shortest().tobytes().rstrip(bytes(1)).hex()       # 0x56 / 256 = 0.336
    '56'
    """

    def __init__(self) -> None:
        self.content = bytearray()
        self.low, self.span = 0, 1 << TOP

    def to(self, start: int, length: int) -> None:
        """Go on with the part of the interval that begins at `start`."""
        self.low += start
        self.span = length
        if self.low > ALL:
            _carry(self.content)
            self.low &= ALL
        while self.span < SHORT:
            self.content.append(self.low >> TOP - 8)
            self.low, self.span = self.low << 8 & ALL, self.span << 8

    def bit(self, share: int, wanted: int) -> int:
        """A bit that is 1 in `share` of 2^16 parts, the lower ones: the one that is wanted."""
        ones = (self.span >> SHARE) * share
        self.to(*((0, ones) if wanted else (ones, self.span - ones)))
        return wanted

    def shortest(self) -> Array:
        """The number, uint8, with zeros at its end."""
        for bits in range(TOP, -1, -8):          # leave out as many bits as the interval allows
            shortest = self.low + (1 << bits) - 1 >> bits << bits
            if shortest < self.low + self.span:
                break
        if shortest > ALL:
            _carry(self.content)
        return np.frombuffer(self.content + (shortest & ALL).to_bytes(TOP // 8, "big"), np.uint8)


def _carry(content: bytearray) -> None:
    at = len(content) - 1
    while content[at] == 255:
        content[at] = 0
        at -= 1
    content[at] += 1


class Followed:
    """What is read; behind the end of the content are zeros.

    number      how far the number lies above low
    """

    def __init__(self, content: Array) -> None:
        self.content, self.at = content, TOP // 8
        self.number = int.from_bytes(content[:self.at].tobytes().ljust(self.at, b"\0"), "big")
        self.span = 1 << TOP

    def to(self, start: int, length: int) -> None:
        """Go on with the part of the interval that begins at `start`, which must hold the number."""
        self.number -= start
        self.span = length
        while self.span < SHORT:
            self.number = self.number << 8 | (int(self.content[self.at]) if self.at < len(self.content) else 0)
            self.at, self.span = self.at + 1, self.span << 8

    def bit(self, share: int, wanted: int) -> int:
        """The bit of which `Narrowed.bit` was told the same share; it does not matter what is wanted."""
        ones = (self.span >> SHARE) * share
        found = int(self.number < ones)
        self.to(*((0, ones) if found else (ones, self.span - ones)))
        return found
