"""The kernels of a step that is planned: what is called, with arrays that are there already, for train/plan.py.

Each function says the calls, or None for what no kernel was written for. A call that returns False has found numbers
with which nothing can go on; what it wrote counts for nothing then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minilq.kernels import dense as products
from minilq.kernels import elementwise, fake_quantize, loss, lsq, penalties
from minilq.kernels.dense_tiles import product_by_tiles, suits
from minilq.kernels.groups import Array, fits, layout
from minilq.kernels.threads import SMALL, in_parts

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]


def round_trip(P: Array, s: Array, rounding: Any, y: Array) -> Calls | None:
    mode, shape = fake_quantize.MODES.get(rounding) if isinstance(rounding, str) else None, layout(P.shape, s.shape)
    if mode is None or shape is None or not fits(P, s, y):
        return None
    kernel = fake_quantize._round_trip_across if shape[2] == 1 else fake_quantize._round_trip
    return [(kernel, (P.ravel(), s.ravel(), y.ravel(), shape, mode, -np.inf, np.inf))]


def threshold_scale_gradient(g: Array, y: Array, s: Array, lam: float, gate: bool, ds: Array) -> Calls | None:
    shape = layout(y.shape, s.shape)
    if shape is None or not fits(g, y, s, ds) or y.size == 0:
        return None
    bits, flat = fake_quantize.BITS[y.dtype.char], y.ravel()
    largest = np.empty(s.size, bits)
    bend = fake_quantize.bend_of(lam, y.dtype.char)
    kernel = fake_quantize._threshold_across if shape[2] == 1 else fake_quantize._threshold
    return [(kernel, (g.ravel(), flat, flat.view(bits), s.ravel(), ds.ravel(), largest, largest.view(y.dtype), shape,
                      float(lam), bend, gate))]


def lsq_forward(x: Array, s: Array, low: float, high: float, y: Array) -> Calls | None:
    shape = lsq._layout(x, s)
    if shape is None or not fits(x, s, y):
        return None
    number, flat = x.dtype.type, s.reshape(-1)
    return [(_positive, (flat,)), (lsq._forward, (x.reshape(shape), flat, number(low), number(high), y.reshape(shape)))]


def lsq_backward(g: Array, x: Array, s: Array, low: float, high: float, factor: float, mask: str, dx: Array,
                 ds: Array) -> Calls | None:
    shape = lsq._layout(x, s)
    if shape is None or not fits(g, x, s, dx, ds):
        return None
    number, total = x.dtype.type, np.empty(shape[1], np.float64)
    return [(total.fill, (0,)),
            (lsq._backward, (g.reshape(shape), x.reshape(shape), s.reshape(-1), number(low), number(high),
                             lsq.MASKS[mask], dx.reshape(shape), total)),
            (np.multiply, (total, factor, ds.reshape(-1)))]


def _positive(s: Array) -> bool:
    return 0 < s.item() < math.inf if s.size == 1 else lsq._positive(s)


def product(a: Array, b: Array, y: Array, finite: bool = False) -> Calls:
    """y = a b, as ops.dense has it; `finite`: b is."""
    rest = product_by_tiles if suits(a, b) else np.dot
    if not (products.may_skip(a, b) and fits(y)):
        return [(rest, (a, b, y))]
    return [(_product, (products.arguments(a, b, y, finite), rest, a, b, y))]


def _product(arguments: tuple[Any, ...], rest: Callable[..., Any], a: Array, b: Array, y: Array) -> None:
    if not products.skip_zeros(*arguments):
        rest(a, b, y)


def add_bias(y: Array, b: Array) -> Calls:
    """y_i += b, of rows of y."""
    return [(products._add_bias, (y, b))] if fits(y, b) else [(np.add, (y, b, y))]


def bias_gradient(g: Array, total: Array) -> Calls:
    """total = the sum of the rows of g."""
    if fits(g, total) and len(g) and total.size > 1:
        return [(products._bias_gradient, (g, total))]
    return [(np.add.reduce, (g, 0, None, total))]


def rectified(x: Array, y: Array) -> Calls | None:
    if not fits(x, y):
        return None
    return _on_all(elementwise._rectified, x, y)


def where_positive(g: Array, y: Array, dx: Array) -> Calls | None:
    if not fits(g, y, dx):
        return None
    return _on_all(elementwise._where_positive, g, y, dx)


def _on_all(kernel: Callable[..., Any], *arrays: Array) -> Calls:
    size, flat = arrays[0].size, [a.reshape(-1) for a in arrays]
    return [(kernel, (*flat, 0, size)) if size <= SMALL else (in_parts, (kernel, size, size, *flat))]


def mean_cross_entropy(logits: Array, labels: Array, y: Array) -> Calls | None:
    if not fits(logits) or not labels.flags.c_contiguous:
        return None

    def call() -> bool:
        whole = labels.astype(np.int64, copy=False)
        if not loss._within(whole, logits.shape[1]):
            return False
        y[...] = loss._mean_cross_entropy(logits, whole)
        return True

    return [(call, ())]


def right_answers(logits: Array, labels: Array) -> Callable[[], int] | None:
    """Of logits that are numbers, how many of the largest are at the label."""
    if not fits(logits) or not labels.flags.c_contiguous:
        return None
    return lambda: int(loss._right_answers(logits, labels.astype(np.int64, copy=False)))


def mean_cross_entropy_gradient(g: Array, logits: Array, labels: Array, dz: Array) -> Calls | None:
    if not fits(logits, dz) or not labels.flags.c_contiguous:
        return None

    def call() -> None:
        loss._mean_cross_entropy_gradient(g.item(), logits, labels.astype(np.int64, copy=False), dz)

    return [(call, ())]


def sum_of_sizes(P: Array, sizes: Array) -> Calls | None:
    shape = layout(P.shape, sizes.shape)
    if shape is None or not fits(P, sizes):
        return None
    return [(sizes.fill, (0,)), (penalties._sum_of_sizes, (P.reshape(shape), sizes.reshape(-1)))]


def signed(P: Array, c: Array, dP: Array, adding: bool) -> Calls:
    """For what `sum_of_sizes` is written for."""
    shape = layout(P.shape, c.shape)
    return [(penalties._signed, (P.reshape(shape), c.reshape(-1), dP.reshape(shape), adding))]


def largest(P: Array, m: Array) -> Calls | None:
    shape = layout(P.shape, m.shape)
    if shape is None or not fits(P, m):
        return None
    bits = fake_quantize.BITS[P.dtype.char]
    return [(m.fill, (0,)), (penalties._largest, (P.view(bits).reshape(shape), m.view(bits).reshape(-1)))]


def on_the_largest(P: Array, m: Array, c: Array, dP: Array, adding: bool) -> Calls:
    """For what `largest` is written for."""
    shape = layout(P.shape, m.shape)
    return [(penalties._on_the_largest, (P.reshape(shape), m.reshape(-1), c.reshape(-1), dP.reshape(shape), adding))]


difference_pulls, difference_gradients = penalties._difference_pulls, penalties._difference_gradients
