"""Sites in an ONNX graph: weights from their codes, and inputs through theirs, every bit as minilq has it.

A quantized weight or bias is an initializer of codes, the narrowest of int8, int16 and int32 that holds them, and

    one scale, or one axis of scales    DequantizeLinear(codes, scale, zero), float32
    several axes, or a zero point that  Mul(Cast(Sub(codes, zero)), scale): DequantizeLinear has one axis, and a zero
    is none of the codes' type          point of the type of the codes
    an offset                           one Add more
    a table                             Gather(levels, codes)
    vectors                             Gather(book, codes) of each block, Concat, Add of the stages, Reshape

Kernels (KH, KW, C, F) become (F, C, KH, KW), so their axes of scales move: row 2, column 3, channel 1, filter 0.

An input with a method passes

    nearest, codes of a byte            QuantizeLinear, Clip where the codes are not all of uint8 or int8,
                                        DequantizeLinear; with an offset Sub before and Add behind
    all others                          Sub, Div, Max, Min, the rounding, Mul, Add in float32
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn import Site
from minilq.quantize import Even, Table
from minilq.quantize.asked import Steps, steps_of
from minilq.quantize.vectors import Vectors
from minilq.store.onnx_graph import Graph, Value, first_of

BYTES: tuple[Any, ...] = (np.uint8, np.int8)


def parameter(graph: Graph, name: str, site: Site, order: tuple[int, ...] | None = None) -> str:
    """What the network sees of a weight or a bias, its axes in `order`."""
    assert site.latent is not None
    order = tuple(range(site.latent.ndim)) if order is None else order
    if name not in graph.coded:
        return graph.floats(f"{name}.latent", site.latent.array.transpose(order))
    codes, grid = graph.coded[name]
    if isinstance(grid, Vectors):
        return _from_vectors(graph, name, codes, grid, order)
    if not isinstance(grid, (Even, Table)):
        raise ConfigError("to_onnx", "the grid of a weight must be Even, a Table or Vectors",
                          got=f"{name} with {type(grid).__name__}", cause="A .mlq file takes every grid")
    if codes.dtype == np.int64:
        raise ConfigError("to_onnx", "codes must fit into 32 bits", got=f"{name} with {codes.min()}..{codes.max()}",
                          cause="The scale is far too small for these values")
    integers = graph.constant(f"{name}.codes", codes.transpose(order))
    if isinstance(grid, Table):
        return _from_table(graph, name, integers, grid.levels, order)
    scale, zero, offset = (None if part is None else _ordered(part, order) for part in grid)
    assert scale is not None
    y = _from_codes(graph, name, integers, codes.dtype, scale, zero)
    return y if offset is None else graph.node("Add", y, graph.floats(f"{name}.offset", offset))


def _ordered(part: Array, order: tuple[int, ...]) -> Array:
    """A part of a grid with all axes, in this order."""
    return part.reshape((1,) * (len(order) - part.ndim) + part.shape).transpose(order)


def _from_codes(graph: Graph, name: str, integers: str, dtype: Any, scale: Array, zero: Array | None) -> str:
    """scale (codes - zero)."""
    axes = [axis for axis, n in enumerate(scale.shape) if n > 1]
    fits = zero is None or (dtype != np.int32 and _fits(zero, dtype))
    if len(axes) > 1 or not fits or (zero is not None and zero.size > scale.size):
        if zero is not None:
            integers = graph.node("Sub", graph.node("Cast", integers, to=graph.onnx.TensorProto.INT32),
                                  graph.constant(f"{name}.zero", zero.astype(np.int32)))
        floats = graph.node("Cast", integers, to=graph.onnx.TensorProto.FLOAT)
        return graph.node("Mul", floats, graph.floats(f"{name}.scale", scale))
    return graph.node("DequantizeLinear", integers, *_linear(graph, name, scale, zero, dtype, axes),
                      **_along(axes))


def _linear(graph: Graph, name: str, scale: Array, zero: Array | None, dtype: Any, axes: list[int]) -> list[str]:
    """Scale and zero point as QuantizeLinear and DequantizeLinear take them: single numbers, or along one axis."""
    shape = (-1,) if axes else ()
    both = [graph.floats(f"{name}.scale", scale.reshape(shape))]
    if zero is not None:
        both.append(graph.constant(f"{name}.zero", np.broadcast_to(zero, scale.shape).reshape(shape).astype(dtype)))
    return both


def _along(axes: list[int]) -> dict[str, Any]:
    return {"axis": axes[0]} if axes else {}


def _fits(a: Array, dtype: Any) -> bool:
    return bool(np.iinfo(dtype).min <= a.min() and a.max() <= np.iinfo(dtype).max)


def _from_table(graph: Graph, name: str, integers: str, levels: Array, order: tuple[int, ...]) -> str:
    """levels[code]; with a table for each group levels[code, group], in one list of all of them."""
    places = graph.node("Cast", integers, to=graph.onnx.TensorProto.INT32)
    groups = levels[0].size
    if groups > 1:
        group = _ordered(np.arange(groups, dtype=np.int32).reshape(levels.shape[1:]), order)
        places = graph.node("Mul", places, graph.constant(f"{name}.groups", np.array(groups, np.int32)))
        places = graph.node("Add", places, graph.constant(f"{name}.group", group))
    return graph.node("Gather", graph.floats(f"{name}.levels", levels.reshape(-1)), places)


def _from_vectors(graph: Graph, name: str, codes: Array, grid: Vectors, order: tuple[int, ...]) -> str:
    """Rows of each block's book beside each other; the stages added up in their order; then the tensor."""
    total = ""
    for t, (books, numbers) in enumerate(zip(grid.books, codes, strict=True)):
        blocks = [graph.node("Gather", graph.floats(f"{name}.book{t}.{s}", book), graph.node(
            "Cast", graph.constant(f"{name}.codes{t}.{s}", places), to=graph.onnx.TensorProto.INT32))
                  for s, (book, places) in enumerate(zip(books, numbers, strict=True))]
        rows = graph.node("Concat", *blocks, axis=1)
        total = graph.node("Add", total, rows) if total else rows
    whole = graph.node("Reshape", total, graph.constant(f"{name}.tensor", grid.tensor.astype(np.int64)))
    return graph.node("Transpose", whole, perm=list(order))


