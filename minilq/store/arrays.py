"""Arrays by name: a model's codes, scales and floats as the files of other programs hold them (.npz, .safetensors).

    <name>.codes    the integers of a quantized parameter, in its shape
    <name>.scale    its scales, shaped by its granularity, so that codes * scale broadcasts to what the network sees
    <name>          a parameter in full precision, or a buffer such as a running mean

Names are the model's: "conv2d1.kernel.codes". Layouts are minilq's: dense weights (in, out), kernels (KH, KW, C, F).
Which axes share a scale can be read from the shape of the scales; the granularity's own name goes along as a text.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minilq.autodiff.tape import Array
from minilq.nn import Sequential
from minilq.quantize import Coded
from minilq.quantize.granularity import NAMED_AXES, Granularity, scale_shape

CODES, SCALE = ".codes", ".scale"


def floats_in(model: Sequential, coded: Mapping[str, Coded]) -> dict[str, Array]:
    """What a model holds beside its codes: copies of its parameters that have none, scales of data, and buffers.

    >>> from minilq.nn import BatchNorm
    >>> list(floats_in(Sequential(BatchNorm(2)), {}))
    ['batchnorm1.gamma', 'batchnorm1.beta', 'batchnorm1.mean', 'batchnorm1.variance']
    """
    tensors = {**model.parameters(), **model.positive_scales(), **model.buffers()}
    return {name: tensor.array.copy() for name, tensor in tensors.items() if name not in coded}


def arrays_of(coded: Mapping[str, Coded], floats: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, str]]:
    """All arrays by their names in a file, and the granularity of every quantized parameter as a text.

    The text is the granularity's name, or its kept axes with commas: "row", "0,3".
    """
    arrays = dict(floats)
    for name, (codes, scale, _) in coded.items():
        arrays |= {name + CODES: codes, name + SCALE: scale}
    return arrays, {name: _text(one.granularity) for name, one in coded.items()}


def parts_of(arrays: Mapping[str, Array], granularities: Mapping[str, str]) -> tuple[dict[str, Coded],
                                                                                     dict[str, Array]]:
    """Back from `arrays_of`: the quantized parameters and the floats.

    Nothing is trusted. Raises ValueError (of any kind) or KeyError for what `arrays_of` does not write.
    """
    rest = dict(arrays)
    coded = {name: _coded(name, rest.pop(name + CODES), rest.pop(name + SCALE), text)
             for name, text in granularities.items()}
    for name, array in rest.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{name} is an array of {array.dtype}, and no quantized parameter is named so")
    return coded, rest


def _coded(name: str, codes: Array, scale: Array, text: str) -> Coded:
    granularity: Granularity = text if text in NAMED_AXES else tuple(int(axis) for axis in text.split(",") if axis)
    if _text(granularity) != text:
        raise ValueError(f"{name} has the granularity {text!r}")
    if codes.dtype.kind != "i" or scale.dtype.char not in "fd":
        raise ValueError(f"{name} has codes of {codes.dtype} and scales of {scale.dtype}")
    if scale.shape != scale_shape(granularity, codes.shape):
        raise ValueError(f"{name} has codes {codes.shape} and scales {scale.shape} for the granularity {text!r}")
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(f"{name} has scales that are not > 0, or infinite")
    return Coded(codes, scale, granularity)


def _text(granularity: Granularity) -> str:
    return granularity if isinstance(granularity, str) else ",".join(map(str, granularity))

