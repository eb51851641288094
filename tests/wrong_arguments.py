"""Some sixty kinds of wrong argument, and ways to keep an array. CALLS of every public name are in right_calls.py.

    WRONG      kind -> () -> a value that hardly anything asks for
    OTHERWISE  kind -> an array -> the same numbers, kept in another way
"""

import datetime
import decimal
import fractions
import pathlib

import numpy as np

import minilq


def f32(*shape):
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def f64(*shape):
    return f32(*shape).astype(np.float64)


class Mine(np.ndarray):
    """A subclass that changes nothing."""


WRONG = {
    "None": lambda: None, "text": lambda: "text", "no text": lambda: "", "bytes": lambda: b"bytes", "dict": dict,
    "dict of text": lambda: {"a": "b"}, "set": set, "list": list, "ragged": lambda: [[1.0, 2.0], [3.0]],
    "nested": lambda: [[1.0, 2.0], [3.0, 4.0]], "texts": lambda: ["a", "b"], "Nones": lambda: [None, None],
    "tuple": tuple, "pair of texts": lambda: ("a", "b"), "object": object, "class": lambda: dict,
    "type": lambda: float, "function": lambda: len, "lambda": lambda: (lambda *args, **options: None),
    "generator": lambda: (i for i in [1.0]), "slice": lambda: slice(None), "ellipsis": lambda: ...,
    "complex": lambda: 1 + 2j, "True": lambda: True, "False": lambda: False, "nan": lambda: float("nan"),
    "inf": lambda: float("inf"), "-inf": lambda: float("-inf"), "0": lambda: 0, "-1": lambda: -1, "1.5": lambda: 1.5,
    "-0.5": lambda: -0.5, "1e300": lambda: 1e300, "2**70": lambda: 2**70, "10**400": lambda: 10**400,
    "-2**70": lambda: -(2**70), "fraction": lambda: fractions.Fraction(1, 3),
    "decimal": lambda: decimal.Decimal("0.1"), "date": lambda: datetime.date(2025, 1, 1),
    "path": lambda: pathlib.Path("nowhere"), "np.bool": lambda: np.bool_(True), "np.nan": lambda: np.float32(np.nan),
    "np.str": lambda: np.str_("text"), "np.complex": lambda: np.complex64(1j),
    "datetime": lambda: np.datetime64("2025-01-01"), "np.half": lambda: np.float16(0.5),
    "matrix": lambda: np.matrix(f32(2, 3)), "masked": lambda: np.ma.masked_array(f32(2, 3), np.eye(2, 3, dtype=bool)),
    "objects": lambda: np.array([None, {}], object), "strings": lambda: np.array(["a", "b"]),
    "datetimes": lambda: np.array(["2025-01-01"], "datetime64[D]"),
    "records": lambda: np.zeros(2, [("a", "f4"), ("b", "i4")]), "empty": lambda: np.zeros((0, 3), np.float32),
    "0-d": lambda: np.array(1.0, np.float32), "5-d": lambda: f32(1, 1, 1, 2, 1),
    "half": lambda: f32(2, 3).astype(np.float16), "longdouble": lambda: f32(2, 3).astype(np.longdouble),
    "complexes": lambda: f32(2, 3).astype(complex), "integers": lambda: np.arange(6).reshape(2, 3),
    "booleans": lambda: np.eye(2, 3, dtype=bool), "nans": lambda: np.full((2, 3), np.nan, np.float32),
    "infs": lambda: np.full((2, 3), np.inf, np.float32), "Tensor": lambda: minilq.Tensor(f32(2, 3)),
    "Tensor 64": lambda: minilq.Tensor(f64(2, 3)), "result": lambda: minilq.Tensor(f32(2, 3), requires_grad=True) * 2.0,
    "Parameter": lambda: minilq.Parameter(f32(3)), "layer": minilq.ReLU, "method": minilq.LSQ,
    "method class": lambda: minilq.LSQ, "error": lambda: ValueError("x"), "module": lambda: minilq,
}

OTHERWISE = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "subclass": lambda a: a.view(Mine),
}
