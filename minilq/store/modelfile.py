r"""Model file: a network with integer codes in place of its quantized weights, in a format that trusts nothing.

Format, version 2; all numbers have the little end first. (Version 1 is described in minilq/store/version1.py.)

    8 bytes     89 4D 4C 51 0D 0A 1A 0A ("\x89MLQ\r\n\x1a\n"): a transfer as text, which changes ends of lines, shows
    1 byte      the version, 2
    section     header: kind "J", JSON in ASCII; or, where it is shorter, "Z", the same as raw deflate (RFC 1951)
    section     codes: kind "C"
    section     numbers: kind "F"; or, where it is shorter, "N", the same as coded numbers, see minilq/store/numbers.py

and nothing behind it. Each section is

    1 byte      its kind
    4 bytes     n, the length of its content, unsigned
    4 bytes     CRC-32 (that of zip and PNG) of its kind and content, unsigned
    n bytes     its content

The header is at most 65536 bytes of JSON, without NaN and without a key twice in one object: an object of

    "layers"    the architecture: a list of layers, see minilq/store/architecture.py
    "coder"     "packed", "huffman", "range" or "context": see packing.py, huffman.py, range_coder.py and
                context_coder.py in minilq/coding; that of all sites which name no other one
    "arrays"    a list: of each array its type ("f4", "f8", "i1", "i2", "i4", "i8") and its shape, a list
    "sites"     an object: for each site that has a method, by name, what the file holds of it; see below
    "facts"     an object: what was told to `save`

A layer is named by its kind in small letters and its number, from 1, among the layers of that kind beside it
("dense1"); the parts of a Residual are "body" and "shortcut", that of a Concatenate is "body". What is inside follows
behind a dot. The sites of Dense, Conv2D and GroupedConv2D are input, weight and bias, that of Quantize is input:
"residual1.body.conv2d2.weight"; that of Embedding and Position is weight. The parts of a SelfAttention are project and
output, which are Dense, and queries, keys, values and probabilities, which are Quantize.

**A weight or a bias** has an object of

    "codes"     [bytes of its table, bytes of its content], and the name of its coder where it is another one
    "grid"      {"scale": array, "zero": array, "offset": array}, the last two where there are any: value = scale
                (code - zero) + offset. Or {"levels": array}: value = levels[code]. In place of an array stands its
                number in "arrays", from 0. They broadcast to the codes; zero and offset have the scale's shape, or are
                one number; levels are (K,), or (K, ...) with a table for each group: what follows K broadcasts to the
                codes. Or {"scale", "offset", "size", "levels"}: buckets of size[0] codes, one after the other in C
                order, each with a scale and an offset: value = scale code + offset, or with levels, of (K,),
                scale levels[code] + offset. Or {"books": array, "tensor": array}: books (stages, blocks, k, width),
                at most 8 stages, and the shape of the tensor; there are codes (stages, blocks, rows), and row i is
                the sum over stages of the vectors books[stage, block, code] of all blocks beside each other. Or
                {"weights": array, "seed": array}: value = sign weights[bucket] of each place, see
                minilq/quantize/hashing.py; codes are all 0. Or {"numbers": array}: the next of them where the code is
                1, and 0 where it is 0
    "method"    {"method": name, flag: value, ...}, what gave the codes, for training on; null where one of its flags is
                a function
    "held"      with a method: what it learned and remembers, array numbers by name, or "codes" for the codes
                themselves, or "support" for a mask of where they are not 0; left out where it is the same as "grid"

Its latent, in full precision, is not in the file. What the network computes with is the value of each code in float32
arithmetic, k = code - zero as a float32 number, k times scale, plus offset: to the last bit what it was trained with (a
zero loses its sign).

**An input** has an object of "method" alone where it has seen nothing yet. Else also of

    "held"      as above
    "grid"      as above, even, broadcast to the input (N, ...); "bounds": [low, high], numbers or null; and "rounding":
                floor, nearest (half to even), ceil, trunc or sign. What comes is
                x -> scale (rounding(clip((x - offset) / scale, low - zero, high - zero))) + offset. Not there where no
                such numbers say what the method does

**The codes** are, for each entry of "sites" that has some, in that order, the table of the coder and then its content.
They stand in C order, and their number is that of the weight.

**The numbers** are the arrays, one after the other in C order, and then, as arrays in float32, all that is neither
quantized nor held by a site, in the order of the layers:

    Dense           weight (n_in, n_out), bias (n_out)
    Conv2D          weight (KH, KW, n_in, n_out), bias (n_out)
    GroupedConv2D   weight (KH, KW, n_in / groups, n_out), bias (n_out)
    BatchNorm       gamma, beta, mean, variance (channels)
    LayerNorm       gamma, beta (channels)
    Embedding       weight (tokens, channels)
    Position        weight, of the shape of what it is added to

All are finite, scales > 0, variances >= 0. A file holds at most 2^20 + 256 * (bytes of the file) numbers beside its
arrays, and 2^16 + 64 * (bytes of their section) coded ones, so that a small file cannot ask for much memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import shown
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.coding.coders import CODERS
from minilq.errors import ConfigError, DataError, DTypeError, meant
from minilq.files import opened, write_bytes
from minilq.nn import Sequential, coded_in, for_inference
from minilq.quantize import Coded
from minilq.store import version1
from minilq.store.architecture import describe, planned
from minilq.store.checks import short, wrong
from minilq.store.codes import SMALLEST, cut, decoded, encoded
from minilq.store.numbers import Numbers, plain, written
from minilq.store.pool import Pool, check_finite, pooled
from minilq.store.restore import restore
from minilq.store.sections import Sections, joined, split
from minilq.store.sites import input_entry, part_of, weight_entry

LATENTS = "the latents: quantized weights go on from the values of their codes"


class StoredModel(NamedTuple):
    """What a model file holds.

    network     float32, with the methods of its sites and what they hold: it predicts as what was saved did, to the
                bit, has the same codes, and can be trained on and saved again. Dropout draws from its own generator
    coded       the integers of its weights and biases, by the name of their site
    facts       what was told to `save`
    missing     what was not saved, as texts: the latents; and the methods that could not be written, or cannot be taken
                up from their codes, in whose place a FixedGrid stands
    """

    network: Sequential
    coded: dict[str, Coded]
    facts: dict[str, Any]
    missing: tuple[str, ...] = ()


def save(path: str | Path, model: Sequential, coder: str = SMALLEST, facts: Mapping[str, Any] | None = None) -> None:
    """Write a model as a model file, in one piece: killed at any moment, `path` holds its old content or the new.

    The codes come from the latent values; a stochastic rounding draws them once more. One model gives the same bytes
    each time (with one version of zlib).

    model       float32, of layers that say their `settings()`; each Folded is written as what it is in inference
    coder       "packed", "huffman", "range" or "context"; or "smallest": for each site that which takes fewest bytes,
                and coded numbers where these are shorter
    facts       what a reader should know besides, such as the data set and the accuracy: what JSON can hold
    Raises      ConfigError for another model, coder or facts; DTypeError for float64; NonFiniteError for a number that
                is NaN or infinite; UnwritableError

    >>> import tempfile
    >>> from minilq.nn import Dense, quantize
    >>> from minilq.quantize import LSQ
    >>> model = Sequential(Dense(20, 3, np.random.default_rng(0)))
    >>> model = quantize(model, lambda name: LSQ(4) if name == "dense1.weight" else None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Path(folder, "model.mlq"), model, facts={"accuracy": 0.9})
    ...     stored = load(Path(folder, "model.mlq"))
    >>> x = np.ones((1, 20), np.float32)
    >>> bool((stored.network(x).numpy() == model(x).numpy()).all()), list(stored.coded), stored.facts
    (True, ['dense1.weight'], {'accuracy': 0.9})
    >>> stored.network.sites()["dense1.weight"].method == LSQ(4), stored.missing[0][:11]
    (True, 'the latents')
    """
    write_bytes(path, contents(model, coder, facts))


def contents(model: Sequential, coder: str = SMALLEST, facts: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a model file; see `save`."""
    choice = (SMALLEST, *CODERS)
    if not isinstance(coder, str) or coder not in choice:
        raise ConfigError("save", f"coder must be one of {', '.join(choice)}", got=shown(coder),
                          cause=meant(coder, choice) if isinstance(coder, str) else "")
    if facts is not None and not isinstance(facts, Mapping):
        raise ConfigError("save", "facts must be a dict, or None", got=shown(facts))
    if isinstance(model, Sequential):
        model = for_inference(model)
    layers, sites = describe(model), model.sites()
    methods = {name: site for name, site in sites.items() if site.method is not None}
    beside = {name: _array(tensor) for name, tensor in model.tensors().items()
              if name.rpartition(".")[0] not in methods}
    of_sites = {f"{name}.latent": site.latent.array for name, site in methods.items() if site.latent is not None}
    for name, array in {**of_sites, **beside}.items():
        if array.dtype != np.float32:
            raise DTypeError("save", "a model file holds float32", got=f"{name} of {array.dtype}",
                             cause="Make and train the model with dtype=np.float32")
    numbers = sum(array.size for array in (*beside.values(), *of_sites.values()))
    try:
        planned(layers, numbers).make()
    except DataError as error:                   # settings that were changed afterwards
        raise ConfigError("save", "every layer must be usable", got=str(error)) from error
    coded, pool = coded_in(model), Pool()
    usual, pieces = encoded(coded, coder)
    entries = {name: weight_entry(name, site, coded[name], pieces[name].place(usual), pool)
               if name in coded else input_entry(name, site, pool) for name, site in methods.items()}
    for name, array in beside.items():
        check_finite(name, array)
    arrays = [*pool.arrays, *beside.values()]
    floats, short_ones = written(arrays) if coder == SMALLEST else (b"".join(map(plain, arrays)), False)
    content = joined(Sections(
        {"layers": layers, "coder": usual, "arrays": pool.entries, "sites": entries, "facts": dict(facts or {})},
        b"".join(part for name in entries if name in pieces for part in pieces[name].encoded),
        floats, coded=short_ones))
    if numbers > most_numbers(len(content)):
        raise ConfigError("save", f"a file of {len(content)} bytes may hold {most_numbers(len(content))} numbers",
                          got=str(numbers), cause="Nearly all codes are equal: the network has collapsed")
    return content


