"""The innermost loop of integer products on processors that multiply whole matrices (Intel's AMX).

    y_ij = sum over steps s of 64 bytes  x_is w_sj               for SIDE rows i and SIDE columns j

Eight registers hold 16 rows of 64 bytes each: four of sums, two of x and two of w, so that each one that is read is
multiplied twice. As in tile.py the loop is written in LLVM's own language.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minilq.kernels.integer_tile import TILED
from minilq.kernels.tile import COLUMNS

SIDE, STEP, HALF = 32, 64, 16
SHAPES = np.frombuffer(bytes([1] + 15 * [0] + 8 * [64, 0] + 16 * [0] + 8 * [16] + 8 * [0]), np.uint8)
"""What the processor is told: the kind 1, then from byte 16 on the bytes in a row of each register in two bytes, and
from byte 48 on their rows."""

SYS_ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18


def permitted() -> bool:
    """Whether this process may use the registers, for which Linux wants to be asked once: they make what it saves of a
    thread 8 KB larger."""
    here = platform.machine() == "x86_64" and llvmlite.binding.get_host_cpu_features()
    if not (TILED and COLUMNS == SIDE and here and here.get("amx-int8") and platform.system() == "Linux"):
        return False
    return bool(ctypes.CDLL(None).syscall(SYS_ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA) == 0)


MATRICES = permitted()
"""Whether there are such registers here."""


def _call(builder: Any, name: str, *operands: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [operand.type for operand in operands])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"),  # type: ignore[no-untyped-call]
                 operands)


def _bytes_at(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    pointer = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(pointer, ir.IntType(8).as_pointer())


def _set_shapes(context: Any, shapes: Any) -> Any:
    """Give this thread's registers their shapes (SHAPES)."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, "ldtilecfg", _bytes_at(context, builder, signature.args[0], arguments[0]))
        return context.get_dummy_value()

    return types.void(shapes), generate


def _release(context: Any) -> Any:
    """This thread does not need them any more."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


def _matrix_tile(context: Any, x: Any, x_at: Any, x_row: Any, w: Any, w_at: Any, steps: Any, y: Any) -> Any:
    """The tile, to be called from kernels.

    Arguments   x, x_at, x_row: byte k of row i is x[x_at + i x_row + k], k < 64 steps;
                w, w_at: w_gj = w[w_at + g COLUMNS + j], the bytes 4 g .. 4 g + 3 of column j;
                y (SIDE SIDE,) int32. x is flat and uint8, w uint32; nothing is checked.
    """
    whole = types.intp
    signature = types.void(x, whole, whole, w, whole, whole, y)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, w, y = (_bytes_at(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 6))
        _, x_at, x_row, _, w_at, steps, _ = arguments
        number, register = ir.IntType(64), ir.IntType(8)
        row = number(4 * COLUMNS)                                # bytes of a row of w and of y
        sums = {(i, j): register(2 * i + j) for i in range(2) for j in range(2)}
        x_rows = [builder.gep(x, [builder.add(x_at, builder.mul(number(HALF * i), x_row))]) for i in range(2)]
        w = builder.gep(w, [builder.mul(w_at, number(4))])
        for total in sums.values():
            _call(builder, "tilezero", total)
        with cgutils.for_range(builder, steps) as loop:
            x_s, w_s = (builder.mul(loop.index, number(size)) for size in (STEP, HALF * 4 * COLUMNS))
            for i in range(2):
                _call(builder, "tileloadd64", register(4 + i), builder.gep(x_rows[i], [x_s]), x_row)
                _call(builder, "tileloadd64", register(6 + i), builder.gep(w, [w_s]), row)
                w_s = builder.add(w_s, number(STEP))
            for (i, j), total in sums.items():
                _call(builder, "tdpbusd", total, register(4 + i), register(6 + j))
        for (i, j), total in sums.items():
            _call(builder, "tilestored64", total, builder.gep(y, [number(HALF * i * 4 * COLUMNS + STEP * j)]), row)
        return context.get_dummy_value()

    return signature, generate


set_shapes: Any = intrinsic(_set_shapes)
release: Any = intrinsic(_release)
matrix_tile: Any = intrinsic(_matrix_tile)
