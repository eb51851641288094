"""Files of the safetensors format: a JSON header that says where each array lies, then the arrays, without gaps.

    8 bytes         length of the header, unsigned, little end first
    the header      JSON: {"__metadata__": {text: text}, name: {"dtype": "I8", "shape": [2, 3], "data_offsets": [0, 6]}}
    the data        the numbers of each array in C order, little end first; offsets count from the first byte after the
                    header, cover all of the data, and do not overlap

Nothing in it can be executed, and there is no checksum: other numbers in place of those written go unnoticed. The .mlq
file notices (modelfile.py).
Source      https://github.com/huggingface/safetensors, section "Format"
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DataError, DTypeError
from minilq.files import opened, write_bytes
from minilq.quantize import Coded
from minilq.store.arrays import arrays_of, parts_of

# In the order in which the format's own library writes arrays: the widest first, so that each is aligned.
DTYPES = {name: np.dtype(dtype) for name, dtype in (
    ("U64", "<u8"), ("I64", "<i8"), ("F64", "<f8"), ("F32", "<f4"), ("U32", "<u4"), ("I32", "<i4"), ("F16", "<f2"),
    ("U16", "<u2"), ("I16", "<i2"), ("I8", "|i1"), ("U8", "|u1"), ("BOOL", "|b1"))}

MAX_HEADER = 2**20
"""Bytes of the longest header that is read, enough for ten thousand arrays: parsed JSON takes many times its length."""

MAX_AXES = 32
"""Axes of an array, at most: what every version of NumPy has."""


def to_safetensors(coded: Mapping[str, Coded], path: str | Path, floats: Mapping[str, Array] = {}) -> None:
    """Write codes, grids and `floats`; see `arrays_of`."""
    write(path, arrays_of(coded, floats))


def from_safetensors(path: str | Path) -> tuple[dict[str, Coded], dict[str, Array]]:
    """The codes and the floats that `to_safetensors` wrote. Raises DataError for any other file."""
    arrays, _ = read(path)
    try:
        return parts_of(arrays)
    except (ValueError, KeyError) as error:
        raise DataError(str(path), "codes with their grids were expected, as to_safetensors writes them",
                        got=str(error), cause="The file is damaged, or another program's") from error


def write(path: str | Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] = {}) -> None:
    """Write named arrays and texts, atomically; the same bytes for the same content in any order.

    Raises DTypeError for an array of numbers that the format does not have; UnwritableError.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    little = {name: np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("<"), order="C", copy=False)
              for name, array in arrays.items()}
    for name, array in little.items():
        if array.dtype not in names:
            raise DTypeError("safetensors", f"{name} must be one of {', '.join(DTYPES)}", got=str(array.dtype))
    order = sorted(little, key=lambda name: (list(DTYPES).index(names[little[name].dtype]), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in order:
        start, end = end, end + little[name].nbytes
        header[name] = {"dtype": names[little[name].dtype], "shape": little[name].shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = (little[name].tobytes() for name in order)
    write_bytes(path, b"".join([len(text).to_bytes(8, "little"), text, *data]))


def read(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata of a file. Raises DataError when it is missing, damaged, or has a huge header."""
    try:
        with opened(path) as file:
            content = file.read()
    except OSError as error:
        raise DataError(str(path), "a safetensors file was expected", got=error.strerror or str(error)) from error
    try:
        return _parsed(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(str(path), "an undamaged safetensors file was expected", got=_line(error),
                        cause="The file is damaged or something else") from error


def _parsed(content: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, MAX_HEADER):
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}, where {MAX_HEADER} are allowed")
    header = json.loads(content[8:8 + length].decode(), object_pairs_hook=_once_each)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata that are no texts")
    data, end = memoryview(content)[8 + length:], 0
    arrays = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
        if (entry.keys() != {"dtype", "shape", "data_offsets"} or type(shape) is not list or len(shape) > MAX_AXES
                or not all(type(n) is int for n in (start, stop, *shape))):
            raise ValueError(f"{name} with {entry}")
        if start != end or min(shape, default=0) < 0 or stop - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} at {start}..{stop} for {entry['dtype']} {shape}, after data that end at {end}")
        arrays[name] = np.frombuffer(data[start:stop], dtype).reshape(shape).astype(dtype.newbyteorder("="))
        end = stop
    if end != len(data):
        raise ValueError(f"{len(data)} bytes of data, of which {end} belong to arrays")
    return {name: arrays[name] for name in header}, metadata


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name that stands twice")
    return dict(pairs)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
