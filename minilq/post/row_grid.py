"""The grid of a weight as a matrix, inputs along its rows, and what rounding by layer asks of its arguments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minilq.arguments import as_array
from minilq.autodiff.tape import Array
from minilq.errors import NonFiniteError, ShapeError
from minilq.quantize.methods.range_grid import codes


class RowGrid(NamedTuple):
    """Values scale (k - zero), k = low .. high; scale and zero broadcast to a weight (in, out)."""

    scale: Array
    zero: Array
    low: int
    high: int

    def nearest(self, w: Array) -> Array:
        """The nearest codes, as floats.

        >>> RowGrid(np.array([0.5]), np.array([1]), 0, 3).nearest(np.array([[0.6, 9.0, -9.0]]))
        array([[2., 3., 0.]])
        """
        return codes(w, self.scale.astype(w.dtype), self.zero, self.low, self.high)

    def values(self, k: Array) -> Array:
        """What codes stand for."""
        return np.asarray(self.scale * (k - self.zero))


def checked(op: str, w: Array, H: Array, T: Array | None = None) -> tuple[Array, Array, Array]:
    """w (in, out), H (in, in) and T (in, out), by default H w, in float64. Raises ShapeError, NonFiniteError."""
    w, H = (as_array(op, a).astype(np.float64) for a in (w, H))
    if w.ndim != 2 or H.shape != (len(w), len(w)) or not w.size:
        raise ShapeError(op, "shapes must be w (in, out) and H (in, in)", got=f"w {w.shape}, H {H.shape}")
    T = H @ w if T is None else as_array(op, T).astype(np.float64)
    if T.shape != w.shape:
        raise ShapeError(op, "T must have the shape of w", got=f"{T.shape}, w {w.shape}")
    if not all(np.isfinite(a).all() for a in (w, H, T)):
        raise NonFiniteError(op, "all numbers must be finite", got="NaN or infinity")
    return w, H, T
