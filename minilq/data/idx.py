"""The IDX file format of MNIST: a header of big-endian sizes, then the bytes of one array."""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minilq.data.content import read_content
from minilq.errors import DataError

_UBYTE = 0x08
_MAX_DIMENSIONS = 4


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or plain; the result is uint8 with the file's own shape.

    Raises DataError if the file is missing, damaged, longer or shorter than its header says, or of another
    kind.
    """
    return parse_idx(read_content(path), str(path))


def parse_idx(content: bytearray, where: str) -> NDArray[np.uint8]:
    """The uint8 array that the `content` of an IDX file describes; the array shares the memory of `content`.

    The layout: two zero bytes, the type (8 for unsigned bytes), the number of dimensions, then each
    dimension as four bytes, big-endian, then the array, last index fastest. No size in the header is
    believed before it has been compared with the number of bytes that are really there.

    `where` names the file in errors. Raises DataError as `read_idx` does.

    >>> parse_idx(bytearray([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 5, 6, 7]), "example")
    array([[5, 6, 7]], dtype=uint8)
    """
    if len(content) == 0:
        raise _damaged(where, "an IDX file was expected", "an empty file")
    if len(content) < 4:
        raise _damaged(
            where, "an IDX file starts with 4 bytes of magic number", f"{len(content)} bytes in all"
        )
    if content[0] != 0 or content[1] != 0:
        raise _damaged(where, "an IDX file starts with two zero bytes", f"bytes {content[:4].hex(' ')}")
    kind, ndim = content[2], content[3]
    if kind != _UBYTE:
        raise _damaged(where, "the type byte must be 0x08 (unsigned bytes)", f"0x{kind:02x}")
    if not 1 <= ndim <= _MAX_DIMENSIONS:
        raise _damaged(where, f"the number of dimensions must be 1..{_MAX_DIMENSIONS}", str(ndim))
    start = 4 + 4 * ndim
    if len(content) < start:
        raise _damaged(where, f"a header of {start} bytes was expected", f"{len(content)} bytes in all")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    # An empty array of any shape fits an empty rest, so a damaged size would pass unseen.
    if 0 in shape:
        raise _damaged(where, "every dimension must be at least 1", f"shape {shape}")
    count, present = math.prod(shape), len(content) - start
    if count != present:
        raise _damaged(where, f"{count} bytes must follow a header of shape {shape}", f"{present} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _damaged(where: str, expected: str, got: str) -> DataError:
    return DataError(
        where, expected, got=got, cause="The file is damaged or of another kind: delete it and fetch it again"
    )
