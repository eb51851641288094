"""Pictures of notebook 28: what codes cost, what a mixture does to weights, and what is left of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from course import label, panels

Array = np.ndarray[Any, Any]


def bars(codes: Array, counts: Array, bits: Array) -> None:
    """How often each code occurs, and what one of it costs."""
    left, right = panels(2, height=2.2)
    left.bar(codes, counts, color="C0")
    right.bar(codes, bits, color="C1")
    label(left, "how often", "code", "weights", yscale="log")
    label(right, "what one costs", "code", "bits")


def density(before: Array, after: Array, mixture: Any) -> None:
    """Weights before and after a mixture has drawn at them, and where its means ended."""
    reach = 1.05 * float(max(np.abs(before).max(), np.abs(after).max()))
    means = mixture.means.numpy()
    titles = "before", "drawn by the mixture (means dashed)"
    for ax, weights, title in zip(panels(2, height=2.3, sharey=True), (before, after), titles, strict=True):
        ax.hist(weights.ravel(), bins=np.linspace(-reach, reach, 140), log=True, color="C0")
        label(ax, title, "w", "weights" if weights is before else "")
        if weights is after:
            for mean in means[np.abs(means) < reach]:
                ax.axvline(mean, color="black", linestyle="--", linewidth=0.9, zorder=0)


def left_of_each_pixel(counts: Array) -> None:
    """How many weights of each pixel are not 0, as an image."""
    ax = panels(height=2.7)
    shown = ax.imshow(counts, cmap="gray_r")
    ax.figure.colorbar(shown, ax=ax)
    label(ax, "weights that are left of each pixel")
    ax.set_axis_off()
