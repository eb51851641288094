"""The parts of transformers as steps of integers: what branch.py adds for each of their layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minilq import nn
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.integer.grid import Grid, Levels, grid_over, usual_range
from minilq.integer.ibert import SHARE, dyadic, erf_constants, exp_constants
from minilq.integer.lines import integers
from minilq.integer.nonlinear import ROOM, Attention, Gelu, Normalise, Probabilities
from minilq.integer.polynomials import ERF

if TYPE_CHECKING:
    from minilq.integer.branch import Branch

FINE = 2.0**-16
"""The unit of what comes to GELU, and the coarsest of what comes to softmax."""
ROW = 2.0**26
"""What comes to GELU stays within, in units."""


def layer_norm(branch: Branch, name: str, layer: nn.LayerNorm) -> None:
    """One unit for all channels, as they are added; then each row for itself, and gamma and beta as a line."""
    C = layer.gamma.size
    # not finer than that eps C^3 has 110 bits: numbers that small are nothing beside it
    unit = max(float(branch.line.unit.max()), math.sqrt(layer.eps * C**3) * 2.0**-55)
    branch.refine(name, np.full(C, unit))
    branch.steps.append(Normalise(*dyadic(layer.eps * C**3 / unit**2)))
    most = np.full((1, C), 2.0**ROOM)
    line = integers(np.full((1, C), math.sqrt(C) / 2**ROOM), np.zeros(C), -most, most)
    branch.act(line.affine(*(a.array.astype(np.float64) for a in (layer.gamma, layer.beta))))
    branch.exact = False


def gelu(branch: Branch, name: str) -> None:
    """I-BERT's polynomial of int32 in one unit."""
    largest = float(branch.line.largest.max())
    unit = max(FINE, largest / ROW)
    channels = np.shape(branch.line.unit)
    branch.refine(name, np.full(channels, unit))
    constants = erf_constants(unit / math.sqrt(2))
    most = math.ceil(largest / unit) * 2 * abs(constants.one)
    down = max(most.bit_length() - ROOM, 0)
    branch.steps.append(Gelu(constants, down))
    scale = -ERF[0] * unit**3 / 4 * 2.0**down                    # S a S'^2 / 2, S' = S / sqrt 2
    ends = np.full((1, *channels), float(most >> down) + 1)
    branch.act(integers(np.full((1, *channels), scale), np.zeros(channels), -ends, ends))
    branch.exact = False


def softmax_of_scale(scale: float) -> Probabilities:
    """Of integers in units of `scale`, which are shifted to be as fine as FINE, and finer by no more than a bit."""
    up = math.ceil(math.log2(scale / FINE))
    return Probabilities(exp_constants(scale * 2.0**-up), up, SHARE)


def softmax(branch: Branch, name: str) -> None:
    """One unit for all of a row."""
    channels = np.shape(branch.line.unit)
    unit = float(branch.line.unit.max())
    branch.refine(name, np.full(channels, unit))
    branch.steps.append(softmax_of_scale(unit))
    most = np.full((1, *channels), 2.0**SHARE)
    branch.act(integers(np.full((1, *channels), 2.0**-SHARE), np.zeros(channels), 0 * most, most))
    branch.exact = False


def attention(branch: Branch, name: str, layer: nn.SelfAttention) -> None:
    """A product that gives three codes at once, the two products of codes with each other, and a product."""
    made = branch.made
    T = math.prod(made.ranges.shapes[f"{name}.project"][:-1])
    grids = [_grid(branch, f"{name}.{part}", getattr(layer, part)) for part in ("queries", "keys", "values",
                                                                                "probabilities")]
    *three, of_p = grids
    C = layer.output.weight.shape[0]
    scales = [float(grid.scale) for grid in grids]

    def each(numbers: list[float]) -> Array:
        return np.repeat(np.array(numbers, np.float64), C)

    branch.through(f"{name}.project", layer.project)
    moved = each([int(grid.zero) + grid.half - 0.5 for grid in three])
    branch.rescale(branch.line.rescaling(name, each(scales[:3]), moved, np.uint8, each([grid.top for grid in three])))
    step = softmax_of_scale(scales[0] * scales[1] / math.sqrt(C // layer.heads))
    one = np.full((1, 1), 2.0**SHARE)
    shares = integers(1 / one, np.zeros(1), 0 * one, one)
    branch.steps.append(Attention(name, layer.heads, tuple(int(grid.zero) for grid in grids),  # type: ignore[arg-type]
                                  step, shares.coding(f"{name}.probabilities", of_p), T))
    most = np.full((1, C), float(T * of_p.top * three[2].top))
    branch.act(integers(np.full((1, C), scales[2] * scales[3]), np.zeros(C), -most, most))
    branch.exact = False
    branch.through(f"{name}.output", layer.output)


def _grid(branch: Branch, name: str, layer: nn.Quantize) -> Grid:
    """The grid of one of the four, trained, or over what came to it: codes of one byte with one scale and 0 on it."""
    made = branch.made
    if layer.input.method is None:
        made.grids[name] = grid_over(*usual_range(made.sample(name), made.outside))
    grid = made.grids[name] if layer.input.method is None else made.grid_of(name, layer.input)
    if isinstance(grid, Levels) or grid.scale.ndim or grid.code_of_zero is None or grid.top > 255:
        raise ConfigError("convert", "codes that are multiplied with each other must be evenly spaced, of one byte, "
                          "with one scale, and 0 among them", got=f"{name} with {type(layer.input.method).__name__}",
                          cause="LSQ(8) and Affine(8, ranges='data') make such codes")
    return grid


def position(branch: Branch, name: str, layer: nn.Position) -> None:
    """What stands for the places is added to int32, which then have one unit for each channel again."""
    if branch.product is not None or not branch.line.plain:
        branch.refine(name)
    line = branch.line.affine(np.ones(()), branch.made.reals(layer.weight))
    C = layer.weight.shape[-1]
    unit, largest = (np.broadcast_to(a, layer.weight.shape).reshape(-1, C).max(axis=0)
                     for a in (line.unit, line.largest))
    branch.rescale(line.rescaling(name, unit, np.zeros(()), np.int32))
    most = np.ceil(largest / unit)
    branch.act(integers(unit[None], np.zeros(1), -most[None], most[None]))
    branch.exact = True
