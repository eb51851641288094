"""Sites in a file: what the header says of each site that has a method, and what that means.

The entries are described in minilq/store/modelfile.py. Nothing in an entry is trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, DataError, MinilqError
from minilq.nn import Site
from minilq.quantize import Coded, Even, Quantizer, Table
from minilq.quantize.asked import Steps, steps_of
from minilq.quantize.buckets import of_stored as buckets_of
from minilq.quantize.coded import Grid
from minilq.quantize.flags import choice_of, method_of
from minilq.quantize.methods.fixed_grid import FixedGrid
from minilq.quantize.own_grids import is_own, of_stored
from minilq.quantize.vectors import Vectors
from minilq.store.checks import wrong
from minilq.store.pool import Pool

CODES = "codes"
SUPPORT = "support"
"""In place of a number: the array that is held has the codes themselves for its numbers; it is the mask of those that
are not 0."""
MOST_OFF = 2**31
"""Codes and zero points lie below that."""

T = TypeVar("T")


class Part(NamedTuple):
    """What a file holds of one site; `coded` of a weight or a bias alone, `steps` of an input alone.

    method      None where the file cannot say it
    held        by name; None where an input has not started, and where the method is not known
    """

    method: Quantizer | None
    held: dict[str, Array] | None
    coded: Coded | None = None
    steps: Steps | None = None


# Writing.
def weight_entry(name: str, site: Site, coded: Coded, place: list[Any], pool: Pool) -> dict[str, Any]:
    """The entry of a weight or a bias, whose codes are found by what `Piece.place` says."""
    assert site.method is not None
    choice = choice_of(site.method)
    entry = {"method": choice, "codes": place, "grid": _numbers(name, coded.grid.stored(), pool)}
    if choice is not None:
        entry["held"] = {part: _told_by(array, coded.codes) or pool.number(f"{name}.{part}", array)
                         for part, array in _arrays(site).items()}
    return _without_twins(entry)


def input_entry(name: str, site: Site, pool: Pool) -> dict[str, Any]:
    """The entry of an input. Raises ConfigError for one that has neither a choice nor evenly spaced steps."""
    assert site.method is not None
    choice = choice_of(site.method)
    if not site.started and choice is not None:
        return {"method": choice}
    try:
        steps = steps_of(site.method, site.held, site.shape)
    except MinilqError as error:                 # such a grid only the method itself can make
        if choice is None or not site.started:
            raise ConfigError("save", "an input whose method has a function among its flags must have steps",
                              got=f"{name} with {type(site.method).__name__}", cause=str(error)) from error
        steps = None
    entry: dict[str, Any] = {"method": choice}
    if choice is not None:
        entry["held"] = _numbers(name, _arrays(site), pool)
    if steps is not None:
        entry |= {"grid": _numbers(name, steps.grid.stored(), pool), "bounds": [steps.low, steps.high],
                  "rounding": steps.rounding}
    return _without_twins(entry)


def _without_twins(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without "held" where that is what the grid is, as of most methods."""
    return {key: value for key, value in entry.items() if key != "held" or value != entry.get("grid")}


def _numbers(name: str, arrays: dict[str, Array], pool: Pool) -> dict[str, Any]:
    return {part: pool.number(f"{name}.{part}", array) for part, array in arrays.items()}


def _told_by(array: Array, codes: Array) -> str:
    """What stands for an array that the codes tell; "" for others."""
    if array.dtype == bool and np.array_equal(array, codes != 0):
        return SUPPORT
    return CODES if array.dtype.kind in "iu" and np.array_equal(array, codes) else ""


def _arrays(site: Site) -> dict[str, Array]:
    return {name: part.array if isinstance(part, Parameter) else part for name, part in site.held.items()}


# Reading.
def part_of(where: str, entry: Any, arrays: list[Array], shape: tuple[int, ...],
            decode: Callable[[tuple[int, ...]], Array] | None) -> Part:
    """What an entry says of a weight of this shape, whose codes `decode` gives in theirs, or, for None, of an input."""
    keys = set() if decode is None else {"codes", "grid"}
    known = {"method", "held", *(keys or {"grid", "bounds", "rounding"})}
    if not isinstance(entry, dict) or "method" not in entry or not keys <= entry.keys() <= known:
        raise wrong(where, f"an object with {', '.join(sorted(known))}", entry)
    choice = entry["method"]
    if not (choice is None or isinstance(choice, dict)):
        raise wrong(where, "an object that names a method, or null", choice)
    method = None if choice is None else told(where, lambda: method_of(choice))
    numbers = entry.get("held", entry.get("grid"))
    held = None if numbers is None or method is None else _picked(where, numbers, arrays)
    if decode is None:
        return Part(method, held, steps=_steps(where, entry, arrays) if "grid" in entry else None)
    stored = _picked(where, entry["grid"], arrays)
    own = own_grid(where, stored, shape)
    codes = decode(own.codes_shape if isinstance(own, Vectors) else shape)
    if held is not None and numbers is not None:
        told_by = {CODES: codes, SUPPORT: (codes != 0).astype(np.int8)}
        held = {name: told_by[numbers[name]] if array is None else array for name, array in held.items()}
    if own is None:
        return Part(method, held, Coded(codes, grid_of(where, stored, codes)))
    told(where, lambda: own.values(codes))
    return Part(method, held, Coded(codes, own))


