"""What is measured of a network: loss and accuracy, and the integers behind its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.nn import Sequential
from minilq.ops import softmax_cross_entropy
from minilq.quantize import codes_of

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


@dataclass(frozen=True)
class Integers:
    """Statistics of integer codes: how many different ones, and the range they span."""

    unique: int
    minimum: int
    maximum: int

    @property
    def bits(self) -> int:
        """ceil(log2(max - min + 1)): what a fixed-width file needs."""
        return bits_for(self.maximum - self.minimum + 1)

    @property
    def bits_unique(self) -> int:
        """ceil(log2(unique)): what the thesis reports; a file needs a table of the codes then."""
        return bits_for(self.unique)


def bits_for(count: int) -> int:
    """Bits that tell `count` things apart; 0 for one thing.

    >>> [bits_for(n) for n in (1, 2, 3, 16, 17)]
    [0, 1, 2, 4, 5]
    """
    return math.ceil(math.log2(count)) if count > 1 else 0


def codes_in(model: Sequential) -> dict[str, Array]:
    """Integer codes of every quantized parameter, from the latent values."""
    return {name: codes_of(*q) for name, q in model.quantized().items()}


def integers_of(codes: Array) -> Integers:
    """Statistics of one array of codes."""
    unique = np.unique(codes)
    return Integers(len(unique), int(unique[0]), int(unique[-1]))


def integers_together(codes: Mapping[str, Array]) -> Integers:
    """Statistics of the union over all parameters (the thesis' "unique integers")."""
    unique = np.unique(np.concatenate([np.unique(k) for k in codes.values()]))
    return Integers(len(unique), int(unique[0]), int(unique[-1]))
