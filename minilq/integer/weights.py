"""Weight codes as products of bytes: which rows of a weight matrix may be summed in one accumulator."""

from __future__ import annotations

import math

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, NonFiniteError
from minilq.integer.product import LONGEST
from minilq.integer.steps import Part
from minilq.quantize import Coded


def split_scales(coded: Coded, absorb: bool) -> tuple[Array, Array]:
    """(s, t), float64, whose product is the scale: what the input may absorb, and the rest, with the axes of the codes.

    s is one scale for each input channel or feature (C,) where the scale keeps that axis alone; else it is 1, (1,).
    """
    codes, scale = coded.codes, coded.scale.astype(np.float64)
    scale = scale.reshape((1,) * (codes.ndim - scale.ndim) + scale.shape)
    if absorb and 1 < scale.size == scale.shape[-2]:
        return scale.reshape(-1), np.ones((1,) * codes.ndim)
    return np.ones(1), scale


def parts_of(name: str, codes: Array, scale: Array) -> tuple[list[Part], Array, tuple[int, ...]]:
    """Parts of a weight, the scales of each (parts, F), and the axes kept, along which parts differ.

    The weight is the sum over all parts of scale * codes. There is a part for each scale along the axes of the input
    (row, column and channel of a kernel, row of a dense weight); scales of the output go with any part. Codes beyond
    int8 are 256 high + low, two parts with their own scales.

    Shapes      codes (*inputs, F), scale with the same axes -> Part.codes (R, F)
    Raises      ConfigError for codes beyond -32768 .. 32639 and for sums of more than 65793 terms, which int32 might
                not hold. With fewer no sum can leave it
    """
    *inputs, F = codes.shape
    if math.prod(inputs) > LONGEST:
        raise ConfigError("convert", f"a sum may have at most {LONGEST} terms, or it could leave int32",
                          got=f"{name} with {math.prod(inputs)} inputs")
    if codes.min() < -32768 or codes.max() > 32639:
        raise ConfigError("convert", "codes must lie in -32768 .. 32639, two bytes",
                          got=f"{name} with {codes.min()} .. {codes.max()}",
                          cause="The scale is far too small for these values: it has hardly been trained")
    kept = tuple(axis for axis in range(len(inputs)) if scale.shape[axis] > 1)
    others = [axis for axis in range(codes.ndim) if axis not in kept]
    G = math.prod(inputs[axis] for axis in kept)
    groups = codes.transpose(*kept, *others).astype(np.int32).reshape(G, -1, F)
    scales = np.broadcast_to(scale.reshape(G, scale.shape[-1]), (G, F))
    high = (groups + 128) >> 8                                       # low = k - 256 high lies in -128 .. 127
    planes = [(1, groups - 256 * high), (256, high)] if high.any() else [(1, groups)]
    parts = [Part(g, np.ascontiguousarray(plane[g], np.int8)) for _, plane in planes for g in range(G)]
    return parts, np.concatenate([weight * scales for weight, _ in planes]), kept


def rounded(name: str, weight: Array) -> Coded:
    """A float weight as codes -127 .. 127 with one scale for each output, max |w| / 127, to nearest.

    >>> rounded("dense1.weight", np.array([[0.5, 0.0], [-1.27, 0.0]])).codes.tolist()
    [[50, 0], [-127, 0]]
    """
    if not np.isfinite(weight).all():
        raise NonFiniteError("convert", "every weight must be finite", got=f"NaN or infinity in {name}")
    weight = weight.astype(np.float64)
    largest = np.abs(weight).max(axis=tuple(range(weight.ndim - 1)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1)
    return Coded(np.rint(weight / scale).astype(np.int8), scale, "filter")
