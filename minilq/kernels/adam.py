"""Compiled twin of the Adam update."""

from __future__ import annotations

import numpy as np

from minilq.kernels.groups import Array, fits
from minilq.kernels.jit import jit


def adam_update(p: Array, g: Array, m: Array, v: Array, step_size: float, beta1: float, beta2: float,
                epsilon: float, low: float = -np.inf, high: float = np.inf) -> None:
    if not fits(p, g):                           # m and v are laid out as p
        return NotImplemented
    if p.ndim != 1:
        p, g, m, v = p.ravel(), g.ravel(), m.ravel(), v.ravel()
    _adam(p, g, m, v, step_size, beta1, beta2, epsilon, low, high)
    return None


@jit()
def _adam(p, g, m, v, step_size, beta1, beta2, epsilon, low, high):  # type: ignore[no-untyped-def]
    number = p.dtype.type
    zero, tiny = number(0), np.finfo(p.dtype).tiny
    gain1, gain2 = number(1 - beta1), number(1 - beta2)
    step_size, epsilon = number(step_size), number(epsilon)
    low, high = number(low), number(high)
    large, infinity = number(np.sqrt(np.finfo(p.dtype).max) / 2), number(np.inf)
    for i in range(p.size):
        # selects, as branches cost a quarter more
        held = large if g[i] > large else g[i]
        held = -large if held < -large else held
        g_i = held if abs(g[i]) < infinity else g[i]
        m_i = m[i] + (g_i - m[i]) * gain1
        v_i = v[i] + (g_i * g_i - v[i]) * gain2
        m_i = zero if abs(m_i) < tiny else m_i
        v_i = zero if v_i < tiny else v_i
        m[i] = m_i
        v[i] = v_i
        p_i = p[i] - m_i * step_size / (np.sqrt(v_i) + epsilon)
        p_i = low if p_i < low else p_i          # NaN stays
        p[i] = high if p_i > high else p_i
