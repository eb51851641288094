"""Pictures of notebooks 04 and 10: windows, kernels, and which of their weights share a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from course import label, panels
from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]


def table(ax: Axes, numbers: Array, title: str, outline: tuple[int, int, int, int] | None = None) -> None:
    """04: a matrix with its numbers in it, and the outline of a part: (row, column, rows, columns)."""
    ax.imshow(numbers, cmap="cividis", vmin=0, vmax=15)
    for (i, j), n in np.ndenumerate(numbers):
        ax.text(j, i, f"{n:g}", ha="center", va="center", color="white" if n < 8 else "black", fontsize=9)
    if outline:
        row, column, rows, columns = outline
        ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), columns, rows, fill=False, edgecolor="C1", linewidth=3))
    label(ax, title)
    ax.set_axis_off()


def windows(ax: Axes, along: Any, stride: int, padding: str) -> None:
    """04: pixels of a line, hollow ones for padded zeros, and a bar for each window of three."""
    ax.plot(np.arange(-along.left, 8 + along.right), np.zeros(8 + along.left + along.right), "o", color="white",
            markeredgecolor="grey")
    ax.plot(np.arange(8), np.zeros(8), "o", color="C0")
    for j in range(along.out_width):
        start = j * stride - along.left
        ax.plot([start - 0.2, start + 2.2], [0.3 + 0.25 * (j % 3)] * 2, color="C1", linestyle="-", linewidth=3)
    label(ax, xlim=(-3.6, 9.4), ylim=(-0.3, 1.1))
    ax.text(-3.5, 0.4, f"stride {stride}, {padding}:\n{along.out_width} windows", fontsize=9, va="center")
    ax.set_axis_off()


def copying(S: Array) -> None:
    """The matrix that copies pixels into a column matrix, and its transpose."""
    left, right = panels(2, height=2.6, width_ratios=(1, 2.2))
    sides = ("16 pixels", "36 numbers of X")
    for ax, matrix, title, names in ((left, S, "S copies", sides), (right, S.T, "its transpose adds up", sides[::-1])):
        ax.imshow(matrix, cmap="gray_r")
        label(ax, title, *names, xticks=[], yticks=[])


def pictures(rows: Mapping[str, Array]) -> None:
    """Stacks (height, width, n) of images, a row for each."""
    axes = panels(next(iter(rows.values())).shape[2], rows=len(rows), height=0.95)
    for row, (name, stack) in zip(axes, rows.items(), strict=True):
        for filter, ax in enumerate(row):
            ax.imshow(stack[:, :, filter], cmap="cividis")
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)


def coloured(ax: Axes, numbers: Array) -> None:
    """Cells coloured by the number in them."""
    ax.imshow(numbers, cmap="viridis", vmin=-0.5, vmax=5.5, alpha=0.6)
    for (i, j), number in np.ndenumerate(numbers):
        ax.text(j, i, number, ha="center", va="center", fontsize=7)
    ax.grid(False)


def rounded_filters(rows: Mapping[str, Array], largest: float) -> None:
    """The filters of kernels (5, 5, 1, 6), a row for each kernel; a dash is in every negative weight."""
    for ax_row, (name, kernel) in zip(panels(6, rows=len(rows), height=1.0), rows.items(), strict=True):
        for f, ax in enumerate(ax_row):
            ax.imshow(kernel[:, :, 0, f], cmap="RdBu", vmin=-largest, vmax=largest)
            ax.plot(*np.argwhere(kernel[:, :, 0, f] < 0).T[::-1], "_", color="black", linestyle="", markersize=4)
            ax.set(xticks=[], yticks=[], title=f"filter {f}" if name == next(iter(rows)) else "")
        ax_row[0].set_ylabel(name, fontsize=8)


def gains(bits: Sequence[int], predicted: Mapping[Any, Array], measured: Mapping[Any, Array]) -> None:
    """Decibels that granularities gain over one scale, predicted as lines and measured as markers."""
    ax = panels(height=2.8)
    for (name, gain), marker in zip(predicted.items(), "sD^vP", strict=True):
        [line] = ax.plot(bits, gain, linewidth=1)
        ax.plot(bits, measured[name], marker, color=line.get_color(), label=str(name))
    label(ax, "second kernel: lines predicted, markers measured", "bits", "gain over scalar (dB)", legend=True,
          ylim=(0, None), xlim=(1.8, 9.4), xticks=bits)


def groups_and_law(groups: Mapping[str, tuple[Array, Array]], law: tuple[Array, Array]) -> None:
    """For each granularity the largest weight and the scale of its groups, and the law as a line."""
    ax = panels(height=2.8)
    for (name, (M, s)), marker in zip(groups.items(), "osD^", strict=True):
        ax.loglog(M, s, marker, linestyle="", label=name)
    ax.loglog(*law, color="black", linestyle="--", label="law, f = 1")
    label(ax, "every group of both kernels", "largest weight M", "scale s (thousandths)", True, xticks=[0.1, 0.2, 0.3],
          xticklabels=[0.1, 0.2, 0.3], yticks=[0.006, 0.008, 0.01, 0.012, 0.015], yticklabels=[6, 8, 10, 12, 15])
    ax.minorticks_off()


def training_of_cifar(accuracies: Mapping[str, Array], scales: Mapping[str, Array]) -> None:
    """Accuracy of networks over their epochs, and the median scale of each convolution."""
    left, right = panels(2, height=2.6)
    for (name, accuracy), marker in zip(accuracies.items(), "os", strict=True):
        left.plot(np.arange(1, len(accuracy) + 1), 100 * accuracy, marker, linestyle="-", markersize=3, label=name)
    for name, scale in scales.items():
        right.loglog(np.arange(1, len(scale) + 1), scale, label=name)
    label(left, "accuracy (%)", "epoch", legend=True)
    label(right, "median scale of each convolution", "epoch", xticks=[1, 2, 5, 10, 20], xticklabels=[1, 2, 5, 10, 20],
          yticks=[5e-4, 1e-3, 2e-3, 5e-3], yticklabels=["0.0005", "0.001", "0.002", "0.005"])
    right.minorticks_off()
    right.legend(loc="best", ncols=2)


def two_costs(points: Mapping[str, Sequence[tuple[str, float, float, float]]], floats: float) -> None:
    """(strength, integers, kB, accuracy in per cent) of the points of schemes, over integers and over kB."""
    left, right = panels(2, height=2.9, sharey=True)
    for (name, some), marker, shift in zip(points.items(), "os", ((9, -13), (0, 16)), strict=True):
        strengths, integers, kB, accuracy = zip(*some, strict=True)
        for ax, x in ((left, integers), (right, kB)):
            ax.plot(x, accuracy, marker, linestyle="-", linewidth=1, label=name)
            for strength, at in zip(strengths, zip(x, accuracy, strict=True), strict=True):
                ax.annotate(strength, at, shift, textcoords="offset points", ha="center", fontsize=7)
    for ax in (left, right):
        ax.axhline(floats, color="black", linestyle=":", linewidth=1, label="float")
    label(left, "what the thesis counts", "different integers", "accuracy (%)", True, xscale="log", ylim=(0, 85))
    label(right, "what has to be stored", "kB, with scales and tables", xlim=(15, 185))
    left.set(xlim=(3, 125), xticks=[4, 8, 16, 32, 64], xticklabels=[4, 8, 16, 32, 64])
    left.minorticks_off()
