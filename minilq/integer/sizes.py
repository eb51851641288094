"""What parameters weigh: raw floats, zipped, bit-packed; the scales are always counted with the packed ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from minilq.autodiff.tape import Array
from minilq.integer.packing import pack
from minilq.train.metrics import integers_of

PACKED_HEADER = 5
"""Bytes that say how one packed parameter is to be read: its smallest code (int32) and its width (uint8)."""


def zipped(arrays: Mapping[str, Array]) -> int:
    """Bytes of a zip file (deflate) with one .npy for each array: the thesis' measure, which leaves the scales out."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            npy = io.BytesIO()
            np.save(npy, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy.getvalue(), zipfile.ZIP_DEFLATED)
    return len(content.getvalue())


def narrowest(codes: Mapping[str, Array]) -> dict[str, Array]:
    """All codes in one integer type, the narrowest that holds them: int8 wherever a network is quantized at all.

    The thesis' code casts to int8 in any case, so that codes beyond -128..127 wrap.
    """
    dtype = np.result_type(np.int8, *[k.dtype for k in codes.values()])
    return {name: k.astype(dtype) for name, k in codes.items()}


def packed(codes: Mapping[str, Array], scales: Mapping[str, Array]) -> int:
    """Bytes of all codes bit-packed at each parameter's own width, with float32 scales and headers."""
    total = 0
    for name, k in codes.items():
        own = integers_of(k)
        total += len(pack(k, own.minimum, own.bits)) + 4 * scales[name].size + PACKED_HEADER
    return total
