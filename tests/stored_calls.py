"""A right call of what keeps, counts and converts networks, and of what describes runs: STORED, as in right_calls.py.

They write below the present folder, which the test has made for them.
"""

import dataclasses
import functools
from importlib.util import find_spec

import numpy as np

import minilq
from minilq import Dense, nn
from minilq.coding import relative_index, sizes
from minilq.coding.ladder import RUNGS, ladder
from minilq.coding.packing import pack, packed_length, unpack
from minilq.data import Dataset
from minilq.experiments.config import RunConfig, config_from, read_config
from minilq.integer import ibert
from minilq.integer.engine import convert
from minilq.quantize import statistics
from minilq.store import modelfile
from minilq.store.npz import from_npz, to_npz
from minilq.store.onnx import to_onnx
from minilq.store.safetensors import from_safetensors, to_safetensors
from minilq.train.history import read_history
from minilq.train.metrics import INPUTS, evaluate
from tests.wrong_arguments import f32

PIXELS = np.arange(180, dtype=np.uint8).reshape(2, 6, 5, 3)
LABELS = np.array([0, 1])
CODES = np.array([[-2, 0, 3], [0, 1, 0]], np.int8)
CODED = {"dense1.weight": minilq.Coded(CODES, minilq.Even(f32(2, 1) + 2))}
RNG = np.random.default_rng(0)
X = f32(2, 3)


def network():
    model = nn.Sequential(Dense(3, 4, RNG), nn.ReLU(), Dense(4, 2, RNG))
    return nn.quantize(model, lambda name: minilq.LSQ(4) if name.endswith("weight") else None)


def saved_and_loaded(path, *args):
    modelfile.save(path, *args)
    return modelfile.load(path).network(X)


def npz_and_back(coded, path, floats):
    to_npz(coded, path, floats)
    return from_npz(path)


def safetensors_and_back(coded, path, floats):
    to_safetensors(coded, path, floats)
    return from_safetensors(path)


def setting(name, value):
    return RunConfig(**{name: value})


def read(function):
    """A function that reads a file, of which there is none: refused in one line, whatever the path is."""
    def call(path):
        try:
            function(path)
        except minilq.DataError:
            return
    return call


def coded_as_started(method, x):
    return method.coded(x, method.start(X))


FLAT = nn.Sequential(nn.Flatten(), Dense(90, 2, RNG))
WHOLE = convert(network(), X)
IBERT = {
    **{name: (getattr(ibert, name), np.array([[-300, -2, 0]]), 0.01, "paper") for name in ("i_erf", "i_gelu", "i_exp")},
    "i_poly": (ibert.i_poly, CODES, 0.1, 2.0, 1.0, 3.0), "i_softmax": (ibert.i_softmax, CODES, 0.01, 8, "code"),
    "i_sqrt": (ibert.i_sqrt, LABELS), "i_layer_norm": (ibert.i_layer_norm, CODES, 0.1, f32(3) + 2, f32(3), 1),
    "dyadic": (ibert.dyadic, 0.75), "i_requantize": (ibert.i_requantize, CODES, 0.5, 0.25, 8),
}
STORED = {
    **IBERT,
    "evaluate": (evaluate, FLAT, PIXELS, LABELS, INPUTS["unit"], 2),
    "Dataset": (Dataset, "mine", PIXELS, LABELS, PIXELS, LABELS, ("a", "b")),
    "convert": (convert, network(), X, False, 8, 1e-4, (3,)), "IntegerNetwork.predict": (WHOLE.predict, X),
    "IntegerNetwork()": (WHOLE, WHOLE.grid.codes(X)), "IntegerNetwork.codes_between": (
        WHOLE.codes_between, WHOLE.grid.codes(X)),
    "grid.codes": (WHOLE.grid.codes, X), "grid.reals": (WHOLE.grid.reals, WHOLE.grid.codes(X)),
    "save": (saved_and_loaded, "a.mlq", network(), "range", {"accuracy": 0.5}),
    "to_npz": (npz_and_back, CODED, "a.npz", {"mean": f32(3)}),
    "to_safetensors": (safetensors_and_back, CODED, "a.safetensors", {"mean": f32(3)}),
    **({"to_onnx": (to_onnx, network(), "a.onnx", (3,), {"dense1": (0.5, 3)})} if find_spec("onnx") else {}),
    **{f"{function.__name__} of nothing": (read(function), "nowhere") for function in (
        modelfile.load, from_npz, from_safetensors, read_config, read_history)},
    **{f"{coder.name}.encode": (coder.encode, CODES) for coder in RUNGS},
    **{f"{coder.name}.decode": (coder.decode, *coder.encode(CODES), CODES.shape) for coder in RUNGS},
    "relative_index.encode": (relative_index.encode, LABELS, 2),
    "relative_index.decode": (relative_index.decode, LABELS, LABELS + 1, 2, 6),
    "pack": (pack, CODES, -2, 3), "packed_length": (packed_length, 6, 3),
    "unpack": (unpack, pack(CODES, -2, 3), 6, -2, 3),
    "table_bits": (sizes.table_bits, CODES), "zipped": (sizes.zipped, {"a": CODES}),
    **{function.__name__: (function, CODED) for function in (sizes.packed, sizes.entropy_coded, sizes.compressed,
                                                             ladder)},
    "narrowest": (sizes.narrowest, {"a": CODES}), "sqnr_of": (statistics.sqnr_of, X, X + 1),
    **{f"{function.__name__} of many": (function, {"a": CODES}) for function in (
        statistics.integers_together, statistics.entropy_together, statistics.mean_entropy, statistics.zero_share)},
    **{f"{kind.__name__} of groups": (functools.partial(coded_as_started, kind(granularity=(0,))), X) for kind in (
        minilq.LSQ, minilq.LSQPlus, minilq.Affine, minilq.Scaled, minilq.Nested, minilq.DiffQ)},
    **{function.__name__: (function, CODES) for function in (statistics.integers_of, statistics.entropy_of)},
    "config_from": (config_from, {"data": "digits", "epochs": 1}),
    **{f"RunConfig {field.name}": (functools.partial(setting, field.name), getattr(RunConfig(), field.name))
       for field in dataclasses.fields(RunConfig)},
}
