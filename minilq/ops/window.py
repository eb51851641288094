"""Sliding windows over images (N, H, W, C): their geometry, the numbers that they see, and the way back.

Convolution and pooling look at the same windows; only what they do with the numbers differs.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.kernels.window import Window
from minilq.ops.broadcast import check_floats

MOST_PIXELS = 2**24
"""No window, stride or side of a border is longer."""

Padding = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


def pair(op: str, name: str, value: Any) -> tuple[int, int]:
    """(value, value) of one whole number, or the pair itself; ConfigError unless both are at least 1.

    >>> pair("conv2d", "stride", 2), pair("conv2d", "stride", (2, 1))
    ((2, 2), (2, 1))
    """
    two = (value, value) if not isinstance(value, (tuple, list)) else tuple(value)
    if len(two) != 2 or not all(is_whole(n, most=MOST_PIXELS) for n in two):
        raise ConfigError(op, f"{name} must be a whole number or a pair of them", got=shown(value))
    if min(two) < 1:
        raise ConfigError(op, f"{name} must be at least 1", got=repr(value))
    return int(two[0]), int(two[1])


def geometry(op: str, height: int, width: int, kernel: tuple[int, int], stride: tuple[int, int],
             padding: Padding) -> Window:
    """Where the windows stand on an image of height x width pixels.

    padding     "valid": none. "same": OH = ceil(H / SH) as in TensorFlow, (OH - 1) SH + KH - H rows in all, the odd
                one at the bottom. p: on every side. (p_h, p_w). ((top, bottom), (left, right))
    Windows     OH = (H + top + bottom - KH) // SH + 1, and the same for the width
    Raises      ShapeError for an image without pixels, or smaller with its padding than the kernel; ConfigError for
                any other padding

    >>> geometry("conv2d", 5, 4, (3, 3), (2, 2), "same")[:6]       # OH, OW, top, bottom, left, right
    (3, 2, 1, 1, 0, 1)
    """
    try:
        hash(padding)
    except TypeError:                            # a list
        raise ConfigError(op, _PADDINGS, got=shown(padding), cause="Write a tuple") from None
    return _geometry(op, height, width, kernel, stride, padding)


@functools.lru_cache(maxsize=1024, typed=True)
def _geometry(op: str, height: int, width: int, kernel: tuple[int, int], stride: tuple[int, int],
              padding: Padding) -> Window:
    (KH, KW), (SH, SW) = kernel, stride
    if height < 1 or width < 1:
        raise ShapeError(op, "images must have at least one pixel", got=f"height {height}, width {width}")
    if KH < 1 or KW < 1:
        raise ShapeError(op, "the kernel must have at least one pixel", got=f"a kernel of {KH} x {KW}")
    same = isinstance(padding, str) and padding == "same"
    top, bottom, left, right = sides_of(op, padding) if not same else (
        *_same(height, KH, SH), *_same(width, KW, SW))
    if height + top + bottom < KH or width + left + right < KW:
        raise ShapeError(op, "the kernel must fit into the input with its padding",
                         got=f"the kernel {kernel} is larger than the input {height} x {width} with its padding")
    return Window((height + top + bottom - KH) // SH + 1, (width + left + right - KW) // SW + 1,
                  top, bottom, left, right, KH, KW, SH, SW)


def sides_of(op: str, padding: Padding) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a padding that does not depend on the image: any but "same"."""
    if isinstance(padding, str) and padding == "valid":
        return 0, 0, 0, 0
    p: Any = padding
    if _is_side(p):
        p = (p, p)
    if isinstance(p, tuple) and len(p) == 2:
        sides: list[Any] = []
        for side in p:
            sides += (side, side) if _is_side(side) else side if isinstance(side, tuple) and len(side) == 2 else ()
        if len(sides) == 4 and all(_is_side(side) for side in sides):
            if min(sides) < 0:
                raise ConfigError(op, "padding must not be negative", got=repr(padding))
            top, bottom, left, right = map(int, sides)
            return top, bottom, left, right
    raise ConfigError(op, _PADDINGS, got=shown(padding))


_PADDINGS = 'padding must be "same", "valid", a whole number, (p_h, p_w) or ((top, bottom), (left, right))'


def check_images(op: str, x: Any) -> None:
    """ShapeError unless x is (N, H, W, C); DTypeError unless it holds floats."""
    check_floats(op, x=x)
    if x.ndim != 4:
        cause = "Images are (N, H, W, C); PyTorch's (N, C, H, W) becomes that with x.transpose(0, 2, 3, 1)"
        raise ShapeError(op, "x must be images (N, H, W, C)", got=f"x {x.shape} with {x.ndim} axes",
                         cause="One image needs a batch axis: x[None]" if x.ndim == 3 else cause)


def padded(x: Array, window: Window, value: float = 0.0) -> Array:
    """x with a border of `value`; x itself when there is no border. (N, H, W, C) -> (N, H + top + bottom, ..., C)."""
    _, _, top, bottom, left, right = window[:6]
    if top == bottom == left == right == 0:
        return x
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def windows(x: Array, window: Window) -> Array:
    """What each window sees of padded images: z_(n,i,j,u,v,c) = x_(n, i SH + u, j SW + v, c), a read-only view.

    Shapes      x (N, H + top + bottom, W + left + right, C) -> (N, OH, OW, KH, KW, C)
    """
    OH, OW, KH, KW, SH, SW = window[0], window[1], *window[6:]
    n, h, w, c = x.strides
    return np.lib.stride_tricks.as_strided(x, (len(x), OH, OW, KH, KW, x.shape[3]),
                                           (n, SH * h, SW * w, h, w, c), writeable=False)


def add_windows(columns: Array, shape: tuple[int, ...], window: Window) -> Array:
    """The transpose of `windows(padded(x))`: every number goes back to the pixel that it was copied from (col2im).

    Copying is a matrix of zeros and ones, z_k = x_(p(k)), with the pixel p(k) that number k of all windows comes
    from. Its transpose is a sum: dx_p = sum over k with p(k) = p of dz_k. Where windows overlap a pixel has several
    such k; the border has its sums too, and they are dropped, as the border is constant.

    Shapes      columns (N, OH, OW, KH, KW, C) -> shape, that of x without its border (N, H, W, C)
    """
    N, H, W, C = shape
    OH, OW, top, bottom, left, right, KH, KW, SH, SW = window
    dx = np.zeros((N, H + top + bottom, W + left + right, C), columns.dtype)
    for u in range(KH):                          # pixel (i SH + u, j SW + v) is entry (u, v) of window (i, j)
        for v in range(KW):
            dx[:, u:u + SH * (OH - 1) + 1:SH, v:v + SW * (OW - 1) + 1:SW] += columns[:, :, :, u, v]
    return dx[:, top:top + H, left:left + W]


def _same(n: int, k: int, s: int) -> tuple[int, int]:
    total = max((-(-n // s) - 1) * s + k - n, 0)
    return total // 2, total - total // 2


def _is_side(n: Any) -> bool:
    return is_whole(n, -MOST_PIXELS, MOST_PIXELS)
