"""GPTQ: weights are rounded one input after the other, and those that come later make up for what was lost."""

from __future__ import annotations

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.post.row_grid import RowGrid, checked

DAMPING = 0.01


def compensated(w: Array, grid: RowGrid, H: Array, damping: float = DAMPING) -> Array:
    """Codes of a weight for which |X y - X w|^2 is small, y being what they stand for.

    From the input with the largest H_ii to the smallest: the row w_i becomes y_i, to nearest, and the rows that are
    left take the best that remains to be done, with F what H is without the rows that are rounded,

        w_j <- w_j - F^-1_ji / F^-1_ii (w_i - y_i)

    All F^-1 are in the Cholesky factor of H^-1 = U' U: F^-1_ji / F^-1_ii = U_ij / U_ii.

    w           (in, out)
    grid        of its codes
    H           (in, in), X'X of the inputs; `damping` times the mean of its diagonal is added to it
    Returns     (in, out) whole numbers
    Raises      ShapeError, NonFiniteError; ConfigError for a damping <= 0
    Source      Frantar et al. 2022, GPTQ (arXiv 2210.17323), with its order by activations

    >>> X = np.array([[1.0, 1.0], [0.2, -0.2]])            # only the sum of the two weights matters
    >>> grid = RowGrid(np.array([1.0]), np.array([0]), -4, 3)
    >>> float(compensated(np.array([[0.4], [0.4]]), grid, X.T @ X).sum())
    1.0
    """
    w, H, _ = checked("compensated", w, H)
    if not is_number(damping) or damping <= 0:
        raise ConfigError("compensated", "damping must be a number > 0", got=shown(damping))
    n, diagonal = len(w), H.diagonal()
    order = np.argsort(-diagonal, kind="stable")
    scale, zero = (np.broadcast_to(part, w.shape)[order] for part in (grid.scale.astype(np.float64), grid.zero))
    rest, k = w[order], np.empty_like(w)
    H = H[np.ix_(order, order)] + damping * (diagonal.mean() or 1.0) * np.eye(n)
    U = np.linalg.cholesky(np.linalg.inv(H)).T
    for i in range(n):
        k[i] = RowGrid(scale[i], zero[i], grid.low, grid.high).nearest(rest[i])
        lost = (rest[i] - scale[i] * (k[i] - zero[i])) / U[i, i]
        rest[i + 1:] -= np.outer(U[i, i + 1:], lost)
    found = np.empty_like(k)
    found[order] = k
    return found
