"""Tasks: what a network is trained for. (model, x, t) -> the loss of a batch, and how many of its answers are right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.nn import Layer
from minilq.ops import softmax_cross_entropy
from minilq.ops import squared_hinge as mean_squared_hinge

Task = Callable[[Layer, Tensor, Array], tuple[Tensor, int]]


def cross_entropy(model: Layer, x: Tensor, t: Array) -> tuple[Tensor, int]:
    """Mean softmax cross-entropy of the model's logits in training, and how many largest logits are at the label.

    Shapes      x as the model takes it, (N, ...); t (N,) labels
    """
    logits = model(x, training=True)
    return softmax_cross_entropy(logits, t), right_in(logits, t)


def squared_hinge(model: Layer, x: Tensor, t: Array) -> tuple[Tensor, int]:
    """Mean squared hinge of the model's outputs, which are to be beyond 1 at the label and beyond -1 elsewhere.

    Shapes      as for `cross_entropy`
    Source      the recipe of BinaryConnect and BNN
    """
    outputs = model(x, training=True)
    targets = np.where(np.arange(outputs.shape[1]) == t[:, None], 1, -1).astype(outputs.dtype)
    return mean_squared_hinge(outputs, targets), right_in(outputs, t)


def right_in(outputs: Tensor, t: Array) -> int:
    """How many of the largest outputs are at the label. (N, C) and (N,) labels."""
    return int(np.count_nonzero(outputs.array.argmax(axis=1) == t))
