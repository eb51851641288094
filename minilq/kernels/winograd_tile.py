"""Sums of a few rows of numbers with fixed factors, in vector registers: the transforms of Winograd's algorithms.

    y_o <- sum over k of  matrix_ok x_k          row o of y begins at y_at + o y_step, row k of x at x_at + k x_step

Each x_k is read once, each y_o written once. Written out in LLVM's own language, as tile.py is and for the same reason;
the matrix becomes a part of the code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minilq.kernels.groups import Array
from minilq.kernels.tile import SHAPE


def combination(matrix: Array) -> Callable[..., None]:
    """The sums above for one matrix, to be called from kernels.

    Arguments   x, x_at, x_step;  y, y_at, y_step;  length of a row, of which whole vectors are taken. Arrays are flat
                and float32; nothing is checked.
    """
    lanes = 1 if SHAPE is None else SHAPE.lanes
    index = ir.IntType(64)
    vector = ir.VectorType(ir.FloatType(), lanes)

    @intrinsic
    def combine(context: Any, x: Any, x_at: Any, x_step: Any, y: Any, y_at: Any, y_step: Any, length: Any) -> Any:
        whole = types.intp
        signature = types.void(x, whole, whole, y, whole, whole, whole)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, x_at, x_step, y, y_at, y_step, length = (
                context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
                for t, v in zip(signature.args, arguments, strict=True))
            fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32")

            def places(array: Any, begin: Any, step: Any, count: int) -> list[Any]:
                return [builder.gep(array, [builder.add(begin, builder.mul(step, index(k)))]) for k in range(count)]

            def vector_at(pointer: Any, at: Any) -> Any:
                return builder.bitcast(builder.gep(pointer, [at]), vector.as_pointer())

            def sum_of(factors: list[float], numbers: list[Any]) -> Any:
                total = None
                for factor, number in sorted(zip(factors, numbers, strict=True), key=lambda pair: pair[0] != 1):
                    if factor == 0:
                        continue
                    constant = ir.Constant(vector, [factor] * lanes)
                    if total is None:
                        total = number if factor == 1 else builder.fmul(constant, number)
                    elif factor == 1:
                        total = builder.fadd(total, number)
                    elif factor == -1:
                        total = builder.fsub(total, number)
                    else:
                        total = builder.call(fma, [constant, number, total])
                return total

            x_rows, y_rows = (places(x, x_at, x_step, matrix.shape[1]), places(y, y_at, y_step, matrix.shape[0]))
            with cgutils.for_range(builder, builder.udiv(length, index(lanes))) as loop:
                at = builder.mul(loop.index, index(lanes))
                numbers = [builder.load(vector_at(row, at), align=4) for row in x_rows]
                for factors, row in zip(matrix.tolist(), y_rows, strict=True):
                    builder.store(sum_of(factors, numbers), vector_at(row, at), align=4)
            return context.get_dummy_value()

        return signature, generate

    return combine
