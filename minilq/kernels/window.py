"""Where sliding windows stand on an image: what kernels and references alike are told of a convolution or a pooling."""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """Where windows of KH x KW pixels stand: window (i, j) begins at pixel (i SH - top, j SW - left) of the image."""

    out_height: int
    out_width: int
    top: int
    bottom: int
    left: int
    right: int
    KH: int
    KW: int
    SH: int
    SW: int
