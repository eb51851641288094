"""AdaRound: whether each weight is rounded up or down is learned, so that what the layer gives changes least."""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_whole
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.optim import Adam
from minilq.post.row_grid import RowGrid, checked
from minilq.post.soft_rounding import quadratic, share_up, soft_rounded, start_of, undecided

STEPS = 1000
LR = 0.05
PRICE = 1.0
"""Of all entries undecided, in errors of rounding to nearest."""
LEAST = 1e-3
"""Where shares start at the least, and 1 - LEAST at the most: from 0 and 1 nothing moves."""
FREE = 0.2
"""The share of the steps in which being undecided costs nothing."""
BETAS = 20.0, 2.0
"""Only what is nearly decided is pushed at first, everything at last."""


def learned_rounding(w: Array, grid: RowGrid, H: Array, T: Array | None = None, steps: int = STEPS) -> Array:
    """Codes of which each is one of the two nearest on a grid, and |X y - Z|^2 is small, y being what they stand for.

    Trained are numbers v, of which `soft_rounded` makes weights:

        |X y(v) - Z|^2 / |X y_nearest - X w|^2 + PRICE undecided(v, beta) / size,    beta from 20 to 2

    by Adam, from y(v) = w, for so many steps; what is undecided costs nothing in the first fifth. At the end every
    share is rounded; where the error is then no smaller than that of the nearest codes, these are returned.

    w       (in, out)
    grid    of its codes
    H       (in, in), X'X of the inputs that the layer will see
    T       (in, out), X'Z of what it shall give; None for H w, what it gave of the same inputs
    Returns (in, out) whole numbers
    Raises  ShapeError, DTypeError, NonFiniteError; ConfigError
    Source  Nagel et al. 2020, Up or down? Adaptive rounding (arXiv 2004.10568), equation 25, without the activation

    >>> X = np.array([[1.0, 1.0], [0.2, -0.2]])            # only the sum of the two weights matters
    >>> grid = RowGrid(np.array([1.0]), np.array([0]), -4, 3)
    >>> learned_rounding(np.array([[0.45], [0.35]]), grid, X.T @ X).ravel().tolist()
    [1.0, 0.0]
    """
    w, H, T = checked("learned_rounding", w, H, T)
    check_whole("learned_rounding", "steps", steps)
    near, alive = grid.nearest(w), H.diagonal() > 0              # of inputs that are always 0 nothing can be learned
    lost = grid.values(near) - w
    worst = float(np.vdot(lost, H @ lost))
    if not worst > 0:
        return near
    scale, zero = (np.broadcast_to(part, w.shape)[alive] for part in (grid.scale.astype(np.float64), grid.zero))
    w, H, T = w[alive], H[np.ix_(alive, alive)], T[alive]
    floor = np.floor(w / scale)
    v = Parameter(start_of(np.clip(w / scale - floor, LEAST, 1 - LEAST)).astype(np.float32))
    w32, s32, H32, T32 = (a.astype(np.float32) for a in (w, scale, H / worst, T / worst))
    adam = Adam([v], lr=LR)
    for step in range(steps):
        loss = quadratic(soft_rounded(w32, v, s32, zero, grid.low, grid.high), H32, T32)
        past = (step / steps - FREE) / (1 - FREE)
        if past >= 0:
            beta = BETAS[0] + (BETAS[1] - BETAS[0]) * past
            loss = loss + undecided(v, beta) * (PRICE / w.size)
        adam.zero_grad()
        loss.backward()
        adam.step()
    k = near.copy()
    k[alive] = np.clip(floor + (share_up(v.array) >= 0.5) + zero, grid.low, grid.high)

    def error(k: Array) -> float:
        y = scale * (k[alive] - zero)
        return float(np.vdot(y, H @ y - 2 * T))

    return k if error(k) < error(near) else near
