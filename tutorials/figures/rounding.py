"""Pictures of notebooks 00, 05 and 25: roundings, what they cost, and the slopes that are pretended for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels
from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]


def number_line(ax: Axes, x: Array, x_hat: Array, title: str) -> None:
    """Each number above the line, its reconstruction on it, and an arrow from one to the other."""
    ax.vlines(np.arange(-4, 5) * 0.1, -0.12, 0.12, color="grey", linewidth=1)
    for start, end in zip(x, x_hat, strict=True):
        ax.annotate("", (end, 0), (start, 0.6), arrowprops={"arrowstyle": "->", "color": "C1", "linewidth": 1.4})
    ax.plot(x, np.full_like(x, 0.65), "o", color="C0", markersize=7)
    ax.plot(x_hat, np.zeros_like(x), "s", color="C1", markersize=7)
    label(ax, title, yticks=[0, 0.65], yticklabels=["stored", "real"], ylim=(-0.3, 0.95))
    ax.grid(False)


def staircases(line: Array, steps: Mapping[str, Array], slopes: Mapping[str, Array]) -> None:
    """Reconstructions, their errors and their derivatives, one above the other."""
    top, middle, bottom = panels(rows=3, height=1.7, sharex=True)
    for name, step in steps.items():
        top.plot(line, step, label=name)
        middle.plot(line, step - line)
        bottom.plot(line, slopes[name])
    top.plot(line, line, color="grey", linestyle=":", linewidth=1, label="no rounding")
    label(top, y="reconstruction", legend=True)
    label(middle, y="error")
    label(bottom, x="x", y="derivative", ylim=(-0.5, 1.5))


def weights_and_errors(weights: Array, step: float, errors: Mapping[str, Array]) -> None:
    """How weights are distributed, above the grid, and how the errors of each rounding are."""
    left, right = panels(2, height=2.5)
    left.hist(weights, 120, color="C5")
    left.vlines(np.arange(-10, 11) * step, -200, 0, color="black", linewidth=1)
    label(left, "weights, and the grid below", "x", "count")
    for color, (name, e) in zip(("C0", "C1"), errors.items(), strict=True):
        right.hist(e, 40, range=(-step, step), histtype="step", color=color, linewidth=1.8, label=name)
        right.vlines(e.mean(), 0, 11500, color=color, linestyle=":")
    right.legend(ncols=2, loc="upper center")
    label(right, "errors (means dotted)", "error", "count", ylim=(0, 14000))


def flat_treads(line: Array, x_hat: Array, loss: Array, followed: Array) -> None:
    """A rounded weight, its loss, and the loss' derivative beside what is followed in its place."""
    top, middle, bottom = panels(rows=3, height=1.35, sharex=True)
    top.plot(line, x_hat)
    middle.plot(line, loss, color="C1", linestyle="-")
    bottom.plot(line, np.zeros_like(line), label="true derivative of the loss")
    bottom.plot(line, followed, label="what we will follow")
    label(top, y="reconstruction")
    label(middle, y="loss")
    label(bottom, x="weight x", y="derivative", legend=True)


def two_descents(path: Array, stuck: Array, target: float) -> None:
    """A weight and its reconstruction on their way to a target, and a weight that stays where it is."""
    ax = panels(height=2.6)
    ax.plot(path[:, 1], color="C1", linestyle="-", linewidth=0.9, label="reconstruction")
    ax.plot(path[:, 0], color="C0", linestyle="-", label="x, straight-through")
    ax.plot(stuck[:, 0], color="C2", linestyle="-.", label="x, true derivative")
    ax.axhline(target, color="black", linestyle=":", label="target")
    label(ax, x="step", y="value", ylim=(-0.6, 0.95))
    ax.legend(ncols=2, loc="upper left")


def codes_and_slopes(v: Array, titles: Sequence[str], codes: Sequence[Array], slopes: Sequence[Array]) -> None:
    """For each kind of rounding its codes, and below the slope that is used for them."""
    axes = panels(3, rows=2, height=1.7, sharex=True, sharey="row")
    for column, title in enumerate(titles):
        axes[0, column].plot(v, codes[column])
        axes[1, column].plot(v, slopes[column], color="C1", linestyle="-")
        label(axes[0, column], title, y="code" if column == 0 else "")
        label(axes[1, column], x="v = x / s", y="slope used" if column == 0 else "", ylim=(-0.2, 1.4))


