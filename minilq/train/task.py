"""Tasks: what a network is trained for. (model, x, t) -> the loss of a batch, and how many of its answers are right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.nn import Layer
from minilq.ops import softmax_cross_entropy

Task = Callable[[Layer, Tensor, Array], tuple[Tensor, int]]


def cross_entropy(model: Layer, x: Tensor, t: Array) -> tuple[Tensor, int]:
    """Mean softmax cross-entropy of the model's logits in training, and how many largest logits are at the label.

    Shapes      x as the model takes it, (N, ...); t (N,) labels
    """
    logits = model(x, training=True)
    return softmax_cross_entropy(logits, t), int(np.count_nonzero(logits.array.argmax(axis=1) == t))
