"""The content of a file that may be gzipped: read in pieces, with a limit, every damage a DataError."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from minilq.errors import DataError
from minilq.files import opened

# Far above every file minilq reads whole (MNIST: 47 MB), far below what would fill a small machine.
CONTENT_LIMIT = 256 * 2**20
_PIECE = 2**20
_GZIP_MAGIC = b"\x1f\x8b"


def read_content(path: str | Path, limit: int = CONTENT_LIMIT) -> bytearray:
    """The bytes of the file, decompressed if it is gzipped.

    Whether it is gzipped is told by its first two bytes, not by its name. Raises DataError if the file is
    missing, unreadable, not a regular file, a damaged gzip file, or has more than `limit` bytes of content.
    """
    content = bytearray()
    for piece in content_pieces(path, limit):
        content += piece
    return content


def content_sha256(path: str | Path, limit: int = CONTENT_LIMIT) -> str:
    """The sha256 (hex) of the bytes that `read_content` would give, without keeping them. Same errors."""
    digest = hashlib.sha256()
    for piece in content_pieces(path, limit):
        digest.update(piece)
    return digest.hexdigest()


def content_pieces(path: str | Path, limit: int = CONTENT_LIMIT) -> Iterator[bytes]:
    """The bytes that `read_content` would give, at most 1 MiB at a time. Same errors."""
    total = 0
    try:
        with opened(path) as file:
            gzipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            source = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if gzipped else file
            # Reading up to the empty piece matters: only there does gzip compare length and CRC.
            while piece := source.read(_PIECE):
                total += len(piece)
                if total > limit:
                    raise DataError(str(path), f"at most {limit} bytes of content were expected", got="more")
                yield piece
    except DataError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            str(path), "the gzip file is damaged", got=str(error), cause="Delete it and fetch it again"
        ) from error
    except OSError as error:
        raise DataError(str(path), "the file cannot be read", got=error.strerror or str(error)) from error
