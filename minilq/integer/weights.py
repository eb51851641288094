"""Weight codes as products of bytes: which rows of a weight matrix may be summed in one accumulator."""

from __future__ import annotations

import math

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, NonFiniteError
from minilq.integer.product import LONGEST
from minilq.integer.steps import Part
from minilq.quantize import Coded, Even
from minilq.quantize.coded import Plane

MOST_PLANES = 4
"""Planes of a weight that are multiplied as they are."""


def planes_of(coded: Coded) -> list[Plane]:
    """Scales, float64 with the axes of the tensor, and int8 codes, whose products add up to the values. One at least.

    >>> from minilq.quantize import Table
    >>> for scale, codes in planes_of(Coded(np.array([[0, 2], [1, 1]]), Table(np.array([-0.7, 0.0, 0.9])))):
    ...     print(scale.tolist(), codes.tolist())
    [[-0.7]] [[1, 0], [0, 0]]
    [[0.9]] [[0, 1], [0, 0]]
    """
    axes = len(coded.shape)
    planes = coded.planes or [(np.zeros(1), np.zeros(coded.shape, np.int8))]
    return [(scale.astype(np.float64).reshape((1,) * (axes - scale.ndim) + scale.shape), codes)
            for scale, codes in planes]


def reals_of(coded: Coded) -> Array:
    """What codes stand for, float64: the sum of their planes."""
    total: Array = sum((scale * codes for scale, codes in planes_of(coded)), np.zeros(coded.shape))
    return total


def for_inputs(coded: Coded) -> Array:
    """What an input may absorb of a weight's scales, float64: one for each channel or feature (C,) where the scale
    keeps that axis alone; else 1, (1,)."""
    if not isinstance(coded.grid, Even) or coded.grid.offset is not None:
        return np.ones(1)
    scale = coded.grid.scale.astype(np.float64)
    scale = scale.reshape((1,) * (coded.codes.ndim - scale.ndim) + scale.shape)
    return scale.reshape(-1) if 1 < scale.size == scale.shape[-2] else np.ones(1)


def spread_out(planes: list[Plane], groups: int) -> list[Plane]:
    """Planes of a grouped kernel (KH, KW, C/G, F) as those of a whole one, with 0 where a filter sees no channel."""
    whole = []
    for scale, codes in planes:
        KH, KW, c, F = codes.shape
        f = F // groups
        spread = np.zeros((KH, KW, c * groups, F), codes.dtype)
        for g in range(groups):
            spread[:, :, g * c:(g + 1) * c, g * f:(g + 1) * f] = codes[..., g * f:(g + 1) * f]
        whole.append((np.tile(scale, (1, 1, groups, 1)) if scale.shape[2] > 1 else scale, spread))
    return whole


def parts_of(name: str, planes: list[Plane], factor: Array, byte: int = 0) -> tuple[list[Part], Array, tuple[int, ...]]:
    """Parts of a weight times a factor of each input channel; the scales of each (parts, F); and the axes kept.

    The product is the sum over all parts of scale * codes. There is a part for each plane, and for each scale along the
    axes of the input (row, column and channel of a kernel, row of a dense weight), which are kept: along them parts
    differ. Scales of the output go with any part.

    Shapes      planes with codes (*inputs, F) and scales with the same axes, factor (1,) or (C,) -> Part.codes (R, F),
                a copy of their own
    Raises      ConfigError for sums of more than 65793 terms, which int32 might not hold. With fewer no sum can leave
                it
    """
    *inputs, F = planes[0][1].shape
    if math.prod(inputs) > LONGEST:
        raise ConfigError("convert", f"a sum may have at most {LONGEST} terms, or it could leave int32",
                          got=f"{name} with {math.prod(inputs)} inputs")
    scales = [scale * factor[:, None] for scale, _ in planes]
    kept = tuple(axis for axis in range(len(inputs)) if any(scale.shape[axis] > 1 for scale in scales))
    others = [axis for axis in range(len(inputs) + 1) if axis not in kept]
    G = math.prod(inputs[axis] for axis in kept)
    parts, rows = [], []
    for scale, (_, codes) in zip(scales, planes, strict=True):
        groups = codes.transpose(*kept, *others).reshape(G, -1, F)
        of_groups = np.broadcast_to(scale, [inputs[axis] if axis in kept else 1 for axis in range(len(inputs))] + [F])
        parts += [Part(g, groups[g].copy(), byte) for g in range(G)]
        rows.append(of_groups.reshape(G, F))
    return parts, np.concatenate(rows), kept


def rounded(name: str, weight: Array) -> Coded:
    """A weight as codes -127 .. 127 with one scale for each output, max |w| / 127, to nearest.

    >>> rounded("dense1.weight", np.array([[0.5, 0.0], [-1.27, 0.0]])).codes.tolist()
    [[50, 0], [-127, 0]]
    """
    if not np.isfinite(weight).all():
        raise NonFiniteError("convert", "every weight must be finite", got=f"NaN or infinity in {name}")
    weight = weight.astype(np.float64)
    largest = np.abs(weight).max(axis=tuple(range(weight.ndim - 1)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1)
    return Coded(np.rint(weight / scale).astype(np.int8), Even(scale))
