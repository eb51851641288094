"""Pictures of notebooks 01 to 03: tapes, checks of gradients, dense layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from course import label, panels
from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
Curve = Callable[[Array], Array]


def program(title: str, texts: Mapping[str, str], back: bool = False) -> None:
    """01: a box for every number of p = x w, y = p + b, L = y y; arrows to what it was used for, or back."""
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
    """01: the records (name, result, rule, inputs) of a tape, and arrows to those they take inputs from."""
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
    """01: what the network says over the plane after some numbers of steps, and the points it learns from."""
    extent = (-1.6, 2.6, -1.3, 1.9)
    for ax, (number, z) in zip(panels(3, height=2.5, sharey=True), pictures.items(), strict=True):
        ax.imshow(z, extent=extent, origin="lower", cmap="cividis", vmin=-1.5, vmax=1.5, aspect="auto")
        ax.contour(z, levels=[0], extent=extent, colors="white", linewidths=2)
        for sign, marker in ((-1, "o"), (1, "^")):
            ax.plot(*X[t[:, 0] == sign].T, marker, color="white", markeredgecolor="black", markersize=4)
        label(ax, f"after {number} steps", "first coordinate", "second coordinate" if number == 0 else "")
        ax.grid(False)


def brackets(sizes: Sequence[tuple[int, int]], results: Mapping[str, tuple[int, int]]) -> None:
    """01: three matrices to scale, the two that are multiplied first in blue, and the result in orange."""
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


def secants(line: Array, f: Curve, df: Curve, x0: float, ends: Mapping[str, tuple[float, float]],
            slopes: Mapping[str, float]) -> None:
    """A function with two secants, and its derivative with their slopes."""
    left, right = panels(2, height=2.7)
    left.plot(line, f(line), label="f")
    right.plot(line, df(line), label="f', on paper")
    for (name, (a, _)), marker in zip(ends.items(), "sD", strict=True):
        [secant] = left.plot(line, f(a) + slopes[name] * (line - a), linewidth=1, label=name)
        right.plot(x0, slopes[name], marker, color=secant.get_color(), label=name)
    left.plot(x0, f(x0), "ko")
    label(left, "a function and two secants", "x", legend=True, ylim=(-0.5, 4.2))
    label(right, "its derivative, and their slopes", "x", legend=True)


def v_curve(hs: Array, errors: Mapping[str, Array], first_terms: Mapping[str, Array], cancelled: Array) -> None:
    """Errors of finite differences over their step, the first terms of Taylor's series, and the cancellation."""
    ax = panels(height=3.2)
    for (name, error), marker in zip(errors.items(), "os^", strict=True):
        ax.loglog(hs, error, marker, label=name, markersize=4)
    for color, term in zip(("C0", "C1"), first_terms.values(), strict=True):
        ax.loglog(hs, term, color=color, linestyle="--", linewidth=1)
    ax.loglog(hs, cancelled, color="black", linestyle=":", linewidth=1, label="eps |f| / h")
    ax.legend(ncols=2, loc="upper center")
    label(ax, "The V of the step", "step h", "error of the derivative", ylim=(1e-13, 1e6))


def relative_errors(errors: Mapping[str, Array]) -> None:
    """Matrices of relative errors as greys, black from twice the entry on."""
    axes = panels(len(errors), height=2.1)
    for ax, (name, error) in zip(axes, errors.items(), strict=True):
        picture = ax.pcolormesh(error[::-1], vmin=0, vmax=2, cmap="gray_r", edgecolors="lightgrey")
        ax.set(title=name, xticks=[], yticks=[], aspect="equal")
    axes[0].figure.colorbar(picture, ax=axes, shrink=0.6, label="relative error", ticks=[0, 1, 2])


def caught_or_missed(missed: Array, rows: Sequence[str], columns: Sequence[str]) -> None:
    """A table of what each check (a column) says of each wrong gradient (a row)."""
    ax = panels(height=2.6)
    ax.imshow(missed, cmap="gray_r", vmin=0, vmax=3, aspect="auto")
    for row, column in np.ndindex(missed.shape):
        ax.text(column, row, "MISSED" if missed[row, column] else "caught", ha="center", va="center")
    ax.grid(False)
    label(ax, xticks=range(len(columns)), xticklabels=columns, yticks=range(len(rows)), yticklabels=rows)


