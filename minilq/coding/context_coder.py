"""An adaptive coder: each bit of a code is foreseen from the codes before it, and costs little where it was foreseen.

    table     gamma codes: the most common code, `folded` (of equals the smallest); the period of the rows
    content   one number in [0, 1), as the bytes behind its point; see interval.py. Zeros at its end are left out

Nothing is counted beforehand: the reader learns from what it has read, just as the writer did. So there is no table of
counts, and codes that depend on their neighbours take fewer bytes than their entropy, which takes them as independent.

**Bits.** k is a code minus the most common one, |k| has n bits, at most 32. First n in ones, and a zero unless n = 32;
where n > 0, a one if k < 0; then what follows the leading one of |k|, from above. Each bit has a node, the kind of
decision that it is: one for each of the first 15 zeros and ones of n and one for the others; one for the sign at n = 1,
at n = 2 and above; and for each n from 2 to 8, and for all above, one for each beginning of at most three bits of |k|,
and one for what is behind them.

**Contexts.** The codes are rows as long as the last axis, of one code each where there is one row alone. `up`, `far`,
... are the k of the same column so many rows before, 0 where there are none. Five things are looked at:

    nothing
    the surroundings    2 up + 2 far + the one 2 rows before, and those period - 1, period + 1 and 2 period before
    activity            a running mean of |k|: a <- a + floor((1024 min(|k|, 4095) - a) / 16), at first 0
    neighbours          up and far, one row and a period before, each within -8..7
    the column          modulo 1024

The first layer of a network of images has a period: the pixel above. Surroundings and activity are told apart by their
size, in 2 and 4 steps for each doubling, and surroundings by their sign.

**Probabilities.** For every node and context there is a probability p that the bit is 1, in 1 / 2^16, at first a half.
After the n-th bit there, from 0, but at most the 255th, it moves by 2 / (2 n + 3) of the way to that bit. The five p,
as x = ln(p / (1 - p)) in steps of 1 / 256, are added with weights w, which each node has for itself, at first 0.209;
their sum, back as a share of 2^16 parts, is what the interval is divided by. Then each weight learns from the error e
= bit - share: w <- w + rate x e. The rate falls from 0.021 to 0.001. All this is done in whole numbers, as below, so
that every machine does the same.

Source      Mahoney 2005, Adaptive Weighing of Context Models for Lossless Data Compression; for networks DeepCABAC
            (Wiedemann et al. 2020), whose bits of a code these are, nearly
"""

from __future__ import annotations

import math

import numpy as np

from minilq.autodiff.tape import Array
from minilq.coding.bits import GammaReader, folded, gamma_codes, unfolded
from minilq.coding.interval import Followed, Narrowed
from minilq.errors import DataError
from minilq.kernels import twin
from minilq.quantize.statistics import histogram

Tables = tuple[Array, Array, Array]
LONGEST = 32
"""Bits of the largest difference between two codes."""
UNARY, SIGN, BELOW, NODES = 0, 16, 20, 84
"""Where the nodes of n, of the sign and of the bits below begin, and how many there are in all."""
BEGINS = (0, 1, 65, 193, 449, 1473)
"""Where the contexts of each kind begin, and how many there are in all."""
FURTHEST, SAMPLE = 64, 1 << 16
"""Rows between which a period is looked for, and codes that are looked at."""
STRETCH = np.rint(256 * np.log((2 * np.arange(4096) + 1) / (8191 - 2 * np.arange(4096)))).astype(np.int64)
"""256 ln(p / (1 - p)) of p = (i + 1/2) / 4096."""
REACH = 2304
SQUASH = np.rint(65536 / (1 + np.exp(-np.arange(-REACH, REACH) / 256))).astype(np.int64)
"""2^16 / (1 + e^-x) of x = i / 256 - 9."""
RATES = 131072 // (2 * np.arange(256) + 3)
"""How far a probability moves, in 1 / 2^16, by how many bits it has seen."""
TABLES = STRETCH, SQUASH, RATES
START = 13700
HEAVIEST = 1 << 20
"""Weights, in 1 / 2^16: at first, and at most."""


def write(codes: Array) -> tuple[bytes, bytes]:
    """Table and content of codes, in their shape."""
    if codes.size == 0:
        return b"", b""
    values, counts = histogram(codes)
    common = int(values[counts.argmax()])
    columns = _columns(codes.shape)
    period = period_of(codes.reshape(-1, columns))
    content = foreseen(codes.reshape(-1) - common, columns, period, TABLES).tobytes().rstrip(b"\0")
    return gamma_codes([folded(common), period]), content


def read(table: bytes, content: bytes, shape: tuple[int, ...]) -> Array:
    """The codes behind a table and a content, flat; DataError when they cannot be."""
    if math.prod(shape) == 0:
        return np.empty(0, np.int64)
    reader = GammaReader(table)
    common, period = unfolded(reader.number()), reader.number()
    if not 2 <= period <= FURTHEST:
        raise DataError("context", f"the period must be 2..{FURTHEST}", got=str(period), cause="The table is damaged")
    codes = seen(np.frombuffer(content, np.uint8), math.prod(shape), _columns(shape), period, TABLES)
    codes += common
    return codes


