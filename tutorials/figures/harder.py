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
    label(left, "one weight rounded, mean of the seeds", "bits", "growth of the loss")
    label(right, "", "bits", "accuracy (%)", legend=True)


def over_predicted(shifted: Mapping[str, Array], used: Mapping[str, Array]) -> None:
    """Notebook 21: pairs (predicted, measured) of each layer; those of the grid as it is used are hollow."""
    ax = panels(height=3.0)
    for (name, found), marker in zip(shifted.items(), MARKERS, strict=False):
        [line] = ax.loglog(*found[found[:, 1] > 0].T, marker, linestyle="-", markersize=4, label=name)
        ax.loglog(*used[name].T, marker, linestyle="", markersize=6, markerfacecolor="none", color=line.get_color())
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
    """A row of dots for each name, one for each seed, and a bar at their mean."""
    ax = panels(height=height)
    for row, values in enumerate(table.values()):
        ax.plot(values, np.full(len(values), row), "o", color="C0", markersize=4, linestyle="")
        ax.plot(np.mean(values), row, "|", color="C1", markersize=12, markeredgewidth=2, linestyle="")
    label(ax, title, x, yticks=range(len(table)), yticklabels=list(table), ylim=(-0.5, len(table) - 0.5))