def formula_and_simulation(fine: Array, by_formula: Mapping[str, Array], x: Array, simulated: Mapping[str, Array],
                           parabola: Array) -> None:
    """Loss, derivative and bias of straight-through under stochastic rounding: lines by formula, dots simulated."""
    top, middle, bottom = panels(rows=3, height=1.5, sharex=True)
    top.plot(fine, parabola, color="grey", linestyle=":", label="L(x)")
    told = {"loss": ("expected loss", "simulated"), "derivative": ("true", "straight-through, simulated"),
            "bias": ("a s (f - 1/2)", "simulated bias")}
    for ax, (name, (line, dots)) in zip((top, middle, bottom), told.items(), strict=True):
        ax.plot(fine, by_formula[name], color="C0", linestyle="-", label=line)
        ax.plot(x, simulated[name], "o", color="C1", markersize=3, label=dots)
        label(ax, y=name, legend=True)
    label(bottom, y="bias", x="weight x", legend=True, ylim=(-2.2, 0.9))


def one_weight(scales: Array, y: Array, codes: Array, ds: Array, x: float) -> None:
    """What becomes of one weight x with many scales: its reconstruction, and two slopes for the scale."""
    top, bottom = panels(rows=2, height=1.9, sharex=True)
    top.plot(scales, y, ".", markersize=2)
    top.axhline(x, color="black", linestyle=":")
    top.annotate(f"x = {x}", (0.95, x + 0.02))
    bottom.plot(scales, codes, ".", color="C2", markersize=2)
    bottom.plot(scales, ds, ".", color="C1", markersize=2)
    bottom.annotate("true slope k", (0.9, 1.15))
    bottom.annotate("LSQ: k - v, or the bound", (0.65, -0.75))
    label(top, "one weight, many scales (codes -4 to 3)", y="reconstruction")
    label(bottom, x="scale s", y="slope in s", ylim=(-1.1, 3.4))


def descent_of_a_scale(grid: Array, mse: Array, slope: Array, path: Sequence[tuple[float, float]]) -> None:
    """The squared error over the scale with a descent in it, and below LSQ's slope beside the measured one."""
    top, bottom = panels(rows=2, height=1.9, sharex=True)
    top.plot(grid, mse, label="mean squared error")
    top.plot(*np.array(path).T, "o", color="C1", markersize=3, label="descent by LSQ's slope")
    bottom.plot(grid, slope, color="C1", linestyle="-", label="LSQ's slope")
    bottom.plot(grid, np.gradient(mse / 2, grid), color="C2", linestyle="--", label="measured slope of error / 2")
    bottom.axhline(0, color="black", linewidth=0.8)
    label(top, y="error", legend=True)
    label(bottom, x="scale s", y="slope", legend=True)


def corners(H: Array, w: Array, costs: Mapping[tuple[int, ...], float], title: str) -> None:
    """25: the cost of two weights around w as contours, and the four corners with their costs."""
    across = np.linspace(-0.45, 1.45, 200)
    e = np.stack(np.meshgrid(across - w[0], across - w[1]), axis=-1)
    ax = panels(height=3.3)
    ax.contour(across, across, np.einsum("abi,ij,abj->ab", e, H, e), levels=np.array([0.02, 0.1, 0.3, 0.6, 1, 1.6]) *
               max(costs.values()) / 1.6, colors="0.6", linewidths=0.8)
    for y, cost in costs.items():
        ax.plot(*y, "s", color="C0", markersize=8)
        ax.annotate(f"{cost:.3f}", y, (9, 6 if y[1] else -14), textcoords="offset points", fontsize=9)
    ax.plot(*w, "o", color="C1", markersize=8)
    ax.annotate("w", w, (8, 4), textcoords="offset points", fontsize=10)
    label(ax, title, "y₁", "y₂", aspect="equal", xlim=(-0.45, 1.45), ylim=(-0.45, 1.45))
    ax.grid(False)


def unit_pictures(columns: Mapping[str, Array]) -> None:
    """25: the 784 weights of a unit as images of one scale: black below zero, grey at it, white above."""
    top = max(float(np.abs(column).max()) for column in columns.values())
    for ax, (name, column) in zip(panels(len(columns), height=2.5), columns.items(), strict=True):
        ax.imshow(column.reshape(28, 28), cmap="gray", vmin=-top, vmax=top)
        label(ax, name)
        ax.set_axis_off()
