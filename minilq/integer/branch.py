"""Branches: a network's layers turned into steps of integers, one layer after the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minilq import nn
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError
from minilq.integer import transformer
from minilq.integer.conversion import Conversion
from minilq.integer.dynamic import is_dynamic, multiply_dynamic
from minilq.integer.fixed_point import Rescaling
from minilq.integer.grid import Grid, Levels, grid_over, usual_range
from minilq.integer.lines import LARGEST, Line, codes_of_grid, integers
from minilq.integer.one_bit import bit_planes
from minilq.integer.over_time import over_time
from minilq.integer.steps import INSIDE, Beside, Kernel, Maximum, Mean, Product, Rank, Rescale, Reshape, Show, Step, Sum
from minilq.integer.weights import for_inputs, parts_of, planes_of, spread_out
from minilq.nn.recurrent import Recurrent
from minilq.quantize import Coded


class Branch:
    """Steps as they come, and what the integers that they give stand for.

    line        what stands between the integers and the real numbers so far
    grid        when the integers are codes that a product can take as they are
    exact       whether they are int32 in a unit so fine that their rounding does not matter
    product     what makes the step of a product from its rescaling, until that is known
    pools       windows whose largest numbers are taken, of what that step will give: the larger the number the larger
                its code, so that the codes can be made first, without int32 between
    """

    def __init__(self, made: Conversion, line: Line, grid: Grid | Levels | None, exact: bool = False) -> None:
        self.made, self.line, self.grid, self.exact = made, line, grid, exact
        self.steps: list[Step] = []
        self.product: Callable[[Rescaling], Step] | None = None
        self.pools: list[Kernel] = []

    def through(self, name: str, layer: nn.Layer) -> None:
        """Add what the layer does. The names are those of `walk`."""
        prefix = f"{name}." if name else ""
        match layer:
            case nn.Sequential():
                for part, inner in layer.layers.items():
                    self.through(prefix + part, inner)
            case nn.Residual():
                self._residual(prefix, layer)
            case nn.Concatenate():
                self._concatenate(prefix, layer)
            case nn.Dense():
                self._weighted(name, layer, None)
            case nn.Conv2D() | nn.GroupedConv2D():
                assert layer.weight.latent is not None
                KH, KW, *_ = layer.weight.latent.shape
                self._weighted(name, layer, Kernel((KH, KW), layer.stride, layer.padding))
            case Recurrent():
                over_time(self, name, layer)
            case nn.Quantize():
                if layer.input.method is not None:
                    grid = self.made.grid_of(name, layer.input)
                    if isinstance(grid, Levels):
                        raise ConfigError("convert", "the values of a Quantize layer must be evenly spaced",
                                          got=f"{name} with {type(layer.input.method).__name__}",
                                          cause="A Table can stand at a weight, and at the input of a Dense or Conv2D")
                    self.encode(name, grid)
                    self.steps.append(Show(name))
            case nn.BatchNorm():
                gamma, beta, mean, variance = (a.astype(np.float64) for a in (
                    layer.gamma.array, layer.beta.array, layer.mean, layer.variance))
                factor = gamma / np.sqrt(variance + layer.eps)
                if self.pools and (factor < 0).any():
                    self.refine(name)
                self.act(self.line.affine(factor, beta - factor * mean))
            case nn.SelfAttention():
                transformer.attention(self, name, layer)
            case nn.LayerNorm():
                transformer.layer_norm(self, name, layer)
            case nn.GELU():
                transformer.gelu(self, name)
            case nn.Softmax():
                transformer.softmax(self, name)
            case nn.Position():
                transformer.position(self, name, layer)
            case nn.ReLU():
                self.act(self.line.rectified())
            case nn.Dropout() | nn.QuantizedGradient():
                pass
            case nn.Flatten():
                if self.product is not None:
                    self.refine(name)
                shape = self.made.ranges.shapes[name]
                if self.line.scale.size > 1:     # each channel has its own line, now each feature
                    spread = self.grid.spread(shape) if isinstance(self.grid, Grid) else None
                    self.act(self.line.spread(shape))
                    if spread is not None:       # only a Quantize layer has given one for each channel
                        self.grid = self.made.trained[name] = spread
                self.steps.append(Reshape(math.prod(shape)))
            case nn.MaxPool2D():
                kernel = Kernel(layer.size, layer.stride, layer.padding)
                if self.product is not None:
                    self.pools.append(kernel)
                    return
                if not self.line.plain:
                    self.refine(name)
                self.steps.append(Maximum(kernel))
            case nn.AveragePool2D():
                self.refine(name)
                self.steps.append(Mean(Kernel(layer.size, layer.stride, layer.padding)))
            case nn.GlobalAveragePool2D():
                self.refine(name)
                self.steps.append(Mean(None))
            case _:
                raise ConfigError("convert", "every layer must be one that integers can compute",
                                  got=f"{name} ({type(layer).__name__})",
                                  cause="An embedding has no codes to multiply" if isinstance(layer, nn.Embedding)
                                  else "Layers of your own have no integer form")

    def act(self, line: Line) -> None:
        """The integers now stand for what another line says."""
        self.line, self.grid = line, None

    def rescale(self, rescaling: Rescaling) -> None:
        """Make other integers of what there is, in one step with the product before."""
        self.steps.append(Rescale(rescaling) if self.product is None else self.product(rescaling))
        self.steps += map(Maximum, self.pools)
        self.product, self.pools = None, []

    def refine(self, name: str, unit: Array | None = None) -> None:
        """int32 in a unit of each channel, fine and never too small, unless that is what there is."""
        if unit is None:
            if self.exact and self.product is None and self.line.plain:
                return
            unit = self.line.unit
        most = np.ceil(self.line.largest / unit)
        self.rescale(self.line.rescaling(name, unit, np.zeros(()), np.int32))
        self.line, self.grid, self.exact = integers(unit[None], np.zeros(1), -most[None], most[None]), None, True

    def fork(self, line: Line, grid: Grid | Levels | None, exact: bool = False) -> Branch:
        """Another one, of the same network, that begins with such integers."""
        return Branch(self.made, line, grid, exact)

    def _weighted(self, name: str, layer: nn.Dense | nn.Conv2D | nn.GroupedConv2D,
                  kernel: Kernel | None) -> None:
        coded = self.made.weight(layer.weight)
        groups = layer.groups if isinstance(layer, nn.GroupedConv2D) else 1
        if is_dynamic(layer.input.method):
            multiply_dynamic(self, name, layer.input, coded, self.made.reals(layer.bias), kernel, groups)
            return
        along = for_inputs(coded)
        grid, s = self.codes_for(name, layer.input, np.tile(along, groups) if along.size > 1 else along)
        self.multiply(name, coded, grid, s, self.made.reals(layer.bias), kernel, groups)

    def multiply(self, name: str, coded: Coded, grid: Grid | Levels, s: Array, bias: Array, kernel: Kernel | None,
                 groups: int = 1) -> None:
        """The product with a weight, and its bias. The integers are codes of the grid of x s, as of `codes_for`."""
        planes = planes_of(coded) if groups == 1 else spread_out(planes_of(coded), groups)
        planes = [(scale / s[:, None], codes) for scale, codes in planes]
        parts, scales, kept = parts_of(name, planes, grid.scale.reshape(-1))
        if isinstance(grid, Levels):
            parts = [part._replace(above=k) for k in range(1, len(grid.levels)) for part in parts]
            scales = np.concatenate([step * scales for step in np.diff(grid.levels)])
        elif grid.top == 1:
            parts = [part._replace(planes=bit_planes(part.codes)) for part in parts]
        if grid.top > 255:                       # q = low byte + 256 high byte
            parts = [part._replace(byte=byte) for byte in (0, 1) for part in parts]
            scales = np.concatenate([scales, 256 * scales])
        #   sum_i x_i w_ij = sum_i scale_i q_i w_ij + sum_i base_i w_ij, x_i = scale_i q_i + base_i within the image
        shift = bias
        border = grid.code_of_zero
        signs = (kernel is not None and kernel.padding != "valid" and border is None
                 and isinstance(grid, Grid) and np.array_equal(grid.scale, -2 * grid.base)
                 and all(part.planes is not None for part in parts))
        if signs:                                # x_i = scale / 2 (2 q_i - 1), and 0 around the image
            parts, scales = [part._replace(signs=True) for part in parts], scales / 2
        elif kernel is None or kernel.padding == "valid" or border is not None:
            #  ... and around it, as the code of 0 has scale q + base = 0: the second sum is the same everywhere
            base = np.broadcast_to(grid.base.reshape(-1)[:, None], planes[0][1].shape)
            shift = shift + sum((base * scale * codes).reshape(-1, codes.shape[-1]).sum(axis=0)
                                for scale, codes in planes)
        else:                                    # ... and around it x_i = 0: the second sum goes over what is inside
            more, their_scales, _ = parts_of(name, planes, grid.base.reshape(-1), INSIDE)
            parts, scales = parts + more, np.concatenate([scales, their_scales])
        self.product = lambda rescaling: Product(name, parts, kept, kernel, border or 0, rescaling)
        top = np.array([[1 if part.byte == INSIDE or part.above else min(grid.top >> 8 * part.byte, 255)]
                        for part in parts])
        sums = [(np.minimum(k, 0).sum(axis=0), np.maximum(k, 0).sum(axis=0))
                for k in (part.codes.astype(np.float64) for part in parts)]
        if signs:
            sums = [(least - most, most - least) for least, most in sums]
        self.act(integers(scales, shift, *(top * np.array(ends) for ends in zip(*sums, strict=True))))
        self.exact = False

    def codes_for(self, name: str, site: nn.Site, along: Array | None) -> tuple[Grid | Levels, Array]:
        """The grid of x s, s of each input feature or channel, and steps that make its codes.

        A trained grid is that of x, s = 1. Without one, s is `along`, the scales along inputs of the weight, if there
        is one and the input shall absorb them. Integers that are codes already are taken as they are, if they can be.
        """
        made = self.made
        if site.method is not None:
            grid = made.grid_of(name, site)
            self.encode(name, grid)
            return grid, np.ones(1)
        taken = self.grid
        as_trained = any(taken is grid for grid in made.trained.values())
        s = np.ones(1) if made.split or as_trained or along is None else along
        if taken is not None and s.size == 1:
            made.grids[name] = taken
            return taken, s
        grid = grid_over(*usual_range(made.sample(name) * s, made.outside), made.top)
        made.grids[name] = coded = grid._replace(scale=grid.scale / s) if s.size > 1 else grid
        self.encode(name, coded)
        return grid, s

    def encode(self, name: str, grid: Grid | Levels) -> None:
        """Make the codes of a grid, unless the integers are such codes."""
        if self.grid is grid:
            return
        if isinstance(grid, Grid):
            self.rescale(self.line.coding(name, grid))
        else:
            self.refine(name)
            middles = np.floor(grid.middles[:, None] / self.line.scale).clip(-LARGEST - 1, LARGEST)
            self.steps.append(Rank(middles.astype(np.int32)))
        self.line, self.grid, self.exact = codes_of_grid(grid), grid, False

    def _residual(self, prefix: str, layer: nn.Residual) -> None:
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

    def _concatenate(self, prefix: str, layer: nn.Concatenate) -> None:
        if self.product is not None or not self.line.plain:
            self.refine(prefix[:-1])
        body, beside = (Branch(self.made, self.line, self.grid, self.exact) for _ in range(2))
        body.through(f"{prefix}body", layer.layers["body"])
        unit = np.maximum(body.line.unit.max(), beside.line.unit.max()).reshape(1)           # one for all channels
        for branch in (body, beside):
            branch.refine(prefix[:-1], unit)
        self.steps.append(Beside(beside.steps, body.steps))
        most = np.maximum(body.line.most.max(), beside.line.most.max()).reshape(1, 1)
        self.line, self.grid, self.exact = integers(unit[None], np.zeros(1), -most, most), None, True
