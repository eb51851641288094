"""What the bytes of a model file are for, without a byte left over."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

from minilq.errors import DataError
from minilq.store.numbers import Numbers
from minilq.store.sections import VERSION, split

OTHERS, HEADER = "all other numbers", "header and frame"


class Share(NamedTuple):
    """Bytes of one site, or of what belongs to none.

    codes, tables   what the coder wrote, and how it is to be read
    grids           what codes stand for: scales, zero points, offsets, levels, books, as they are written
    held            what the method holds beside that: masks, averages
    rest            numbers of no site; or the header, the lengths and the checksums
    coder           of the codes; "" where there are none
    """

    codes: int = 0
    tables: int = 0
    grids: int = 0
    held: int = 0
    rest: int = 0
    coder: str = ""

    @property
    def bytes(self) -> tuple[int, ...]:
        """All but the coder."""
        return self.codes, self.tables, self.grids, self.held, self.rest

    @property
    def total(self) -> int:
        """All bytes of it."""
        return sum(self.bytes)


def shares(content: bytes) -> dict[str, Share]:
    """Of each site with a method its share of a model file, then OTHERS and HEADER; they add up to its length.

    An array that several sites have counts for the first one. Raises DataError for a file of another version

    >>> import numpy as np
    >>> from minilq import nn
    >>> from minilq.quantize import LSQ
    >>> from minilq.store.modelfile import contents
    >>> model = nn.Sequential(nn.Dense(20, 3, np.random.default_rng(0)))
    >>> content = contents(nn.quantize(model, lambda name: LSQ(4) if name == "dense1.weight" else None))
    >>> found = shares(content)
    >>> found["dense1.weight"].grids, found[OTHERS].rest, sum(share.total for share in found.values()) == len(content)
    (4, 12, True)
    """
    sections = split(io.BytesIO(content), len(content))
    if sections.version != VERSION:
        raise DataError("model file", f"one of version {VERSION} was expected", got=f"version {sections.version}",
                        cause="Load it and save it again")
    header, numbers = sections.header, Numbers(sections.floats, sections.coded)
    lengths = []
    for number, (kind, shape) in enumerate(header["arrays"]):
        before = numbers.at
        numbers.take(f"array {number}", kind, tuple(shape))
        lengths.append(numbers.at - before)
    found = {}
    for name, entry in header["sites"].items():
        table, code, *coder = entry.get("codes", (0, 0, ""))
        grids, held = (_taken(entry.get(part, {}), lengths) for part in ("grid", "held"))
        found[name] = Share(code, table, grids, held, coder=coder[0] if coder else header["coder"])
    rest = len(content) - len(sections.codes) - len(sections.floats)
    return {**found, OTHERS: Share(rest=numbers.left), HEADER: Share(rest=rest)}


def _taken(numbers: dict[str, Any], lengths: list[int]) -> int:
    """Bytes of these arrays, which have then been counted."""
    total = 0
    for number in numbers.values():
        if type(number) is int:
            total += lengths[number]
            lengths[number] = 0
    return total
