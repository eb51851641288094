"""Trained grids: that of an input whose method has learned it, read from the method without any data."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.integer.grid import DOWN, Grid, Levels
from minilq.nn import Site
from minilq.quantize import Even, Table

MOST_LEVELS = 16
"""Of a Table at an input: there is a product for each but one of them."""
FAR = 2.0**40
"""Steps from 0 at which every bound of codes has been reached."""
SPREAD = 200
"""Codes at most around which a method is asked how it rounds."""
MARGIN = 0.05
"""Of a step, around where codes change: there the last bits of floats may decide."""


def trained_grid(name: str, site: Site, sample: Array | None = None) -> Grid:
    """The grid of an input site with a method: the codes of its `coded` themselves, moved so that the lowest is 0.

    The method is asked. Far out on either side it gives its lowest and its highest code, between them it shows whether
    it rounds to nearest, or down. Two codes -1 and 1 (signs) are two neighbours of a grid of twice the step.

    sample      numbers that come to the site, for codes without bounds: these end where the sample does. None for none
    Raises      ConfigError, with the name, for a grid that is no Even one, or has scales along other axes than that of
                the channels, or that depends on the input; for other roundings; for codes without bounds and a sample,
                and for codes beyond two bytes

    >>> from minilq.quantize.methods import PACT
    >>> site = Site(shape=(1, 3))
    >>> site.change(PACT(bits=4, alpha=3.0))
    >>> trained_grid("dense1.input", site)[:3]
    (array(0.2), 0, 15)
    """
    scale, zero, offset = even = _even(name, site)
    _, far = _codes(site, np.array([-FAR, FAR]), *even)
    low, high = int(far.min()), int(far.max())
    bounded = high - low < FAR
    if not bounded and sample is None:
        raise ConfigError("convert", "codes without bounds end where those of the images do, so images are needed",
                          got=f"{name} with {type(site.method).__name__}")
    if not bounded:
        assert sample is not None
        k = (sample - offset) / scale + zero
        low, high = int(np.floor(k.min())), int(np.ceil(k.max()))
    if high - low > 65535:
        raise ConfigError("convert", "the codes of an input must fit into two bytes", got=f"{name} with {low}..{high}",
                          cause="The scale is far too small for these values: it has hardly been trained")
    asked = np.linspace(low, high, min(high - low + 1, SPREAD)).round()[:, None] + np.array([-0.4, -0.1, 0.1, 0.4])
    u, codes = _codes(site, asked.reshape(-1), *even)
    for half in (0.5, DOWN):
        expected = np.floor(u + half).clip(*((low, high) if bounded else (None, None)))
        unsure = np.abs(u + half - np.rint(u + half)) < MARGIN
        if ((codes == expected) | unsure).all():
            return Grid(scale, _single(zero - low), high - low, _single(offset), half)
    if (low, high) == (-1, 1) and not zero.any() and ((codes == np.where(u < 0, -1, 1)) | (np.abs(u) < MARGIN)).all():
        return Grid(2 * scale, 0, 1, _single(offset - scale))
    raise ConfigError("convert", "the codes of an input must be the nearest on its grid, or the next below",
                      got=f"{name} with {type(site.method).__name__}",
                      cause="Integers have no other rounding; such a method can stand at a weight")


def trained_levels(name: str, site: Site) -> Levels | None:
    """The levels of an input site whose method has a Table; None for other grids.

    Raises      ConfigError, with the name, for tables of each channel, of one level or of more than 16, for those that
                depend on the input, and for a method that does not take the nearest level
    """
    grid, *others = _grids(site)
    if not isinstance(grid, Table):
        return None
    kind, levels = f"{name} with {type(site.method).__name__}", np.unique(grid.levels).astype(np.float64)
    if any(not np.array_equal(grid.levels, other.levels) for other in others):
        raise ConfigError("convert", "the levels of an input must not depend on the input", got=kind)
    if grid.levels.size != len(grid.levels) or not 2 <= len(levels) <= MOST_LEVELS:
        raise ConfigError("convert", f"the levels of an input must be 2 to {MOST_LEVELS}, one row for all channels",
                          got=f"{kind} and levels {grid.levels.shape}, {len(levels)} different ones")
    found, gaps = Levels(levels), np.diff(levels)
    x = np.concatenate([[levels[0] - FAR], levels, found.middles - MARGIN * gaps, found.middles + MARGIN * gaps,
                        [levels[-1] + FAR]])
    asked = np.broadcast_to(x.reshape(-1, *(1,) * len(_shape(site)[1:])), (len(x), *_shape(site)[1:]))
    assert site.method is not None
    values = site.method.coded(asked.astype(site.dtype), site.held).values.astype(np.float64)
    if not np.array_equal(values, found.reals(found.codes(asked))):
        raise ConfigError("convert", "the codes of an input must be those of the nearest levels", got=kind)
    return found


def _grids(site: Site) -> list[Any]:
    """That of the codes of three different inputs."""
    assert site.method is not None
    return [site.method.coded(np.full(_shape(site), x, site.dtype), site.held).grid for x in (0, 1, -3)]


def _even(name: str, site: Site) -> tuple[Array, Array, Array]:
    """(scale, zero, offset), float64, int64, float64, each () or (C,)."""
    kind = f"{name} with {type(site.method).__name__}"
    grids = _grids(site)
    first = grids[0]
    if not isinstance(first, Even):
        raise ConfigError("convert", "the values of an input must be evenly spaced", got=kind,
                          cause="Or be those of a Table")
    if any(not np.array_equal(a, b) for grid in grids for a, b in zip(_parts(grid), _parts(first), strict=True)):
        raise ConfigError("convert", "the grid of an input must not depend on the input", got=kind,
                          cause="A range that was observed in training, or learned, is needed")
    parts = _parts(first)
    if any(part.size not in (1, np.shape(part)[-1]) for part in parts):
        raise ConfigError("convert", "the scales of an input must be one, or one for each channel",
                          got=f"{kind} and scales {first.scale.shape}")
    C = max(part.size for part in parts)
    scale, zero, offset = (np.broadcast_to(part.reshape(-1), C).reshape(-1 if C > 1 else ()) for part in parts)
    return scale.astype(np.float64), zero.astype(np.int64), offset.astype(np.float64)


def _parts(grid: Any) -> tuple[Array, ...]:
    return tuple(np.atleast_1d(part) for part in (grid.scale, 0 if grid.zero is None else grid.zero,
                                                  0 if grid.offset is None else grid.offset))


def _shape(site: Site) -> tuple[int, ...]:
    """Of one input, as far as the site and what it holds show."""
    try:
        return np.broadcast_shapes(site.shape, *(array.shape for array in site.held.values()))
    except ValueError:                           # what it holds is not one number for each channel
        return site.shape


def _codes(site: Site, u: Array, scale: Array, zero: Array, offset: Array) -> tuple[Array, Array]:
    """Of numbers that stand at u, in units of codes, in each channel: where the floats nearest to them stand, and their
    codes. (P,) -> (P, channels) twice."""
    assert site.method is not None
    _, *middle, C = _shape(site)
    x = (u.reshape(-1, *(1 for _ in middle), 1) - zero) * scale + offset               # (P, 1, .., 1 or C)
    x = np.broadcast_to(x, (len(u), *middle, max(C, scale.size))).astype(site.dtype)
    stand = (x.astype(np.float64) - offset) / scale + zero
    return stand.reshape(len(u), -1), site.method.coded(x, site.held).codes.reshape(len(u), -1)


def _single(a: Array) -> Any:
    """A number, where there is one for all channels."""
    return a.item() if a.ndim == 0 else a
