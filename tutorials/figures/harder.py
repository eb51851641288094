"""Pictures of notebooks 21 to 24: layers rounded one at a time, teachers, networks over time, weights that jump."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels

Array = np.ndarray[Any, Any]
MARKERS = "o^svDxP"


def one_at_a_time(bits: Array, growth: Mapping[str, Array], accuracy: Mapping[str, Array], whole: float) -> None:
    """Notebook 21: what becomes of loss and accuracy when one layer alone is rounded; the line of nothing rounded."""
    left, right = panels(2, height=2.8)
    for name, marker in zip(growth, MARKERS, strict=False):
        left.semilogy(bits, np.maximum(growth[name], 1e-4), marker, linestyle="-", markersize=3, label=name)
        right.plot(bits, accuracy[name], marker, linestyle="-", markersize=3, label=name)
    right.axhline(whole, color="black", linestyle=":", label="float")
    label(left, "One weight rounded, mean of the seeds", "bits", "growth of the loss")
    label(right, "", "bits", "accuracy (%)", legend=True)


def over_predicted(shifted: Mapping[str, Array], used: Mapping[str, Array]) -> None:
    """Notebook 21: pairs (predicted, measured) of each layer; those of the grid as it is used are hollow."""
    ax = panels(height=3.0)
    for (name, found), marker in zip(shifted.items(), MARKERS, strict=False):
        [line] = ax.loglog(*found[found[:, 1] > 0].T, marker, linestyle="-", markersize=4, label=name)
        ax.loglog(*used[name].T, marker, linestyle="", markersize=6, markerfacecolor="none", color=line.get_color())
    ax.plot([], [], "o", color="0.4", linestyle="", markerfacecolor="none", label="hollow: grid through zero")
    ax.loglog([1e-5, 1], [1e-5, 1], color="black", linestyle=":", label="as predicted")
    label(ax, "Growth of the loss: measured over predicted", "s² tr H / 24", "measured", True, ylim=(1e-5, 5))


def stacked(rows: Mapping[str, Mapping[str, float]], title: str, x: str) -> None:
    """Notebook 21: a bar for each row, of parts that add up."""
    ax, longest = panels(height=2.2), max(sum(parts.values()) for parts in rows.values())
    for row, parts in enumerate(rows.values()):
        left = 0.0
        for (part, size), colour, hatch in zip(parts.items(), ("C0", "C1", "0.85"), ("", "///", ""), strict=True):
            ax.barh(row, size, left=left, color=colour, hatch=hatch, edgecolor="black", label=part * (row == 0))
            left += size
    label(ax, title, x, yticks=range(len(rows)), yticklabels=list(rows), xlim=(0, 1.4 * longest))
    ax.legend(loc="center right")


def dots(table: Mapping[str, Sequence[float]], title: str, x: str, height: float = 2.2) -> None:
    """A row for each name, from the top: a dot for each seed, and a bar at their mean."""
    ax = panels(height=height)
    for row, values in enumerate(table.values()):
        ax.plot(values, np.full(len(values), row), "o", color="C0", markersize=4, linestyle="")
        ax.plot(np.mean(values), row, "|", color="C1", markersize=12, markeredgewidth=2, linestyle="")
    label(ax, title, x, yticks=range(len(table)), yticklabels=list(table), ylim=(len(table) - 0.5, -0.5))


def said(answers: Mapping[int, Sequence[Array]], images: Sequence[Array]) -> None:
    """Notebook 22: images, and beside each what a teacher says of it at some temperatures."""
    axes = panels(1 + len(answers), rows=len(images), height=1.6)
    for row, image in enumerate(images):
        axes[row, 0].imshow(image, cmap="gray_r")
        axes[row, 0].set_axis_off()
        for ax, (T, both) in zip(axes[row, 1:], answers.items(), strict=True):
            ax.bar(range(10), both[row], color="C0")
            label(ax, f"T = {T}" * (row == 0), "digit" * (row == len(images) - 1),
                  "probability" * (ax is axes[row, 1]), xticks=range(0, 10, 3), ylim=(0, 1.05))


def spectra(matrices: Mapping[str, Array]) -> None:
    """Notebook 23: eigenvalues of matrices, each beside the unit circle; the last on a scale of its own."""
    angles = np.linspace(0, 2 * np.pi, 200)
    for ax, (name, W) in zip(panels(len(matrices), height=1.9), matrices.items(), strict=True):
        values = np.linalg.eigvals(W)
        ax.plot(values.real, values.imag, ".", markersize=2, linestyle="")
        ax.plot(np.cos(angles), np.sin(angles), color="black", linestyle="-", linewidth=0.8)
        reach = 2.2 if np.abs(values).max() < 2.2 else 1.1 * np.abs(values).max()
        label(ax, name.replace(", ", "\n"), xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.tick_params(labelsize=7)


def phases(found: Mapping[str, Array]) -> None:
    """Notebook 24: where weights lie between the level below, 0, and the one above, 1."""
    for ax, (name, values) in zip(panels(len(found), height=2.2, sharey=True), found.items(), strict=True):
        ax.hist(values, bins=np.linspace(0, 1, 41), color="C0", edgecolor="white", linewidth=0.3)
        ax.axvline(0.5, color="black", linestyle=":")
        label(ax, name, "between two levels (dotted: threshold)", "weights" * (name == next(iter(found))))


def beside_rounded(lines: Sequence[Array], points: Mapping[str, tuple[Any, Any]], whole: float, title: str, x: str,
                   **more: Any) -> None:
    """Notebooks 23 and 24: what was trained, (size, accuracy), beside the float networks merely rounded."""
    ax = panels(height=2.8)
    for line in lines:
        ax.plot(*line.T, color="0.5", linestyle="-", linewidth=0.9, label="float, rounded" * (line is lines[0]))
    for (name, found), marker in zip(points.items(), MARKERS, strict=False):
        ax.plot(*found, marker, markersize=4, linestyle="", label=name)
    ax.axhline(whole, color="black", linestyle=":", label="float")
    label(ax, title, x, "accuracy (%)", True, **more)


def jumping(walks: Mapping[float, Array]) -> None:
    """Notebook 24: a weight and its code on the way, for some rates."""
    axes = panels(rows=len(walks), height=1.6, sharex=True)
    for ax, (eta, w) in zip(axes, walks.items(), strict=True):
        ax.plot(w, label="w")
        ax.plot(np.rint(w), linestyle="-", linewidth=0.9, drawstyle="steps-mid", label="its code")
        ax.axhline(0.5, color="black", linestyle=":", label="threshold")
        label(ax, f"rate {eta}", "step" * (ax is axes[-1]), ylim=(-0.1, 1.6))
    axes[-1].legend(ncols=3, loc="upper right")


def draws(again: Sequence[float], others: Mapping[str, float], title: str, x: str) -> None:
    """Notebook 24: numbers on a line, and some beside them with names."""
    ax = panels(height=1.9)
    ax.plot(again, np.zeros(len(again)), "o", color="C0", markersize=4, linestyle="", label="drawn again")
    for number, (name, value) in enumerate(others.items(), 1):
        ax.plot(value, 0, "o^s"[number], color=f"C{number}", markersize=7, linestyle="", label=name)
    label(ax, title, x, yticks=[], ylim=(-1, 2))
    ax.legend(ncols=3, loc="upper center")
