"""Arguments: what the doors of minilq ask of what comes in. The questions are here, once; the errors where they belong.

A number is one of Python's or NumPy's. No bool is one: True as a rate is a slip. Nor are fractions and decimals, with
which arrays of floats become arrays of objects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minilq.errors import ConfigError, DTypeError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]

MOST = 2**62
"""No whole number that is asked for is larger: sums of two still fit into 64 bits."""


def is_number(value: Any) -> bool:
    """Whether this is a finite real number that a float64 can hold.

    >>> [is_number(value) for value in (0.5, 2, np.float32(1), True, float("nan"), 10**400, "2", None)]
    [True, True, True, False, False, False, False, False]
    """
    return is_bound(value) and math.isfinite(value)


def is_bound(value: Any) -> bool:
    """Whether this is a real number, or an infinity."""
    if type(value) is float:
        return value == value
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        return False


def is_whole(value: Any, least: int = -MOST, most: int = MOST) -> bool:
    """Whether this is a whole number in least..most, of a type of whole numbers: 3.0 is none.

    >>> [is_whole(value, 1) for value in (3, np.int8(3), 0, True, 3.0, 2**70, "3")]
    [True, True, False, False, False, False, False]
    """
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(
        least <= value <= most)


def check_whole(op: str, name: str, value: Any, least: int = 1, cause: str = "") -> None:
    """ConfigError unless the value is a whole number, not below the least."""
    if not is_whole(value, least):
        raise ConfigError(op, f"{name} must be a whole number, at least {least}", got=shown(value), cause=cause)


def check_flag(op: str, name: str, value: Any) -> None:
    """ConfigError unless the value is True or False."""
    if value is not True and value is not False and not isinstance(value, np.bool_):
        raise ConfigError(op, f"{name} must be True or False", got=shown(value))


def check_function(op: str, name: str, value: Any, otherwise: str = "") -> None:
    """ConfigError unless the value can be called."""
    if not callable(value):
        raise ConfigError(op, f"{name} must be a function{otherwise}", got=shown(value))


def check_generator(op: str, value: Any) -> None:
    """ConfigError unless the value is a generator of random numbers of NumPy's."""
    if not isinstance(value, np.random.Generator):
        raise ConfigError(op, "rng must be a numpy.random.Generator", got=type(value).__name__,
                          cause="Write np.random.default_rng(42)")


def check_instance(op: str, name: str, value: Any, kind: type | tuple[type, ...], called: str) -> None:
    """ConfigError unless the value is of a class."""
    if not isinstance(value, kind):
        raise ConfigError(op, f"{name} must be {called}", got=shown(value),
                          cause="A class is called first, as in ReLU()" if isinstance(value, type) else "")


def float_type(op: str, dtype: Any) -> np.dtype[Any]:
    """float32 or float64, by any of their names; DTypeError for all else.

    >>> float_type("Dense", float), float_type("Dense", "f4")
    (dtype('float64'), dtype('float32'))
    """
    if isinstance(dtype, (type, str, np.dtype)):
        for kind in (np.dtype(np.float32), np.dtype(np.float64)):
            if dtype is kind.type or (dtype is float and kind.itemsize == 8) or dtype in (kind, kind.name, kind.str[1:],
                                                                                          kind.str, kind.char):
                return kind
    raise DTypeError(op, "dtype must be float32 or float64", got=shown(dtype), cause="Write dtype=np.float32")


def as_array(op: str, value: Any, name: str = "x") -> Array:
    """A plain array, in the byte order of this machine, of an array or a list; what it holds is another question.

    Arrays of the other byte order are taken everywhere, as files often have it and nothing is lost: here they are
    copied. Masked arrays are refused, as what they mask would be forgotten, and so are matrices, whose * is another.

    >>> as_array("op", np.array([1.0, 2.0], ">f4")).dtype.isnative
    True
    """
    if type(value) is not np.ndarray:
        check_plain(op, value, name)
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ShapeError(op, f"rows of {name} must have equal lengths", got=str(error)) from None
    return native(value)


def check_reals(op: str, name: str, value: Any) -> None:
    """DTypeError unless the value is a plain array of real numbers."""
    check_plain(op, value, name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise DTypeError(op, f"{name} must be an array of real numbers", got=shown(value))


def check_arrays(op: str, name: str, arrays: Any) -> None:
    """ConfigError unless this is a dict with a text for each key, DTypeError unless all in it are arrays of reals."""
    if not isinstance(arrays, Mapping) or not all(isinstance(key, str) for key in arrays):
        raise ConfigError(op, f"{name} must be a dict of arrays by their names", got=shown(arrays))
    for key, array in arrays.items():
        check_reals(op, f"{name}[{key!r}]", array)


def check_plain(op: str, value: Any, name: str = "arrays") -> None:
    """DTypeError for a masked array and for a matrix."""
    if isinstance(value, (np.ma.MaskedArray, np.matrix)):
        raise DTypeError(op, f"{name} must be plain NumPy arrays" if name == "arrays" else f"{name} must be a plain "
                         "NumPy array", got=f"a {type(value).__name__}",
                         cause="x.filled(0.0) and np.asarray(x) make them so; a mask would be ignored, and * would "
                               "mean another product")


def native(a: Array) -> Array:
    """The array itself where it has the byte order of this machine, else a copy that has. The copy is read-only: what
    is written in place would not arrive."""
    if a.dtype.isnative:
        return a
    copy = a.astype(a.dtype.newbyteorder("="))
    copy.flags.writeable = False
    return copy


def shown(value: Any) -> str:
    """A value in an error: an array by its kind and shape, all else as it is written, in one line and not at length.

    >>> shown(np.zeros((2, 3))), shown("text"), shown(np.int8(3))
    ('an array of float64 and shape (2, 3)', "'text'", '3')
    """
    array = getattr(value, "array", value)
    if isinstance(array, np.ndarray):
        kind = type(value).__name__
        return f"{'an array' if kind == 'ndarray' else f'a {kind}'} of {array.dtype} and shape {array.shape}"
    text = " ".join(repr(value.item() if isinstance(value, (np.number, np.bool_)) else value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