def seen(graph: Graph, name: str, site: Site, x: Value) -> Value:
    """What a layer sees of its input: x, or what the method of the site makes of it."""
    if site.method is None:
        return x
    if not site.started:
        raise ConfigError("to_onnx", "an input must be seen before it can be quantized", got=name,
                          cause="Call calibrate(model, images), or train first")
    shape = x.zeros.shape
    try:
        steps = steps_of(site.method, site.held, shape, x.zeros.dtype)
    except ConfigError as error:
        raise ConfigError("to_onnx", f"{name} must have steps that do not depend on it", got=str(error)) from error
    order = tuple(first_of(len(shape)) if x.channels_first else range(len(shape)))
    scale, zero, offset = (None if part is None else _ordered(part, order) for part in steps.grid)
    assert scale is not None
    b = None if offset is None else graph.floats(f"{name}.offset", offset)
    y = x.name if b is None else graph.node("Sub", x.name, b)
    axes = [axis for axis, n in enumerate(scale.shape) if n > 1]
    dtype = _byte(steps, zero)
    if dtype is not None and len(axes) < 2:
        y = _through_bytes(graph, name, y, scale, zero, steps, dtype, axes)
    else:
        y = _through_floats(graph, name, y, scale, zero, steps)
    return x._replace(name=y if b is None else graph.node("Add", y, b))


def _byte(steps: Steps, zero: Array | None) -> Any | None:
    """uint8 or int8, where it holds all codes and the rounding is that of QuantizeLinear."""
    if steps.rounding != "nearest" or steps.low is None or steps.high is None:
        return None
    ends = np.array([steps.low, steps.high, *([] if zero is None else [zero.min(), zero.max()])])
    return next((dtype for dtype in BYTES if _fits(ends, dtype)), None)


def _through_bytes(graph: Graph, name: str, y: str, scale: Array, zero: Array | None, steps: Steps, dtype: Any,
                   axes: list[int]) -> str:
    """QuantizeLinear and back."""
    zero = np.zeros(1, np.int64) if zero is None else zero       # it says which type
    both, axis = _linear(graph, name, scale, zero, dtype, axes), _along(axes)
    codes = graph.node("QuantizeLinear", y, *both, **axis)
    if (steps.low, steps.high) != (np.iinfo(dtype).min, np.iinfo(dtype).max):
        codes = graph.node("Clip", codes, graph.constant(f"{name}.low", np.array(steps.low, dtype)),
                           graph.constant(f"{name}.high", np.array(steps.high, dtype)))
    return graph.node("DequantizeLinear", codes, *both, **axis)


def _through_floats(graph: Graph, name: str, y: str, scale: Array, zero: Array | None, steps: Steps) -> str:
    """scale rounding(clip(y / scale, low - zero, high - zero))."""
    s = graph.floats(f"{name}.scale", scale)
    v = graph.node("Div", y, s)
    for op, part, bound in (("Max", "low", steps.low), ("Min", "high", steps.high)):
        if bound is not None:
            v = graph.node(op, v, graph.constant(f"{name}.{part}", (bound - (np.zeros(()) if zero is None else zero))
                                                 .astype(np.float32)))
    return graph.node("Mul", _rounded(graph, v, steps.rounding), s)


def _rounded(graph: Graph, v: str, rounding: str) -> str:
    if rounding == "trunc":
        return graph.node("Mul", graph.node("Sign", v), graph.node("Floor", graph.node("Abs", v)))
    if rounding == "sign":
        one = graph.constant("one", np.array(1, np.float32))
        positive = graph.node("GreaterOrEqual", v, graph.constant("nothing", np.array(0, np.float32)))
        return graph.node("Where", positive, one, graph.node("Neg", one))
    return graph.node({"floor": "Floor", "ceil": "Ceil", "nearest": "Round"}[rounding], v)
