"""Compiled twin of the integer matrix product."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array
from minilq.kernels.jit import jit
from minilq.kernels.threads import in_parts


def product(x: Array, w: Array) -> Array:
    y = np.empty((len(x), w.shape[1]), np.int32)
    in_parts(_plain_product, len(x), x.size + w.size + y.size, np.ascontiguousarray(x), np.ascontiguousarray(w), y)
    return y


@jit()
def _plain_product(x, w, y, start, stop):  # type: ignore[no-untyped-def]
    # y_i = sum of x_ik w_k, four k in one pass over y_i
    K, N = w.shape
    for i in range(start, stop):
        y[i] = 0
        for k in range(0, K - K % 4, 4):
            a, b, c, d = np.int32(x[i, k]), np.int32(x[i, k + 1]), np.int32(x[i, k + 2]), np.int32(x[i, k + 3])
            for j in range(N):
                y[i, j] += a * w[k, j] + b * w[k + 1, j] + c * w[k + 2, j] + d * w[k + 3, j]
        for k in range(K - K % 4, K):
            for j in range(N):
                y[i, j] += np.int32(x[i, k]) * w[k, j]
