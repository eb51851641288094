"""Every public function and class with a right call of it, and some sixty kinds of wrong argument.

    CALLS     name -> () -> (function, its positional arguments), fresh each time
    WRONG     kind -> () -> a value that nothing asks for
    OTHERWISE kind -> an array as a right argument that is kept in another way -> the same numbers
"""

import dataclasses
import datetime
import decimal
import fractions
import pathlib

import numpy as np

import minilq
from minilq import nn, objective, optim
from minilq.quantize.method import QUANTIZERS
from minilq.data import Dataset, augment, load, loader
from minilq.store import modelfile, npz, onnx, safetensors


def f32(*shape):
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def f64(*shape):
    return np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


def rng():
    return np.random.default_rng(0)


def recorded():
    return minilq.Tensor(f32(2, 3), requires_grad=True) * 2.0


def masked():
    return np.ma.masked_array(f32(2, 3), mask=np.eye(2, 3, dtype=bool))


WRONG = {
    "None": lambda: None, "text": lambda: "text", "no text": lambda: "", "bytes": lambda: b"bytes",
    "dict": dict, "dict of text": lambda: {"a": "b"}, "set": set, "list": list, "ragged": lambda: [[1.0, 2.0], [3.0]],
    "nested": lambda: [[1.0, 2.0], [3.0, 4.0]], "texts": lambda: ["a", "b"], "Nones": lambda: [None, None],
    "tuple": tuple, "pair of texts": lambda: ("a", "b"), "object": object, "class": lambda: dict, "type": lambda: float,
    "function": lambda: len, "lambda": lambda: (lambda *args, **options: None), "generator": lambda: (i for i in [1.0]),
    "slice": lambda: slice(None), "ellipsis": lambda: ..., "complex": lambda: 1 + 2j, "True": lambda: True,
    "False": lambda: False, "nan": lambda: float("nan"), "inf": lambda: float("inf"), "-inf": lambda: float("-inf"),
    "0": lambda: 0, "-1": lambda: -1, "1.5": lambda: 1.5, "-0.5": lambda: -0.5, "1e300": lambda: 1e300,
    "2**70": lambda: 2**70, "10**400": lambda: 10**400, "-2**70": lambda: -(2**70),
    "fraction": lambda: fractions.Fraction(1, 3), "decimal": lambda: decimal.Decimal("0.1"),
    "date": lambda: datetime.date(2025, 1, 1), "path": lambda: pathlib.Path("nowhere"),
    "np.bool": lambda: np.bool_(True), "np.nan": lambda: np.float32(np.nan), "np.str": lambda: np.str_("text"),
    "np.complex": lambda: np.complex64(1j), "datetime": lambda: np.datetime64("2025-01-01"), "np.half": lambda: np.float16(0.5),
    "matrix": lambda: np.matrix(f32(2, 3)), "masked": masked, "objects": lambda: np.array([None, {}], object),
    "strings": lambda: np.array(["a", "b"]), "datetimes": lambda: np.array(["2025-01-01"], "datetime64[D]"),
    "records": lambda: np.zeros(2, [("a", "f4"), ("b", "i4")]), "empty": lambda: np.zeros((0, 3), np.float32),
    "0-d": lambda: np.array(1.0, np.float32), "5-d": lambda: f32(1, 1, 1, 2, 1), "half": lambda: f32(2, 3).astype(np.float16),
    "longdouble": lambda: f32(2, 3).astype(np.longdouble), "complexes": lambda: f32(2, 3).astype(complex),
    "integers": lambda: np.arange(6).reshape(2, 3), "booleans": lambda: np.eye(2, 3, dtype=bool),
    "nans": lambda: np.full((2, 3), np.nan, np.float32), "infs": lambda: np.full((2, 3), np.inf, np.float32),
    "Tensor": lambda: minilq.Tensor(f32(2, 3)), "Tensor 64": lambda: minilq.Tensor(f64(2, 3)), "result": recorded,
    "Parameter": lambda: minilq.Parameter(f32(3)), "layer": lambda: minilq.ReLU(), "method": lambda: minilq.LSQ(4),
    "method class": lambda: minilq.LSQ, "error": lambda: ValueError("x"), "module": lambda: minilq,
}

