"""Pictures of notebooks 09, 12 and 13: accuracy over size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels
from matplotlib.axes import Axes

from minilq.experiments.pareto import front
from minilq.report.sweep_style import SCHEMES

Array = np.ndarray[Any, Any]
Points = Sequence[Mapping[str, Any]]
ONE_BIT = 101.77 / 8                             # kB, for each parameter of 784-128-10


def xy(points: Points, cost: str, unit: float = 1) -> tuple[list[float], list[float]]:
    """Costs in the given unit and accuracies in per cent, as ax.plot wants them."""
    return [p[cost] / unit for p in points], [100 * p["accuracy"] for p in points]


def points_and_front(ax: Axes, points: Points, cost: str, unit: float = 1) -> None:
    """Networks with the marker of their scheme, and the front of them all as a staircase."""
    for scheme, own in SCHEMES.items():
        some = [p for p in points if p["scheme"] == scheme]
        if some:
            ax.plot(*xy(some, cost, unit), own.marker, color=own.colour, markersize=5, label=own.label)
    ax.step(*xy(front(points, cost), cost, unit), where="post", color="black", linestyle="-", linewidth=0.9, zorder=1)


def rounded_only(ax: Axes, rounded: Points, cost: str = "bytes_entropy", unit: float = 1000,
                 name: str = "float, rounded") -> None:
    """What costs nothing, a float network that is merely rounded to nearest."""
    ax.plot(*xy(front(rounded, cost), cost, unit), "v:", color="0.4", markersize=3, label=name, zorder=2)


def toy_front(points: Points, worse: Sequence[bool]) -> None:
    """A few networks over their bits, large ones on the front, and the corner that is empty."""
    ax = panels(height=2.6)
    ax.step(*xy(front(points, "bits"), "bits"), where="post", color="black", linewidth=1)
    for p, is_worse in zip(points, worse, strict=True):
        ax.plot(*xy([p], "bits"), "o", color="C1" if is_worse else "C0", markersize=5 if is_worse else 9)
    ax.fill_between([1.5, 4], 96, 98.5, color="C0", alpha=0.15, linewidth=0)
    ax.annotate("empty: nothing is better\nat 4 bits or less", (1.7, 96.5))
    label(ax, "Large: on the front. Small: dominated.", "bits", "accuracy (%)", ylim=(89, 98.5), xlim=(1.5, 8))


def thesis_figure(points: Points, rounded: Points, floats: Mapping[str, float], published: Sequence[Any]) -> None:
    """Accuracy over unique integers: what was measured, and what was published, as tall as its range."""
    ax = panels(height=4)
    points_and_front(ax, points, "unique_integers")
    lines(ax, floats)
    rounded_only(ax, rounded, "unique_integers", 1, "the better one, rounded")
    for source, name, marker, size in (("thesis", "thesis", "+", 12), ("reproduced", "second implementation", "o", 9)):
        own = [p for p in published if p.source == source and p.accuracy]
        x, low, high = np.array([(np.mean(p.unique), *p.accuracy) for p in own]).T
        ax.errorbar(x, 50 * (low + high), 50 * (high - low), color="0.35", linestyle="", elinewidth=1.2, marker=marker,
                    markersize=size, markerfacecolor="none", label=name)
    ticks = [5, 10, 20, 50, 100, 200, 400]
    label(ax, "MNIST, row-wise, from scratch", "unique integers", "accuracy (%)", True, xscale="log", xlim=(5, 400),
          ylim=(84, 98.5), xticks=ticks, xticklabels=ticks)
    ax.minorticks_off()


def lines(ax: Axes, floats: Mapping[str, float]) -> None:
    """Accuracies of float networks, the first dashed and the second dotted."""
    for (name, accuracy), style in zip(floats.items(), ("--", ":"), strict=False):
        ax.axhline(100 * accuracy, color="black", linestyle=style, linewidth=1, label=name)


def by_granularity(points: Points, rounded: Points) -> None:
    """A panel for each granularity: accuracy over kB, what costs nothing, and the wall of one bit."""
    axes = panels(3, height=3.0, sharey=True)
    for ax, granularity in zip(axes, ("row", "column", "scalar"), strict=True):
        points_and_front(ax, [p for p in points if p["granularity"] == granularity], "bytes_entropy", 1000)
        rounded_only(ax, rounded)
        ax.axvline(ONE_BIT, color="0.5", linewidth=1)
        label(ax, granularity, "kB, entropy-coded", "accuracy (%)" if ax is axes[0] else "", ylim=(86, 98.2),
              xlim=(10, 100), xscale="log", xticks=[10, 20, 40, 80], xticklabels=["10", "20", "40", "80"])
        ax.minorticks_off()
    axes[2].legend(loc="lower right")


def size_and_accuracy(title: str, points: Points, rounded: Points, floats: Mapping[str, float], recipes: Points = (),
                      height: float = 3.0, name: str = "float, rounded", wall: bool = True, **more: Any) -> None:
    """Networks and their front over kB, a float network merely rounded, floats as lines, and the wall of one bit.

    recipes   networks that stand out with a marker of their own; `more` goes to `ax.set`
    """
    ax = panels(height=height)
    points_and_front(ax, points, "bytes_entropy", 1000)
    rounded_only(ax, rounded, name=name)
    if recipes:
        ax.plot(*xy(recipes, "bytes_entropy", 1000), "p", color=SCHEMES["ungated"].colour, markersize=9,
                markeredgecolor="black", label="the recipes, three seeds")
    lines(ax, floats)
    if wall:
        ax.axvline(ONE_BIT, color="0.5", linewidth=1)
    label(ax, title, "entropy-coded size (kB)", "accuracy (%)", True, **more)


def families(points: Mapping[str, Points], rounded: Points, floats: float, title: str) -> None:
    """12: methods over kB on a logarithmic axis, their front, and a float network merely rounded."""
    ax = panels(height=3.2)
    for (name, some), marker in zip(points.items(), "oDPX", strict=True):
        ax.plot([p["kB"] for p in some], [100 * p["accuracy"] for p in some], marker, markersize=7, label=name)
    best = front([p for some in points.values() for p in some], "kB")
    ax.step([p["kB"] for p in best], [100 * p["accuracy"] for p in best], where="post", color="black",
            linestyle="-", linewidth=0.9, label="front")
    ax.plot(*xy(rounded, "bytes_entropy", 1000), "v:", color="0.4", markersize=3, label="float, rounded")
    lines(ax, {"float": floats})
    label(ax, title, "size (kB)", "accuracy (%)", True, xscale="log", xticks=[1, 2, 5, 10])
    ax.xaxis.set(major_formatter="{x:g}", minor_formatter="")


def dead_zones(line: Array, stairs: Mapping[str, Array], curves: Mapping[str, tuple[Array, Array]]) -> None:
    """12: two roundings as staircases, and the error of each over its bits per code."""
    left, right = panels(2, height=2.6)
    for name, stair in stairs.items():
        left.plot(line, stair)
        right.plot(*curves[name], label=name)
    label(left, "two staircases", "u = P / s", "code k")
    label(right, "at equal entropy", "bits per code", "squared error / variance", True, xlim=(0, 3), ylim=(0, 1))


def wave(line: Array, stair: Array, curve: Array, slope: Array) -> None:
    """12: a rounding and the curve of its surrogate, and the surrogate's slope below."""
    top, bottom = panels(rows=2, height=1.8, sharex=True)
    top.plot(line, stair, label="dead zone")
    top.plot(line, curve, label="wave")
    label(top, y="code, curve", legend=True)
    bottom.plot(line, np.ones_like(line), color="C2", label="straight-through")
    bottom.plot(line, slope, color="C1", linestyle="--", label="wave")
    label(bottom, x="u = P / s", y="slope", ylim=(0, 2.6), legend=True)


