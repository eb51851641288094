"""Compiled twins of batch normalisation.

Channels are the last axis and often few, too few for a fast inner loop. So memory is walked in lines of whole pixels,
about LINE numbers or one pixel; lane k of a line belongs to channel k modulo C. Sums run over blocks of lines whose
size depends on C alone, in the dtype of x inside a block and in float64 across them, so the number of threads changes
nothing.

Every kernel reads max(x, floor): a relu before the normalisation costs nothing, with floor = 0; without one floor is
minus infinity.
"""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import SUMS, jit
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import ask_ahead

LINE = 256
BLOCK = 1 << 15
"""Numbers in a block."""
SAMPLE = 8
"""Lines of which one is read beforehand, to know about where the mean is."""


def _line_and_block(C: int) -> tuple[int, int]:
    line = max(LINE // C, 1) * C
    return line, max(BLOCK // line, 1) * line


def _tiled(v: Array, line: int, like: Array) -> Array:
    """One number for each lane."""
    return np.tile(v.astype(like.dtype), line // len(v))


def statistics(x: Array, floor: float = -np.inf) -> tuple[Array, Array]:
    if not fits(x) or x.size == 0:
        return NotImplemented
    C = x.shape[-1]
    line, block = _line_and_block(C)
    blocks = -(-x.size // block)
    mean, squares = np.empty((blocks, C)), np.empty((blocks, C))
    in_parts(_block_statistics, blocks, x.size, x.reshape(-1), line, block, x.dtype.type(floor), mean,
             squares)
    rows = np.full((blocks, 1), block // C)
    rows[-1] = (x.size - (blocks - 1) * block) // C
    n = x.size // C
    total = (rows * mean).sum(axis=0) / n
    return total, (squares + rows * np.square(mean - total)).sum(axis=0) / n     # within blocks, and between them


@jit(SUMS)
def _block_statistics(x, line, block, floor, mean, squares, start, stop):  # type: ignore[no-untyped-def]
    # mean and sum of (x - mean)^2 of every channel in every block. About a pivot p near the mean, with d = x - p and
    # n numbers:  mean = p + (sum d)/n,  sum (x - mean)^2 = sum d^2 - (sum d)^2/n. Less than SAMPLE times what is
    # left cancels: the mean of a share f of the numbers lies within sqrt(1/f - 1) standard deviations of that of all
    C = mean.shape[1]
    pivot, s1, s2 = np.empty(line, x.dtype), np.empty(line, x.dtype), np.empty(line, x.dtype)
    for b in range(start, stop):
        part = x[b * block:(b + 1) * block]
        n = len(part) // C
        s1[:] = 0
        s2[:] = 0
        seen = 0
        for at in range(0, len(part), SAMPLE * line):
            numbers = part[at:at + line]
            seen += len(numbers)
            for k in range(len(numbers)):
                s1[k] += _above(numbers[k], floor)
        _fold(s1, mean[b])
        for at in range(0, line, C):
            for c in range(C):
                pivot[at + c] = mean[b, c] / (seen // C)
        s1[:] = 0
        for at in range(0, len(part), line):
            numbers = part[at:at + line]
            ask_ahead(part, at, line)
            for k in range(len(numbers)):
                d = _above(numbers[k], floor) - pivot[k]
                s1[k] += d
                s2[k] += d * d
        _fold(s1, mean[b])
        _fold(s2, squares[b])
        for c in range(C):
            squares[b, c] -= mean[b, c] * mean[b, c] / n
            mean[b, c] = pivot[c] + mean[b, c] / n


@jit(inline=True)
def _above(number, floor):  # type: ignore[no-untyped-def]
    return floor if number <= floor else number  # <= so that NaN stays, and -0 becomes 0


@jit(inline=True)
def _fold(lanes, channels):  # type: ignore[no-untyped-def]
    # the lanes of each channel, summed in float64
    channels[:] = 0
    for at in range(0, len(lanes), len(channels)):
        for c in range(len(channels)):
            channels[c] += lanes[at + c]


def normalised(x: Array, mean: Array, inv_std: Array, gamma: Array, beta: Array, floor: float = -np.inf) -> Array:
    if not fits(x) or gamma.dtype != x.dtype or beta.dtype != x.dtype:
        return NotImplemented
    line, block = _line_and_block(x.shape[-1])
    m = mean.astype(x.dtype)
    scale = gamma * inv_std
    shift = beta + scale * (m - mean)            # what the rounding of the mean to m has changed
    y = np.empty_like(x)
    in_parts(_normalised, -(-x.size // block), x.size, x.reshape(-1), line, block, x.dtype.type(floor),
             _tiled(m, line, x), _tiled(scale, line, x), _tiled(shift, line, x), y.reshape(-1))
    return y


@jit(SUMS)
def _normalised(x, line, block, floor, mean, scale, shift, y, start, stop):  # type: ignore[no-untyped-def]
    x, y = x[start * block:stop * block], y[start * block:stop * block]
    for at in range(0, len(x), line):
        numbers, result = x[at:at + line], y[at:at + line]
        ask_ahead(x, at, line)
        for k in range(len(numbers)):
            result[k] = (_above(numbers[k], floor) - mean[k]) * scale[k] + shift[k]


def gradient_sums(g: Array, x: Array, mean: Array, inv_std: Array, floor: float = -np.inf) -> tuple[Array, Array]:
    if not fits(g, x):
        return NotImplemented
    C = x.shape[-1]
    line, block = _line_and_block(C)
    blocks = -(-x.size // block)
    m = mean.astype(x.dtype)
    sums, products = np.empty((blocks, C)), np.empty((blocks, C))
    in_parts(_block_gradient_sums, blocks, x.size, g.reshape(-1), x.reshape(-1), line, block,
             x.dtype.type(floor), _tiled(m, line, x), sums, products)
    total = sums.sum(axis=0)
    return total, (products.sum(axis=0) + (m - mean) * total) * inv_std


@jit(SUMS)
def _block_gradient_sums(g, x, line, block, floor, mean, sums, products, start, stop):  # type: ignore[no-untyped-def]
    # sum g and sum g (x - mean) of every channel in every block
    s1, s2 = np.empty(line, x.dtype), np.empty(line, x.dtype)
    for b in range(start, stop):
        g_part, x_part = g[b * block:(b + 1) * block], x[b * block:(b + 1) * block]
        s1[:] = 0
        s2[:] = 0
        for at in range(0, len(x_part), line):
            g_line, x_line = g_part[at:at + line], x_part[at:at + line]
            ask_ahead(g_part, at, line)
            ask_ahead(x_part, at, line)
            for k in range(len(g_line)):
                s1[k] += g_line[k]
                s2[k] += g_line[k] * (_above(x_line[k], floor) - mean[k])
        _fold(s1, sums[b])
        _fold(s2, products[b])


def input_gradient(g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array, dgamma: Array, dbeta: Array,
                   floor: float = -np.inf) -> Array:
    """dx = a g + b (x - mean) + c, with a = gamma r, b = -a r dgamma / n, c = -a dbeta / n; 0 where x is not above the
    floor."""
    if not fits(g, x):
        return NotImplemented
    line, block = _line_and_block(x.shape[-1])
    n = max(x.size // x.shape[-1], 1)
    m = mean.astype(x.dtype)
    a = gamma * inv_std
    b = -a * inv_std * dgamma / n
    c = -a * dbeta / n + b * (m - mean)
    dx = np.empty_like(x)
    in_parts(_input_gradient, -(-x.size // block), x.size, g.reshape(-1), x.reshape(-1), line, block,
             x.dtype.type(floor), _tiled(m, line, x), _tiled(a, line, x), _tiled(b, line, x), _tiled(c, line, x),
             dx.reshape(-1))
    return dx


@jit(SUMS)
def _input_gradient(g, x, line, block, floor, mean, a, b, c, dx, start, stop):  # type: ignore[no-untyped-def]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    g, x, dx = g[start * block:stop * block], x[start * block:stop * block], dx[start * block:stop * block]
    for at in range(0, len(x), line):
        g_line, x_line, result = g[at:at + line], x[at:at + line], dx[at:at + line]
        ask_ahead(g, at, line)
        ask_ahead(x, at, line)
        for k in range(len(g_line)):
            through = one if x_line[k] > floor else zero         # a factor, so that NaN does as in the reference
            result[k] = (a[k] * g_line[k] + b[k] * (_above(x_line[k], floor) - mean[k]) + c[k]) * through


def rectified_statistics(x: Array) -> tuple[Array, Array]:
    return statistics(x, 0.0)


def rectified_normalised(x: Array, mean: Array, inv_std: Array, gamma: Array, beta: Array) -> Array:
    return normalised(x, mean, inv_std, gamma, beta, 0.0)


def rectified_gradient_sums(g: Array, x: Array, mean: Array, inv_std: Array) -> tuple[Array, Array]:
    return gradient_sums(g, x, mean, inv_std, 0.0)


def rectified_input_gradient(g: Array, x: Array, mean: Array, inv_std: Array, gamma: Array, dgamma: Array,
                             dbeta: Array) -> Array:
    return input_gradient(g, x, mean, inv_std, gamma, dgamma, dbeta, 0.0)
