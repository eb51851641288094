"""Arrays by name: a model's codes, grids and floats as the files of other programs hold them (.npz, .safetensors).

    <site>.codes    the integers of a quantized weight or bias, in its shape
    <site>.scale    and <site>.zero, <site>.offset where there are any: value = (codes - zero) * scale + offset; each
                    broadcasts to the codes
    <site>.levels   in place of these: value = levels[codes]. Or .books and .tensor, .weights and .seed, .numbers: see
                    vectors.py, hashing.py and sparse.py in minilq/quantize
    <tensor>        everything else: a parameter in full precision, what an input's method holds, a running mean

Names are the model's: "conv2d1.weight.codes", "dense2.bias.latent". Layouts are minilq's: dense weights (in, out),
kernels (KH, KW, C, F).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minilq.arguments import check_arrays
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.nn import Sequential
from minilq.quantize import Coded, Even, Table
from minilq.quantize.buckets import of_stored as buckets_of
from minilq.quantize.coded import check_coded
from minilq.quantize.own_grids import WHOLE, is_own, of_stored

CODES = "codes"
RESERVED = frozenset(("meta", "file", "allow_pickle", "__metadata__"))
"""Names that stand for something else in a .npz or a .safetensors file, or when one is written."""
PARTS = ("scale", "zero", "offset", "levels", "size", "books", "tensor", "weights", "seed", "numbers")


def floats_in(model: Sequential, coded: Mapping[str, Coded]) -> dict[str, Array]:
    """What a model holds beside the codes of these sites and their grids: copies of all other tensors.

    >>> from minilq.nn import BatchNorm
    >>> list(floats_in(Sequential(BatchNorm(2)), {}))
    ['batchnorm1.gamma', 'batchnorm1.beta', 'batchnorm1.mean', 'batchnorm1.variance']
    """
    return {name: (tensor.array if isinstance(tensor, Parameter) else tensor).copy()
            for name, tensor in model.tensors().items() if name.rpartition(".")[0] not in coded}


def arrays_of(coded: Mapping[str, Coded], floats: Mapping[str, Array]) -> dict[str, Array]:
    """All arrays by their names in a file. Raises ConfigError and DTypeError for what are no codes and no arrays."""
    check_coded("arrays", coded)
    check_arrays("arrays", "floats", floats)
    if taken := RESERVED.intersection(floats):
        raise ConfigError("arrays", f"no array can be called {', '.join(sorted(RESERVED))}", got=min(taken))
    arrays = dict(floats)
    for name, one in coded.items():
        grid = one.grid.stored()
        try:
            _coded(name, one.codes, grid)        # nothing is written that would not be read
        except ValueError as error:
            raise ConfigError("arrays", "codes and their grid must be what can be read again", got=str(error)) from None
        own = {f"{name}.{CODES}": one.codes, **{f"{name}.{part}": array for part, array in grid.items()}}
        if twice := own.keys() & floats.keys():
            raise ConfigError("arrays", "every array must have a name of its own", got=f"two called {min(twice)}")
        arrays |= own
    for name in arrays:
        if not name or "\0" in name or any("\ud800" <= sign <= "\udfff" for sign in name):
            raise ConfigError("arrays", "names of arrays must be texts that a file can hold", got=repr(name))
    return arrays


def parts_of(arrays: Mapping[str, Array]) -> tuple[dict[str, Coded], dict[str, Array]]:
    """Back from `arrays_of`: the quantized sites and everything else.

    Nothing is trusted. Raises ValueError (of any kind) or KeyError for what `arrays_of` does not write.
    """
    rest = dict(arrays)
    coded = {}
    for key in arrays:
        name, _, last = key.rpartition(".")
        if last == CODES and name:
            codes = rest.pop(key)
            coded[name] = _coded(name, codes, {part: rest.pop(f"{name}.{part}") for part in PARTS
                                               if f"{name}.{part}" in rest})
    return coded, rest


def _coded(name: str, codes: Array, grid: dict[str, Array]) -> Coded:
    if codes.dtype.kind != "i":
        raise ValueError(f"{name} has codes of {codes.dtype}")
    for part, array in grid.items():
        if not (array.dtype.kind == "i" if part in ("zero", "size", *WHOLE) else array.dtype.char in "fd"):
            raise ValueError(f"{name} has a {part} of {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has a {part} that is not finite")
    if (buckets := buckets_of(grid, codes)) is not None:
        return Coded(codes, buckets)
    if is_own(grid):
        own = Coded(codes, of_stored(grid))
        own.grid.values(codes)                   # they fit
        return own
    for part, array in grid.items():
        shape = array.shape[1:] if part == "levels" else array.shape
        if len(shape) > codes.ndim or any(n not in (1, m) for n, m in zip(shape[::-1], codes.shape[::-1],
                                                                          strict=False)):
            raise ValueError(f"{name} has codes {codes.shape} and a {part} {array.shape}")
    if grid.keys() == {"levels"}:
        levels = grid["levels"]
        if levels.ndim == 0 or (codes.size and not 0 <= codes.min() <= codes.max() < len(levels)):
            raise ValueError(f"{name} has other codes than those of its levels {levels.shape}")
        return Coded(codes, Table(levels))
    if not {"scale"} <= grid.keys() <= {"scale", "zero", "offset"}:
        raise ValueError(f"{name} has codes with {', '.join(grid) or 'no scale'}")
    if not (grid["scale"] > 0).all():
        raise ValueError(f"{name} has scales that are not > 0")
    return Coded(codes, Even(grid["scale"], grid.get("zero"), grid.get("offset")))