def the_bar(reaches: Array, bits: Array, size: Array, accuracy: Array, floats: float) -> None:
    """13: bits a weight over the reach with the law, and accuracy over kB of each network."""
    left, right = panels(2, height=2.6)
    ticks = [2, 4, 8, 16, 32]
    left.plot(reaches, bits, "o", color="C0", label="measured")
    left.plot(reaches, bits[-1] + np.log2(np.array(reaches) / 32), color="black", linestyle="-", label="h - log s")
    label(left, "what it costs", "reach max|P| / s", "bits a weight", True, xscale="log", xticks=ticks,
          xticklabels=ticks)
    left.minorticks_off()
    for x, y in zip(size, 100 * accuracy, strict=True):
        right.plot(x, y, color="C0", linestyle="-", linewidth=0.7, marker=".")
    right.axhline(100 * floats, color="black", linestyle="--", linewidth=1)
    label(right, "what it breaks, network by network", "kB, entropy-coded", "accuracy (%)", ylim=(80, 97))


def two_prices(nothing: Mapping[str, tuple[Array, Array]], recipes: Mapping[str, Mapping[str, Array]]) -> None:
    """Notebook 13: (kB, accuracy in per cent) of doing nothing as a line, and of recipes as markers, by price."""
    axes = panels(len(nothing), height=3.0, sharey=True)
    for ax, (price, line) in zip(axes, nothing.items(), strict=True):
        ax.plot(*line, "v:", color="0.35", markersize=4, label="nothing")
        for (name, points), marker in zip(recipes[price].items(), "osD", strict=True):
            ax.plot(*points, marker, linestyle="", label=name)
        label(ax, f"price: {price}", "kB", "accuracy (%)" if ax is axes[0] else "", xlim=(0, 90), ylim=(84, 96))
    axes[0].legend(loc="lower right")


def ranges_of_units(ranges: Mapping[str, Sequence[Array]]) -> None:
    """13: ratios of the ranges of hidden units in two layers, and their ranges in the first, sorted."""
    axes = panels(len(ranges), height=2.5, sharey=True)
    for ax, (name, (r1, r2)) in zip(axes, ranges.items(), strict=True):
        ax.plot(np.sort(r1 / r2), "C0-", label="r1 / r2, sorted")
        ax.plot(np.sort(r1), "C1--", label="r1, sorted")
        label(ax, name, "hidden unit", legend=ax is axes[0], yscale="log")


def above_the_bar(title: str, bar: tuple[Array, Array], textbook: Mapping[str, Array], repaired: Mapping[str, Array],
                  floats: float) -> None:
    """Notebook 13: (kB, accuracy in per cent) of the bar, of textbook recipes, and of repairs on its grid."""
    ax = panels(height=3.2)
    ax.plot(*bar, "v:", color="0.35", markersize=4, label="nothing: the bar")
    for (name, points), marker in zip(textbook.items(), "os^", strict=True):
        ax.plot(*points, marker, linestyle="", markerfacecolor="none", label=f"textbook, {name}")
    for (name, points), style in zip(repaired.items(), ("X-.", "D-"), strict=True):
        ax.plot(*points, style, label=f"bar, {name}")
    ax.axhline(floats, color="black", linestyle="--", linewidth=1)
    label(ax, title, "kB, entropy-coded", "accuracy (%)", legend=True, xlim=(5, 46), ylim=(86, 96))
