"""The size ladder: what every parameter weighs, from floats down to the Shannon bound, with nothing left out.

    float32     4 bytes for each number; no scales
    int8        1 byte for each code, or 2, 4, 8 where they do not fit: what np.save or a tensor of them takes
    packed, codebook, huffman, range, zero runs, context
                the coders of those names: content and table, as they are written
    zip         deflated .npy files of the integers, as in the thesis; headers: what the archive adds to their streams
    xz          one LZMA stream of the integers, see sizes.lzma_of; header: its first 13 bytes
    Shannon     n H / 8 bytes and no table: a bound for coders that take codes as independent, and no file; context,
                which does not, may be below it

Grids (scales, zero points, offsets, levels) are counted with 4 bytes a number in every line but the first: without them
the codes say nothing. What a container adds (names, shapes, checksums) is not counted.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

from minilq.autodiff.tape import Array
from minilq.coding import codebook, zero_runs
from minilq.coding.coders import CODERS, Coder
from minilq.coding.sizes import lzma_of, narrowest, stored_bytes, zip_of
from minilq.quantize import Coded
from minilq.quantize.coded import check_coded
from minilq.quantize.statistics import entropy_of

RUNGS: tuple[Coder, ...] = (CODERS["packed"], Coder("codebook", codebook.write, codebook.read), CODERS["huffman"],
                            CODERS["range"], Coder("zero runs", zero_runs.write, zero_runs.read), CODERS["context"])
XZ_HEADER = 13
TOTAL = "total"


class Weight(NamedTuple):
    """Bytes of one parameter in one form, by what they are for; headers count as tables, whole grids as scales."""

    codes: int
    tables: int
    scales: int

    @property
    def total(self) -> int:
        return sum(self)


def ladder(coded: Mapping[str, Coded]) -> dict[str, dict[str, Weight]]:
    """What every parameter weighs in every form: name -> form -> bytes; under "total" all of them together.

    The total of zip and of xz is one archive with all parameters, whose codes have one type; others are sums.

    >>> import numpy as np
    >>> from minilq.quantize import Even
    >>> k = np.array([[0, 0, 1, 0], [0, -1, 0, 0]], np.int8)
    >>> rows = ladder({"dense1.weight": Coded(k, Even(np.ones((2, 1), np.float32)))})
    >>> rows["dense1.weight"]["packed"], rows["total"]["float32"].total
    (Weight(codes=2, tables=5, scales=8), 32)
    """
    check_coded("ladder", coded)
    rows = {name: _weights({name: one}) for name, one in coded.items()}
    together = _archives({name: one.codes for name, one in coded.items()},
                         sum(stored_bytes(one.grid) for one in coded.values()))
    total = {form: Weight(*(sum(row[form][part] for row in rows.values()) for part in range(3)))
             for form in next(iter(rows.values()), {})}
    return {**rows, TOTAL: {**total, **together}}


def _weights(coded: Mapping[str, Coded]) -> dict[str, Weight]:
    (name, (codes, grid)), = coded.items()
    scales = stored_bytes(grid)
    encoded = {coder.name: coder.encode(codes) for coder in RUNGS}
    return {"float32": Weight(4 * codes.size, 0, 0), "int8": Weight(codes.nbytes, 0, scales),
            **{form: Weight(len(e.content), len(e.table), scales) for form, e in encoded.items()},
            **_archives({name: codes}, scales),
            "Shannon": Weight(math.ceil(codes.size * entropy_of(codes) / 8), 0, scales)}


def _archives(codes: Mapping[str, Array], scales: int) -> dict[str, Weight]:
    archive = zip_of(narrowest(codes))
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        deflated = sum(entry.compress_size for entry in file.infolist())
    lzma = len(lzma_of(codes))
    return {"zip": Weight(deflated, len(archive) - deflated, scales), "xz": Weight(lzma - XZ_HEADER, XZ_HEADER, scales)}