def _columns(shape: tuple[int, ...]) -> int:
    return shape[-1] if len(shape) > 1 and math.prod(shape) > shape[-1] else 1


def period_of(rows: Array) -> int:
    """After how many rows, 2 to FURTHEST and at most half of them, codes are most alike: sum |k - k'| / number of them.

    Of equals it is the shortest; 2 where there is none. The first SAMPLE codes are looked at, cut off at 16 bits.

    >>> period_of(np.array([[1], [5], [9], [1], [5], [9], [2]]))
    3
    """
    few = np.clip(rows[:max(SAMPLE // rows.shape[1], 1)], -2**15, 2**15 - 1).astype(np.int32)
    best, of_best, number = 2, 1, 0              # |k - k'| adds up to of_best for `number` pairs: at first to infinity
    for period in range(2, min(FURTHEST, len(few) // 2) + 1):
        differences = int(np.abs(few[period:] - few[:-period]).sum(dtype=np.int64))
        pairs = few[period:].size
        if differences * number < of_best * pairs:
            best, of_best, number = period, differences, pairs
    return best


@twin("context")
def foreseen(codes: Array, columns: int, period: int, tables: Tables) -> Array:
    """The shortest number (uint8 behind the point, zeros at its end) for int64 codes less than 2^32 from 0."""
    number = Narrowed()
    _each(codes, number, columns, period, Model(tables))
    return number.shortest()


@twin("context")
def seen(content: Array, count: int, columns: int, period: int, tables: Tables) -> Array:
    """The codes, int64, for which `foreseen` gives this number."""
    codes = np.zeros(count, np.int64)
    _each(codes, Followed(content), columns, period, Model(tables))
    return codes


def _each(codes: Array, number: Narrowed | Followed, columns: int, period: int, model: Model) -> None:
    """Code after code, written or read into the array."""
    activity = 0
    for i in range(len(codes)):
        k = int(codes[i])                        # what is wanted; to a reader it says nothing
        model.look([*_rows_before(codes, i, columns, period), activity, i % columns])
        length = 0
        while length < LONGEST and model.bit(number, UNARY + min(length, 15), abs(k).bit_length() > length):
            length += 1
        negative = length > 0 and model.bit(number, SIGN + min(length, 3), k < 0)
        size = min(length, 1)
        for place in range(length - 2, -1, -1):
            begun = size if length - place <= 4 else 0
            size = 2 * size + model.bit(number, BELOW + 8 * min(length - 2, 7) + begun, abs(k) >> place & 1)
        codes[i] = -size if negative else size
        activity += (1024 * min(size, 4095) - activity) >> 4


def _rows_before(codes: Array, i: int, columns: int, period: int) -> list[int]:
    rows = (1, period, 2, period - 1, period + 1, 2 * period)
    return [int(codes[i - n * columns]) if i >= n * columns else 0 for n in rows]


class Model:
    """What has been learned: a probability for every node and context, how often each was met, and weights."""

    def __init__(self, tables: Tables) -> None:
        self.stretch, self.squash, self.rates = (table.tolist() for table in tables)
        self.p = [1 << 15] * (NODES * BEGINS[-1])
        self.met = [0] * len(self.p)
        self.w = [[START] * 5 for _ in range(NODES)]
        self.bits = 0

    def look(self, around: list[int]) -> None:
        """At up, far, the four further rows, activity and the column of the next code."""
        up, far, *others, activity, column = around
        near = 2 * up + 2 * far + sum(others)
        kinds = (0, 2 * min(sized(abs(near), 1), 31) + (near < 0), sized(activity, 2),
                 16 * (min(max(up, -8), 7) + 8) + min(max(far, -8), 7) + 8, column % 1024)
        self.contexts = [begin + kind for begin, kind in zip(BEGINS[:-1], kinds, strict=True)]

    def bit(self, number: Narrowed | Followed, node: int, wanted: int) -> int:
        """The next bit, of a decision of this kind; then the model knows better."""
        at, w = [node * BEGINS[-1] + context for context in self.contexts], self.w[node]
        x = [self.stretch[self.p[place] >> 4] for place in at]
        total = sum(a * b for a, b in zip(w, x, strict=True)) + 2**15 >> 16
        share = self.squash[min(max(total + REACH, 0), 2 * REACH - 1)]
        found = number.bit(share, wanted)
        rate = 65 + 1310 * 4096 // (4096 + self.bits)
        self.bits += 1
        for j, place in enumerate(at):
            learned = w[j] + (rate * ((found << 16) - share) * x[j] + 2**23 >> 24)
            w[j] = min(max(learned, -HEAVIEST), HEAVIEST)
            self.p[place] += (found * 65535 - self.p[place]) * self.rates[self.met[place]] >> 16
            self.met[place] = min(self.met[place] + 1, 255)
        return found


def sized(size: int, fine: int) -> int:
    """A size >= 0 on a scale of 2^fine steps for each doubling.

    >>> [sized(n, 1) for n in (0, 1, 2, 3, 4, 6, 8)]
    [0, 2, 4, 5, 6, 7, 8]
    """
    n = size.bit_length()
    return (n << fine) + ((size << fine >> n - 1) & (1 << fine) - 1) if n else 0
