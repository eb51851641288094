"""What is measured of a network: loss and accuracy, the integers behind its parameters, and what they lose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.nn import Sequential
from minilq.ops import softmax_cross_entropy
from minilq.quantize import codes_of
from minilq.quantize.statistics import MOST_DECIBELS, sqnr_together

ToInput = Callable[[Array], Array]

# Images uint8 (N, ...) -> what the network sees, float32. "raw" is the thesis' choice.
INPUTS: dict[str, ToInput] = {
    "raw": lambda images: images.astype(np.float32),
    "unit": lambda images: np.divide(images, 255, dtype=np.float32),
}


LARGEST_BATCH = 1 << 20
"""Numbers in the images of one batch when nothing is trained: what bounds the memory of convolutions."""


def evaluate(model: Sequential, images: Array, labels: Array, to_input: ToInput,
             batch: int | None = None) -> tuple[float, float]:
    """Mean cross-entropy and share of right answers, unrecorded, in batches (by default of at most 1000 images)."""
    if batch is None:
        batch = max(1, min(1000, LARGEST_BATCH // math.prod(images.shape[1:])))
    loss, right = 0.0, 0
    with no_grad():
        for start in range(0, len(images), batch):
            t = labels[start:start + batch]
            logits = model(Tensor.wrap(to_input(images[start:start + batch])))
            loss += softmax_cross_entropy(logits, t).item() * len(t)
            right += int(np.sum(logits.array.argmax(axis=1) == t))
    return loss / len(images), right / len(images)


def codes_in(model: Sequential) -> dict[str, Array]:
    """Integer codes of every quantized parameter, from the latent values."""
    return {name: codes_of(*q) for name, q in model.quantized().items()}


def seen_in(model: Sequential, codes: Mapping[str, Array]) -> dict[str, Array]:
    """What the network sees of every quantized parameter, k s, from its codes as `codes_in` gives them."""
    return {name: codes[name].astype(P.dtype) * s.array for name, (P, s, _) in model.quantized().items()}


def sqnr_in(model: Sequential, codes: Mapping[str, Array]) -> float:
    """`sqnr_together` of all quantized parameters of a model, held within -MOST_DECIBELS..MOST_DECIBELS."""
    latent = {name: q.parameter.array for name, q in model.quantized().items()}
    return max(-MOST_DECIBELS, min(MOST_DECIBELS, sqnr_together(latent, seen_in(model, codes))))
