"""Sections: how a model file is cut into a header, codes and floats, and checked.

The whole format is described in minilq/store/modelfile.py. What comes out of a file has its magic, its version, its
lengths and its CRCs behind it, and the header is JSON. What the header says is for others to check.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, BinaryIO, NamedTuple

from minilq.errors import ConfigError, DataError

MAGIC = b"\x89MLQ\r\n\x1a\n"
VERSION = 2
"""What is written; versions from 1 on are read."""
HEAD = struct.Struct("<cII")                     # kind, length and CRC-32 of a section
PLAIN, CODED = b"F", b"N"
"""Kinds of the section of numbers."""
MAX_JSON = 1 << 16


class Sections(NamedTuple):
    """The contents of a model file: JSON-able header, all codes, all numbers beside them, the version, and whether the
    numbers are coded."""

    header: Any
    codes: bytes
    floats: bytes
    version: int = VERSION
    coded: bool = False


def joined(sections: Sections) -> bytes:
    """The file. Raises ConfigError for what JSON cannot hold, and for a header or a section that is too long."""
    try:
        # Once and back: keys that are no strings become strings, and two that become the same become one.
        plain = json.loads(json.dumps(sections.header, allow_nan=False))
        text = json.dumps(plain, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError("save", "facts must be what JSON can hold", got=str(error)) from error
    if len(text) > MAX_JSON:
        raise ConfigError("save", f"layers and facts must fit into {MAX_JSON} bytes of JSON", got=str(len(text)),
                          cause="Keep large facts in a file of their own")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    short = deflate.compress(text) + deflate.flush()
    header = (b"Z", short) if len(short) < len(text) else (b"J", text)
    content = MAGIC + bytes([sections.version])
    for kind, part in (header, (b"C", sections.codes), (CODED if sections.coded else PLAIN, sections.floats)):
        if len(part) >= 1 << 32:
            raise ConfigError("save", "a section must be shorter than 4 GiB", got=f"{len(part)} bytes")
        content += HEAD.pack(kind, len(part), _crc(kind, part)) + part
    return content


def split(file: BinaryIO, size: int) -> Sections:
    """The sections of an open file of `size` bytes; DataError for whatever `joined` does not write.

    A file of another kind is not read any further than its first bytes.
    """
    version = _version(file.read(len(MAGIC) + 1))
    kind, header = _section(file, size, (b"J", b"Z"), MAX_JSON)
    _, codes = _section(file, size, (b"C",), size)
    numbers, floats = _section(file, size, (PLAIN,) if version == 1 else (PLAIN, CODED), size)
    if file.read(1):
        raise DataError("model file", "its end was expected", got=f"{size - file.tell() + 1} more bytes",
                        cause="Something was appended, or it is damaged")
    return Sections(_parsed(kind, header), codes, floats, version, numbers == CODED)


def _crc(kind: bytes, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(kind))


def _version(start: bytes) -> int:
    if not start:
        raise DataError("model file", "a .mlq file was expected", got="an empty file",
                        cause="Copying or downloading it has failed")
    if not start.startswith(MAGIC):
        as_text = b"MLQ" in start
        raise DataError("model file", f"a .mlq file, which begins with {MAGIC!r}, was expected", got=repr(start),
                        cause="It was transferred as text, or is damaged" if as_text else "It is another kind of file")
    if start == MAGIC:
        raise DataError("model file", "a version was expected", got="the end of the file", cause="It is cut off")
    if not 1 <= start[-1] <= VERSION:
        newer = start[-1] > VERSION
        raise DataError("model file", f"a version of 1 to {VERSION} was expected", got=f"version {start[-1]}",
                        cause="It was written by a newer minilq; update this one" if newer else "It is damaged")
    return start[-1]


def _section(file: BinaryIO, size: int, kinds: tuple[bytes, ...], longest: int) -> tuple[bytes, bytes]:
    """Kind and content of the next section."""
    expected = f"section {' or '.join(kind.decode() for kind in kinds)}"
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        raise DataError("model file", f"{expected} was expected", got="the end of the file", cause="It is cut off")
    kind, length, crc = HEAD.unpack(head)
    if kind not in kinds:
        raise DataError("model file", f"{expected} was expected", got=f"section {kind!r}", cause="It is damaged")
    longest = min(longest, size - file.tell())
    content = file.read(length) if length <= longest else b""
    if len(content) < length:
        raise DataError(expected, f"at most {longest} bytes were expected", got=str(length),
                        cause="The file is cut off or damaged")
    if _crc(kind, content) != crc:
        raise DataError(expected, f"a content with the CRC-32 {crc:08x} was expected",
                        got=f"{_crc(kind, content):08x}", cause="The file is damaged; copy it once more")
    return kind, content


def _parsed(kind: bytes, content: bytes) -> Any:
    try:
        text = content if kind == b"J" else _inflated(content)
        return json.loads(text.decode("ascii"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError, zlib.error) as error:
        raise DataError("header", f"JSON of at most {MAX_JSON} bytes was expected", got=str(error),
                        cause="It was not written by minilq") from error


def _inflated(content: bytes) -> bytes:
    inflate = zlib.decompressobj(-15)
    text = inflate.decompress(content, MAX_JSON + 1)
    if len(text) > MAX_JSON:
        raise ValueError("more than that when inflated")
    if not inflate.eof or inflate.unused_data:
        raise ValueError("deflated data that end elsewhere")
    return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key twice in one object")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name}, which is no number")
