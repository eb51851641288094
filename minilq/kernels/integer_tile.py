"""The innermost loop of integer products: a tile of sums in vector registers, whose terms are groups of 32 bits.

    y_ij = start_j + factor * sum over g < G of  term(x_ig, w_gj)

for ROWS rows i and COLUMNS columns j, modulo 2^32. A group is four bytes, or 32 single bits; the term of two
groups is a number that the processor makes of them in an instruction or two. As in tile.py, whose tiles these are, the
loop is written in LLVM's own language, every sum a vector of LANES numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from minilq.kernels.groups import Array
from minilq.kernels.threads import in_parts
from minilq.kernels.tile import COLUMNS, ROWS, SHAPE, Shape

Term = Callable[[Any, int, Any, Any, Any], Any]
"""(builder, lanes, sums, x, w) -> sums + the terms of x and w: vectors of `lanes` 32-bit numbers."""


def four_bytes(builder: Any, lanes: int, sums: Any, x: Any, w: Any) -> Any:
    """term(x, w) = x_0 w_0 + ... + x_3 w_3 of unsigned bytes x and signed bytes w, by the instruction VPDPBUSD.

    Exact: its sums wrap around, where those of VPDPBUSDS saturate.
    """
    return _instruction(builder, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums.type, sums, x, w)


def pairs_of_bytes(builder: Any, lanes: int, sums: Any, x: Any, w: Any) -> Any:
    """The same by two VPMADDWD, which multiplies numbers of 16 bits and adds two products: of bytes 0 and 2, 1 and 3.

    Exact: two products stay far below 2^31. VPMADDUBSW, which takes bytes as they are, saturates at 16 bits.
    """
    name = "llvm.x86.avx512.pmaddw.d.512" if lanes == 16 else "llvm.x86.avx2.pmadd.wd"
    halves = ir.VectorType(ir.IntType(16), 2 * lanes)
    low, eight = (ir.Constant(halves, [number] * 2 * lanes) for number in (255, 8))
    x, w = builder.bitcast(x, halves), builder.bitcast(w, halves)
    for of_x, of_w in ((builder.and_(x, low), builder.ashr(builder.shl(w, eight), eight)),
                       (builder.lshr(x, eight), builder.ashr(w, eight))):
        sums = builder.add(sums, _instruction(builder, name, sums.type, of_x, of_w))
    return sums


def bits_that_differ(builder: Any, lanes: int, sums: Any, x: Any, w: Any) -> Any:
    """term(x, w) = how many of 32 bits differ; every processor can count, some in a whole vector at once."""
    return builder.add(sums, _instruction(builder, f"llvm.ctpop.v{lanes}i32", sums.type, builder.xor(x, w)))


def bits_in_common(builder: Any, lanes: int, sums: Any, x: Any, w: Any) -> Any:
    """term(x, w) = how many of 32 bits are 1 in both."""
    return builder.add(sums, _instruction(builder, f"llvm.ctpop.v{lanes}i32", sums.type, builder.and_(x, w)))


def _instruction(builder: Any, name: str, returns: Any, *operands: Any) -> Any:
    kind = ir.FunctionType(returns, [operand.type for operand in operands])
    function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
    return builder.call(function, operands)


def byte_term(features: dict[str, bool], lanes: int) -> Term | None:
    """The term of four bytes that suits a processor and its vectors; None where there is none.

    >>> byte_term({"avx512f": True, "avx512bw": True}, 16).__name__, byte_term({}, 4)
    ('pairs_of_bytes', None)
    """
    dot_products, pairs = {16: ("avx512vnni", "avx512bw"), 8: ("avxvnni", "avx2")}.get(lanes, ("", ""))
    if features.get(dot_products):
        return four_bytes
    if features.get(pairs):
        return pairs_of_bytes
    return None


def tile_of(shape: Shape, term: Term) -> Callable[..., None]:
    """The tile for one kind of term, to be called from kernels.

    Arguments   x, x_at, x_row: group g of row i is x[x_at + i x_row + 4 g] and the three bytes after it;
                w, w_at: w_gj = w[w_at + g COLUMNS + j];  G;  last;
                start, start_at: start_j = start[start_at + j];  factor;
                y, y_at, y_row: y_ij = y[y_at + i y_row + j].
                Rows beyond the row `last` are that row once more. x is flat and uint8, w, start and y flat, of 32 bits;
                nothing is checked.
    """
    rows, vectors, lanes = shape
    number, index = ir.IntType(32), ir.IntType(64)
    vector = ir.VectorType(number, lanes)

    @intrinsic
    def tile(context: Any, x: Any, x_at: Any, x_row: Any, w: Any, w_at: Any, G: Any, last: Any, start: Any,
             start_at: Any, factor: Any, y: Any, y_at: Any, y_row: Any) -> Any:
        whole = types.intp
        signature = types.void(x, whole, whole, w, whole, whole, whole, start, whole, types.int32, y, whole, whole)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (x, x_at, x_row, w, w_at, G, last, start, start_at, factor, y, y_at, y_row) = (
                context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
                for t, v in zip(signature.args, arguments, strict=True))
            undefined = ir.Constant(vector, ir.Undefined)
            first = ir.Constant(ir.VectorType(number, lanes), [0] * lanes)

            def vector_at(pointer: Any, *offsets: Any) -> Any:
                for offset in offsets:
                    pointer = builder.gep(pointer, [offset])
                return builder.bitcast(pointer, vector.as_pointer())

            def everywhere(value: Any) -> Any:
                one = builder.insert_element(undefined, value, number(0))
                return builder.shuffle_vector(one, undefined, first)

            row = [builder.select(builder.icmp_signed("<", index(i), last), index(i), last) for i in range(rows)]
            x_rows = [builder.gep(x, [builder.add(x_at, builder.mul(i, x_row))]) for i in row]
            sums = {(i, v): cgutils.alloca_once_value(builder, ir.Constant(vector, None))  # type: ignore[no-untyped-call]
                    for i in range(rows) for v in range(vectors)}
            with cgutils.for_range(builder, G) as loop:
                w_g = builder.gep(w, [builder.add(w_at, builder.mul(loop.index, index(vectors * lanes)))])
                w_vectors = [builder.load(vector_at(w_g, index(v * lanes)), align=4) for v in range(vectors)]
                for i in range(rows):
                    place = builder.gep(x_rows[i], [builder.mul(loop.index, index(4))])
                    group = everywhere(builder.load(builder.bitcast(place, number.as_pointer()), align=1))
                    for v in range(vectors):
                        total = term(builder, lanes, builder.load(sums[i, v]), group, w_vectors[v])
                        builder.store(total, sums[i, v])
            starts = [builder.load(vector_at(start, start_at, index(v * lanes)), align=4) for v in range(vectors)]
            for i, v in sums:
                value = builder.add(starts[v], builder.mul(everywhere(factor), builder.load(sums[i, v])))
                builder.store(value, vector_at(y, y_at, builder.mul(row[i], y_row), index(v * lanes)), align=4)
            return context.get_dummy_value()

        return signature, generate

    return tile


TILED = SHAPE is not None and config.CPU_NAME is None and config.CPU_FEATURES is None  # type: ignore[attr-defined]
"""Whether there are tiles for this processor; not where Numba has been told to compile for another one."""
BYTE_TERM = byte_term(llvmlite.binding.get_host_cpu_features(), SHAPE.lanes) if SHAPE is not None and TILED else None
byte_tile: Any = tile_of(SHAPE or Shape(1, 1, 1), BYTE_TERM or four_bytes)
differing_tile: Any = tile_of(SHAPE or Shape(1, 1, 1), bits_that_differ)
common_tile: Any = tile_of(SHAPE or Shape(1, 1, 1), bits_in_common)


def padded(a: Array, rows: int, columns: int) -> Array:
    """`a` itself or, where it is smaller, with zeros after its rows and columns; contiguous."""
    if a.shape == (rows, columns):
        return np.ascontiguousarray(a)
    larger = np.zeros((rows, columns), a.dtype)
    larger[:len(a), :a.shape[1]] = a
    return larger


def by_tiles(kernel: Callable[..., None], x: Array, w: Array, N: int, *more: Any) -> Array:
    """The first N columns of the product of x (M, 4 G), bytes, and the packed w (blocks, G, COLUMNS)."""
    y = np.empty((len(x), len(w) * COLUMNS), np.int32)
    in_parts(kernel, -(-len(x) // ROWS), x.size + w.size + y.size, x, w, y, *more)
    return np.ascontiguousarray(y[:, :N])
