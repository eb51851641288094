"""Canonical Huffman codes: each code a whole number of bits, short ones for what is frequent.

    table     gamma codes: the smallest code, `folded`; its length + 1; then for each further code that occurs its
              distance from the one before, and how its length differs, `folded`. No mark ends it: it ends when no word
              is left, sum 2^-length = 1.
    content   the words one after the other, zeros filling the last byte; nothing at all where one code alone occurs

Words stand in the order of their lengths and then of their codes (canonical), so that lengths are all that the table
needs: the first is all zeros, each further one is the word before plus 1, and zeros behind it up to its own length.

Source      Huffman 1952, A Method for the Construction of Minimum-Redundancy Codes; Deep Compression (Han et al. 2016)
"""

from __future__ import annotations

import numpy as np

from minilq.autodiff.tape import Array
from minilq.coding.bits import GammaReader, folded, gamma_codes, pieces, unfolded, written
from minilq.errors import DataError
from minilq.kernels import twin
from minilq.quantize.statistics import histogram

LONGEST = 32
"""Bits of the longest word: enough for 2^32 different codes."""


def write(codes: Array) -> tuple[bytes, bytes]:
    """Table and content of flat codes."""
    if codes.size == 0:
        return b"", b""
    values, counts = histogram(codes)
    lengths = word_lengths(counts)
    words, _ = words_of(lengths)
    symbols = (np.searchsorted(values, part) for part in pieces(codes))
    return _table(values, lengths), written((words[k], lengths[k]) for k in symbols)


def read(table: bytes, content: bytes, count: int) -> Array:
    """The codes behind a table and a content; DataError when they cannot be."""
    if count == 0:
        return np.empty(0, np.int64)
    values, lengths = _read_table(table, count)
    if len(values) == 1:
        return np.full(count, values[0])
    _, order = words_of(lengths)
    per_length = np.bincount(lengths, minlength=LONGEST + 1)
    places, well = words_read(np.frombuffer(content, np.uint8), count, per_length)
    if not well:
        raise DataError("huffman", f"the content must hold {count} codes", got=f"fewer in {len(content)} bytes",
                        cause="It is cut off or damaged")
    return values[order].take(places, out=places, mode="clip")         # in place


def word_lengths(counts: Array) -> Array:
    """Bits of the word for each of the counts > 0, int64, such that their sum over all codes is smallest.

    The two lightest become one, as heavy as both, until one is left; where two weigh the same, one that has not been
    joined comes first, and of these the earlier. A word is as long as its count was joined often. Where one would be
    longer than LONGEST, counts below 2, 4, 8, ... are raised to it until none is. All this is part of the format: files
    with other lengths are taken as damaged.

    >>> word_lengths(np.array([8, 1, 2, 4])), word_lengths(np.array([5]))
    (array([1, 3, 3, 2]), array([0]))
    """
    least = 1
    while True:
        lengths = _joined(np.maximum(counts, least))
        if lengths.max() <= LONGEST:
            return lengths
        least *= 2


def _joined(counts: Array) -> Array:
    # Two queues, both ascending: the single counts, and the sums in the order of their making (van Leeuwen 1976).
    U = len(counts)
    order = np.argsort(counts, kind="stable")
    weights = counts[order].tolist()
    parent = [0] * (2 * U - 1)
    single, joined = 0, U
    for node in range(U, 2 * U - 1):
        total = 0
        for _ in range(2):
            if joined == node or (single < U and weights[single] <= weights[joined]):
                lightest, single = single, single + 1
            else:
                lightest, joined = joined, joined + 1
            parent[lightest] = node
            total += weights[lightest]
        weights.append(total)
    depth = [0] * (2 * U - 1)                    # the last node is the root
    for node in range(2 * U - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    lengths = np.empty(U, np.int64)
    lengths[order] = depth[:U]
    return lengths


def words_of(lengths: Array) -> tuple[Array, Array]:
    """The word of each symbol, and the symbols in the order of their words.

    >>> words_of(np.array([1, 3, 3, 2]))[0]                      # 0 110 111 10
    array([0, 6, 7, 2])
    """
    order = np.argsort(lengths, kind="stable")
    # Side by side at full length, words divide 0..2^LONGEST: each begins where those before it end.
    shares = 1 << LONGEST - lengths[order]
    words = np.empty_like(lengths)
    words[order] = np.cumsum(shares) - shares >> LONGEST - lengths[order]
    return words, order


@twin("entropy")
def words_read(content: Array, count: int, per_length: Array) -> tuple[Array, bool]:
    """Read `count` words of a complete code with per_length[l] words of l bits: the place of each in the order of
    words, int64, and whether the content (uint8) was long enough."""
    places = np.zeros(count, np.int64)
    at, end = 0, 8 * len(content)
    for i in range(count):
        word, length, first, before = 0, 0, 0, 0     # first word of this length, and how many words are shorter
        while True:
            if at == end:
                return places, False
            word = word << 1 | int(content[at >> 3]) >> 7 - (at & 7) & 1
            at, length = at + 1, length + 1
            first <<= 1
            if word - first < per_length[length]:
                places[i] = before + word - first
                break
            before, first = before + int(per_length[length]), first + int(per_length[length])
    return places, True


def _table(values: Array, lengths: Array) -> bytes:
    numbers = [folded(int(values[0])), int(lengths[0]) + 1]
    for distance, longer in zip(np.diff(values).tolist(), np.diff(lengths).tolist(), strict=True):
        numbers += [distance, folded(longer)]
    return gamma_codes(numbers)


def _read_table(table: bytes, count: int) -> tuple[Array, Array]:
    """The codes that occur, ascending, and the lengths of their words: a complete code, of at most `count` words."""
    reader = GammaReader(table)
    values, lengths = [unfolded(reader.number())], [reader.number() - 1]
    room = 1 << LONGEST                          # what the words so far leave of 0..2^LONGEST
    while True:
        if 0 <= lengths[-1] <= LONGEST:
            room -= 1 << LONGEST - lengths[-1]
        if not 0 <= lengths[-1] <= LONGEST or room < 0 or len(values) > count or values[-1] >= 1 << LONGEST:
            raise DataError("huffman", f"the table must hold the words, of at most {LONGEST} bits, of up to {count} "
                            "codes", got=f"{len(values)} or more that do not fit together", cause="It is damaged")
        if room == 0:
            return np.array(values), np.array(lengths)
        values.append(values[-1] + reader.number())
        lengths.append(lengths[-1] + unfolded(reader.number()))
