"""Compiled twins of the inner loops of the Huffman and the range coder."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.jit import jit

TOP = 56                                         # as in coding/interval.py
SHORT = 1 << TOP - 8
ALL = (1 << TOP) - 1


def words_read(content: Array, count: int, per_length: Array) -> tuple[Array, bool]:
    places = np.zeros(count, np.int64)
    return places, _words_read(content, per_length, places)


@jit()
def _words_read(content, per_length, places):  # type: ignore[no-untyped-def]
    at, end = 0, 8 * len(content)
    for i in range(len(places)):
        word, length, first, before = np.int64(0), 0, 0, 0
        while True:
            if at == end:
                return False
            word = word << 1 | np.int64(content[at >> 3]) >> 7 - (at & 7) & 1
            at, length = at + 1, length + 1
            first <<= 1
            words = per_length[length]
            if word - first < words:
                places[i] = before + word - first
                break
            before, first = before + words, first + words
    return True


def narrowed(symbols: Array, ends: Array) -> Array:
    # A symbol's interval is its share of the one before, rounded down by less than a part in 2^17: so many bytes hold
    # them all, with those at the end.
    counts = np.diff(ends)
    bits = np.sum(counts * (np.log2(ends[-1] / counts) + 2.0**-16))
    content = np.empty(int(bits / 8) + 16, np.uint8)
    return content[:_narrowed(symbols, ends, content)]


@jit()
def _narrowed(symbols, ends, content):  # type: ignore[no-untyped-def]
    n, at = ends[-1], 0
    low, span = 0, 1 << TOP
    for i in range(len(symbols)):
        k = symbols[i]
        step = span // n
        low += step * ends[k]
        span = step * (ends[k + 1] - ends[k])
        if low > ALL:
            carried(content, at)
            low &= ALL
        while span < SHORT:
            content[at] = low >> TOP - 8
            at += 1
            low, span = low << 8 & ALL, span << 8
    return ended(content, at, low, span)


@jit(inline=True)
def ended(content, at, low, span):  # type: ignore[no-untyped-def]
    shortest, bits = low, TOP
    while bits >= 0:
        shortest = low + (1 << bits) - 1 >> bits << bits
        if shortest < low + span:
            break
        bits -= 8
    if shortest > ALL:
        carried(content, at)
    for place in range(TOP - 8, -1, -8):
        content[at] = shortest >> place & 255
        at += 1
    return at


@jit(inline=True)
def carried(content, at):  # type: ignore[no-untyped-def]
    at -= 1
    while content[at] == 255:
        content[at] = 0
        at -= 1
    content[at] += 1


def followed(content: Array, ends: Array) -> tuple[Array, bool]:
    symbols = np.zeros(int(ends[-1]), np.int64)
    return symbols, _followed(content, ends, symbols)


@jit()
def _followed(content, ends, symbols):  # type: ignore[no-untyped-def]
    n, at = ends[-1], 0
    number, span = np.int64(0), 1
    while span < 1 << TOP:
        number = number << 8 | (np.int64(content[at]) if at < len(content) else 0)
        at, span = at + 1, span << 8
    for i in range(n):
        step = span // n
        if number >= step * n:
            return False
        share = number // step
        k, above = 0, len(ends) - 1              # ends[k] <= share < ends[above]
        while above - k > 1:
            middle = (k + above) // 2
            if ends[middle] <= share:
                k = middle
            else:
                above = middle
        symbols[i] = k
        number -= step * ends[k]
        span = step * (ends[k + 1] - ends[k])
        while span < SHORT:
            number = number << 8 | (np.int64(content[at]) if at < len(content) else 0)
            at, span = at + 1, span << 8
    return True
