"""Compiled twin of the Adam update."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import jit


TINY = {"f": np.finfo(np.float32).tiny, "d": np.finfo(np.float64).tiny}


def adam_update(p: Array, g: Array, m: Array, v: Array, step_size: float, beta1: float, beta2: float,
                epsilon: float) -> None:
    if not fits(p, g, m, v):
        return NotImplemented
    number = p.dtype.type
    _adam(p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1), number(step_size), number(1 - beta1),
          number(1 - beta2), number(epsilon), TINY[p.dtype.char])
    return None


@jit()
def _adam(p, g, m, v, step_size, gain1, gain2, epsilon, tiny):  # type: ignore[no-untyped-def]
    zero = tiny - tiny
    for i in range(p.size):
        m_i = m[i] + (g[i] - m[i]) * gain1
        v_i = v[i] + (g[i] * g[i] - v[i]) * gain2
        m_i = zero if abs(m_i) < tiny else m_i
        v_i = zero if v_i < tiny else v_i
        m[i] = m_i
        v[i] = v_i
        p[i] -= m_i * step_size / (np.sqrt(v_i) + epsilon)
