"""The innermost loops of products with a matrix a that is mostly zeros; bits say where it is not.

    add_to_rows   y_ij <- y_ij + a_i b_j       for every i in bits, and COLUMNS columns j: a row of b goes to many sums
    sum_of_rows   y_j <- (y_j or 0) + sum over the i in bits of  a_i b_ij   rows of b make one sum, in the order of i

Rows of b, or of sums, are taken TOGETHER: neighbours among pixels are 0 in much the same images, and what is added for
one that is 0 alone, 0 times a finite number, changes nothing.

Written in LLVM's own language, as tile.py is and for the same reason. A loop over set bits tests no number: a processor
that guesses whether an entry is 0 is wrong at every other pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minilq.kernels.tile import SHAPE

BITS = 32
"""Rows, at most, that one number of bits chooses from."""
VECTORS = 8                                      # so many sums hide the time that one takes
TOGETHER = 2 if SHAPE is not None and SHAPE.lanes == 16 else 1
"""With vectors of 512 bits come enough registers for two rows."""
LINE = 0 if SHAPE is None else SHAPE.lanes * 4
"""Bytes of a vector register; 0 where the processor is not known, or nothing is compiled. VECTORS make COLUMNS."""


class _Vectors:
    """VECTORS vectors at a time of the numbers of one type."""

    def __init__(self, context: Any, builder: Any, number: Any) -> None:
        lanes, self.builder, self.align = LINE * 8 // number.bitwidth, builder, number.bitwidth // 8
        self.type = ir.VectorType(context.get_value_type(number), lanes)
        self.places = [ir.IntType(64)(v * lanes) for v in range(VECTORS)]
        self.fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, ir.FunctionType(self.type, [self.type] * 3), f"llvm.fma.v{lanes}f{number.bitwidth}")
        self.undefined = ir.Constant(self.type, ir.Undefined)
        self.everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

    def load(self, pointer: Any) -> list[Any]:
        return [self.builder.load(self._at(pointer, place), align=self.align) for place in self.places]

    def store(self, vectors: list[Any], pointer: Any) -> None:
        for vector, place in zip(vectors, self.places, strict=True):
            self.builder.store(vector, self._at(pointer, place), align=self.align)

    def times_plus(self, value: Any, b: list[Any], sums: list[Any]) -> list[Any]:
        value = self.builder.insert_element(self.undefined, value, ir.IntType(32)(0))
        value = self.builder.shuffle_vector(value, self.undefined, self.everywhere)
        return [self.builder.call(self.fma, [value, b_v, total]) for b_v, total in zip(b, sums, strict=True)]

    def _at(self, pointer: Any, place: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [place]), self.type.as_pointer())


def for_each_bit(builder: Any, bits: Any, body: Callable[[Any], None]) -> None:
    """body(i) for every bit i that is 1, the lowest first."""
    number, index = bits.type, ir.IntType(64)
    trailing_zeros = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, ir.FunctionType(number, [number, ir.IntType(1)]), f"llvm.cttz.i{number.width}")
    left = cgutils.alloca_once_value(builder, bits)  # type: ignore[no-untyped-call]
    test, loop, end = (builder.append_basic_block(f"bits.{name}") for name in ("test", "loop", "end"))
    builder.branch(test)
    builder.position_at_end(test)
    now = builder.load(left)
    builder.cbranch(builder.icmp_unsigned("!=", now, number(0)), loop, end)
    builder.position_at_end(loop)
    builder.store(builder.and_(now, builder.sub(now, number(1))), left)
    i = builder.call(trailing_zeros, [now, ir.IntType(1)(1)])
    body(i if number == index else builder.zext(i, index))
    builder.branch(test)
    builder.position_at_end(end)


def pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """The arguments of an intrinsic, of arrays where their numbers are."""
    return [context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
            for t, v in zip(signature.args, arguments, strict=True)]


def _adding(rows: int) -> Callable[..., Any]:
    """add_to_rows of so many rows of b, one after the other."""
    def add(context: Any, a: Any, a_at: Any, a_step: Any, bits: Any, b: Any, b_at: Any, b_row: Any, y: Any,
            y_row: Any) -> Any:
        """a_i = a[a_at + i a_step], b_j = b[b_at + j], y_ij = y[i y_row + j]; those of the next row at a_at + 1 and
        b_at + b_row. Arrays are flat, nothing is checked."""
        whole = types.intp
        signature = types.void(a, whole, whole, types.uint32, b, whole, whole, y, whole)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, a_at, a_step, bits, b, b_at, b_row, y, y_row = pointers(context, builder, signature, arguments)
            vectors, index = _Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
            a, b = builder.gep(a, [a_at]), builder.gep(b, [b_at])
            b_vectors = [vectors.load(builder.gep(b, [builder.mul(b_row, index(row))])) for row in range(rows)]

            def body(i: Any) -> None:
                a_i, y_i = builder.gep(a, [builder.mul(i, a_step)]), builder.gep(y, [builder.mul(i, y_row)])
                sums = vectors.load(y_i)
                for row in range(rows):
                    sums = vectors.times_plus(builder.load(builder.gep(a_i, [index(row)])), b_vectors[row], sums)
                vectors.store(sums, y_i)

            for_each_bit(builder, bits, body)
            return context.get_dummy_value()

        return signature, generate

    return add


def _summing(rows: int) -> Callable[..., Any]:
    """sum_of_rows, of so many sums, one after the other."""
    def add_up(context: Any, a: Any, a_at: Any, a_step: Any, bits: Any, b: Any, b_at: Any, b_row: Any, y: Any,
               y_at: Any, y_row: Any, more: Any) -> Any:
        """a_i = a[a_at + i a_step], b_ij = b[b_at + i b_row + j], y_j = y[y_at + j], counted with `more`; those of the
        next sum at a_at + 1 and y_at + y_row. Arrays are flat, nothing is checked."""
        whole = types.intp
        signature = types.void(a, whole, whole, types.uint32, b, whole, whole, y, whole, whole, types.boolean)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, a_at, a_step, bits, b, b_at, b_row, y, y_at, y_row, more = pointers(
                context, builder, signature, arguments)
            vectors, index = _Vectors(context, builder, signature.args[0].dtype), ir.IntType(64)
            a, b, y = (builder.gep(array, [at]) for array, at in ((a, a_at), (b, b_at), (y, y_at)))
            nothing = ir.Constant(vectors.type, None)
            sums = [[cgutils.alloca_once(builder, vectors.type) for _ in vectors.places]  # type: ignore[no-untyped-call]
                    for _ in range(rows)]
            y_rows = [builder.gep(y, [builder.mul(y_row, index(row))]) for row in range(rows)]

            def keep(values: list[Any], places: list[Any]) -> None:
                for value, place in zip(values, places, strict=True):
                    builder.store(value, place)

            for places in sums:
                keep([nothing] * len(places), places)
            with builder.if_then(builder.trunc(more, ir.IntType(1))):
                for y_j, places in zip(y_rows, sums, strict=True):
                    keep(vectors.load(y_j), places)

            def body(i: Any) -> None:
                a_i = builder.gep(a, [builder.mul(i, a_step)])
                b_i = vectors.load(builder.gep(b, [builder.mul(i, b_row)]))
                for row, places in enumerate(sums):
                    value = builder.load(builder.gep(a_i, [index(row)]))
                    keep(vectors.times_plus(value, b_i, [builder.load(place) for place in places]), places)

            for_each_bit(builder, bits, body)
            for y_j, places in zip(y_rows, sums, strict=True):
                vectors.store([builder.load(place) for place in places], y_j)
            return context.get_dummy_value()

        return signature, generate

    return add_up


add_to_rows: Any = intrinsic(_adding(TOGETHER))
sum_of_rows: Any = intrinsic(_summing(TOGETHER))
