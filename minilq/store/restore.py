"""Restore: a site that holds again what a file says of it, trained on from the values of its codes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.errors import DataError
from minilq.nn import Site
from minilq.quantize import Coded, Even, Quantizer
from minilq.quantize.asked import probe_shape, steps_of
from minilq.quantize.methods.fixed_grid import FixedGrid, held_of, of_grid
from minilq.store.checks import wrong
from minilq.store.sites import Part, told

MOST_INPUTS = 1 << 20
"""Numbers of one input, at most, for which a method is asked."""


def restore(where: str, site: Site, part: Part) -> bool:
    """Give a site what a file holds of it. Returns whether it has its own method again.

    A weight's latents are such that the codes come back: their values, half a step further where those would be rounded
    to other codes (floor). Where that cannot be (the method reckons its grid from the latents, or is not known), the
    site gets a FixedGrid.
    """
    method, coded = part.method, part.coded
    if coded is None:
        return _restore_input(where, site, part)
    with np.errstate(all="ignore"):
        values = coded.values
    if not np.isfinite(values).all():
        raise DataError(where, "what codes stand for must be finite", got="an overflow",
                        cause="The file was not written by minilq")
    if method is not None:
        held = _held(where, method, part.held, values, coded.grid.stored())
        latent = told(where, lambda: _latent(method, held, coded, values))
        if latent is not None:
            _put(site, method, held, latent)
            return True
    fixed, held = of_grid(coded)
    latent = told(where, lambda: _latent(fixed, held, coded, values, exact=False))
    if latent is None:
        raise DataError(where, "values that their grid gives again were expected", got="others",
                        cause="The file was not written by minilq")
    _put(site, fixed, held, latent)
    return False


def _restore_input(where: str, site: Site, part: Part) -> bool:
    method, steps = part.method, part.steps
    if method is None:
        if steps is None:
            raise wrong(where, "a method, or the steps of one", None)
        fixed = FixedGrid(steps.low, steps.high, steps.rounding)
        told(where, lambda: fixed.coded(np.zeros(site.shape, np.float32), held_of(steps.grid)))
        site.method, site.held, site.started = fixed, held_of(steps.grid), True
        return False
    if math.prod(site.shape) > MOST_INPUTS:
        raise wrong(where, f"an input of at most {MOST_INPUTS} numbers", site.shape)
    told(where, lambda: site.change(method))
    if part.held is None:
        return True
    stored = {} if steps is None else steps.grid.stored()
    held = _held(where, method, part.held, np.ones(site.shape, np.float32), stored, of_input=True)
    shape = probe_shape(site.shape, held)
    if math.prod(shape) > MOST_INPUTS:
        raise wrong(where, f"an input of at most {MOST_INPUTS} numbers", shape)
    told(where, lambda: method.coded(np.zeros(shape, np.float32), held))
    if steps is not None:
        mine = told(where, lambda: steps_of(method, held, site.shape))
        if mine[1:] != steps[1:] or not _near(mine.grid.stored(), steps.grid.stored()):
            raise DataError(where, "a grid that its method gives was expected", got="another",
                            cause="The file was not written by minilq")
    site.held, site.started = held, True
    return True


def _near(a: dict[str, Array], b: dict[str, Array]) -> bool:
    return a.keys() == b.keys() and all(a[name].shape == b[name].shape and np.allclose(a[name], b[name], rtol=1e-5)
                                        for name in a)


def _held(where: str, method: Quantizer, held: dict[str, Array] | None, x: Array, grid: dict[str, Array],
          of_input: bool = False) -> dict[str, Parameter | Array]:
    """What a method holds: the stored arrays in place of those that it starts with, of the same names and shapes."""
    fresh = dict(grid) if isinstance(method, FixedGrid) else dict(told(where, lambda: method.start(x)))
    kind = type(method).__name__
    if held is None or held.keys() != fresh.keys():
        raise wrong(where, f"what {kind} holds: {', '.join(fresh) or 'nothing'}", None if held is None else list(held))
    made: dict[str, Parameter | Array] = {}
    for name, new in held.items():
        own = fresh[name]
        kind_of = np.dtype(own.dtype).kind.replace("b", "i")         # a mask is kept as 0 and 1
        if new is None or new.dtype.kind != kind_of or (new.shape != own.shape and not of_input):
            raise wrong(where, f"{name} of {kind}: {own.dtype} {own.shape}",
                        new if new is None else f"{new.dtype} {new.shape}")
        array = new.astype(own.dtype)
        if not np.isfinite(array).all():
            raise DataError(where, f"{name} of {own.dtype} was expected", got="an overflow")
        if isinstance(own, Parameter):
            made[name] = Parameter(array, own.constraint, own.lr)
        else:
            made[name] = array
    return made


def _latent(method: Quantizer, held: dict[str, Any], coded: Coded, values: Array, exact: bool = True) -> Array | None:
    """Latents whose codes are these, on this grid, to the bit; exact=False asks for the values alone. None for none."""
    latent, scale = values.copy(), coded.grid.scale if isinstance(coded.grid, Even) else None
    others = np.zeros(values.shape, bool)
    for shift in (0.0, 0.5, -0.5):               # nearest and most others; floor and what rounds to 0; ceil
        if scale is not None:
            moved = values + np.float32(shift) * scale
            latent = np.where(others & np.isfinite(moved), moved, latent)
        given = method.coded(latent, held)
        others = given.codes != coded.codes
        if np.array_equal(given.values, values) and (not exact or not others.any()):
            return latent
    return None


def _put(site: Site, method: Quantizer, held: dict[str, Any], latent: Array) -> None:
    assert site.latent is not None
    site.latent.array[...] = latent
    site.latent.constraint, site.latent.lr = site.asked_by(method, held)
    site.latent.changed_in_place()
    site.method, site.held, site.started = method, held, True
