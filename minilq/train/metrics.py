"""What is measured of a network: loss and accuracy, the integers behind its parameters, and what they lose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from minilq.arguments import check_function, check_instance, check_reals, check_whole
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ShapeError
from minilq.kernels.blas import one_blas_thread
from minilq.nn import Layer, Sequential
from minilq.ops import softmax_cross_entropy
from minilq.quantize import Coded, Even
from minilq.quantize.statistics import MOST_DECIBELS, sqnr_together

ToInput = Callable[[Array], Array]


def raw(images: Array) -> Array:
    """Pixels 0 .. 255 as float32: the thesis' choice."""
    return images.astype(np.float32)


def unit(images: Array) -> Array:
    """Pixels 0 .. 1 as float32."""
    return np.divide(images, 255, dtype=np.float32)


INPUTS: dict[str, ToInput] = {"raw": raw, "unit": unit}
"""Images uint8 (N, ...) -> what the network sees."""

LARGEST_BATCH = 1 << 20
"""Numbers in the images of one batch when nothing is trained: what bounds the memory of convolutions."""


@one_blas_thread()
def evaluate(model: Sequential, images: Array, labels: Array, to_input: ToInput,
             batch: int | None = None) -> tuple[float, float]:
    """Mean cross-entropy and share of right answers, unrecorded, in batches (by default of at most 1000 images).

    Raises ConfigError for what is no model and no function; DTypeError, ShapeError for what are no images and labels.
    """
    check_instance("evaluate", "the model", model, Layer, "a Layer")
    check_function("evaluate", "to_input", to_input, " of images")
    check_reals("evaluate", "images", images)
    check_reals("evaluate", "labels", labels)
    if images.ndim < 2 or labels.shape != images.shape[:1] or images.size == 0:
        raise ShapeError("evaluate", "there must be images (N, ...) and one label for each, at least one",
                         got=f"images {images.shape}, labels {labels.shape}")
    if batch is not None:
        check_whole("evaluate", "batch", batch)
    else:
        batch = max(1, min(1000, LARGEST_BATCH // math.prod(images.shape[1:])))
    loss, right = 0.0, 0
    with no_grad():
        for start in range(0, len(images), batch):
            t = labels[start:start + batch]
            logits = model(Tensor.wrap(to_input(images[start:start + batch])))
            loss += softmax_cross_entropy(logits, t).item() * len(t)
            right += int(np.sum((logits.array.argmax(axis=1) == t) & ~np.isnan(logits.array).any(axis=1)))
    return loss / len(images), right / len(images)


def scales_in(coded: Mapping[str, Coded]) -> dict[str, Array]:
    """The scales of even grids."""
    return {name: one.grid.scale for name, one in coded.items() if isinstance(one.grid, Even)}


def sqnr_in(model: Layer, coded: Mapping[str, Coded]) -> float:
    """`sqnr_between` the latents of a model and what `coded_in` gave for it."""
    sites = model.sites()
    with no_grad():
        return sqnr_between({name: sites[name].real().array for name in coded}, coded)


def sqnr_between(latents: Mapping[str, Array], coded: Mapping[str, Coded]) -> float:
    """`sqnr_together` of latents and what their codes stand for, held within -MOST_DECIBELS..MOST_DECIBELS."""
    seen = {name: one.values for name, one in coded.items()}
    return max(-MOST_DECIBELS, min(MOST_DECIBELS, sqnr_together({name: latents[name] for name in coded}, seen)))
