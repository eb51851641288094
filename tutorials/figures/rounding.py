"""Pictures of notebook 25: what rounding costs, and what it leaves of a unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from course import label, panels

Array = np.ndarray[Any, Any]


def corners(H: Array, w: Array, costs: Mapping[tuple[int, ...], float], title: str) -> None:
    """The cost of two weights around w as contours, and the four corners with their costs."""
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
    """The 784 weights of a unit as images of one scale: black below zero, grey at it, white above."""
    top = max(float(np.abs(column).max()) for column in columns.values())
    for ax, (name, column) in zip(panels(len(columns), height=2.5), columns.items(), strict=True):
        ax.imshow(column.reshape(28, 28), cmap="gray", vmin=-top, vmax=top)
        label(ax, name)
        ax.set_axis_off()
