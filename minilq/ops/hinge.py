"""The squared hinge loss, which binary networks were first trained with."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError
from minilq.ops.broadcast import check_floats


@primitive
def squared_hinge(x: Any, targets: Array) -> Array:
    """Mean squared hinge of outputs that are to be beyond +-1.

    Forward     L = (1/n) sum_i max(0, 1 - t_i x_i)^2 over all n entries
    Derivative  kind: exact. dx_i = -2 g t_i max(0, 1 - t_i x_i) / n
    Shapes      x any, targets t alike, -1 and 1 -> ()
    Dtype       float32 or float64, the same for both, preserved
    Raises      ShapeError, for an empty x too; DTypeError
    Source      Tang 2013 (arXiv 1306.0239), equation 11; in BinaryConnect and BNN

    >>> float(squared_hinge(np.array([2.0, 0.0]), np.array([1.0, 1.0])))
    0.5
    """
    check_floats("squared_hinge", x=x, targets=targets)
    if targets.shape != x.shape or not x.size:
        raise ShapeError("squared_hinge", "targets must have the shape of x, with an entry at least",
                         got=f"x {x.shape}, targets {targets.shape}", cause="Labels become +-1 with 2 * one_hot - 1")
    if targets.dtype != x.dtype:
        raise DTypeError("squared_hinge", "targets must have the dtype of x", got=f"{targets.dtype} beside {x.dtype}")
    return np.asarray(np.mean(np.maximum(1 - targets * x, 0) ** 2))


@vjp_of(squared_hinge, kind="exact", needs="x targets", at=normal((3, 4), targets=2 * np.eye(3, 4) - 1))
def squared_hinge_vjp(g: Array, y: Array, x: Array, targets: Array) -> tuple[Array]:
    # dL/dx_i = 2 max(0, 1 - t_i x_i) (-t_i) / n
    return (-2 * g / x.dtype.type(x.size) * targets * np.maximum(1 - targets * x, 0),)