def load(path: str | Path) -> StoredModel:
    """Read a model file, of this version or an older one. Nothing in it is trusted, and nothing is returned unless
    everything fits.

    Latents are such that the codes come back: the values of the codes, and where these would be rounded to others, as
    floor may do, half a step further.

    It takes a few MB of memory beyond the numbers that the model holds and the work of the coder.

    Raises      DataError, with what was found and the likely cause, when the file is missing, damaged, of a newer
                version, or of another kind
    """
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            return _stored(split(file, size), most_numbers(size))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(str(path), "a readable model file was expected", got=error.strerror or str(error)) from error


def most_numbers(size: int) -> int:
    """How many numbers a file of `size` bytes may hold beside its arrays: a constant one costs no bytes."""
    return (1 << 20) + 256 * size


KEYS = {1: ("layers", "coder", "codes", "facts"), 2: ("layers", "coder", "arrays", "sites", "facts")}


def _stored(sections: Sections, most: int) -> StoredModel:
    header, version = sections.header, sections.version
    if not isinstance(header, dict) or header.keys() != set(KEYS[version]):
        raise DataError("header", f"{', '.join(KEYS[version])} were expected", got=short(header))
    if not isinstance(header["coder"], str) or header["coder"] not in CODERS:
        raise wrong("coder", f"one of {', '.join(CODERS)}", header["coder"])
    if not isinstance(header["facts"], dict):
        raise wrong("facts", "an object", header["facts"])
    read = version1.read if version == 1 else _read
    network, coded, unknown = read(sections, most)
    missing = [LATENTS] if coded else []
    if unknown:
        missing.append(f"the methods of {', '.join(unknown)}: these go on with a FixedGrid")
    return StoredModel(network, coded, header["facts"], tuple(missing))


