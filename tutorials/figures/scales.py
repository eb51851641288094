"""Pictures of notebooks 06 to 08: scales that vote, that grow, and that are paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels
from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
Slope = Callable[[float, float], tuple[float, float]]
LEVELS = (0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5)


def rows(ax: Axes, values: Array, title: str, form: str) -> None:
    """06: a matrix of two rows with its numbers in it, darker for larger ones."""
    ax.imshow(np.abs(values), cmap="Blues", vmax=2 * np.abs(values).max() + 1e-9)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, form.format(value), ha="center", va="center", fontsize=9)
    ax.set(title=title, xticks=[], yticks=[0, 1], yticklabels=["row 0", "row 1"])
    ax.grid(False)


def scales_and_integers(scales: Mapping[str, Array], integers: Sequence[int]) -> None:
    """Mean scales of some pixels after each epoch, and how many different integers are left."""
    left, right = panels(2, height=2.7)
    for (name, scale), marker in zip(scales.items(), "os", strict=True):
        left.plot(scale, marker=marker, label=f"pixels of the {name}")
    right.plot(range(1, len(integers) + 1), integers, "C2D-")
    label(left, "mean scale", "epoch", "s", legend=True, ylim=(0, None))
    label(right, "what is left to store", "epoch", "different integers", ylim=(0, None))


def contest(histories: Mapping[str, Sequence[Mapping[str, Any]]], free: Sequence[Mapping[str, Any]],
            by_recipe: float) -> None:
    """Trainings as paths over their different integers, a float network merely rounded, and floats by one recipe."""
    ax = panels(height=3.2)
    for (name, history), marker in zip(histories.items(), "osD^", strict=True):
        ax.plot([row["unique_integers"] for row in history], [100 * row["validation_accuracy"] for row in history],
                marker=marker, markersize=4, label=name)
    ax.plot([p["unique_integers"] for p in free], [100 * p["accuracy"] for p in free], "v:", color="0.4", markersize=3,
            label="good floats, merely rounded")
    ax.axhline(100 * by_recipe, color="black", linestyle="--", linewidth=1, label="floats, this recipe")
    label(ax, "one marker for each epoch", "different integers (fewer to the right)", "accuracy (%)", legend=True,
          xscale="log", xlim=(700, 25), xticks=[600, 300, 150, 75, 40], xticklabels=[600, 300, 150, 75, 40],
          ylim=(60, 97))
    ax.minorticks_off()


def sweep_of_lambda(points: Mapping[str, tuple[Array, Array, Array]], floats: Mapping[str, float]) -> None:
    """(lambda, accuracy, integers) of trainings by their start, and accuracies of floats as lines."""
    left, right = panels(2, height=2.6)
    for (name, (lams, accuracy, integers)), marker in zip(points.items(), "os", strict=True):
        left.semilogx(lams, 100 * accuracy, marker=marker, label=name)
        right.loglog(lams, integers, marker=marker)
    for (name, accuracy), style in zip(floats.items(), ("--", ":"), strict=True):
        left.axhline(100 * accuracy, color="black", linestyle=style, linewidth=1, label=name)
    label(left, "accuracy (%)", "lambda", legend=True)
    label(right, "different integers", "lambda")


def bars_of_rounding(accuracy: Mapping[tuple[str, str], float], floats: float) -> None:
    """Accuracies by (pixels, rounding) as bars, and that of good floats as a line."""
    ax = panels(height=2.7)
    for shift, (rounding, hatch) in enumerate((("none", ""), ("floor", "//"), ("nearest", ".."))):
        bars = [accuracy[pixels, rounding] for pixels in ("raw", "unit")]
        places = ax.bar(np.arange(2) + 0.25 * (shift - 1), bars, 0.22, hatch=hatch, edgecolor="white", label=rounding)
        ax.bar_label(places, fmt="%.1f", fontsize=9, padding=2, bbox={"fc": "white", "ec": "none", "pad": 0.5})
    ax.axhline(floats, color="black", linestyle=":", linewidth=1, zorder=0)
    label(ax, "trained with lambda = 1e-8, and without rounding", y="accuracy (%)", ylim=(0, 130),
          yticks=range(0, 101, 20))
    ax.set_xticks([0, 1], ["raw pixels", "pixels / 255"])
    ax.legend(ncols=3, loc="upper center", title="rounding", title_fontsize=9)


def landscape(ax: Axes, across: Array, up: Array, heights: Any, levels: Any,
              slope: Slope) -> None:
    """A penalty over (P, s), and arrows of equal length downhill."""
    ax.contourf(across, up, np.minimum(heights, levels[-1]), levels, antialiased=False)
    coarse_p, coarse_s = np.meshgrid(np.linspace(-1.33, 1.36, 9), np.linspace(0.33, 1.66, 8))
    slopes = np.array([slope(p, s) for p, s in zip(coarse_p.ravel(), coarse_s.ravel(), strict=True)])
    down = -slopes / np.maximum(np.linalg.norm(slopes, axis=-1, keepdims=True), 1e-12)
    ax.quiver(coarse_p.ravel(), coarse_s.ravel(), *down.T, color="white", pivot="mid", scale=14, width=0.008)


def landscapes(across: Array, up: Array, heights: Mapping[str, Any], slopes: Mapping[str, Slope]) -> None:
    """The four penalties over (P, s); the last one has finer levels than the others."""
    axes = panels(2, 2, height=2.6, sharex=True, sharey=True)
    for number, (ax, name) in enumerate(zip(axes.flat, heights, strict=True)):
        landscape(ax, across, up, heights[name], np.linspace(0, 0.6, 10) ** 2 if number == 3 else LEVELS, slopes[name])
        label(ax, name, "weight P" * (number > 1), "scale s" * (number % 2 == 0), xticks=[-1, 0, 1])


def downhill(across: Array, up: Array, heights: Any, slope: Slope, paths: Mapping[float, Array],
             tracks: Sequence[Array]) -> None:
    """Scales of fixed rows under Difference, by where they start, and paths of (P, s) in its landscape."""
    left, right = panels(2, height=2.7)
    for start, path in paths.items():
        left.plot(path, label=f"from {start:g}")
    label(left, "s under Difference, P fixed", "step", "scale s", legend=True)
    landscape(right, across, up, heights, LEVELS, slope)
    right.plot(*np.transpose(tracks), color="#E69F00", linestyle="-", linewidth=2, marker="o", markevery=[-1])
    label(right, "P and s under Difference", "weight P", "scale s", xticks=[-1, 0, 1], ylim=(0.2, 1.8))


def freeze(when: Array, scales: Mapping[str, Array], memory: Array, end: float) -> None:
    """Scales over the steps, and Adam's memory below; the freeze is grey."""
    top, bottom = panels(rows=2, height=2, sharex=True)
    for name, scale in scales.items():
        top.loglog(when, scale, label=name)
    label(top, "One scale under Inverse", y="scale s", legend=True)
    bottom.loglog(when, memory)
    bottom.axhline(1, color="black", linewidth=1)
    bottom.text(1.2, 1.25, "√v = ε", va="bottom")
    for ax in (top, bottom):
        ax.axvspan(30, end, color="0.9")
    label(bottom, x="step", y="√v / ε")
