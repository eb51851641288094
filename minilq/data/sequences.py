"""Sequences made of random numbers: a task that only a network with a memory can solve, and that needs no data."""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_generator, check_whole
from minilq.autodiff.tape import Array


def adding(rng: np.random.Generator, n: int, steps: int) -> tuple[Array, Array]:
    """The adding problem: of a sequence of numbers two are marked, and the answer is their sum.

    Column 0 of a row is uniform in [0, 1); column 1 is 1 at one place in either half of the sequence, else 0. Who
    always answers 1 has a mean squared error of 1/6.

    Shapes      x (n, steps, 2), y (n, 1), float32
    Raises      ConfigError for what is no Generator, and for fewer than one sequence or two steps
    Source      Hochreiter and Schmidhuber 1997, section 5.4; in halves as in Arjovsky et al. 2016 (arXiv 1511.06464)

    >>> x, y = adding(np.random.default_rng(0), 3, 10)
    >>> x.shape, x[:, :, 1].sum(axis=1).tolist(), bool(np.allclose(y[:, 0], (x[:, :, 0] * x[:, :, 1]).sum(axis=1)))
    ((3, 10, 2), [2.0, 2.0, 2.0], True)
    """
    check_generator("adding", rng)
    check_whole("adding", "n", n)
    check_whole("adding", "steps", steps, 2)
    x = np.zeros((n, steps, 2), np.float32)
    x[:, :, 0] = rng.random((n, steps))
    half = steps // 2
    for low, high in ((0, half), (half, steps)):
        x[np.arange(n), rng.integers(low, high, n), 1] = 1
    return x, (x[:, :, 0] * x[:, :, 1]).sum(axis=1, keepdims=True)