OTHERWISE = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "subclass": lambda a: a.view(np.memmap) if False else a.view(type("Mine", (np.ndarray,), {})),
}


def network():
    model = nn.Sequential(nn.Dense(3, 4, rng()), nn.ReLU(), nn.Dense(4, 2, rng()))
    return nn.quantize(model, lambda name: minilq.LSQ(4) if name.endswith("weight") else None)


def images():
    return np.arange(2 * 6 * 5 * 3, dtype=np.uint8).reshape(2, 6, 5, 3)


def dataset():
    return Dataset("mine", images(), np.array([0, 1]), images(), np.array([1, 0]), ("a", "b"))


def adam():
    return optim.Adam([minilq.Parameter(f32(2, 3))])


def call_method(method, x):
    return lambda x, held: method(x, held), (minilq.Tensor(x), method.start(x))


def scratch():
    """A function to make a primitive of; one that is of no other, as a notebook cell that runs again has."""
    def scratch(x):
        return np.asarray(x)
    return scratch


# Method -> its flags, with their defaults.
METHODS = {method: {field.name: field.default for field in dataclasses.fields(method)}
           for method in QUANTIZERS.values() if method.__module__.startswith("minilq.")}
INSTANCES = [method(**flags) for method in METHODS for flags in method.variants
             if flags.get("granularity", "scalar") == "scalar" and hasattr(method, "coded")]
ops = minilq
CALLS = {
    **{name: (lambda op: lambda: (op, (f32(2, 3),)))(getattr(ops, name)) for name in (
        "absolute", "exp", "negative", "relu", "sigmoid", "tanh", "sum_of_squares", "hold", "nearest")},
    **{f"{name} of a Tensor": (lambda op: lambda: (op, (minilq.Tensor(f32(2, 3)),)))(getattr(ops, name)) for name in (
        "absolute", "exp", "negative", "relu", "sigmoid", "tanh", "sum_of_squares", "hold", "nearest")},
    **{name: (lambda op: lambda: (op, (f32(2, 3), f32(3) + 3)))(getattr(ops, name)) for name in (
        "add", "subtract", "multiply", "divide", "maximum")},
    **{f"{name} of Tensors": (lambda op: lambda: (op, (minilq.Tensor(f32(2, 3)), f32(3) + 3)))(getattr(ops, name))
       for name in ("add", "subtract", "multiply", "divide", "maximum")},
    **{name: (lambda op: lambda: (op, (f32(2, 3), 1, True)))(getattr(ops, name)) for name in ("sum", "mean", "max")},
    "log": lambda: (ops.log, (f32(2, 3) + 2,)),
    "add_up": lambda: (ops.add_up, (f32(2, 3), f32(2, 3))),
    "power": lambda: (ops.power, (f32(2, 3) + 2, 2.5)),
    "clip": lambda: (ops.clip, (f32(2, 3), -0.5, 0.5)),
    "matmul": lambda: (ops.matmul, (f32(2, 3), f32(3, 2))),
    "dense": lambda: (ops.dense, (f32(2, 3), f32(3, 4), f32(4))),
    "dense of Tensors": lambda: (ops.dense, (minilq.Tensor(f32(2, 3)), minilq.Parameter(f32(3, 4)), minilq.Parameter(f32(4)))),
    "conv2d": lambda: (ops.conv2d, (f32(1, 4, 5, 2), f32(3, 3, 2, 8), f32(8), 1, "same")),
    "zero_pad2d": lambda: (ops.zero_pad2d, (f32(1, 2, 3, 2), 1)),
    "max_pool2d": lambda: (ops.max_pool2d, (f32(1, 4, 4, 2), 2, 2, "valid")),
    "average_pool2d": lambda: (ops.average_pool2d, (f32(1, 4, 4, 2), 2, 2, "valid")),
    "global_average_pool2d": lambda: (ops.global_average_pool2d, (f32(1, 4, 4, 2),)),
    "batch_norm": lambda: (ops.batch_norm, (f32(4, 3), f32(3), f32(3), f32(3), f32(3) + 2, False, 0.9, 1e-3)),
    "batch_norm in training": lambda: (ops.batch_norm, (f32(4, 3), f32(3), f32(3), f32(3), f32(3) + 2, True, 0.9, 1e-3)),
    "dropout": lambda: (ops.dropout, (f32(2, 3), 0.5, rng(), True)),
    "softmax_cross_entropy": lambda: (ops.softmax_cross_entropy, (f32(2, 3), np.array([0, 2]))),
    "softmax_cross_entropy of a Tensor": lambda: (ops.softmax_cross_entropy, (minilq.Tensor(f32(2, 3)), np.array([0, 2]))),
    "concatenate": lambda: (ops.concatenate, ([f32(2, 3), f32(1, 3)], 0)),
    "stack": lambda: (ops.stack, ([f32(2, 3), f32(2, 3)], 0)),
    "where": lambda: (ops.where, (f32(2, 3) > 0, f32(2, 3), f32(3))),
    "index": lambda: (ops.index, (f32(2, 3), np.array([0, 1, 1]))),
    "index of a Tensor": lambda: (ops.index, (minilq.Tensor(f32(2, 3)), np.array([0, 1, 1]))),
    "reshape": lambda: (ops.reshape, (f32(2, 3), (3, 2))),
    "transpose": lambda: (ops.transpose, (f32(2, 3), (1, 0))),
    "pretend": lambda: (ops.pretend, (f32(2, 3), f32(2, 3), 1.0)),
    "fake_quantize": lambda: (ops.fake_quantize, (f32(2, 3), f32(2, 1) + 2, minilq.Scaled("nearest"))),
    "codes_of": lambda: (ops.codes_of, (f32(2, 3), f32(2, 1) + 2, minilq.Scaled("nearest"))),
    "scale_shape": lambda: (ops.scale_shape, ("row", (2, 3))),
}


