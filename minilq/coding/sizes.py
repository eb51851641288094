"""What parameters weigh: raw floats, zipped, bit-packed, entropy-coded; only the zipped ones leave the grids out."""

from __future__ import annotations

import io
import lzma
import math
import zipfile
from collections.abc import Mapping

import numpy as np

from minilq.arguments import check_arrays
from minilq.autodiff.tape import Array
from minilq.coding.bits import gamma_widths
from minilq.coding.packing import HEADER, packed_length
from minilq.quantize import Coded
from minilq.quantize.coded import Grid, check_coded, check_codes_of
from minilq.quantize.statistics import entropy_of_counts, histogram, integers_of


def zipped(arrays: Mapping[str, Array]) -> int:
    """Bytes of a zip file (deflate) with one .npy for each array: the thesis' measure, which leaves the scales out."""
    return len(zip_of(arrays))


def zip_of(arrays: Mapping[str, Array]) -> bytes:
    """The zip file itself."""
    check_arrays("zipped", "arrays", arrays)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            npy = io.BytesIO()
            np.save(npy, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy.getvalue(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def narrowest(codes: Mapping[str, Array]) -> dict[str, Array]:
    """All codes in one integer type, the narrowest that holds them: int8 wherever a network is quantized at all.

    The thesis' code casts to int8 in any case, so that codes beyond -128..127 wrap.
    """
    check_codes_of("narrowest", codes)
    dtype = np.result_type(np.int8, *[k.dtype for k in codes.values()])
    return {name: k.astype(dtype) for name, k in codes.items()}


def stored_bytes(grid: Grid) -> int:
    """Bytes of what a file must hold beside the codes: 4 for each number of the grid, a scale, a zero or a level."""
    return 4 * sum(a.size for a in grid.stored().values())


def packed(coded: Mapping[str, Coded]) -> int:
    """Bytes of all codes bit-packed at each parameter's own width, with what their grids store and headers."""
    check_coded("packed", coded)
    total = 0
    for codes, grid in coded.values():
        own = integers_of(codes)
        total += packed_length(codes.size, own.bits) + stored_bytes(grid) + HEADER
    return total


def entropy_coded(coded: Mapping[str, Coded]) -> int:
    """Bytes of all codes at the entropy of each parameter's own histogram: what a range coder comes close to.

        ceil(sum_t n_t H_t / 8)      the codes of all parameters, one after the other in one stream
        ceil(sum_t table_t / 8)      the histograms, without which nothing can be decoded; see `table_bits`
        what the grids store, and the header of `packed` for each parameter

    H_t is `entropy_of` the codes of parameter t and n_t their number. A range coder needs a few bytes more to end its
    stream. Shapes are not counted, as in `packed`.
    """
    check_coded("entropy_coded", coded)
    histograms = [histogram(one.codes) for one in coded.values()]
    content = sum(counts.sum() * entropy_of_counts(counts) for _, counts in histograms)
    tables = sum(_table_bits(values, counts) for values, counts in histograms)
    return (math.ceil(content / 8) + math.ceil(tables / 8)
            + sum(stored_bytes(one.grid) + HEADER for one in coded.values()))


def table_bits(codes: Array) -> int:
    """Bits of a histogram, whose smallest code the header holds, as numbers in Elias' gamma code.

    In the order of the codes: the count of the smallest; then for each further code that occurs its distance from the
    one before, and its count. No mark ends the table: it ends when the counts add up to the number of codes. Gamma
    takes 2 floor(log2 m) + 1 bits for a number m >= 1: few for the rare codes of a wide histogram, and one for each
    distance where no code is left out.
    Source      Elias 1975, Universal codeword sets

    >>> table_bits(np.array([0, 0, 0, 2]))       # counts 3 and 1, distance 2: 3 + 3 + 1 bits
    7
    """
    return _table_bits(*histogram(codes))


def _table_bits(values: Array, counts: Array) -> int:
    return int(gamma_widths(np.concatenate([np.diff(values), counts])).sum())


def compressed(coded: Mapping[str, Coded]) -> int:
    """Bytes of `lzma_of` all codes, and of what their grids store. Shapes are not counted."""
    check_coded("compressed", coded)
    return len(lzma_of({name: one.codes for name, one in coded.items()})) + sum(
        stored_bytes(one.grid) for one in coded.values())


def lzma_of(codes: Mapping[str, Array]) -> bytes:
    """All codes as a .lzma file, as `xz --format=lzma` writes it: 13 bytes of header, then the stream.

    The codes stand one parameter after the other in the integer type of `narrowest`, little end first, without .npy
    headers. The coder's settings suit codes that hardly depend on their neighbours: of one byte, they are coded without
    context; of more, with as much of the byte before as LZMA allows, and with the place of the byte in its code. There
    is no checksum, which .xz would add. The window holds everything up to 64 MB, and no more: a larger one changes
    nothing but the time, most of which goes into clearing it.
    """
    small = narrowest(codes)
    width = max((k.itemsize for k in small.values()), default=1)
    place = width.bit_length() - 1               # how many bits tell the bytes of one code apart
    content = b"".join(k.astype(k.dtype.newbyteorder("<")).tobytes() for k in small.values())
    window = min(max(1 << (4 * len(content)).bit_length(), 1 << 20), 1 << 26)
    return lzma.compress(content, lzma.FORMAT_ALONE, filters=[{
        "id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": window,
        "lc": 0 if width == 1 else 4 - place, "lp": place, "pb": 0}])