def near_a_kink(x: Array, central_slope: Array) -> None:
    """max(0, x), and its derivative beside a central difference of it."""
    left, right = panels(2, height=2.4)
    left.plot(x, np.maximum(x, 0))
    right.plot(x, np.where(x > 0, 1.0, 0.0), label="derivative")
    right.plot(x, central_slope, label="central, h = 0.2")
    label(left, "max(0, x)", "x")
    label(right, "two answers near the kink", "x", ylim=(-0.1, 1.5), legend=True)


def two_programs(line: Array, program: Array, smooth: Array, point: tuple[float, float]) -> None:
    """A rounding and its smooth program, equal at one point, and the derivatives of both."""
    left, right = panels(2, height=2.4)
    for ax, one, other in ((left, program, smooth), (right, np.zeros_like(line), np.ones_like(line))):
        ax.plot(line, one, label="the program")
        ax.plot(line, other, label="smooth program")
    left.plot(*point, "ko")
    label(left, "equal at one point", "P", "result", legend=True)
    label(right, "but not their derivatives", "P", ylim=(-0.2, 1.6), legend=True)


def product(axes: Sequence[Axes], *factors: tuple[str, tuple[int, int], Any]) -> None:
    """03: matrices (name, shape, the entries to fill) as grids, one beside the other."""
    for ax, (name, shape, filled) in zip(axes, factors, strict=True):
        cells = np.zeros(shape)
        cells[filled] = 1
        ax.pcolormesh(cells, edgecolors="grey", linewidth=0.5, antialiased=True, cmap="Oranges", vmin=0, vmax=1.6)
        label(ax, f"{name}  {shape[0]} × {shape[1]}", xlim=(-1, 6), ylim=(5.2, -0.3), aspect="equal")
        ax.set_axis_off()


def with_derivatives(line: Array, relu: Sequence[Array], cross_entropy: Sequence[Array]) -> None:
    """Relu and cross-entropy, each with its derivative."""
    left, right = panels(2, height=2.6)
    for ax, curves, name in ((left, relu, "relu(a)"), (right, cross_entropy, "cross-entropy")):
        for curve, told in zip(curves, (name, "its derivative"), strict=True):
            ax.plot(line, curve, label=told)
    label(left, "between the layers", "a", ylim=(-1.2, 4.2), legend=True)
    label(right, "behind them", "lead m of the right class", ylim=(-1.2, 4.2), legend=True)


def learning(losses: Sequence[float], curve: Sequence[float]) -> None:
    """The loss of each batch with a running mean, and the accuracy after each epoch."""
    left, right = panels(2, height=2.5)
    left.plot(losses, color="C5", linewidth=0.5, label="each batch")
    left.plot(range(25, len(losses) - 24), np.convolve(losses, np.ones(50) / 50, "valid"), color="C0",
              label="mean of 50")
    right.plot(np.arange(len(curve)), 100 * np.array(curve), "o-")
    label(left, "loss", "batch", legend=True, ylim=(0, 2.5))
    label(right, "accuracy on unseen digits", "epoch", "right, %", ylim=(0, 100))


def columns_and_mistakes(changes: Array, images: Array, said: Array, right: Array) -> None:
    """Twelve columns (784, 12) of a weight as images, and six images with the answers they got and should have got."""
    axes = panels(6, rows=3, height=1.2).ravel()
    for ax, change in zip(axes[:12], changes.T, strict=True):
        ax.imshow(change.reshape(28, 28), cmap="cividis", vmin=-0.25, vmax=0.25)
    for ax, image, answer, truth in zip(axes[12:], images, said, right, strict=True):
        ax.imshow(image.reshape(28, 28), cmap="gray_r")
        label(ax, f"said {answer}, is {truth}")
        ax.title.set_fontsize(8)
    for ax in axes:
        ax.set_axis_off()
