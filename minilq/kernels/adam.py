"""Compiled twin of the Adam update."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits, flat
from minilq.kernels.jit import jit


def adam_update(p: Array, g: Array, m: Array, v: Array, step_size: float, beta1: float, beta2: float,
                epsilon: float) -> None:
    if not fits(p, g):                           # m and v are laid out as p
        return NotImplemented
    _adam(*flat(p, g, m, v), step_size, beta1, beta2, epsilon)
    return None


@jit()
def _adam(p, g, m, v, step_size, beta1, beta2, epsilon):  # type: ignore[no-untyped-def]
    number = p.dtype.type
    zero, tiny = number(0), np.finfo(p.dtype).tiny
    gain1, gain2 = number(1 - beta1), number(1 - beta2)
    step_size, epsilon = number(step_size), number(epsilon)
    for i in range(p.size):
        m_i = m[i] + (g[i] - m[i]) * gain1
        v_i = v[i] + (g[i] * g[i] - v[i]) * gain2
        m_i = zero if abs(m_i) < tiny else m_i
        v_i = zero if v_i < tiny else v_i
        m[i] = m_i
        v[i] = v_i
        p[i] = p[i] - m_i * step_size / (np.sqrt(v_i) + epsilon)
