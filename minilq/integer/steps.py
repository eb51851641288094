"""Steps: what an integer network does, one after the other, to arrays of integers. Nothing here is a float.

A step takes its array and `seen`, which is told the codes that each product multiplies, and those of each Quantize.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ShapeError
from minilq.integer.bits import in_bytes, in_words, packed
from minilq.integer.fixed_point import Rescaling
from minilq.integer.one_bit import BitPlanes, bit_product, rescaled_bit_product
from minilq.integer.product import BLOCK, Multiplied, int8_product, rescaled_convolution, rescaled_product
from minilq.kernels.window import Window
from minilq.ops.pool import pixels
from minilq.ops.window import Padding, geometry, padded, windows

Seen = Callable[[str, Array], None]
Step = Callable[[Array, Seen], Array]


def run(steps: list[Step], x: Array, seen: Seen) -> Array:
    """x through all steps."""
    for step in steps:
        x = step(x, seen)
    return x


class Kernel(NamedTuple):
    """Where a Conv2D's windows stand, on images of any size."""

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding

    def window(self, x: Array) -> Window:
        return geometry("IntegerNetwork", x.shape[1], x.shape[2], self.size, self.stride, self.padding)


class Part(NamedTuple):
    """Weight codes that share their scales, int8 (R, F), and what they multiply: a group of inputs, and of these the
    low byte (0), the high byte (1), or INSIDE, 1 for each input and 0 for what stands around an image; or, of codes of
    levels that are not evenly spaced, 1 for those from `above` on and 0 for those below it. Where both, the
    weight's codes and the input's, are so few that bits can be counted in their place, `planes` are the bits. With
    `signs` the codes 0 and 1 stand for -1 and 1, and around an image is 0: the sum is 2 sum_i q_i w_i less the sum of
    w_i INSIDE."""

    group: int
    codes: Array
    byte: int = 0
    planes: BitPlanes | None = None
    signs: bool = False
    above: int = 0


INSIDE = -1


