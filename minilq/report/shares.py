"""What the bytes of a model file are for, as text."""

from __future__ import annotations

import math
from collections.abc import Mapping

from minilq.quantize import Coded
from minilq.quantize.statistics import entropy_of
from minilq.report.table import aligned, filled
from minilq.store.shares import Share

HEAD = ("of the file", "codes", "bound", "tables", "grids", "held", "rest", "total", "coder")


def table(shares: Mapping[str, Share], coded: Mapping[str, Coded]) -> str:
    """A line for each site, beside the codes the Shannon bound of them; all other numbers, the header, and the file."""
    bounds = {name: math.ceil(coded[name].codes.size * entropy_of(coded[name].codes) / 8) if name in coded else 0
              for name in shares}
    rows: list[tuple[str, ...]] = [HEAD]
    for name, share in shares.items():
        codes, *others = share.bytes
        rows.append((name, *_told(codes, bounds[name], *others, share.total), share.coder or "-"))
    codes, *others = (sum(parts) for parts in zip(*(share.bytes for share in shares.values()), strict=True))
    rows.append(("file", *_told(codes, sum(bounds.values()), *others, codes + sum(others)), "-"))
    return aligned(rows) + "\n\n" + filled([
        "Bytes of the file as it is written. bound: the codes alone, where they are taken as independent; grids: "
        "scales, offsets, levels, books; held: what methods remember beside them, as masks; rest: numbers without a "
        "method, and the header with all lengths and checksums."])


def _told(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" if number else "-" for number in numbers)
