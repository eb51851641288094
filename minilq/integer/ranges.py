"""Ranges: between which numbers the inputs of a network's products lie, and the grids of codes laid over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError, ShapeError
from minilq.nn import Conv2D, Dense, Layer, Residual, Sequential
from minilq.nn.model import Container

BATCH = 100
"""Images that go through a network at once, here and in the engine."""

SAMPLE = 1 << 19
"""Numbers of each layer's input from which its range is taken, and a row of each batch at least."""


class Grid(NamedTuple):
    """The real numbers scale (q - zero) that codes q = 0 .. top stand for. 0 is one of them, as 0 <= zero <= top.

    scale   > 0, float64, () or broadcast to the numbers of one input
    top     255, codes of one byte, or 65535, codes of two
    """

    scale: Array
    zero: int
    top: int = 255

    @property
    def dtype(self) -> type[Any]:
        """Of the codes."""
        return np.uint8 if self.top == 255 else np.uint16

    def codes(self, x: Array) -> Array:
        """The codes nearest to x, halves up, beyond the ends those of the ends.

        >>> Grid(np.array(0.5), 10).codes(np.array([-99, 0, 0.25, 0.74, 1.0])).tolist()
        [0, 10, 11, 11, 12]
        """
        return np.clip(np.floor(x / self.scale + 0.5) + self.zero, 0, self.top).astype(self.dtype)

    def reals(self, q: Array) -> Array:
        """What the codes stand for, float64."""
        return self.scale * (q.astype(np.float64) - self.zero)


class Ranges(NamedTuple):
    """What calibration has seen.

    samples     of the input of each Dense and Conv2D, by its name: float32 (rows, C), a channel or feature in a column
    shapes      of the input of each layer, without the batch
    """

    samples: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]


def grid_over(low: float, high: float, top: int = 255) -> Grid:
    """The grid over low..high, widened so that it holds 0 and moved by less than half a step so that 0 is on it.

        scale = (high - low) / top,  zero = round(-low / scale)

    >>> grid_over(-1.0, 4.1)
    Grid(scale=array(0.02), zero=50, top=255)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return Grid(np.array(1.0), 0, top)
    scale = max((high - low) / top, float(np.finfo(np.float32).tiny))
    return Grid(np.array(scale), round(-low / scale), top)


def input_grid(images: Array, top: int = 255) -> Grid:
    """The grid of a network's input: pixels are codes already, as 0 .. 255 or as 0 .. 1; else the grid over all images.

    >>> input_grid(np.array([[0.0, 7.0, 255.0]])), input_grid(np.array([[0.0, 0.2, 1.0]])).zero
    (Grid(scale=array(1.), zero=0, top=255), 0)
    """
    low, high = float(images.min()), float(images.max())
    scale = 1 / 255 if high <= 1 else 1.0
    codes = images / np.float64(scale)
    if low >= 0 and high <= 255 * scale and np.allclose(codes, np.rint(codes), rtol=0, atol=1e-4):
        return Grid(np.array(scale), 0)
    return grid_over(low, high, top)


def usual_range(x: Array, outside: float) -> tuple[float, float]:
    """Between which numbers x lies, but for a share `outside` of them at either end.

    >>> usual_range(np.arange(1001.0), 0.01), usual_range(np.arange(1001.0), 0)
    ((10.0, 990.0), (0.0, 1000.0))
    """
    low, high = np.quantile(x, [outside, 1 - outside])
    return float(low), float(high)


def calibrated(network: Sequential, images: Array) -> Ranges:
    """What comes into the layers of the float network for these images: SAMPLE numbers of each, chosen at random.

    Raises      ShapeError for no images, and what the layers raise for images of another shape or dtype; NonFiniteError
    """
    if not isinstance(images, np.ndarray) or images.ndim == 0 or len(images) == 0:
        raise ShapeError("calibrated", "at least one image is needed, in an array (N, ...)",
                         got=str(images.shape) if isinstance(images, np.ndarray) else type(images).__name__)
    rng = np.random.default_rng(0)
    samples: dict[str, list[Array]] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def visit(name: str, layer: Layer, x: Array) -> Array:
        shapes[name] = x.shape[1:]
        if isinstance(layer, (Dense, Conv2D)):
            rows = x.reshape(-1, x.shape[-1])
            most = max(SAMPLE * len(x) // (len(images) * x.shape[-1]), 1)
            samples.setdefault(name, []).append(rows if len(rows) <= most else rng.choice(rows, most, replace=False))
        y = layer(Tensor(x)).array
        if not np.isfinite(y).all():
            raise NonFiniteError("calibrated", "what every layer gives must be finite",
                                 got=f"NaN or infinity of {name}",
                                 cause="The network has diverged, or an image is not finite")
        return y

    with no_grad():
        for start in range(0, len(images), BATCH):
            walk(network, "", images[start:start + BATCH], visit)
    return Ranges({name: np.concatenate(parts) for name, parts in samples.items()}, shapes)


def walk(layer: Layer, name: str, x: Array, visit: Callable[[str, Layer, Array], Array]) -> Array:
    """The result of a network, layer by layer: visit(name, layer, x) gives that of a layer that holds no others.

    Names are those of the parameters ("residual1.body.conv2d2").
    Raises      ConfigError for a container of the user's own
    """
    prefix = f"{name}." if name else ""
    if type(layer) is Sequential:
        for part, inner in layer.layers.items():
            x = walk(inner, prefix + part, x, visit)
        return x
    if type(layer) is Residual:
        y = walk(layer.layers["body"], f"{prefix}body", x, visit)
        return y + (walk(layer.layers["shortcut"], f"{prefix}shortcut", x, visit) if "shortcut" in layer.layers else x)
    if isinstance(layer, Container):
        raise ConfigError("walk", "layers may be held by Sequential and Residual",
                          got=f"{name} ({type(layer).__name__})")
    return visit(name, layer, x)
