r"""Model file: a network with integer codes in place of its quantized parameters, in a format that trusts nothing.

Format, version 1; all numbers have the little end first.

    8 bytes     89 4D 4C 51 0D 0A 1A 0A ("\x89MLQ\r\n\x1a\n"): a transfer as text, which changes ends of lines, shows
    1 byte      the version, 1
    section     header: kind "J", JSON in ASCII; or, where it is shorter, "Z", the same as raw deflate (RFC 1951)
    section     codes: kind "C"
    section     floats: kind "F"

and nothing behind it. Each section is

    1 byte      its kind
    4 bytes     n, the length of its content, unsigned
    4 bytes     CRC-32 (that of zip and PNG) of its kind and content, unsigned
    n bytes     its content

The header is at most 65536 bytes of JSON, without NaN and without a key twice in one object: an object of

    "layers"    the architecture: a list of layers, see minilq/store/architecture.py
    "coder"     "packed", "huffman" or "range": see minilq/coding/packing.py, huffman.py and range_coder.py
    "codes"     an object: for each quantized parameter, by name, a list of its granularity, of how many bytes its table
                has, and of how many its content has
    "facts"     an object: what was told to `save`

A layer is named by its kind in small letters and its number, from 1, among the layers of that kind beside it
("dense1"); the parts of a Residual are "body" and "shortcut". What is inside follows behind a dot:
"residual1.body.conv2d2.kernel". A granularity is "scalar", "row" (keeps axis 0), "column" (axis 1), "channel" (axis 2),
"filter" (the last axis), or a list of the axes that are kept; see minilq/quantize/granularity.py.

The codes are, for each parameter of "codes" in that order, the table of the coder and then its content. They stand in C
order, and their number is that of the parameter.

The floats are IEEE float32, in C order, one array after the other: the scale of each parameter of "codes", in that
order; every other parameter, in the order of the layers; the buffers, in the order of the layers.

    layer           parameters                              buffers
    Dense           weight (n_in, n_out), bias (n_out)
    Conv2D          kernel (KH, KW, n_in, n_out), bias (n_out)
    BatchNorm       gamma, beta (channels)                  mean, variance (channels)
    DataQuantizer                                           offset, data (its scale); shapes in the header

A scale has the length of its parameter on the axes that are kept, and 1 on the others. A quantized parameter is
code * scale in float32 arithmetic: to the last bit what the network was trained with (a zero loses its sign). All
floats are finite, scales > 0, variances >= 0. Parameters and buffers together hold at most 2^20 + 256 * (bytes of the
file) numbers, so that a small file cannot ask for much memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.coding.coders import CODERS
from minilq.errors import ConfigError, DataError, DTypeError, NonFiniteError
from minilq.files import write_bytes
from minilq.nn import Sequential, coded_in
from minilq.quantize import Coded, scale_shape
from minilq.quantize.granularity import Granularity
from minilq.quantize.quantizer import narrowed
from minilq.store.architecture import Plan, Shapes, describe, planned
from minilq.store.sections import Sections, joined, split


class StoredModel(NamedTuple):
    """What a model file holds.

    network     float32; its quantized parameters are plain codes * scale, without quantizers. Dropout, should it be
                trained further, draws from a generator of its own.
    coded       the integers behind them, by name
    facts       what was told to `save`
    """

    network: Sequential
    coded: dict[str, Coded]
    facts: dict[str, Any]


def save(path: str | Path, model: Sequential, coder: str = "range", facts: Mapping[str, Any] | None = None) -> None:
    """Write a model as a model file, in one piece: killed at any moment, `path` holds its old content or the new.

    The codes come from the latent values; a stochastic rounding draws them once more. One model gives the same bytes
    each time (with one version of zlib).

    model       float32, of the layers that `describe` knows
    coder       "packed", "huffman" or "range"
    facts       what a reader should know besides, such as the data set and the accuracy: what JSON can hold
    Raises      ConfigError for another model, coder or facts; DTypeError for float64; NonFiniteError for a number that
                is NaN or infinite; UnwritableError

    >>> import tempfile
    >>> from minilq.nn import Dense, scalar
    >>> from minilq.quantize import Quantizer
    >>> q = Quantizer("nearest", granularity="column")
    >>> model = Sequential(Dense(20, 3, np.random.default_rng(0), q, scalar(q)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Path(folder, "model.mlq"), model, facts={"accuracy": 0.9})
    ...     network, coded, facts = load(Path(folder, "model.mlq"))
    >>> x = np.ones((1, 20), np.float32)
    >>> bool((network(x).numpy() == model(x).numpy()).all()), coded["dense1.weight"].scale.shape, facts
    (True, (1, 3), {'accuracy': 0.9})
    """
    write_bytes(Path(path), contents(model, coder, facts))


def contents(model: Sequential, coder: str = "range", facts: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a model file; see `save`."""
    if coder not in CODERS:
        raise ConfigError("save", f"coder must be one of {', '.join(CODERS)}", got=repr(coder))
    layers = describe(model)
    # A name stands for a parameter and for its scale; scales without a parameter are those of data.
    tensors = {**model.positive_scales(), **model.parameters(), **model.buffers()}
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32:
            raise DTypeError("save", "a model file holds float32", got=f"{name} of {tensor.dtype}",
                             cause="Make and train the model with dtype=np.float32")
    numbers = sum(tensor.size for tensor in tensors.values())
    try:
        plan = planned(layers, numbers)
        plan.make()
    except DataError as error:                   # settings that fail only when the layer is called
        raise ConfigError("save", "every layer must be usable", got=str(error)) from error
    coded = coded_in(model)
    encoded = {name: CODERS[coder].encode(c.codes) for name, c in coded.items()}
    floats = [*((f"{name}.scale", c.scale) for name, c in coded.items()),
              *((name, tensors[name].array) for name in _floats_of(plan, coded))]
    for name, array in floats:
        if not np.isfinite(array).all():
            raise NonFiniteError("save", "every number must be finite", got=f"NaN or infinity in {name}",
                                 cause="Training has diverged; save an earlier state")
    content = joined(Sections(
        {"layers": layers, "coder": coder,
         "codes": {name: [coded[name].granularity, len(e.table), len(e.content)] for name, e in encoded.items()},
         "facts": dict(facts or {})},
        b"".join(part for e in encoded.values() for part in e),
        b"".join(array.astype("<f4").tobytes() for _, array in floats)))
    if numbers > most_numbers(len(content)):
        raise ConfigError("save", f"a file of {len(content)} bytes may hold {most_numbers(len(content))} numbers",
                          got=str(numbers), cause="Nearly all codes are equal: the network has collapsed")
    return content


def load(path: str | Path) -> StoredModel:
    """Read a model file. Nothing in it is trusted, and nothing is returned unless everything fits.

    It takes a few MB of memory beyond the numbers that the model holds and the work of the coder.

    Raises      DataError, with what was found and the likely cause, when the file is missing, damaged, of a newer
                version, or of another kind
    """
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _stored(split(file, size), most_numbers(size))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(str(path), "a readable model file was expected", got=error.strerror or str(error)) from error


def most_numbers(size: int) -> int:
    """How many numbers the parameters and buffers of a file of `size` bytes may hold: a constant one costs no bytes."""
    return (1 << 20) + 256 * size


class Stored(NamedTuple):
    """How a quantized parameter stands in a file."""

    granularity: Granularity
    scale_shape: tuple[int, ...]
    table: bytes
    content: bytes


def _stored(sections: Sections, most: int) -> StoredModel:
    header = sections.header
    if not isinstance(header, dict) or header.keys() != {"layers", "coder", "codes", "facts"}:
        raise DataError("header", "layers, coder, codes and facts were expected", got=_short(header))
    coder, facts = header["coder"], header["facts"]
    if not isinstance(coder, str) or coder not in CODERS:
        raise DataError("coder", f"one of {', '.join(CODERS)} was expected", got=_short(coder))
    if not isinstance(facts, dict):
        raise DataError("facts", "an object was expected", got=_short(facts))
    plan = planned(header["layers"], most)
    parts = _parts(header["codes"], plan.parameters, sections.codes)
    floats = _arrays({**{f"{name}.scale": part.scale_shape for name, part in parts.items()},
                      **_floats_of(plan, parts)}, sections.floats)
    network = plan.make()
    assert isinstance(network, Sequential)
    tensors = {**network.parameters(), **network.buffers()}
    for name in _floats_of(plan, parts):
        _fill(tensors[name], floats[name])
    coded = {}
    for name, part in parts.items():
        scale, shape = floats[f"{name}.scale"], plan.parameters[name]
        try:
            codes = CODERS[coder].decode(part.table, part.content, math.prod(shape))
        except DataError as error:
            raise DataError(f"codes of {name}: {error}") from error
        coded[name] = Coded(narrowed(codes).reshape(shape), scale, part.granularity)
        del codes
        with np.errstate(over="ignore"):
            p_hat = coded[name].codes.astype(np.float32) * scale
        if not np.isfinite(p_hat).all():
            raise DataError(f"codes of {name}", "code * scale must be finite", got="an overflow",
                            cause="The file was not written by minilq")
        _fill(tensors[name], p_hat)
    return StoredModel(network, coded, facts)


def _floats_of(plan: Plan, quantized: Iterable[str]) -> Shapes:
    """The parameters and buffers that a file holds as floats, in its order."""
    return {name: shape for name, shape in {**plan.parameters, **plan.buffers}.items() if name not in quantized}


def _parts(entries: Any, parameters: Shapes, codes: bytes) -> dict[str, Stored]:
    """What "codes" in the header says, and the bytes that it means; all of them."""
    if not isinstance(entries, dict):
        raise DataError("header", "codes, an object, was expected", got=_short(entries))
    parts, at = {}, 0
    for name, entry in entries.items():
        if name not in parameters:
            raise DataError("header", f"the name of a parameter was expected: {', '.join(parameters)}",
                            got=_short(name))
        if not (isinstance(entry, list) and len(entry) == 3
                and all(type(n) is int and 0 <= n <= len(codes) for n in entry[1:])):
            raise DataError(f"header, {name}", f"a granularity and two lengths up to {len(codes)} were expected",
                            got=_short(entry))
        granularity, table, content = entry
        if isinstance(granularity, list) and all(type(axis) is int for axis in granularity):
            granularity = tuple(granularity)
        if not isinstance(granularity, (str, tuple)):
            raise DataError(f"header, {name}", "a granularity was expected", got=_short(granularity))
        try:
            s_shape = scale_shape(granularity, parameters[name])
        except ConfigError as error:
            raise DataError(f"header, {name}: {error}") from error
        parts[name] = Stored(granularity, s_shape, codes[at:at + table], codes[at + table:at + table + content])
        at += table + content
    if at != len(codes):
        raise DataError("codes", f"{at} bytes were expected", got=str(len(codes)),
                        cause="The header belongs to other codes")
    return parts


def _arrays(shapes: Shapes, floats: bytes) -> dict[str, Array]:
    """The floats as arrays of these names and shapes, checked."""
    numbers = sum(map(math.prod, shapes.values()))
    if len(floats) != 4 * numbers:
        raise DataError("floats", f"{numbers} numbers of 4 bytes were expected", got=f"{len(floats)} bytes",
                        cause="The header belongs to other floats")
    arrays, at = {}, 0
    for name, shape in shapes.items():
        array = np.frombuffer(floats, "<f4", math.prod(shape), at).astype(np.float32).reshape(shape)
        at += array.nbytes
        _check(name, array)
        arrays[name] = array
    return arrays


def _check(name: str, array: Array) -> None:
    if not np.isfinite(array).all():
        raise DataError(name, "finite numbers were expected", got="NaN or infinity")
    if name.endswith((".scale", ".data")) and not (array > 0).all():
        raise DataError(name, "scales > 0 were expected", got=str(array.min()))
    if name.endswith(".variance") and not (array >= 0).all():
        raise DataError(name, "variances >= 0 were expected", got=str(array.min()))


def _fill(tensor: Tensor, array: Array) -> None:
    tensor.array[...] = array
    tensor.changed_in_place()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
