"""The curves of a method: what it makes of a number, and what a gradient of 1 becomes; as text and as a figure."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import MinilqError, ShapeError
from minilq.files import make_folder
from minilq.quantize import Quantizer
from minilq.quantize.flags import choice_of, spelled
from minilq.report.figures import in_style, save_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

END, FROM = 3.0, 2.0
"""Curves go from -END to END; the method is started from numbers between -FROM and FROM."""

SHOWN = {"bits": 3, "granularity": "scalar"}
"""Flags that show what a method does, where nothing is said of them: few steps, and one grid for all numbers."""

STEPS = 4
"""Of a scale that begins so small that nothing is rounded: up to FROM."""


class Curves(NamedTuple):
    """x, what the network sees in its place, what x is sent where a gradient of 1 comes everywhere, and the method."""

    x: Array
    y: Array
    gradient: Array
    method: Quantizer

    @property
    def title(self) -> str:
        choice = choice_of(self.method)
        return self.method.name if choice is None else spelled(choice)


def shown(method: Quantizer, said: set[str]) -> Quantizer:
    """The method with the flags of SHOWN, but for those that somebody has said something about."""
    names = {field.name for field in fields(method)} - said  # type: ignore[arg-type]
    changes = {name: value for name, value in SHOWN.items() if name in names}
    try:
        return replace(method, **changes)  # type: ignore[type-var]
    except MinilqError:
        return method


def curves_of(method: Quantizer) -> Curves:
    """The curves of a method at its start. Raises what the method raises."""
    x = Tensor(np.linspace(-END, END, 1201)[:, None], requires_grad=True)
    middle = x.array[np.abs(x.array) <= FROM][:, None]
    held = method.start(middle)
    scale = held.get("scale")
    if isinstance(scale, Parameter) and scale.array.max() < FROM / 100:
        scale.array[...] = FROM / STEPS
        scale.changed_in_place()
    try:
        y = method(x, held)
    except ShapeError:                           # it knows each number from its start
        x = Tensor(middle, requires_grad=True)
        y = method(x, held)
    y.backward(np.ones(y.shape))
    gradient = np.zeros(x.shape) if x.grad is None else np.asarray(x.grad)
    return Curves(x.array[:, 0], y.array[:, 0], gradient[:, 0], method)


def text(curves: Curves) -> str:
    """Both curves as pictures of characters."""
    return (f"y, as {curves.title}:\n\n{sketch(curves.x, curves.y)}\n\n"
            f"what x is sent where y is sent 1:\n\n{sketch(curves.x, curves.gradient)}")


def sketch(x: Array, y: Array, width: int = 65, height: int = 11) -> str:
    """A curve in characters, with its axes where they are in sight.

    >>> print(sketch(np.linspace(-1, 1, 50), np.linspace(-1, 1, 50) ** 2, 21, 4))
          1 *         |         *
             ***      |       **
               ****   |   ****
          0 ------*********------
           -1                   1
    """
    low, high = float(min(y.min(), 0)), float(max(y.max(), 0))
    high += low == high
    columns = np.minimum(((x - x[0]) / (x[-1] - x[0]) * width).astype(int), width - 1)
    rows = np.rint((high - y) / (high - low) * (height - 1)).astype(int)
    zero = round(high / (high - low) * (height - 1))
    cells = [["-" if row == zero else " "] * width for row in range(height)]
    for line in cells:
        middle = round(-x[0] / (x[-1] - x[0]) * (width - 1))
        line[middle] = "+" if line[middle] == "-" else "|"
    for row, column in zip(rows, columns, strict=True):
        cells[row][column] = "*"
    labels = {zero: "0", 0: f"{high:.3g}", height - 1: f"{low:.3g}"}
    lines = [f"{labels.get(row, ''):>7} {''.join(line)}".rstrip() for row, line in enumerate(cells)]
    ends = f"{x[0]:.3g}", f"{x[-1]:.3g}"
    return "\n".join([*lines, f"{'':7}{ends[0]}{ends[1]:>{width + 1 - len(ends[0])}}"])


def drawn(curves: Curves) -> Figure:
    """Both curves as a figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2))
    left, right = figure.subplots(1, 2)
    left.plot(curves.x, curves.x, color="0.75", linewidth=1, label="x")
    left.plot(curves.x, curves.y, label="y")
    left.set(xlabel="x", ylabel="y", title=curves.title)
    left.legend()
    right.plot(curves.x, curves.gradient)
    right.set(xlabel="x", ylabel="gradient of x where y's is 1", title="pretended derivative")
    return figure


def save(curves: Curves, path: Path) -> Path:
    """Both curves as an SVG file, whose folder is made; returns the path. Raises UnwritableError."""
    make_folder(path.parent)
    with in_style():
        return save_svg(drawn(curves), path)


def formulas(document: str) -> str:
    """A docstring up to its example."""
    return inspect.cleandoc(document).split(">>>")[0].rstrip()