def _read(sections: Sections, most: int) -> tuple[Sequential, dict[str, Coded], list[str]]:
    """The network, its codes, and the sites whose methods are not those that they had."""
    header, numbers = sections.header, Numbers(sections.floats, sections.coded)
    plan = planned(header["layers"], most)
    arrays = pooled(header["arrays"], numbers)
    pieces = cut(header["sites"], header["coder"], plan.shapes, sections.codes)
    beside = {name: shape for name, shape in plan.shapes.items() if name.removesuffix(".latent") not in pieces}
    numbers.check_rest(sum(map(math.prod, beside.values())))
    network = plan.make()
    assert isinstance(network, Sequential)
    tensors, sites = network.tensors(), network.sites()
    if {name: tensor.shape for name, tensor in tensors.items()} != plan.shapes:
        raise wrong("layers", f"layers of {short(plan.shapes)}", {name: t.shape for name, t in tensors.items()})
    for name, tensor in tensors.items():
        if name in beside:
            _fill(name, tensor, numbers.take(name, "f4", tensor.shape))
    numbers.check_rest(0)
    coded, unknown = {}, []
    for name, entry in header["sites"].items():
        site, piece = sites.get(name), pieces.get(name)
        if site is None or (site.latent is None) != (piece is None):
            raise wrong("sites", f"the name of an input: {', '.join(n for n in sites if n not in pieces)[:300]}", name)
        part = part_of(name, entry, arrays, site.shape, None if piece is None else partial(decoded, name, piece))
        if not restore(name, site, part):
            unknown.append(name)
        if part.coded is not None:
            coded[name] = part.coded
        del part
    return network, coded, unknown


def _fill(name: str, tensor: Parameter | Array, array: Array) -> None:
    if name.endswith(".variance") and not (array >= 0).all():
        raise DataError(name, "variances >= 0 were expected", got=str(array.min()))
    _array(tensor)[...] = array
    if isinstance(tensor, Parameter):
        tensor.changed_in_place()


def _array(tensor: Parameter | Array) -> Array:
    return tensor.array if isinstance(tensor, Parameter) else tensor
