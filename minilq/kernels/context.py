"""Compiled twins of the adaptive coder: coding/context_coder.py says what is done, and why."""

from __future__ import annotations

import numpy as np

from minilq.kernels.entropy import ALL, SHORT, TOP, carried, ended
from minilq.kernels.groups import Array
from minilq.kernels.jit import jit

Tables = tuple[Array, Array, Array]
LONGEST, SIGN, BELOW, NODES, START, HEAVIEST = 32, 16, 20, 84, 13700, 1 << 20       # as in coding/context_coder.py
BEGINS = (0, 1, 65, 193, 449)
CONTEXTS = 1473
MOST = 200
"""Bytes that one code may take: 65 bits, each of a share of at least 1 in 2^16."""


def foreseen(codes: Array, columns: int, period: int, tables: Tables) -> Array:
    room = len(codes) + MOST
    while True:
        content = np.empty(room, np.uint8)
        end = _each(codes, content, True, columns, period, *tables)
        if end >= 0:
            return content[:end]
        room *= 2


def seen(content: Array, count: int, columns: int, period: int, tables: Tables) -> Array:
    codes = np.zeros(count, np.int64)
    _each(codes, content.copy(), False, columns, period, *tables)
    return codes


@jit()
def _each(codes, content, writing, columns, period, stretch, squash, rates):  # type: ignore[no-untyped-def]
    p, met = np.full(NODES * CONTEXTS, 1 << 15, np.int32), np.zeros(NODES * CONTEXTS, np.uint8)
    w = np.full((NODES, 5), START, np.int64)
    contexts, x = np.empty(5, np.int64), np.empty(5, np.int64)
    state = np.array([0, 1 << TOP, 0, 0, 0])     # low, span, place in the content, number above low, bits so far
    if not writing:
        state[1] = 1
        while state[1] < 1 << TOP:
            _next(content, state)
    activity = 0
    for i in range(len(codes)):
        if writing and state[2] + MOST > len(content):
            return -1
        k = codes[i]
        up, far = _before(codes, i, columns), _before(codes, i, period * columns)
        near = 2 * up + 2 * far + _before(codes, i, 2 * columns) + _before(codes, i, (period - 1) * columns)
        near += _before(codes, i, (period + 1) * columns) + _before(codes, i, 2 * period * columns)
        contexts[0] = 0
        contexts[1] = BEGINS[1] + 2 * min(_sized(abs(near), 1), 31) + (near < 0)
        contexts[2] = BEGINS[2] + _sized(activity, 2)
        contexts[3] = BEGINS[3] + 16 * (min(max(up, -8), 7) + 8) + min(max(far, -8), 7) + 8
        contexts[4] = BEGINS[4] + i % columns % 1024
        magnitude = abs(k)
        n, length, negative = _length(magnitude), 0, 0
        while length < LONGEST and _bit(n > length, min(length, 15), state, content, writing, contexts, x, p, met, w,
                                        stretch, squash, rates):
            length += 1
        if length > 0:
            negative = _bit(k < 0, SIGN + min(length, 3), state, content, writing, contexts, x, p, met, w, stretch,
                            squash, rates)
        size = min(length, 1)
        for place in range(length - 2, -1, -1):
            node = BELOW + 8 * min(length - 2, 7) + (size if length - place <= 4 else 0)
            size = 2 * size + _bit(magnitude >> place & 1, node, state, content, writing, contexts, x, p, met, w,
                                   stretch, squash, rates)
        codes[i] = -size if negative else size
        activity += (1024 * min(size, 4095) - activity) >> 4
    return ended(content, state[2], state[0], state[1]) if writing else 0


@jit()
def _bit(wanted, node, state, content, writing, contexts, x, p, met, w, stretch, squash,  # type: ignore[no-untyped-def]
         rates):
    total = 0
    for j in range(5):
        x[j] = stretch[p[node * CONTEXTS + contexts[j]] >> 4]
        total += w[node, j] * x[j]
    share = squash[min(max((total + 2**15 >> 16) + len(squash) // 2, 0), len(squash) - 1)]
    ones = (state[1] >> 16) * share
    found = np.int64(wanted) if writing else np.int64(state[3] < ones)
    if found:
        state[1] = ones
    else:
        state[0] += ones
        state[1] -= ones
        state[3] -= ones
    if writing and state[0] > ALL:
        carried(content, state[2])
        state[0] &= ALL
    while state[1] < SHORT:
        if writing:
            content[state[2]] = state[0] >> TOP - 8
            state[0] = state[0] << 8 & ALL
            state[1] <<= 8
            state[2] += 1
        else:
            _next(content, state)
    rate = 65 + 1310 * 4096 // (4096 + state[4])
    state[4] += 1
    for j in range(5):
        learned = w[node, j] + (rate * ((found << 16) - share) * x[j] + 2**23 >> 24)
        w[node, j] = min(max(learned, -HEAVIEST), HEAVIEST)
        place = node * CONTEXTS + contexts[j]
        p[place] += (found * 65535 - p[place]) * rates[met[place]] >> 16
        met[place] = min(np.int64(met[place]) + 1, 255)
    return found


@jit(inline=True)
def _next(content, state):  # type: ignore[no-untyped-def]
    state[3] = state[3] << 8 | (np.int64(content[state[2]]) if state[2] < len(content) else 0)
    state[1] <<= 8
    state[2] += 1


@jit(inline=True)
def _before(codes, i, distance):  # type: ignore[no-untyped-def]
    return codes[i - distance] if i >= distance else np.int64(0)


@jit(inline=True)
def _length(size):  # type: ignore[no-untyped-def]
    n = 0
    while size > 0:
        size >>= 1
        n += 1
    return n


@jit(inline=True)
def _sized(size, fine):  # type: ignore[no-untyped-def]
    n = _length(size)
    return (n << fine) + (size << fine >> n - 1 & (1 << fine) - 1) if n > 0 else 0
