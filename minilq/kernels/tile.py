"""The innermost loop of the direct convolution: a small matrix product that stays in vector registers.

    y_ij <- start_ij + sum over m < M, l < L of  a[row_i + m am + l al] * b[m bm + l bl + j]

for ROWS rows i and COLUMNS columns j. The rows of `a` may begin anywhere and overlap, so the pixels of an image can
stand in for the rows of its im2col matrix, which is never built. Compilers do not keep such a tile in registers by
themselves; so it is written out here in LLVM's own language, every sum a vector of LANES numbers.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from minilq.kernels.groups import CACHE_LINE, Array
from minilq.kernels.jit import copy_to, jit


class Shape(NamedTuple):
    """A tile of `rows` times `vectors * lanes` sums."""

    rows: int
    vectors: int
    lanes: int


def shape_for(features: dict[str, bool], machine: str) -> Shape | None:
    """The tile that fills the vector registers of a processor, a few of them left for a and b; None for others.

    >>> shape_for({"avx2": True, "fma": True}, "x86_64"), shape_for({}, "riscv64")
    (Shape(rows=6, vectors=2, lanes=8), None)
    """
    if features.get("avx512f"):
        return Shape(8, 2, 16)
    if features.get("avx2") and features.get("fma"):
        return Shape(6, 2, 8)
    if machine in ("aarch64", "arm64"):
        return Shape(6, 4, 4)
    return None


def tile_product(shape: Shape) -> Callable[..., None]:
    """The product above for one shape of tile, to be called from kernels.

    Arguments   a, a_rows (int64), a_at: row_i = a_rows[a_at + i];  am, al;  b, b_at (where it begins), bm, bl;  M, L;
                start, start_at, start_row: start_ij = start[start_at + i start_row + j];  y, y_rows, y_rows_at, y_at:
                y_ij = y[y_rows[y_rows_at + i] + y_at + j]. Arrays are flat and float32; nothing is checked.
    """
    rows, vectors, lanes = shape
    number, index = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(number, lanes)

    @intrinsic
    def product(context: Any, a: Any, a_rows: Any, a_at: Any, am: Any, al: Any, b: Any, b_at: Any, bm: Any, bl: Any,
                M: Any, L: Any, start: Any, start_at: Any, start_row: Any, y: Any, y_rows: Any, y_rows_at: Any,
                y_at: Any) -> Any:
        whole = types.intp
        signature = types.void(a, a_rows, whole, whole, whole, b, whole, whole, whole, whole, whole,
                               start, whole, whole, y, y_rows, whole, whole)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (a, a_rows, a_at, am, al, b, b_at, bm, bl, M, L, start, start_at, start_row, y, y_rows, y_rows_at,
             y_at) = (context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
                      for t, v in zip(signature.args, arguments, strict=True))
            tile = [(i, v) for i in range(rows) for v in range(vectors)]

            def at(pointer: Any, *offsets: Any) -> Any:
                for offset in offsets:
                    pointer = builder.gep(pointer, [offset])
                return pointer

            def load(pointer: Any, v: int) -> Any:
                place = builder.bitcast(at(pointer, index(v * lanes)), vector.as_pointer())
                return builder.load(place, align=4)

            def row_of(table: Any, begin: Any, i: int) -> Any:
                return builder.load(at(table, begin, index(i)))

            row = [at(a, row_of(a_rows, a_at, i)) for i in range(rows)]
            sums = {key: cgutils.alloca_once_value(builder, ir.Constant(vector, None))  # type: ignore[no-untyped-call]
                    for key in tile}
            fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32")
            undefined = ir.Constant(vector, ir.Undefined)
            first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            with cgutils.for_range(builder, M) as outer:
                a_m, b_m = builder.mul(outer.index, am), at(b, b_at, builder.mul(outer.index, bm))
                with cgutils.for_range(builder, L) as inner:
                    a_l = builder.add(a_m, builder.mul(inner.index, al))
                    b_l = at(b_m, builder.mul(inner.index, bl))
                    b_vectors = [load(b_l, v) for v in range(vectors)]
                    for i in range(rows):
                        a_i = builder.insert_element(undefined, builder.load(at(row[i], a_l)), ir.IntType(32)(0))
                        a_i = builder.shuffle_vector(a_i, undefined, first)
                        for v in range(vectors):
                            total = builder.load(sums[i, v])
                            builder.store(builder.call(fma, [a_i, b_vectors[v], total]), sums[i, v])
            for i, v in tile:
                begin = load(at(start, start_at, builder.mul(start_row, index(i))), v)
                place = at(y, row_of(y_rows, y_rows_at, i), y_at, index(v * lanes))
                builder.store(builder.fadd(builder.load(sums[i, v]), begin),
                              builder.bitcast(place, vector.as_pointer()), align=4)
            return context.get_dummy_value()

        return signature, generate

    return product


COMPILED = not config.DISABLE_JIT                # type: ignore[attr-defined]
SHAPE = shape_for(llvmlite.binding.get_host_cpu_features(), platform.machine()) if COMPILED else None
"""This processor's tile; None where there is none, or nothing is compiled."""
ROWS, COLUMNS = (1, 1) if SHAPE is None else (SHAPE.rows, SHAPE.vectors * SHAPE.lanes)
product: Any = tile_product(SHAPE or Shape(1, 1, 1))


def _prefetch(context: Any, x: Any, at: Any) -> Any:
    """Ask for the cache line of x[at], which may lie behind the end: loops over arrays beyond the caches read faster
    than the processor foresees, some twice as fast."""
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, number = context.make_array(signature.args[0])(context, builder, arguments[0]).data, ir.IntType(32)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", (place.type,), kind)
        builder.call(function, [place, number(0), number(3), number(1)])         # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(x, types.intp), generate


prefetch: Any = intrinsic(_prefetch)
AHEAD = 1 << 14
"""Bytes from what is read to what comes into the caches meanwhile, where several arrays are read. Measured."""


@jit(inline=True)
def ask_ahead(x, at, length, ahead=AHEAD):  # type: ignore[no-untyped-def]
    # while x[at:at + length] is read, for as much that follows so many bytes later
    if COMPILED:
        for k in range(0, length, CACHE_LINE // x.itemsize):
            prefetch(x, at + ahead // x.itemsize + k)


@functools.lru_cache(maxsize=32)
def grid(*axes: tuple[int, int]) -> Array:
    """Offsets of all points of a grid, last axis fastest, from (length, step) of each axis; the last one is repeated
    until whole tiles are full: a tile that runs over the end computes it again. Nobody may write into it."""
    (n, a), (m, b) = axes
    points = (np.arange(n)[:, None] * a + np.arange(m) * b).reshape(-1)
    return np.pad(points, (0, -len(points) % ROWS), mode="edge")


@jit(inline=True)
def fill(field, image, border, corner):  # type: ignore[no-untyped-def]
    # an image (H, W, C) into a flat field of zeros of border[0] x border[1] pixels, its first pixel at `corner`, which
    # may lie outside; what hangs over is cut off
    H, W, C = image.shape
    top, left = corner
    width = min(W, border[1] - left) - max(-left, 0)
    if width <= 0:                               # a window that sees the border alone
        return
    for h in range(max(-top, 0), min(H, border[0] - top)):
        at, row = ((top + h) * border[1] + max(left, 0)) * C, image[h].reshape(W * C)
        ask_ahead(row, 0, W * C)
        copy_to(field[at:at + width * C], row[max(-left, 0) * C:max(-left, 0) * C + width * C])