def own_grid(where: str, stored: dict[str, Any], shape: tuple[int, ...]) -> Grid | None:
    """The grid of these arrays, of a tensor of this shape, where their names are those of vectors, hashed or pruned
    weights, once it can be one."""
    if not is_own(stored):
        return None
    for name, array in stored.items():
        if array is None or (array.dtype.kind != "i" and array.dtype != np.float32):
            raise wrong(where, f"{name} of float32 or of whole numbers", array if array is None else array.dtype)
    grid = told(where, lambda: of_stored(stored))
    if isinstance(grid, Vectors) and grid.shape != shape:
        raise wrong(where, f"books of a tensor {shape}", grid.shape)
    return grid


def _picked(where: str, numbers: Any, arrays: list[Array]) -> dict[str, Any]:
    """Arrays by name, from their numbers; None for what the codes tell."""
    if not isinstance(numbers, dict) or not all(
            number in (CODES, SUPPORT) or (type(number) is int and 0 <= number < len(arrays))
            for number in numbers.values()):
        raise wrong(where, f"names with numbers of the {len(arrays)} arrays", numbers)
    return {name: arrays[number] if type(number) is int else None for name, number in numbers.items()}


def grid_of(where: str, stored: dict[str, Any], codes: Array | None = None) -> Grid:
    """The grid of these arrays, once they can be one, of these codes."""
    ndim, shape = (32, None) if codes is None else (codes.ndim, codes.shape)
    for name, array in stored.items():
        kinds = "i" if name in ("zero", "size") else "f"
        if array is None or array.dtype.kind != kinds or (kinds == "f" and array.dtype != np.float32):
            raise wrong(where, f"a grid whose {name} are of {'whole numbers' if kinds == 'i' else 'float32'}",
                        array if array is None else array.dtype)
    if codes is not None and (buckets := told(where, lambda: buckets_of(stored, codes))) is not None:
        return buckets
    if stored.keys() == {"levels"} and codes is not None:
        levels = stored["levels"]
        _check_broadcasts(where, "levels", levels.shape[1:], codes.shape)
        if levels.ndim == 0 or (codes.size and not (codes.min() >= 0 and codes.max() < len(levels))):
            raise wrong(where, f"codes of {len(levels) if levels.ndim else 0} levels", f"{codes.min()}..{codes.max()}")
        return Table(levels)
    if not {"scale"} <= stored.keys() <= {"scale", "zero", "offset"}:
        raise wrong(where, "a grid of scale, zero and offset, or of levels", list(stored))
    for name, array in stored.items():
        if array.ndim > ndim or (array.size != 1 and array.shape != stored["scale"].shape):
            raise wrong(where, f"one {name}, or of the shape of the scale, of at most {ndim} axes", array.shape)
        if shape is not None:
            _check_broadcasts(where, name, array.shape, shape)
    scale, zero = stored["scale"], stored.get("zero")
    if not (scale > 0).all():
        raise DataError(where, "scales > 0 were expected", got=str(scale.min()))
    if zero is not None and zero.size and max(-int(zero.min()), int(zero.max())) >= MOST_OFF:
        raise DataError(where, "zero points of 32 bits were expected", got=f"{zero.min()}..{zero.max()}")
    return Even(scale, None if zero is None else zero.astype(np.int64), stored.get("offset"))


def _check_broadcasts(where: str, name: str, narrow: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if len(narrow) > len(shape) or any(n not in (1, m) for n, m in zip(narrow[::-1], shape[::-1], strict=False)):
        raise wrong(where, f"{name} that broadcast to {shape}", narrow)


def _steps(where: str, entry: dict[str, Any], arrays: list[Array]) -> Steps:
    grid = grid_of(where, _picked(where, entry["grid"], arrays))
    bounds = entry.get("bounds")
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise wrong(where, "bounds, a list of two", bounds)
    method = told(where, lambda: FixedGrid(bounds[0], bounds[1], entry.get("rounding", "")))
    assert isinstance(grid, Even)
    return Steps(grid, method.low, method.high, method.rounding)


def told(where: str, call: Callable[[], T]) -> T:
    """What a call gives; DataError for whatever it raises, as methods do for flags and arrays that they do not take."""
    try:
        with np.errstate(all="ignore"):
            return call()
    except DataError:
        raise
    except (MinilqError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
        raise DataError(where, "what its method takes was expected", got=" ".join(str(error).split())[:200],
                        cause="The file was not written by minilq") from error

