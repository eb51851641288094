"""Pictures that the notebooks show but do not explain: drawing code, kept out of the reader's way.

Each function draws what it is given on axes of `course.panels`, and computes nothing that a notebook claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from course import label, panels
from matplotlib.axes import Axes

from minilq.experiments.pareto import front
from minilq.report.sweep_style import SCHEMES

Array = np.ndarray[Any, Any]


def number_line(ax: Axes, x: Array, x_hat: Array, title: str) -> None:
    """Notebook 00: each number above the line, its reconstruction on it, and an arrow from one to the other."""
    ax.vlines(np.arange(-4, 5) * 0.1, -0.12, 0.12, color="grey", linewidth=1)
    for start, end in zip(x, x_hat, strict=True):
        ax.annotate("", (end, 0), (start, 0.6), arrowprops={"arrowstyle": "->", "color": "C1", "linewidth": 1.4})
    ax.plot(x, np.full_like(x, 0.65), "o", color="C0", markersize=7)
    ax.plot(x_hat, np.zeros_like(x), "s", color="C1", markersize=7)
    label(ax, title, yticks=[0, 0.65], yticklabels=["stored", "real"], ylim=(-0.3, 0.95))
    ax.grid(False)


def program(title: str, texts: Mapping[str, str], back: bool = False) -> None:
    """Notebook 01: a box for every number of p = x w, y = p + b, L = y y; arrows to what it was used for, or back."""
    places = {"x": (0, 1), "w": (0, 0), "p": (1, 0.5), "b": (1, -0.35), "y": (2, 0.2), "L": (3, 0.2)}
    arrows = [("x", "p", 0.0), ("w", "p", 0.0), ("p", "y", 0.0), ("b", "y", 0.0), ("y", "L", -0.3), ("y", "L", 0.3)]
    ax = panels(height=2.2)
    for a, b, bend in arrows:
        start, end = (places[b], places[a]) if back else (places[a], places[b])
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "C1" if back else "C0", "shrinkA": 30,
                                                "shrinkB": 30, "lw": 1.4, "connectionstyle": f"arc3,rad={bend}"})
    for name, place in places.items():
        ax.text(*place, texts[name], ha="center", va="center", fontsize=9,
                bbox={"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "grey"})
    label(ax, title, xlim=(-0.4, 3.4), ylim=(-0.7, 1.3))
    ax.set_axis_off()


def tape(records: Sequence[tuple[Any, ...]], title: str) -> None:
    """Notebook 01: the records (name, result, rule, inputs) of a tape, and arrows to those they take inputs from."""
    positions = {id(y): i for i, (_, y, _, _) in enumerate(records)}
    ax = panels(height=1.6)
    for i, (name, _, _, inputs) in enumerate(records):
        ax.text(i, 0, name, ha="center", va="center", bbox={"boxstyle": "square", "fc": "w", "ec": "grey"})
        for j, bend in zip([positions[id(v)] for v in inputs if id(v) in positions], (0.55, 0.95), strict=False):
            ax.annotate("", (j, 0.15), (i, 0.15), arrowprops={"arrowstyle": "-|>", "color": "C1", "linewidth": 1.3,
                                                              "connectionstyle": f"arc3,rad={bend}"})
    label(ax, title, xlim=(-0.6, len(records) - 0.4), ylim=(-0.4, 1.0))
    ax.set_axis_off()


def moons(pictures: Mapping[int, Array], X: Array, t: Array) -> None:
    """Notebook 01: what the network says over the plane after some numbers of steps, and the points it learns from."""
    extent = (-1.6, 2.6, -1.3, 1.9)
    for ax, (number, z) in zip(panels(3, height=2.5, sharey=True), pictures.items(), strict=True):
        ax.imshow(z, extent=extent, origin="lower", cmap="cividis", vmin=-1.5, vmax=1.5, aspect="auto")
        ax.contour(z, levels=[0], extent=extent, colors="white", linewidths=2)
        for sign, marker in ((-1, "o"), (1, "^")):
            ax.plot(*X[t[:, 0] == sign].T, marker, color="white", markeredgecolor="black", markersize=4)
        label(ax, f"after {number} steps", "first coordinate", "second coordinate" if number == 0 else "")
        ax.grid(False)


def brackets(sizes: Sequence[tuple[int, int]], results: Mapping[str, tuple[int, int]]) -> None:
    """Notebook 01: three matrices to scale, the two that are multiplied first in blue, and the result in orange."""
    for ax, (first, result) in zip(panels(rows=2, height=1.5, sharex=True), results.items(), strict=True):
        left = 0
        for position, (rows, columns) in enumerate([*sizes, result]):
            shaded = position == 3 or (position < 2) == (first == "left") or position == 1
            ax.add_patch(plt.Rectangle((left, -max(rows, 4) / 2), max(columns, 4), max(rows, 4), edgecolor="black",
                                       facecolor=("C1" if position == 3 else "C0") if shaded else "white", alpha=0.7))
            ax.text(left + columns / 2, -95, f"{rows} × {columns}", ha="center", fontsize=8)
            left += columns + 150
            ax.text(left - 75, 0, "→" if position == 2 else "", ha="center", va="center", fontsize=12)
        label(ax, f"from the {first}: the first product", xlim=(-60, left), ylim=(-115, 75))
        ax.set_axis_off()


def product(axes: Sequence[Axes], *factors: tuple[str, tuple[int, int], Any]) -> None:
    """Notebook 03: matrices (name, shape, the entries to fill) as grids, one beside the other."""
    for ax, (name, shape, filled) in zip(axes, factors, strict=True):
        cells = np.zeros(shape)
        cells[filled] = 1
        ax.pcolormesh(cells, edgecolors="grey", linewidth=0.5, antialiased=True, cmap="Oranges", vmin=0, vmax=1.6)
        label(ax, f"{name}  {shape[0]} × {shape[1]}", xlim=(-1, 6), ylim=(5.2, -0.3), aspect="equal")
        ax.set_axis_off()


def table(ax: Axes, numbers: Array, title: str, outline: tuple[int, int, int, int] | None = None) -> None:
    """Notebook 04: a matrix with its numbers in it, and the outline of a part: (row, column, rows, columns)."""
    ax.imshow(numbers, cmap="cividis", vmin=0, vmax=15)
    for (i, j), n in np.ndenumerate(numbers):
        ax.text(j, i, f"{n:g}", ha="center", va="center", color="white" if n < 8 else "black", fontsize=9)
    if outline:
        row, column, rows, columns = outline
        ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), columns, rows, fill=False, edgecolor="C1", linewidth=3))
    label(ax, title)
    ax.set_axis_off()


def windows(ax: Axes, along: Any, stride: int, padding: str) -> None:
    """Notebook 04: pixels of a line, hollow ones for padded zeros, and a bar for each window of three."""
    ax.plot(np.arange(-along.left, 8 + along.right), np.zeros(8 + along.left + along.right), "o", color="white",
            markeredgecolor="grey")
    ax.plot(np.arange(8), np.zeros(8), "o", color="C0")
    for j in range(along.out_width):
        start = j * stride - along.left
        ax.plot([start - 0.2, start + 2.2], [0.3 + 0.25 * (j % 3)] * 2, color="C1", linestyle="-", linewidth=3)
    label(ax, xlim=(-3.6, 9.4), ylim=(-0.3, 1.1))
    ax.text(-3.5, 0.4, f"stride {stride}, {padding}:\n{along.out_width} windows", fontsize=9, va="center")
    ax.set_axis_off()


def rows(ax: Axes, values: Array, title: str, form: str) -> None:
    """Notebook 06: a matrix of two rows with its numbers in it, darker for larger ones."""
    ax.imshow(np.abs(values), cmap="Blues", vmax=2 * np.abs(values).max() + 1e-9)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, form.format(value), ha="center", va="center", fontsize=9)
    ax.set(title=title, xticks=[], yticks=[0, 1], yticklabels=["row 0", "row 1"])
    ax.grid(False)


def landscape(ax: Axes, across: Array, up: Array, heights: Any, levels: Any,
              slope: Callable[[float, float], tuple[float, float]]) -> None:
    """Notebook 08: a penalty over (P, s), and arrows of equal length downhill."""
    ax.contourf(across, up, np.minimum(heights, levels[-1]), levels, antialiased=False)
    coarse_p, coarse_s = np.meshgrid(np.linspace(-1.33, 1.36, 9), np.linspace(0.33, 1.66, 8))
    slopes = np.array([slope(p, s) for p, s in zip(coarse_p.ravel(), coarse_s.ravel(), strict=True)])
    down = -slopes / np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 1e-12)
    ax.quiver(coarse_p.ravel(), coarse_s.ravel(), *down.T, color="white", pivot="mid", scale=14, width=0.008)


def coloured(ax: Axes, numbers: Array) -> None:
    """Notebook 10: cells coloured by the number in them."""
    ax.imshow(numbers, cmap="viridis", vmin=-0.5, vmax=5.5, alpha=0.6)
    for (i, j), number in np.ndenumerate(numbers):
        ax.text(j, i, number, ha="center", va="center", fontsize=7)
    ax.grid(False)


def tree(words: Sequence[str], counts: Mapping[int, int]) -> None:
    """Notebook 11: a Huffman tree, left for 0 and right for 1, with codes at its leaves and sums at its joints."""
    def place(word: str) -> tuple[float, int]:
        return sum((2 * int(bit) - 1) * 0.75**depth for depth, bit in enumerate(word)), -len(word)

    def box(word: str, text: str, colour: str) -> None:
        ax.text(*place(word), text, ha="center", va="center", fontsize=8, zorder=3,
                bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": colour})

    ax = panels(height=3.2)
    for word, (code, times) in zip(words, counts.items(), strict=True):
        for end in range(len(word)):
            ax.plot(*zip(place(word[:end]), place(word[:end + 1]), strict=True), color="grey", linestyle="-")
            below = [n for other, n in zip(words, counts.values(), strict=True) if other.startswith(word[:end])]
            box(word[:end], str(sum(below)), "C1")
        box(word, f"{code}: {times} times\n{word}", "C0")
    ax.axis("off")
    ax.axis((-1.6, 3.1, -4.5, 0.4))


def xy(points: Sequence[Mapping[str, Any]], cost: str, unit: float = 1) -> tuple[list[float], list[float]]:
    """Notebook 09: costs in the given unit and accuracies in per cent, as ax.plot wants them."""
    return [p[cost] / unit for p in points], [100 * p["accuracy"] for p in points]


def points_and_front(ax: Axes, points: Sequence[Mapping[str, Any]], cost: str, unit: float = 1) -> None:
    """Notebook 09: networks with the marker of their scheme, and the front of them all as a staircase."""
    for scheme, own in SCHEMES.items():
        some = [p for p in points if p["scheme"] == scheme]
        if some:
            ax.plot(*xy(some, cost, unit), own.marker, color=own.colour, markersize=5, label=own.label)
    ax.step(*xy(front(points, cost), cost, unit), where="post", color="black", linestyle="-", linewidth=0.9, zorder=1)


def rounded_only(ax: Axes, rounded: Sequence[Mapping[str, Any]], cost: str = "bytes_entropy", unit: float = 1000,
                 name: str = "float, rounded") -> None:
    """Notebook 09: what costs nothing, a float network that is merely rounded to nearest."""
    ax.plot(*xy(front(rounded, cost), cost, unit), "v:", color="0.4", markersize=3, label=name, zorder=2)
