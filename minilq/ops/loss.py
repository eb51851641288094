"""The task loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import as_array
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.samples import normal
from minilq.autodiff.tape import Array
from minilq.errors import DTypeError, ShapeError
from minilq.kernels import twin
from minilq.ops.broadcast import check_floats
from minilq.ops.softmax import probabilities

UNSIGNED = {n: np.dtype(f"u{n}") for n in (1, 2, 4, 8)}


@primitive
def softmax_cross_entropy(logits: Any, labels: Any) -> Array:
    """Mean cross-entropy of integer labels, from logits.

    Forward     L = (1/N) sum_i ( log sum_k e^(z_ik) - z_(i, t_i) )
    Derivative  kind: exact. dz_ij = g (p_ij - [j = t_i]) / N, with p = softmax(z)
    Shapes      logits z (N, C), labels t (N,) integers in 0..C-1 -> ()
    Dtype       float32 or float64, preserved
    Raises      ShapeError, DTypeError for labels that are no integers, ShapeError for a label outside 0..C-1

    The maximum of each row is subtracted first, so large logits neither overflow nor lose the small ones.

    >>> import numpy as np
    >>> round(float(softmax_cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 6)   # log 4
    1.386294
    """
    check_floats("softmax_cross_entropy", logits=logits)
    labels = _native(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or logits.shape[0] == 0:
        raise ShapeError("softmax_cross_entropy", "logits must be (N, C) and labels (N,), N at least 1",
                         got=f"logits {np.shape(logits)}, labels {labels.shape}",
                         cause="One-hot rows become integers with labels.argmax(axis=1)"
                         if labels.ndim == 2 and labels.shape == logits.shape else "")
    if labels.dtype.kind not in "iu":
        raise DTypeError("softmax_cross_entropy", "labels must be integers", got=f"an array of {labels.dtype}",
                         cause="Write labels.astype(int)" if labels.dtype.kind in "fb" else "")
    if labels.view(UNSIGNED[labels.itemsize]).max() >= logits.shape[1]:          # negative ones are the largest then
        raise ShapeError("softmax_cross_entropy", f"labels must lie in 0..{logits.shape[1] - 1}",
                         got=f"{labels.min()}..{labels.max()}")
    return mean_cross_entropy(logits, labels)


@vjp_of(softmax_cross_entropy, kind="exact", needs="logits labels", at=normal((4, 3), labels=np.array([2, 0, 1, 1])))
def softmax_cross_entropy_vjp(g: Array, y: Array, logits: Array, labels: Any) -> tuple[Array]:
    return (mean_cross_entropy_gradient(g, logits, _native(labels)),)


def _native(labels: Any) -> Array:
    """As kernels need them: one after the other, in the byte order of this machine."""
    labels = as_array("softmax_cross_entropy", labels, "labels")
    return labels if labels.flags.c_contiguous else labels.copy()


@twin("loss")
def mean_cross_entropy(logits: Array, labels: Array) -> Array:
    """(1/N) sum_i ( log sum_k e^(z_ik) - z_(i, t_i) ), nothing checked."""
    z = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(z).sum(axis=1))
    return np.mean(log_sum - z[np.arange(len(labels)), labels])


@twin("loss")
def mean_cross_entropy_gradient(g: Array, logits: Array, labels: Array) -> Array:
    # dL/dz_ij = (p_ij - [j = t_i]) / N
    dz = probabilities(logits, axis=1)
    dz[np.arange(len(dz)), labels] -= 1
    return dz * (g / len(dz))
