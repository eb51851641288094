"""The divergence of two softened answers, by which a student learns from a teacher."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import is_number, shown
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.ops.broadcast import check_floats

HOTTEST = 2.0**20
"""Temperatures beyond leave nothing of float32's differences."""


@primitive
def divergence(logits: Any, teacher: Any, temperature: float = 2.0) -> Array:
    """How far a student's answers are from a teacher's, both softened by a temperature.

    Forward     L = T^2/N sum_i KL(q_i || p_i) = T^2/N sum_ij q_ij (log q_ij - log p_ij), with p = softmax(z/T) of the
                student's logits z and q = softmax(t/T) of the teacher's t. T^2 keeps the gradients as large as those of
                hard labels
    Derivative  kind: exact.  dz_ij = g T (p_ij - q_ij)/N,
                dt_ij = g T q_ij (log q_ij - log p_ij - KL(q_i || p_i))/N
    Shapes      logits z and teacher t (N, C) -> ()
    Dtype       float32 or float64, the same for both, preserved
    Raises      ShapeError for other shapes and no row; DTypeError; ConfigError for a temperature not in 2^-20 .. 2^20
    Source      Hinton, Vinyals, Dean 2015 (arXiv 1503.02531), section 2; Polino et al. 2018 (arXiv 1802.05668), section
                3, whose released code divides by N C

    >>> z = np.array([[2.0, 0.0]])
    >>> float(divergence(z, z)), round(float(divergence(z, -z)), 4)
    (0.0, 1.8485)
    """
    check_floats("divergence", logits=logits, teacher=teacher)
    if logits.ndim != 2 or teacher.shape != logits.shape or not logits.size:
        raise ShapeError("divergence", "logits and teacher must both be (N, C), N at least 1",
                         got=f"logits {logits.shape}, teacher {teacher.shape}",
                         cause="The teacher knows other classes" if logits.shape[:1] == teacher.shape[:1] else "")
    if teacher.dtype != logits.dtype:
        raise DTypeError("divergence", "logits and teacher must have one dtype",
                         got=f"{logits.dtype} and {teacher.dtype}")
    if not (is_number(temperature) and 1 / HOTTEST <= temperature <= HOTTEST):
        raise ConfigError("divergence", "the temperature must be a number in 2^-20 .. 2^20", got=shown(temperature))
    log_q, log_p = log_softmax(teacher / temperature), log_softmax(logits / temperature)
    return np.asarray(temperature**2 * (np.exp(log_q) * (log_q - log_p)).sum(axis=1).mean())


@vjp_of(divergence, kind="exact", needs="logits teacher", at=normal((3, 4), (3, 4), temperature=1.5))
def divergence_vjp(g: Array, y: Array, logits: Array, teacher: Array, temperature: float = 2.0,
                   need: tuple[bool, ...] = (True, True)) -> tuple[Array, Array | None]:
    log_q, log_p = log_softmax(teacher / temperature), log_softmax(logits / temperature)
    factor, q = g * temperature / len(logits), np.exp(log_q)
    # log p_j = z_j/T - log sum_k e^(z_k/T)   =>   dKL/dz_j = sum_k q_k (p_j - [j = k]) / T = (p_j - q_j) / T
    dz = factor * (np.exp(log_p) - q)
    if not need[1]:
        return dz, None
    # dq_k = q_k (dt_k - sum_j q_j dt_j) / T, and sum_k dq_k = 0   =>   dKL/dt_j = q_j (log q_j - log p_j - KL) / T
    gap = log_q - log_p
    return dz, factor * q * (gap - (q * gap).sum(axis=1, keepdims=True))


def log_softmax(logits: Array) -> Array:
    """log p_ij = z_ij - log sum_k e^(z_ik), of each row. (N, C) -> (N, C)."""
    z = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