@dataclass(frozen=True)
class Product:
    """Codes times weight codes, each part summed in int32, and then rescaled at once.

    kept        axes of the input, of (C,) or, in a window, (KH, KW, C), along which parts differ; a group for each
                of their indices
    kernel      None for a Dense layer
    border      the code that stands around images: that of 0, where there is one. Where there is none, 0, which adds
                nothing to the sums; and as a code of 0 within the image stands for a number, parts that multiply INSIDE
                add that number for each pixel that is one
    """

    name: str
    parts: list[Part]
    kept: tuple[int, ...]
    kernel: Kernel | None
    border: int
    rescale: Rescaling

    def __call__(self, x: Array, seen: Seen) -> Array:
        seen(self.name, x)
        by, F = self.alone, self.parts[0].codes.shape[1]
        if self.kernel is None:
            y = self._rescaled(x) if by is None else rescaled_product(x.reshape(-1, x.shape[-1]), by)
            return y.reshape(*x.shape[:-1], F)
        window = self.kernel.window(x)
        if by is not None:
            return rescaled_convolution(x, by, window, self.border)
        y = np.empty((len(x), window.out_height, window.out_width, F), self.rescale.dtype)
        numbers = window.out_height * window.out_width * window.KH * window.KW * x.shape[3]
        step = max(BLOCK // max(numbers, 1), 1)
        inside = windows(padded(np.ones((1, *x.shape[1:]), np.uint8), window), window)   # (1, OH, OW, KH, KW, C)
        border = self.border
        if eight := self._counted() and x.shape[3] % 8 == 0:     # windows of bytes, eight channels in each
            x, border = in_bytes(x), 255 * border
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            seen_by = windows(padded(x[part], window, border), window)
            y[part] = self._rescaled(seen_by, inside, eight).reshape(y[part].shape)
        return y

    @functools.cached_property
    def alone(self) -> Multiplied | None:
        """The codes, where one product of bytes is all there is to do."""
        first, *more = self.parts
        usual = not (more or self.kept or first.byte or first.planes is not None or first.signs or first.above)
        return Multiplied(first.codes, self.rescale) if usual else None

    def _counted(self) -> bool:
        """Whether bits are counted in all products of the input, which has one group."""
        return not self.kept and all(part.planes is not None for part in self.parts if part.byte != INSIDE)

    def _rescaled(self, x: Array, inside: Array | None = None, eight: bool = False) -> Array:
        """x (..., *inputs), with `eight` codes in a byte -> (product of ..., F)."""
        groups, (first, *more) = self.groups(x), self.parts
        words = {group: (in_words if eight else packed)(groups[group])
                 for group in {part.group for part in self.parts if part.planes is not None}}
        if first.planes is not None and not more and not first.signs:
            return rescaled_bit_product(words[first.group], first.planes, self.rescale)

        def sums(part: Part) -> Array:
            if part.byte == INSIDE:
                return np.tile(of_inside(part), (len(x), 1))
            if part.planes is not None:
                y = bit_product(words[part.group], part.planes)
            elif part.above:
                y = int8_product((groups[part.group] >= part.above).astype(np.uint8), part.codes)
            else:
                y = int8_product(_byte(groups[part.group], part.byte), part.codes)
            if part.signs:
                y += y
                y.reshape(len(x), -1)[...] -= of_inside(part).reshape(-1)
            return y

        def of_inside(part: Part) -> Array:
            """The sums of one image's windows."""
            assert inside is not None
            return int8_product(self.groups(inside)[part.group], part.codes)

        return self.rescale(map(sums, self.parts))

    def groups(self, x: Array) -> Array:
        """One matrix for each group: (..., *inputs) -> (G, product of ..., R)."""
        lead = x.ndim - (1 if self.kernel is None else 3)
        kept = [lead + axis for axis in self.kept]
        others = [axis for axis in range(lead, x.ndim) if axis not in kept]
        G, M, R = (math.prod(x.shape[axis] for axis in axes) for axes in (kept, range(lead), others))
        return x.transpose(*kept, *range(lead), *others).reshape(G, M, R)


def _byte(x: Array, number: int) -> Array:
    return x if x.dtype == np.uint8 else (x >> (8 * number)).astype(np.uint8)


@dataclass(frozen=True)
class Rescale:
    """Other codes for the same numbers."""

    rescale: Rescaling

    def __call__(self, x: Array, seen: Seen) -> Array:
        return self.rescale([x])


@dataclass(frozen=True)
class Rank:
    """How many of some numbers each int32 is beyond: the codes of levels that are not evenly spaced.

    middles     int32 (K - 1, 1) or, of each channel, (K - 1, C)
    """

    middles: Array

    def __call__(self, x: Array, seen: Seen) -> Array:
        q = np.zeros(x.shape, np.uint8)
        for middle in self.middles:
            q += x > middle
        return q


@dataclass(frozen=True)
class Show:
    """The codes as they are, shown to who looks: those of a Quantize layer."""

    name: str

    def __call__(self, x: Array, seen: Seen) -> Array:
        seen(self.name, x)
        return x


@dataclass(frozen=True)
class Reshape:
    """(N, ...) -> (N, features), as many as follow a line of their own."""

    features: int

    def __call__(self, x: Array, seen: Seen) -> Array:
        if math.prod(x.shape[1:]) != self.features:
            raise ShapeError("IntegerNetwork", f"{self.features} numbers of each image must come to Flatten",
                             got=f"{math.prod(x.shape[1:])}, {x.shape[1:]}",
                             cause="The images have another size than those that the network was converted with")
        return x.reshape(len(x), self.features)


@dataclass(frozen=True)
class Maximum:
    """The largest code of each window; the border never wins."""

    kernel: Kernel

    def __call__(self, x: Array, seen: Seen) -> Array:
        window = self.kernel.window(x)
        y = padded(x, window, np.iinfo(x.dtype).min)             # (N, H + top + bottom, W + left + right, C)
        OH, OW, SH, SW = window.out_height, window.out_width, window.SH, window.SW
        y = functools.reduce(np.maximum, (y[:, u:u + SH * (OH - 1) + 1:SH] for u in range(window.KH)))
        return functools.reduce(np.maximum, (y[:, :, v:v + SW * (OW - 1) + 1:SW] for v in range(window.KW)))


@dataclass(frozen=True)
class Mean:
    """The mean of each window's pixels, or with kernel=None of each channel; rounded, halves up."""

    kernel: Kernel | None

    def __call__(self, x: Array, seen: Seen) -> Array:
        if self.kernel is None:
            return _divided(x.sum(axis=(1, 2), dtype=np.int64), np.asarray(x.shape[1] * x.shape[2]))
        window = self.kernel.window(x)
        z = windows(padded(x, window), window)                                   # (N, OH, OW, KH, KW, C)
        return _divided(z.sum(axis=(3, 4), dtype=np.int64), pixels(x.shape, window).astype(np.int64))


def _divided(total: Array, n: Array) -> Array:
    return ((2 * total + n) // (2 * n)).astype(np.int32)


@dataclass(frozen=True)
class Sum:
    """What two branches make of one array, added: both give codes of one unit, small enough for int32."""

    body: list[Step]
    beside: list[Step]

    def __call__(self, x: Array, seen: Seen) -> Array:
        return run(self.body, x, seen) + run(self.beside, x, seen)


@dataclass(frozen=True)
class Beside:
    """What two branches make of one array, beside each other along its last axis: codes of one unit."""

    first: list[Step]
    second: list[Step]

    def __call__(self, x: Array, seen: Seen) -> Array:
        return np.concatenate([run(self.first, x, seen), run(self.second, x, seen)], axis=-1)
