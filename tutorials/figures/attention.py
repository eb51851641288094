"""Pictures of notebook 26: errors of integer functions, Newton's steps, and loud channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels

Array = np.ndarray[Any, Any]


def function_errors(bits: Array, errors: Mapping[str, Sequence[float]]) -> None:
    """The largest error of each function against the fineness of its scale."""
    ax = panels(height=2.4)
    for (name, values), marker in zip(errors.items(), "os^", strict=True):
        ax.semilogy(bits, values, marker=marker, markersize=4, label=name)
    label(ax, "Largest error of integer functions", "n, of a scale 2^-n", "error", True)


def newton_steps(numbers: Sequence[int]) -> None:
    """How far Newton's integers are above the root, step by step; the last point is the root itself."""
    ax = panels(height=2.4)
    for n, marker in zip(numbers, "os^vD", strict=True):
        x, root, path = 1 << (n.bit_length() + 1) // 2, math.isqrt(n), []
        while not path or x < path[-1]:
            path.append(x)
            x = (x + n // x) // 2
        ax.plot([(x - root) / root for x in path], marker=marker, markersize=4, label=f"n = {n:,}")
    ax.set_yscale("symlog", linthresh=1e-8)
    label(ax, "Newton on integers, from a power of two", "step", "(x - root) / root", True, xlim=(-0.2, 5.5))


def loud_channels(models: Mapping[str, Any], images: Array) -> None:
    """The largest |x| of each channel that the first product sees, and the largest |w| of its row."""
    axes = panels(len(models), height=2.4, sharey=True)
    for ax, (name, model) in zip(axes, models.items(), strict=True):
        layer = model.layers["sequential1"].layers["residual1"].layers["body"]
        x = images
        for part in ("conv2d1", "position1"):
            x = model.layers[part](x)
        x = np.abs(layer.layers["layernorm1"](x).numpy()).reshape(-1, 24).max(axis=0)
        w = np.abs(model.sites()["sequential1.residual1.body.selfattention1.project.weight"].latent.numpy()).max(axis=1)
        ax.semilogy(x, "o", color="C0", markersize=4, linestyle="", label="max |x|")
        ax.semilogy(w, "^", color="C1", markersize=4, linestyle="", label="max |w|")
        label(ax, name, "channel", "" if ax is not axes[0] else "largest number", ylim=(1e-3, 2000))
    axes[0].legend(ncol=2, fontsize=7, loc="upper center", columnspacing=0.8, handletextpad=0.1)


def lost(names: Sequence[str], points: Sequence[Sequence[float]], kinds: Sequence[str]) -> None:
    """How many points each way of rounding loses, for two kinds of weights."""
    ax, places = panels(height=2.3), np.arange(len(names))
    for shift, values, kind, hatch in zip((-0.2, 0.2), points, kinds, ("", "//"), strict=True):
        ax.bar(places + shift, np.maximum(values, 0), 0.38, hatch=hatch, edgecolor="white", label=kind)
    label(ax, "How much is lost", "", "points", True)
    ax.set_xticks(places, [name.replace(", ", ",\n") for name in names])
