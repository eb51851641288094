"""Version 1 of the model file, which is read for ever.

It differs from version 2 (modelfile.py) in its header and in its floats:

    "layers"    as in version 2, but for the layer DataQuantizer: scale [shape], offset [shape], rounding, qmin, qmax
                (numbers or null), mask. y = s rounding(clip((x - offset) / s, qmin, qmax)) + offset
    "coder"     as in version 2
    "codes"     an object: for each quantized parameter, by name, a list of its granularity, of how many bytes its table
                has, and of how many its content has. The weight of a Conv2D is called "kernel"
    "facts"     as in version 2

A granularity is "scalar", "row" (keeps axis 0), "column" (axis 1), "channel" (axis 2), "filter" (the last axis), or a
list of the axes that are kept. A scale has the length of its parameter on these, and 1 on the others.

The floats are float32: the scale of each parameter of "codes", in that order; every other parameter, in the order of
the layers; then the mean and variance of BatchNorm, and offset and scale of DataQuantizer, in the order of the layers.

It does not say by what methods: weights stay on their grid, FixedGrid, and a DataQuantizer becomes a Quantize with one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.coding.coders import Encoded
from minilq.errors import ConfigError, DataError
from minilq.nn import Quantize, Sequential
from minilq.nn.parts import walk
from minilq.quantize import Coded, Even, scale_shape
from minilq.quantize.asked import Steps
from minilq.quantize.methods.fixed_grid import FixedGrid
from minilq.store.architecture import planned
from minilq.store.checks import short, wrong
from minilq.store.codes import Piece, decoded
from minilq.store.restore import restore
from minilq.store.sections import Sections
from minilq.store.sites import Part, told

AXES: dict[str, tuple[int, ...]] = {"scalar": (), "row": (0,), "column": (1,), "channel": (2,), "filter": (-1,)}

Shapes = dict[str, tuple[int, ...]]


def read(sections: Sections, most: int) -> tuple[Sequential, dict[str, Coded], list[str]]:
    """The network, its codes, and the sites whose methods it does not hold. Raises DataError."""
    header, codes, floats, *_ = sections
    data: list[dict[str, Any]] = []
    plan = planned(_without_data(header["layers"], data, 0), most)
    parameters = {_old(name): shape for name, shape in plan.shapes.items() if not name.endswith((".mean", ".variance"))}
    entries = _entries(header["codes"], parameters, codes)
    shapes: Shapes = {f"{name}.scale": entry[0] for name, entry in entries.items()}
    shapes |= {name: shape for name, shape in parameters.items() if name not in entries}
    # The statistics and the data come last, in the order of the layers, which only the network knows.
    rest = sum(math.prod(shape) for name, shape in plan.shapes.items() if name.endswith((".mean", ".variance")))
    rest += sum(math.prod(settings[part]) for settings in data for part in ("offset", "scale"))
    numbers = sum(map(math.prod, shapes.values())) + rest
    if len(floats) != 4 * numbers:
        raise DataError("floats", f"{numbers} numbers of 4 bytes were expected", got=f"{len(floats)} bytes",
                        cause="The header belongs to other floats")
    at = 0

    def taken(name: str, shape: tuple[int, ...]) -> Array:
        nonlocal at
        array = np.frombuffer(floats, "<f4", math.prod(shape), at).astype(np.float32).reshape(shape)
        at += array.nbytes
        if not np.isfinite(array).all():
            raise DataError(name, "finite numbers were expected", got="NaN or infinity")
        return array

    arrays = {name: taken(name, shape) for name, shape in shapes.items()}
    network = plan.make()
    assert isinstance(network, Sequential)
    sites, unknown = network.sites(), []
    for name, tensor in network.tensors().items():
        if isinstance(tensor, Parameter) and (old := _old(name)) in arrays:
            tensor.array[...] = arrays[old]
            tensor.changed_in_place()
    for name, tensor in _remembered(network, data):
        if isinstance(tensor, dict):
            restore(name, sites[name], _part_of_data(name, tensor, taken))
            unknown.append(name)
        else:
            tensor[...] = taken(name, tensor.shape)
            if name.endswith(".variance") and not (tensor >= 0).all():
                raise DataError(name, "variances >= 0 were expected", got=str(tensor.min()))
    coded = {}
    for name, (_, table, content) in entries.items():
        new, scale = _new(name), arrays[f"{name}.scale"]
        if not (scale > 0).all():
            raise DataError(f"{name}.scale", "scales > 0 were expected", got=str(scale.min()))
        k = decoded(name, Piece(header["coder"], Encoded(table, content)), parameters[name])
        coded[new] = Coded(k, Even(scale))
        restore(new, sites[new], Part(None, None, coded[new]))
        unknown.append(new)
    return network, coded, unknown


def _old(tensor: str) -> str:
    """dense1.weight.latent -> dense1.weight, conv2d1.weight.latent -> conv2d1.kernel."""
    name = tensor.removesuffix(".latent")
    layer, _, part = name.rpartition(".")
    return f"{layer}.kernel" if part == "weight" and layer.rpartition(".")[2].startswith("conv2d") else name


def _new(name: str) -> str:
    return f"{name.removesuffix('.kernel')}.weight" if name.endswith(".kernel") else name


def _entries(codes: Any, parameters: Shapes, content: bytes) -> dict[str, tuple[tuple[int, ...], bytes, bytes]]:
    """The shape of the scale, the table and the content of each quantized parameter: all bytes of the codes."""
    if not isinstance(codes, dict):
        raise wrong("codes", "an object", codes)
    entries, at = {}, 0
    for name, entry in codes.items():
        if name not in parameters:
            raise DataError("codes", f"the name of a parameter was expected: {', '.join(parameters)[:300]}",
                            got=short(name))
        if not (isinstance(entry, list) and len(entry) == 3
                and all(type(n) is int and 0 <= n <= len(content) for n in entry[1:])):
            raise wrong(f"codes of {name}", f"a granularity and two lengths up to {len(content)}", entry)
        granularity, n_table, n_content = entry
        axes = AXES.get(granularity) if isinstance(granularity, str) else granularity
        if not (isinstance(axes, (list, tuple)) and all(type(axis) is int for axis in axes)):
            raise wrong(f"codes of {name}", f"one of {', '.join(AXES)}, or a list of kept axes", granularity)
        try:
            shape = scale_shape(tuple(axes), parameters[name])
        except ConfigError as error:
            raise DataError(f"codes of {name}: {error}") from error
        entries[name] = shape, content[at:at + n_table], content[at + n_table:at + n_table + n_content]
        at += n_table + n_content
    if at != len(content):
        raise DataError("codes", f"{at} bytes were expected", got=str(len(content)),
                        cause="The header belongs to other codes")
    return entries


# Layers that quantize data.
def _without_data(layers: Any, data: list[dict[str, Any]], depth: int) -> Any:
    """The layers with a Quantize for each DataQuantizer, whose settings are appended to `data`, in their order."""
    if isinstance(layers, list) and depth < 100:
        return [_without_data(layer, data, depth + 1) for layer in layers]
    if not isinstance(layers, dict) or depth >= 100:
        return layers
    if layers.get("kind") != "DataQuantizer":
        return {name: _without_data(value, data, depth + 1) for name, value in layers.items()}
    settings = {name: value for name, value in layers.items() if name != "kind"}
    if settings.keys() != {"scale", "offset", "rounding", "qmin", "qmax", "mask"}:
        raise wrong("DataQuantizer", "scale, offset, rounding, qmin, qmax and mask", layers)
    for part in ("scale", "offset"):
        shape = settings[part]
        if not (isinstance(shape, list) and len(shape) <= 32 and all(type(n) is int and 1 <= n < 2**31 for n in shape)):
            raise wrong(f"DataQuantizer.{part}", "a shape", shape)
    if settings["mask"] not in ("clip_first", "round_first"):
        raise wrong("DataQuantizer.mask", "clip_first or round_first", settings["mask"])
    if settings["rounding"] == "sign" and not settings["qmin"] is settings["qmax"] is None:
        raise DataError("DataQuantizer", "a rounding other than sign was expected where codes have bounds",
                        got=short(layers), cause="Version 2 has no such quantizer; write the network anew")
    if math.prod(settings["offset"]) != 1 and settings["offset"] != settings["scale"]:
        raise wrong("DataQuantizer.offset", f"one number, or of the shape {settings['scale']}", settings["offset"])
    data.append(settings)
    return {"kind": "Quantize", "shape": settings["scale"] or [1]}


def _part_of_data(name: str, settings: dict[str, Any], taken: Any) -> Part:
    offset, scale = (taken(f"{name}.{part}", tuple(settings[part])) for part in ("offset", "scale"))
    if not (scale > 0).all():
        raise DataError(f"{name}.scale", "scales > 0 were expected", got=str(scale.min()))
    fixed = told(name, lambda: FixedGrid(settings["qmin"], settings["qmax"], settings["rounding"]))
    return Part(None, None, steps=Steps(Even(scale, offset=offset), fixed.low, fixed.high, fixed.rounding))


def _remembered(network: Sequential, data: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Statistics as arrays, and settings of data, in the order of the layers."""
    waiting = iter(data)
    found: list[tuple[str, Any]] = []
    for name, thing in walk("", network, set()):
        if isinstance(thing, np.ndarray):
            found.append((name, thing))
        elif isinstance(thing, Quantize):
            found.append((f"{name}.input", next(waiting)))
    return found
