"""Branches: a network's layers turned into steps of integers, one layer after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.integer.fixed_point import Rescaling
from minilq.integer.lines import Line, integers
from minilq.integer.ranges import Grid, Ranges, grid_over, usual_range
from minilq.integer.steps import Kernel, Maximum, Mean, Product, Rescale, Reshape, Step, Sum
from minilq.integer.weights import parts_of, rounded, split_scales
from minilq.nn import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)
from minilq.ops.window import pair
from minilq.quantize import Coded


class Conversion:
    """What all branches of a network share while it is converted."""

    def __init__(self, network: Sequential, coded: dict[str, Coded], ranges: Ranges, split: bool,
                 outside: float, top: int) -> None:
        self.parameters, self.coded, self.ranges = network.parameters(), coded, ranges
        self.split, self.outside, self.top = split, outside, top
        self.grids: dict[str, Grid] = {}
        self.rounded: list[str] = []


class Branch:
    """Steps as they come, and what the integers that they give stand for.

    line        what stands between the integers and the real numbers so far
    grid        when the integers are codes that a product can take as they are
    exact       whether they are int32 in a unit so fine that their rounding does not matter
    product     what makes the step of a product from its rescaling, until that is known
    """

    def __init__(self, made: Conversion, line: Line, grid: Grid | None, exact: bool = False) -> None:
        self.made, self.line, self.grid, self.exact = made, line, grid, exact
        self.steps: list[Step] = []
        self.product: Callable[[Rescaling], Step] | None = None

    def through(self, name: str, layer: Layer) -> None:
        """Add what the layer does. The names are those of `walk`."""
        prefix = f"{name}." if name else ""
        match layer:
            case Sequential():
                for part, inner in layer.layers.items():
                    self.through(prefix + part, inner)
            case Residual():
                self._residual(prefix, layer)
            case Dense():
                self._multiply(name, f"{prefix}weight", None)
            case Conv2D():
                KH, KW, *_ = layer.kernel.shape
                kernel = Kernel((KH, KW), pair(name, "stride", layer.stride), layer.padding)
                self._multiply(name, f"{prefix}kernel", kernel)
            case BatchNorm():
                gamma, beta, mean, variance = (t.array.astype(np.float64) for t in (
                    layer.gamma, layer.beta, layer.mean, layer.variance))
                factor = gamma / np.sqrt(variance + layer.eps)
                self.act(self.line.affine(factor, beta - factor * mean))
            case ReLU():
                self.act(self.line.rectified())
            case Dropout():
                pass
            case Flatten():
                if self.product is not None:
                    self.refine(name)
                shape = self.made.ranges.shapes[name]
                self.line = self.line.spread(shape) if self.line.scale.size > 1 else self.line
                self.steps.append(Reshape(math.prod(shape)))
            case MaxPool2D():
                if self.product is not None or not self.line.plain:
                    self.refine(name)
                self.steps.append(Maximum(_kernel(name, layer)))
            case AveragePool2D():
                self.refine(name)
                self.steps.append(Mean(_kernel(name, layer)))
            case GlobalAveragePool2D():
                self.refine(name)
                self.steps.append(Mean(None))
            case _:
                raise ConfigError("convert", "every layer must be one that integers can compute",
                                  got=f"{name} ({type(layer).__name__})",
                                  cause="Layers of your own and DataQuantizer have no integer form")

    def act(self, line: Line) -> None:
        """The integers now stand for what another line says."""
        self.line, self.grid = line, None

    def rescale(self, name: str, unit: Array, zero: int, dtype: type[Any]) -> None:
        """Make integers y / unit + zero of what there is, in one step with the product before."""
        rescaling = self.line.rescaling(name, unit, zero, dtype)
        self.steps.append(Rescale(rescaling) if self.product is None else self.product(rescaling))
        self.product = None

    def refine(self, name: str, unit: Array | None = None) -> None:
        """int32 in a unit of each channel, fine and never too small, unless that is what there is."""
        if unit is None:
            if self.exact and self.product is None and self.line.plain:
                return
            unit = self.line.unit
        most = np.ceil(self.line.largest / unit)
        self.rescale(name, unit, 0, np.int32)
        self.line, self.grid, self.exact = integers(unit[None], np.zeros(1), -most[None], most[None]), None, True

    def _multiply(self, name: str, weight: str, kernel: Kernel | None) -> None:
        made = self.made
        if weight not in made.parameters or name in made.grids:
            raise ConfigError("convert", "a layer with weights must stand in one place", got=name)
        if weight not in made.coded:
            made.coded[weight] = rounded(weight, made.parameters[weight].array)
            made.rounded.append(weight)
        s, t = split_scales(made.coded[weight], absorb=not made.split)
        parts, scales, kept = parts_of(name, made.coded[weight].codes, t)
        grid = self._codes_for(name, s)
        if grid.top > 255:                       # q = low byte + 256 high byte
            parts = [part._replace(byte=byte) for byte in (0, 1) for part in parts]
            scales = np.concatenate([scales, 256 * scales])
        codes = [part.codes.astype(np.float64) for part in parts]
        sums = np.array([k.sum(axis=0) for k in codes])                              # (parts, F)
        unit, zero = float(grid.scale), grid.zero
        zeros = np.array([zero >> 8 * part.byte & 255 for part in parts])[:, None]   # the bytes of Z
        self.product = lambda rescaling: Product(name, parts, kept, kernel, zero, rescaling)
        #   sum_i (q_i - Z) k_ij = sum_i q_i k_ij - Z sum_i k_ij, whose second half joins the bias
        self.act(integers(unit * scales, self._bias(f"{name}.bias") - unit * (zeros * scales * sums).sum(axis=0),
                          np.array([255 * np.minimum(k, 0).sum(axis=0) for k in codes]),
                          np.array([255 * np.maximum(k, 0).sum(axis=0) for k in codes])))
        self.exact = False

    def _codes_for(self, name: str, s: Array) -> Grid:
        """The grid of x s, and steps that make codes of it unless the integers are such codes."""
        made, grid = self.made, self.grid
        if grid is None or s.size > 1:
            grid = grid_over(*usual_range(made.ranges.samples[name] * s, made.outside), made.top)
            self.rescale(name, grid.scale / s, grid.zero, grid.dtype)
        made.grids[name] = grid._replace(scale=grid.scale / s) if s.size > 1 else grid
        return grid

    def _bias(self, name: str) -> Array:
        coded = self.made.coded.get(name)
        if coded is None:
            return self.made.parameters[name].array.astype(np.float64)
        return coded.codes * coded.scale.astype(np.float64)

    def _residual(self, prefix: str, layer: Residual) -> None:
        if self.product is not None or not self.line.plain:
            self.refine(prefix[:-1])
        body, beside = (Branch(self.made, self.line, self.grid, self.exact) for _ in range(2))
        body.through(f"{prefix}body", layer.layers["body"])
        if "shortcut" in layer.layers:
            beside.through(f"{prefix}shortcut", layer.layers["shortcut"])
        unit = body.line.unit + beside.line.unit
        for branch in (body, beside):
            branch.refine(prefix[:-1], unit)
        self.steps.append(Sum(body.steps, beside.steps))
        most = body.line.most + beside.line.most
        self.line, self.grid, self.exact = integers(unit[None], np.zeros(1), -most, most), None, True


def _kernel(name: str, layer: MaxPool2D | AveragePool2D) -> Kernel:
    size = pair(name, "size", layer.size)
    return Kernel(size, size if layer.stride is None else pair(name, "stride", layer.stride), layer.padding)
