"""A tar archive, gzipped or plain: its members read in memory, never extracted, every damage a DataError."""

import contextlib
import gzip
import tarfile
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from minilq.errors import MOST_GOT, DataError, escaped
from minilq.files import opened

SUFFIXES = (".tgz", ".tar.gz", ".tar")

_GZIP_MAGIC = b"\x1f\x8b"
_PIECE, _LAST_PLACE = 2**20, 2**40


def member_names(path: Path) -> list[str]:
    """The names of the regular files in the archive, in its order, without a leading "./".

    The archive is read to its end, so any damage to it is found. Raises DataError for that.
    """
    return [name for name, _ in _members(path, (), 0)]


def read_members(path: Path, names: Container[str], limit: int) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each regular file of the archive that is in `names`, in its order.

    A name is only compared, never used as a path, so it does not matter where it points. Raises DataError for
    damage, and for a member of more than `limit` bytes.
    """
    for name, content in _members(path, names, limit):
        if content is not None:
            yield name, content


def _members(path: Path, names: Container[str], limit: int) -> Iterator[tuple[str, bytes | None]]:
    """All regular files; the content only of those in `names`."""
    last = "its beginning"
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(opened(path))
            gzipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            content = _Pieces(cast(BinaryIO, gzip.GzipFile(fileobj=file)) if gzipped else file, max(limit, _PIECE))
            tar = stack.enter_context(tarfile.open(fileobj=cast(BinaryIO, content), mode="r:"))
            for member in tar:
                if not member.isreg():
                    continue
                name = member.name.removeprefix("./")
                last = escaped(name, MOST_GOT)
                source = tar.extractfile(member) if name in names else None
                if source is None:
                    yield name, None
                    continue
                if member.size > limit:
                    raise DataError(f"{path}, {last}", f"at most {limit} bytes were expected", got=str(member.size))
                yield name, source.read()
            _check_end(tar, path)
    except DataError:
        raise
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, ArithmeticError) as error:
        raise _damaged(path, f"{error}, at or after {last}") from error
    except OSError as error:
        raise DataError(str(path), "the archive cannot be read", got=error.strerror or str(error)) from error


class _Pieces:
    """A file whose headers are not believed: nothing longer than `most` is read at once, and nothing at places that no
    file has."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self.file, self.most = file, most
        self.tell = file.tell

    def seek(self, place: int) -> int:
        if not 0 <= place < _LAST_PLACE:
            raise tarfile.ReadError(f"a member at byte {place}")
        return self.file.seek(place)

    def read(self, length: int) -> bytes:
        if length > self.most:
            raise tarfile.ReadError(f"a header of {length} bytes")
        return self.file.read(length)


def _check_end(tar: tarfile.TarFile, path: Path) -> None:
    # A damaged or missing header looks like the end to tarfile; the true end is a block of zeros.
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise _damaged(path, "no end mark after the last member that can be read")
    while tar.fileobj.read(_PIECE):  # Only at the end of all does gzip compare length and CRC.
        pass


def _damaged(path: Path, got: str) -> DataError:
    return DataError(str(path), "the archive is damaged", got=got, cause="Delete it and fetch it again")
