"""The innermost loop of integer layers: a tile of sums as in integer_tile.py, which leave their registers as codes.

    v_ij = sum over m < M, g < G of  term(the four bytes at x + row_i + m xm + 4 g, w_mgj)
    y_ij = clip(v_ij factor_j + offset_j, low_j, high_j) >> shift_j

for ROWS rows i and COLUMNS columns j. As in tile.py the rows of x may begin anywhere and overlap, so that the pixels of
an image stand in for the rows of a matrix that is never built. v is exact in 32 bits, what follows in 64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minilq.kernels.integer_tile import BYTE_TERM, Term, four_bytes
from minilq.kernels.tile import SHAPE, Shape


def code_tile_of(shape: Shape, term: Term) -> Callable[..., None]:
    """The tile, to be called from kernels.

    Arguments   x, x_rows (int64), x_at: row_i = x_rows[x_at + i];  xm;
                w, w_at: w_mgj = w[w_at + (m G + g) COLUMNS + j];  M, G;
                factor, offset, low, high, shift: of column j at [c_at + j], factor int32 and the others int64;
                y, y_rows, y_rows_at, y_at: y_ij = y[y_rows[y_rows_at + i] + y_at + j]. x is flat and uint8, w uint32,
                y of any integers; nothing is checked.
    """
    rows, vectors, lanes = shape
    number, index = ir.IntType(32), ir.IntType(64)
    vector, wide = ir.VectorType(number, lanes), ir.VectorType(index, lanes)

    @intrinsic
    def tile(context: Any, x: Any, x_rows: Any, x_at: Any, xm: Any, w: Any, w_at: Any, M: Any, G: Any, factor: Any,
             offset: Any, low: Any, high: Any, shift: Any, c_at: Any, y: Any, y_rows: Any, y_rows_at: Any,
             y_at: Any) -> Any:
        whole = types.intp
        signature = types.void(x, x_rows, whole, whole, w, whole, whole, whole, factor, offset, low, high, shift,
                               whole, y, y_rows, whole, whole)
        codes = ir.VectorType(ir.IntType(y.dtype.bitwidth), lanes)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (x, x_rows, x_at, xm, w, w_at, M, G, factor, offset, low, high, shift, c_at, y, y_rows, y_rows_at,
             y_at) = (context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
                      for t, v in zip(signature.args, arguments, strict=True))
            undefined = ir.Constant(vector, ir.Undefined)
            first = ir.Constant(vector, [0] * lanes)

            def at(pointer: Any, *offsets: Any) -> Any:
                for offset in offsets:
                    pointer = builder.gep(pointer, [offset])
                return pointer

            def load(pointer: Any, kind: Any) -> Any:
                return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=1)

            def row_of(table: Any, begin: Any, i: int) -> Any:
                return builder.load(at(table, begin, index(i)))

            row = [at(x, row_of(x_rows, x_at, i)) for i in range(rows)]
            sums = {(i, v): cgutils.alloca_once_value(builder, ir.Constant(vector, None))  # type: ignore[no-untyped-call]
                    for i in range(rows) for v in range(vectors)}
            with cgutils.for_range(builder, M) as outer:
                x_m = builder.mul(outer.index, xm)
                w_m = at(w, w_at, builder.mul(builder.mul(outer.index, G), index(vectors * lanes)))
                with cgutils.for_range(builder, G) as inner:
                    x_g = builder.add(x_m, builder.mul(inner.index, index(4)))
                    w_g = at(w_m, builder.mul(inner.index, index(vectors * lanes)))
                    w_vectors = [load(at(w_g, index(v * lanes)), vector) for v in range(vectors)]
                    for i in range(rows):
                        four = builder.insert_element(undefined, load(at(row[i], x_g), number), number(0))
                        four = builder.shuffle_vector(four, undefined, first)
                        for v in range(vectors):
                            total = term(builder, lanes, builder.load(sums[i, v]), four, w_vectors[v])
                            builder.store(total, sums[i, v])
            for v in range(vectors):
                column = builder.add(c_at, index(v * lanes))
                m = builder.sext(load(at(factor, column), vector), wide)
                b, least, most, n = (load(at(a, column), wide) for a in (offset, low, high, shift))
                for i in range(rows):
                    place = at(y, row_of(y_rows, y_rows_at, i), y_at, index(v * lanes))
                    _store_codes(builder, builder.sext(builder.load(sums[i, v]), wide), (m, b, least, most, n), place,
                                 codes)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _store_codes(builder: Any, sums: Any, line: tuple[Any, ...], place: Any, codes: Any) -> None:
    """clip(sums factor + offset, low, high) >> shift, vectors of 64 bits, as a vector of the type `codes`."""
    factor, offset, low, high, shift = line
    q = builder.add(builder.mul(sums, factor), offset)
    q = builder.select(builder.icmp_signed("<", q, low), low, q)
    q = builder.select(builder.icmp_signed(">", q, high), high, q)
    q = builder.ashr(q, shift)
    q = q if codes == q.type else builder.trunc(q, codes)
    builder.store(q, builder.bitcast(place, codes.as_pointer()), align=1)


def _code_rows(context: Any, sums: Any, at: Any, row: Any, rows: Any, factor: Any, offset: Any, low: Any, high: Any,
               shift: Any, c_at: Any, y: Any, y_at: Any, y_row: Any) -> Any:
    """The codes y[y_at + i y_row + j] of sums that are in the memory, sums[at + i row + j], of COLUMNS columns j in all
    rows i; the line is that of the tile."""
    whole = types.intp
    signature = types.void(sums, whole, whole, whole, factor, offset, low, high, shift, whole, y, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, vectors, lanes = SHAPE or Shape(1, 1, 1)
        index, (_, at, row, rows, *_, c_at, _, y_at, y_row) = ir.IntType(64), arguments
        wide, codes = ir.VectorType(index, lanes), ir.VectorType(ir.IntType(y.dtype.bitwidth), lanes)

        def place(number: int, *offsets: Any) -> Any:
            pointer = context.make_array(signature.args[number])(context, builder, arguments[number]).data
            for offset in offsets:
                pointer = builder.gep(pointer, [offset])
            return pointer

        def load(number: int, *offsets: Any) -> Any:
            kind = ir.VectorType(ir.IntType(signature.args[number].dtype.bitwidth), lanes)
            v = builder.load(builder.bitcast(place(number, *offsets), kind.as_pointer()), align=1)
            return v if kind == wide else builder.sext(v, wide)

        for v in range(vectors):
            skipped = index(v * lanes)
            line = tuple(load(number, c_at, skipped) for number in range(4, 9))
            with cgutils.for_range(builder, rows) as loop:
                total = load(0, at, builder.mul(loop.index, row), skipped)
                _store_codes(builder, total, line, place(10, y_at, builder.mul(loop.index, y_row), skipped), codes)
        return context.get_dummy_value()

    return signature, generate


code_rows: Any = intrinsic(_code_rows)
code_tile: Any = code_tile_of(SHAPE or Shape(1, 1, 1), BYTE_TERM or four_bytes)
