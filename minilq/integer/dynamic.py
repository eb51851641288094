"""Dynamic quantization on integers: the range of an input is that of the numbers that have just come.

    x           int32 in a unit u that is the same for all
    a, b        the smallest and the largest of them, of all images at once, of each image or of each row, and 0
    d           b - a
    q           round(x top / d) + z,  z = round(-a top / d), codes 0 .. top
    acc_j       sum_i (q_i - z) k_ij, int32
    y_j         s_j u / top (acc_j d) + bias_j: the product acc_j d in 64 bits, shifted to 31, then the line goes on

With ranges around 0 (symmetric) d is twice the larger of -a and b, and z the middle code. Nothing is a float.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.integer.lines import LARGEST, integers
from minilq.integer.product import BLOCK, int8_product
from minilq.integer.steps import Kernel, Part, Product, Seen
from minilq.integer.weights import parts_of, planes_of, spread_out
from minilq.nn import Site
from minilq.ops.window import padded, windows
from minilq.quantize import Coded
from minilq.quantize.granularity import kept_axes
from minilq.quantize.methods.affine import Affine
from minilq.quantize.methods.range_grid import LEAST_SCALE

if TYPE_CHECKING:
    from minilq.integer.branch import Branch


def is_dynamic(method: Any) -> TypeGuard[Affine]:
    """Whether the method of an input takes its range from that input alone."""
    return isinstance(method, Affine) and method.ranges == "tensor"


class Ends:
    """How numbers that have come get codes.

    site        of the input, (N, ..., C) of so many axes
    unit        what x = 1 stands for
    Raises      ConfigError, with the name, for codes of more than a byte, and for ranges along channels or pixels
    """

    def __init__(self, name: str, site: Site, axes: int, unit: float, kernel: Kernel | None = None) -> None:
        method = site.method
        assert is_dynamic(method)
        low, high = method.bounds
        if high - low > 255:
            raise ConfigError("convert", "the codes of a dynamic range must fit into a byte",
                              got=f"{name} with {high - low + 1} codes", cause="Take 7 or 8 bits")
        kept = kept_axes(method.granularity, axes)
        fits = kept == tuple(range(len(kept))) and len(kept) < (axes if kernel is None else 2)
        if not fits or method.without_zero != "extend":
            raise ConfigError("convert", "a dynamic range is one of all images, of each image (granularity row), or of "
                              "each row",
                              got=f"{name} with granularity {method.granularity!r}, without_zero {method.without_zero}")
        self.kept, self.top = len(kept), high - low
        self.middle = (low + high + 1) // 2 - low if method.symmetric else None
        self.least = max(math.ceil(self.top * LEAST_SCALE / unit), 1)

    def of(self, x: Array) -> tuple[Array, Array]:
        """d and z, int64, with 1 for each axis over which the range goes."""
        axes = tuple(range(self.kept, x.ndim))
        a = np.minimum(x.min(axis=axes, keepdims=True, initial=0), 0).astype(np.int64)
        b = np.maximum(x.max(axis=axes, keepdims=True, initial=0), 0).astype(np.int64)
        width = b - a if self.middle is None else 2 * np.maximum(-a, b)
        d = np.maximum(width, self.least)
        z = quotient(-a * self.top, d) if self.middle is None else np.full_like(d, self.middle)
        return d, z

    def codes(self, x: Array, d: Array, z: Array) -> Array:
        return np.clip(quotient(x.astype(np.int64) * self.top, d) + z, 0, self.top).astype(np.uint8)


def dynamic_codes(site: Site, x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """The codes 0 .. top of reals by the method itself, in float64, and what codes on that grid stand for."""
    method = site.method
    assert is_dynamic(method)
    coded, low = method.coded(x.astype(np.float64), {}), method.bounds[0]
    return (coded.codes.astype(np.int64) - low).astype(np.uint8), lambda q: coded.grid.values(q.astype(np.int64) + low)


def quotient(n: Array, d: Array) -> Array:
    """n / d rounded, halves up, of whole numbers.

    >>> quotient(np.array([-3, 3, 5]), np.array([2, 2, 4])).tolist()
    [-1, 2, 1]
    """
    return np.asarray((2 * n + d) // (2 * d))


@dataclass(frozen=True)
class DynamicProduct:
    """Codes of a range of their own times weight codes.

    ends        how they are made
    product     whose parts and windows these are
    shifts      of acc d, (parts, F)
    """

    ends: Ends
    product: Product
    shifts: Array

    def __call__(self, x: Array, seen: Seen) -> Array:
        d, z = self.ends.of(x)
        q = self.ends.codes(x, d, z)
        seen(self.product.name, q)
        kernel, F = self.product.kernel, self.product.parts[0].codes.shape[1]
        if kernel is None:
            rows = (np.broadcast_to(part, (*x.shape[:-1], 1)).reshape(-1) for part in (d, z))
            return self._rescaled(q, *rows).reshape(*x.shape[:-1], F)
        d, z = (np.broadcast_to(part.reshape(-1), len(x)) for part in (d, z))            # of each image
        window = kernel.window(q)
        inside = padded(np.ones((1, *q.shape[1:]), bool), window)
        # around an image is the code of 0, which is another one in each
        wide = np.where(inside, padded(q, window), z.astype(np.uint8)[:, None, None, None])
        seen_by = windows(wide, window)
        y = np.empty((len(q), window.out_height, window.out_width, F), self.product.rescale.dtype)
        step = max(BLOCK // max(math.prod(seen_by.shape[1:]), 1), 1)
        for start in range(0, len(q), step):
            part = slice(start, start + step)
            positions = window.out_height * window.out_width
            rows = (np.repeat(a[part], positions) for a in (d, z))
            y[part] = self._rescaled(seen_by[part], *rows).reshape(y[part].shape)
        return y

    def _rescaled(self, q: Array, d: Array, z: Array) -> Array:
        """q (..., *inputs), d and z of each row (M,) -> (M, F)."""
        groups = self.product.groups(q)

        def scaled(part: Part, shift: Array) -> Array:
            acc = int8_product(groups[part.group], part.codes).astype(np.int64)
            acc -= z[:, None] * part.codes.sum(axis=0, dtype=np.int64)
            half = (1 << shift) >> 1
            return np.asarray((acc * d[:, None] + half) >> shift).astype(np.int32)

        return self.product.rescale(map(scaled, self.product.parts, self.shifts))


def multiply_dynamic(branch: Branch, name: str, site: Site, coded: Coded, bias: Array, kernel: Kernel | None,
                     groups: int) -> None:
    """The product of a weight with codes of what has come, as `Branch.multiply`: the shift of acc d is the least with
    which no product can leave 31 bits, however large the numbers are that come."""
    branch.refine(name, branch.line.unit.max(keepdims=True))
    unit, largest = float(branch.line.scale.max()), float(branch.line.most.max())
    ends = Ends(f"{name}.input", site, 1 + len(branch.made.ranges.shapes[name]), unit, kernel)
    planes = planes_of(coded) if groups == 1 else spread_out(planes_of(coded), groups)
    parts, scales, kept = parts_of(name, planes, np.ones(1))
    sums = np.array([np.abs(part.codes.astype(np.float64)).sum(axis=0) for part in parts])
    bound = ends.top * sums * 2 * max(largest, ends.least)                           # of |acc d|, (parts, F)
    shifts = np.maximum(np.ceil(np.log2(np.maximum(bound, 1) / LARGEST)), 0)
    most = np.ceil(bound / np.exp2(shifts)) + 1
    branch.product = lambda rescaling: DynamicProduct(ends, Product(name, parts, kept, kernel, 0, rescaling),
                                                      shifts.astype(np.int64))
    branch.act(integers(scales * (unit / ends.top) * np.exp2(shifts), bias, -most, most))
    branch.exact = False
    branch.made.dynamic.append(name)
