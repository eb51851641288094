"""Checkpoints: arrays and a JSON text in one .npz, written atomically, read without pickle."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import DataError
from minilq.files import opened, write_bytes

SCHEMA = 2


def save_checkpoint(path: str | Path, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Write arrays and JSON-able facts. The previous checkpoint stays until the new one is complete."""
    text = json.dumps({**meta, "schema": SCHEMA, "arrays": list(arrays)})
    content = io.BytesIO()
    np.savez(content, meta=np.array(text), **arrays)  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def load_checkpoint(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and facts of a checkpoint. Raises DataError when it is missing, cannot be read, is damaged, or of another
    schema."""
    try:
        with opened(path) as file:
            content = file.read()
    except OSError as error:                     # which says nothing about the content
        raise DataError(str(path), "a checkpoint that can be read was expected",
                        got="no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)) from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content):
                raise ValueError("more numbers than the file is long")
            # Whole members: only then is the CRC compared. np.load stops reading where the array's header says.
            arrays = {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
        meta = json.loads(str(arrays.pop("meta")))
        if isinstance(meta, dict) and meta.pop("arrays", list(arrays)) != list(arrays):
            raise ValueError("not the arrays that were written")     # a damaged directory can hide some
    except MemoryError:
        raise
    except Exception as error:                   # zip, its four compressions, npy and JSON raise nearly everything
        raise DataError(str(path), "an undamaged checkpoint (.npz of minilq) was expected",
                        got=str(error) or type(error).__name__,
                        cause="The file is damaged or something else; start again without it") from error
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        raise DataError(str(path), f"a checkpoint of schema {SCHEMA} was expected",
                        got=repr(meta.get("schema") if isinstance(meta, dict) else meta),
                        cause="It was written by another version of minilq")
    return arrays, meta


def _array(npy: bytes) -> Array:
    file = io.BytesIO(npy)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = header[np.lib.format.read_magic(file)](file)
    # Before memory is asked for. A pickle has any length, and is refused below.
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize != len(npy) - file.tell():
        raise ValueError(f"{len(npy) - file.tell()} bytes for an array {shape} of {dtype}")
    array: Array = np.lib.format.read_array(io.BytesIO(npy), allow_pickle=False)
    return array