def pair():
    return [(minilq.Parameter(f32(2, 3)), minilq.Parameter(f32(2, 1) + 2))]


def data_of(x, value):
    x.data = value
    return x.numpy()


def stepped(optimizer, g):
    optimizer.tensors[0].grad = g
    optimizer.step()


x = minilq.Tensor
CALLS |= {
    "Tensor": lambda: (minilq.Tensor, (f32(2, 3), True, np.float32)),
    "Tensor.backward": lambda: (recorded().backward, (f32(2, 3),)),
    "Tensor.data": lambda: (lambda a: data_of(x(f32(2, 3)), a), (f32(2, 3),)),
    "Tensor.reshape": lambda: (lambda shape: x(f32(2, 3)).reshape(shape), ((3, 2),)),
    "Tensor.transpose": lambda: (lambda axes: x(f32(2, 3)).transpose(axes), ((1, 0),)),
    "Tensor.sum": lambda: (lambda axis, keep: x(f32(2, 3)).sum(axis, keep), (0, True)),
    "Tensor[]": lambda: (lambda key: x(f32(2, 3))[key], (0,)),
    "Tensor +": lambda: (lambda b: x(f32(2, 3)) + b, (1.0,)),
    "+ Tensor": lambda: (lambda b: b + x(f32(2, 3)), (1.0,)),
    "Tensor -": lambda: (lambda b: x(f32(2, 3)) - b, (1.0,)),
    "- Tensor": lambda: (lambda b: b - x(f32(2, 3)), (1.0,)),
    "Tensor *": lambda: (lambda b: x(f32(2, 3)) * b, (1.0,)),
    "* Tensor": lambda: (lambda b: b * x(f32(2, 3)), (1.0,)),
    "Tensor /": lambda: (lambda b: x(f32(2, 3)) / b, (1.0,)),
    "/ Tensor": lambda: (lambda b: b / x(f32(2, 3)), (1.0,)),
    "Tensor **": lambda: (lambda b: x(f32(2, 3)) ** b, (2.0,)),
    "Tensor @": lambda: (lambda b: x(f32(2, 3)) @ b, (f32(3, 2),)),
    "@ Tensor": lambda: (lambda b: b @ x(f32(2, 3)), (f32(3, 2),)),
    "Tensor <": lambda: (lambda b: x(f32(2, 3)) < b, (0.0,)),
    "Tensor >=": lambda: (lambda b: x(f32(2, 3)) >= b, (0.0,)),
    "Parameter": lambda: (minilq.Parameter, (f32(2, 3), minilq.Within(0), 1.0, np.float32)),
    "Within": lambda: (minilq.Within, (-1.0, 1.0)),
    "gradcheck": lambda: (lambda f, a, **o: minilq.gradcheck(f, a, **o), (lambda a: a * a, f64(2))),
    **{f"gradcheck {name}": (lambda name, value: lambda: (
        lambda v: minilq.gradcheck(lambda a: a * a, f64(2), **{name: v}), (value,)))(name, value)
       for name, value in (("g", f64(2)), ("seed", 0), ("method", "central"), ("rtol", 1e-6), ("raises", True))},
    "gradcheck vjp": lambda: (lambda v: minilq.gradcheck(lambda a: a * a, f64(2), vjp=v), (lambda g, y, a: (2 * g * a,),)),
    "replay_check": lambda: (minilq.replay_check, (minilq.nearest, f64(2) + 0.1)),
    **{f"replay_check {name}": (lambda name, value: lambda: (
        lambda v: minilq.replay_check(minilq.nearest, f64(2) + 0.1, **{name: v}), (value,)))(name, value)
       for name, value in (("g", f64(2)), ("seed", 0), ("rtol", 1e-6), ("raises", True))},
    "primitive": lambda: (minilq.primitive, (scratch(),)),
    "vjp_of": lambda: (minilq.vjp_of, (minilq.primitive(scratch()), "exact", "x", "x", lambda r: ([], {}))),
    "vjp_of()": lambda: (minilq.vjp_of(minilq.primitive(scratch()), "exact"), (lambda g, y, x: (g,),)),
    "smooth_of": lambda: (minilq.smooth_of, (minilq.primitive(scratch()),)),
    "use_kernels": lambda: (minilq.use_kernels, (True,)),
    "use_convolution": lambda: (minilq.use_convolution, ("winograd",)),
    "use_threads": lambda: (minilq.use_threads, (1,)),
    # layers
    "Dense": lambda: (nn.Dense, (3, 2, rng(), 0.05, np.float32)),
    "Conv2D": lambda: (nn.Conv2D, (3, 2, 3, rng(), 1, "same", 0.05, np.float32)),
    "MaxPool2D": lambda: (nn.MaxPool2D, (2, 2, "valid")),
    "AveragePool2D": lambda: (nn.AveragePool2D, (2, 2, "valid")),
    "BatchNorm": lambda: (nn.BatchNorm, (3, 0.9, 1e-3, np.float32)),
    "Dropout": lambda: (nn.Dropout, (0.5, rng())),
    "Sequential": lambda: (nn.Sequential, (nn.ReLU(), nn.Flatten())),
    "Residual": lambda: (nn.Residual, (nn.ReLU(), nn.ReLU())),
    "Quantize": lambda: (nn.Quantize, (minilq.LSQ(4), (1, 3), np.float32)),
    "Site": lambda: (nn.Site, (minilq.Parameter(f32(2, 3)), (1, 1), np.float32)),
    "Site.change": lambda: (nn.Site(minilq.Parameter(f32(2, 3))).change, (minilq.LSQ(4),)),
    "fold_batch_norm": lambda: (nn.fold_batch_norm, (nn.Dense(3, 2, rng()), nn.BatchNorm(2))),
    **{f"{type(layer).__name__}()": (lambda layer, a: lambda: (lambda x, t: layer(x, t), (x(a), True)))(layer, a)
       for layer, a in ((nn.Dense(3, 2, rng()), f32(2, 3)), (nn.Conv2D(2, 3, 3, rng()), f32(1, 4, 4, 2)), (nn.ReLU(), f32(2, 3)),
                        (nn.Flatten(), f32(2, 3, 1)), (nn.MaxPool2D(2), f32(1, 4, 4, 2)), (nn.AveragePool2D(2), f32(1, 4, 4, 2)),
                        (nn.GlobalAveragePool2D(), f32(1, 4, 4, 2)), (nn.BatchNorm(3), f32(4, 3)), (nn.Dropout(0.5, rng()), f32(2, 3)),
                        (network(), f32(2, 3)), (nn.Residual(nn.ReLU()), f32(2, 3)))},
    "Quantize()": lambda: (lambda a, t: nn.Quantize(minilq.LSQ(4))(a, t), (x(f32(2, 3)), True)),
    "load_state": lambda: (network().load_state, (network().state(),)),
    "load_state of a site": lambda: (lambda a: network().load_state({**network().state(), "dense1.weight.scale": a}), (f32(1) + 2,)),
    "load_state of a weight": lambda: (lambda a: network().load_state({**network().state(), "dense1.weight.latent": a}), (f32(3, 4),)),
    "quantize": lambda: (nn.quantize, (network(), lambda name: None)),
    "calibrate": lambda: (nn.calibrate, (nn.quantize(network(), lambda name: minilq.LSQ(4)), f32(2, 3))),
    # methods
    **{f"{m.__name__} {flag}": (lambda m, flag, value: lambda: (lambda v: m(**{flag: v}), (value,)))(m, flag, value)
       for m, flags in METHODS.items() for flag, value in flags.items()},
    **{f"{m}.start": (lambda m: lambda: (m.start, (f32(2, 3),)))(m) for m in INSTANCES},
    **{f"{m}.coded": (lambda m: lambda: (m.coded, (f32(2, 3), m.start(f32(2, 3)))))(m) for m in INSTANCES},
    **{f"{m}()": (lambda m: lambda: call_method(m, f32(2, 3)))(m) for m in INSTANCES},
    "Surrogate": lambda: (minilq.Surrogate, ("mine", lambda u, a, b: u, lambda u, a, b: u)),
    "threshold": lambda: (minilq.threshold, (1e-10, True)),
    "chain_rule": lambda: (minilq.chain_rule, (1.0,)),
    "stochastic": lambda: (minilq.stochastic, (rng(),)),
    "stochastic()": lambda: (minilq.stochastic(rng()), (f32(2, 3),)),
    "check": lambda: (minilq.check, (minilq.Nested(granularity="scalar"), lambda line: None, 0, True)),
    "Even.values": lambda: (minilq.Even(f32(1) + 2).values, (np.array([1, 2]),)),
    # penalties
    **{name: (lambda f: lambda: (f, (pair(), [1.0])))(getattr(minilq, name)) for name in (
        "maxbin", "inverse", "difference", "sine", "hoyer_square")},
    **{name: (lambda f: lambda: (f, (pair(), [minilq.Scaled()], [1.0])))(getattr(minilq, name)) for name in (
        "squared_deviation", "absolute_deviation", "dampening")},
    "penalty_on": lambda: (minilq.penalty_on, (network(), "inverse", 1e-3, {"dense1": 1e-3}, True)),
    "Objective": lambda: (minilq.Objective, ({"l2": lambda: x(1.0)},)),
    "Objective()": lambda: (minilq.Objective({}), (x(1.0),)),
    "l2": lambda: (objective.l2, ([minilq.Parameter(f32(3))], 0.5)),
    # optimizers
    "SGD": lambda: (optim.SGD, ([minilq.Parameter(f32(3))], 0.1, 0.9)),
    "Adam": lambda: (optim.Adam, ([minilq.Parameter(f32(3))], 0.1, 0.9, 0.99, 1e-7, "keras")),
    "Together": lambda: (optim.Together, (adam(), adam())),
    "Adam.load_state": lambda: (adam().load_state, (adam().state(),)),
    "Adam.load_state of a moment": lambda: (lambda a: adam().load_state({**adam().state(), "0/m": a}), (f32(2, 3),)),
    "Together.load_state": lambda: (optim.Together(adam()).load_state, (optim.Together(adam()).state(),)),
    "Adam.follow": lambda: (adam().follow, ([minilq.Parameter(f32(3))],)),
    "grad": lambda: (lambda g: stepped(adam(), g), (f32(2, 3),)),
    "steps": lambda: (lambda f, e: optim.steps(f)(e), ({1: 0.5}, 2)),
    "cosine": lambda: (lambda n, e: optim.cosine(n)(e), (4, 2)),
}
