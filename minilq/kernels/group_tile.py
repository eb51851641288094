"""The innermost loops of integer products with codes that are mostly 0; bits say in which groups of four they are not.

    groups_in_use   bit g: whether one of the four bytes of group g is not 0, for GROUPS groups
    sum_of_groups   y_j <- (y_j or 0) + sum over the g in bits of  term(x_g, w_gj)     for BLOCKS COLUMNS columns j

Written in LLVM's own language, as tile.py is and for the same reason. That of row_tile.py, for floats, adds up a row of
w where a single number is not 0; four bytes are multiplied in one instruction, and so are skipped together.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minilq.kernels.integer_tile import BYTE_TERM, four_bytes
from minilq.kernels.row_tile import for_each_bit, pointers
from minilq.kernels.tile import SHAPE, Shape

GROUPS = 64
"""As many as one number has bits. Their weights for all sums fill two thirds of a first-level cache."""
_, VECTORS, LANES = SHAPE or Shape(1, 1, 1)
BLOCKS = max(8 // VECTORS, 1)
"""Of COLUMNS columns that are summed at once: 8 vectors, as so many sums hide the time that one takes."""


def _groups_in_use(context: Any, x: Any, at: Any) -> Any:
    """Of the bytes from x[at] on. x is flat and uint8, nothing is checked."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, at = pointers(context, builder, signature, arguments)
        bits, vector = ir.IntType(64), ir.VectorType(ir.IntType(32), LANES)
        some = bits(0)
        for group in range(0, GROUPS, LANES):
            place = builder.bitcast(builder.gep(x, [builder.add(at, bits(4 * group))]), vector.as_pointer())
            here = builder.icmp_unsigned("!=", builder.load(place, align=1), ir.Constant(vector, None))
            here = builder.zext(builder.bitcast(here, ir.IntType(LANES)), bits)
            some = builder.or_(some, builder.shl(here, bits(group)))
        return some

    return types.uint64(x, types.intp), generate


def _sum_of_groups(context: Any, x: Any, x_at: Any, bits: Any, w: Any, w_at: Any, w_block: Any, y: Any, y_at: Any,
                   more: Any) -> Any:
    """x_g is at x[x_at + 4 g], w_gj at w[w_at + g COLUMNS + j], those of the next block w_block after it; y_j =
    y[y_at + j], counted with `more`. x is flat and uint8, w uint32, y int32; nothing is checked."""
    whole = types.intp
    signature = types.void(x, whole, types.uint64, w, whole, whole, y, whole, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, x_at, bits, w, w_at, w_block, y, y_at, more = pointers(context, builder, signature, arguments)
        number, index = ir.IntType(32), ir.IntType(64)
        vector = ir.VectorType(number, LANES)
        undefined, first = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0] * LANES)

        def vector_at(pointer: Any, offset: Any) -> Any:
            return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

        x, y = builder.gep(x, [x_at]), builder.gep(y, [y_at])
        blocks = [builder.gep(w, [builder.add(w_at, builder.mul(w_block, index(b)))]) for b in range(BLOCKS)]
        places = [(blocks[b], index(v * LANES)) for b in range(BLOCKS) for v in range(VECTORS)]
        y_vectors = [vector_at(y, index(n * LANES)) for n in range(len(places))]
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None))  # type: ignore[no-untyped-call]
                for _ in places]
        with builder.if_then(builder.trunc(more, ir.IntType(1))):
            for total, y_j in zip(sums, y_vectors, strict=True):
                builder.store(builder.load(y_j, align=4), total)

        def body(g: Any) -> None:
            group = builder.bitcast(builder.gep(x, [builder.mul(g, index(4))]), number.as_pointer())
            four = builder.insert_element(undefined, builder.load(group, align=1), number(0))
            four = builder.shuffle_vector(four, undefined, first)
            row = builder.mul(g, index(VECTORS * LANES))
            for total, (block, v) in zip(sums, places, strict=True):
                weights = builder.load(vector_at(block, builder.add(row, v)), align=4)
                builder.store((BYTE_TERM or four_bytes)(builder, LANES, builder.load(total), four, weights), total)

        for_each_bit(builder, bits, body)
        for total, y_j in zip(sums, y_vectors, strict=True):
            builder.store(builder.load(total), y_j, align=4)
        return context.get_dummy_value()

    return signature, generate


def _count_of_bits(context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


count_of_bits: Any = intrinsic(_count_of_bits)
groups_in_use: Any = intrinsic(_groups_in_use)
sum_of_groups: Any = intrinsic(_sum_of_groups)
