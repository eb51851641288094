"""The innermost loop of the product with a row that is mostly zeros: a sum of chosen rows of b, kept in registers.

    y_j = sum over t < count of  values[t] * b[rows[t], j]          for COLUMNS columns j, in the order of t

Written in LLVM's own language, as tile.py is and for the same reason. A load that touches two cache lines counts twice,
and NumPy's arrays begin somewhere in a line; so the tile has one vector more than it would need: the first begins at
its first column, the last ends at its last, and those between lie as the lines do. Where two overlap both are right.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minilq.kernels.tile import SHAPE

VECTORS = 8                                      # so many sums hide the time that one takes
LINE = 0 if SHAPE is None else SHAPE.lanes * 4
"""Bytes of a vector register; 0 where the processor is not known, or nothing is compiled."""


def _sum_of_rows(context: Any, values: Any, rows: Any, count: Any, b: Any, length: Any, first: Any, shift: Any, y: Any,
                 y_at: Any) -> Any:
    """y[y_at + j] = the sum above, with b[rows[t], j] at b[rows[t] length + first + j]; arrays are flat.

    shift       the second vector's first column, 1 .. lanes
    """
    number, whole = b.dtype, types.uintp
    lanes = LINE * 8 // number.bitwidth
    signature = types.void(values, rows, whole, b, whole, whole, whole, y, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, rows, count, b, length, first, shift, y, y_at = (
            context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
            for t, v in zip(signature.args, arguments, strict=True))
        vector, index = ir.VectorType(context.get_value_type(number), lanes), ir.IntType(64)
        fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f{number.bitwidth}")
        undefined = ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        columns = [index(0), *(builder.add(shift, index(v * lanes)) for v in range(VECTORS - 1)),
                   index((VECTORS - 1) * lanes)]
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None))  # type: ignore[no-untyped-call]
                for _ in columns]

        def vector_at(pointer: Any, column: Any) -> Any:
            return builder.bitcast(builder.gep(pointer, [column]), vector.as_pointer())

        b = builder.gep(b, [first])
        with cgutils.for_range(builder, count) as loop:
            value, row = (builder.load(builder.gep(array, [loop.index])) for array in (values, rows))
            value = builder.insert_element(undefined, value, ir.IntType(32)(0))
            value = builder.shuffle_vector(value, undefined, everywhere)
            row = builder.gep(b, [builder.mul(row, length)])
            for column, total in zip(columns, sums, strict=True):
                b_v = builder.load(vector_at(row, column), align=number.bitwidth // 8)
                builder.store(builder.call(fma, [value, b_v, builder.load(total)]), total)
        y = builder.gep(y, [y_at])
        for column, total in zip(columns, sums, strict=True):
            builder.store(builder.load(total), vector_at(y, column), align=number.bitwidth // 8)
        return context.get_dummy_value()

    return signature, generate


sum_of_rows: Any = intrinsic(_sum_of_rows)
