"""The codes in a file: table and content of each site's, one after the other, and by which coder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from minilq.autodiff.tape import Array
from minilq.coding.coders import CODERS, Encoded
from minilq.errors import DataError
from minilq.quantize import Coded
from minilq.quantize.coded import narrowed
from minilq.store.checks import wrong

SMALLEST = "smallest"
"""In place of a coder: for each site that which takes fewest bytes."""
NAME = 10
"""Bytes that the header takes, about, for the name of a coder that is not the usual one."""


class Piece(NamedTuple):
    """The codes of one site as bytes, and the name of the coder that made them."""

    coder: str
    encoded: Encoded

    def place(self, usual: str) -> list[Any]:
        """What the header says of it, in a file whose other sites have the usual coder."""
        return [*map(len, self.encoded), *([] if self.coder == usual else [self.coder])]


def encoded(coded: Mapping[str, Coded], coder: str) -> tuple[str, dict[str, Piece]]:
    """The usual coder of a file, and the piece of each site."""
    if coder != SMALLEST:
        return coder, {name: Piece(coder, CODERS[coder].encode(one.codes)) for name, one in coded.items()}
    by_all = {name: {coder: each.encode(one.codes) for coder, each in CODERS.items()} for name, one in coded.items()}
    usual = min(CODERS, key=lambda coder: sum(_bytes(by[coder]) for by in by_all.values()))
    best = {name: min(by, key=lambda coder: _bytes(by[coder]) + NAME * (coder != usual))
            for name, by in by_all.items()}
    return usual, {name: Piece(best[name], by[best[name]]) for name, by in by_all.items()}


def _bytes(one: Encoded) -> int:
    return len(one.table) + len(one.content)


def cut(entries: Any, usual: str, shapes: Mapping[str, tuple[int, ...]], codes: bytes) -> dict[str, Piece]:
    """The piece of each weight or bias that has codes: all bytes of them. Nothing is trusted. Raises DataError"""
    if not isinstance(entries, dict):
        raise wrong("sites", "an object", entries)
    pieces, at = {}, 0
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise wrong(name[:80], "an object", entry)
        if "codes" not in entry:
            continue
        place = entry["codes"]
        if f"{name}.latent" not in shapes:
            raise wrong("sites", f"the name of a weight or a bias: {', '.join(shapes)[:300]}", name)
        if not (isinstance(place, list) and len(place) in (2, 3)
                and all(type(n) is int and 0 <= n <= len(codes) for n in place[:2])):
            raise wrong(f"codes of {name}", f"two lengths up to {len(codes)}", place)
        table, content, coder = *place[:2], place[2] if len(place) == 3 else usual
        if not isinstance(coder, str) or coder not in CODERS:
            raise wrong(f"coder of {name}", f"one of {', '.join(CODERS)}", coder)
        pieces[name] = Piece(coder, Encoded(codes[at:at + table], codes[at + table:at + table + content]))
        at += table + content
    if at != len(codes):
        raise DataError("codes", f"{at} bytes were expected", got=str(len(codes)),
                        cause="The header belongs to other codes")
    return pieces


def decoded(where: str, piece: Piece, shape: tuple[int, ...]) -> Array:
    """The codes of a site; DataError, with its name, for damaged ones."""
    try:
        return narrowed(CODERS[piece.coder].decode(*piece.encoded, shape)).reshape(shape)
    except DataError as error:
        raise DataError(f"codes of {where}: {error}") from error
