"""Pictures of notebooks 14 to 16: where ranges end, where grids begin, and what learns both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels

Array = np.ndarray[Any, Any]


def two_errors(alphas: Array, parts: Mapping[str, Mapping[str, Array]], measured: Mapping[str, Array]) -> None:
    """14: rounding, clipping and their sum over alpha for each density, and at every tenth alpha what was measured."""
    axes = panels(2, height=2.8, sharey=True)
    for ax, (density, of_density) in zip(axes, parts.items(), strict=True):
        for (name, part), style in zip(of_density.items(), ("C0--", "C1-."), strict=True):
            ax.plot(alphas, part, style, label=name)
        ax.plot(alphas, np.sum(list(of_density.values()), axis=0), "-", color="black", label="sum")
        ax.plot(alphas[::10], measured[density], "o", color="C2", label="measured")
        label(ax, f"{density}, 4 bits", "alpha", yscale="log", ylim=(1e-3, 1))
    axes[0].legend(loc="upper right", ncols=2)


def ends_of_ranges(numbers: Array, ends: Mapping[str, float]) -> None:
    """14: how numbers are distributed, and where rules put the last code."""
    ax = panels(height=2.8)
    ax.hist(numbers, 200, color="0.75", log=True)
    for (name, high), color in zip(ends.items(), ("C0", "C1", "C2", "C3", "C5"), strict=True):
        ax.axvline(high, color=color)
        ax.text(high, 900, name, rotation=90, ha="right", va="top", fontsize=8)
    label(ax, "hidden units above 0: where five rules put the last of 16 codes", "value", "how many")


def valleys(ends: Array, errors: Mapping[int, Sequence[float]], rules: Mapping[str, Array]) -> None:
    """14: the squared error over the end of the range, a line for each number of bits, and where rules lie on them."""
    ax = panels(height=3.0)
    for (bits, line), style in zip(errors.items(), ("-", "--", "-.", ":"), strict=True):
        ax.plot(ends, line, "C0", linestyle=style, label=f"{bits} bits")
    for (name, places), marker in zip(rules.items(), "os^Dv", strict=True):
        ax.plot(*places, marker, color="C1", markersize=5, linestyle="", label=name)
    ax.legend(loc="upper right", fontsize=8)
    label(ax, "hidden units", "end of the range", "squared error", yscale="log", xlim=(0, 24))


def levels_and_ends(lines: Mapping[str, tuple[Sequence[int], Sequence[float]]], marked: int) -> None:
    """14: the ends that rules choose over the number of levels; one number is marked."""
    ax = panels(height=2.4)
    for (name, line), style in zip(lines.items(), ("o-", "s--"), strict=True):
        ax.plot(*line, style, label=name)
    ax.axvline(marked, color="0.5", linestyle=":")
    ticks = sorted({marked, *(level for levels, _ in lines.values() for level in levels)})
    label(ax, "", "levels", "end of the range", True, xscale="log", xticks=ticks, xticklabels=ticks)
    ax.minorticks_off()


def grids(names: Sequence[str], scales_and_zeros: Sequence[tuple[float, int]], low: float, high: float) -> None:
    """15: grids of sixteen codes above each other, the zero point as a dot, and the range that they are for."""
    ax = panels(height=2.0)
    for height, (name, (S, Z)) in enumerate(zip(names, scales_and_zeros, strict=True)):
        ax.plot(S * (np.arange(16) - Z), np.full(16, height), "|", markersize=14, color="C0", linestyle="")
        ax.plot(0, height, "o", color="C1")
        ax.text(-2.3, height + 0.25, f"{name}: S = {S:.3f}, Z = {Z}", fontsize=8)
    ax.axvspan(low, high, color="0.9")
    label(ax, f"sixteen codes for {low} .. {high} (grey); the dot is the zero point", "real number", ylim=(-0.4, 1.7),
          yticks=[])


def relu_and_ratios(before: Array, after: Array, ratios: Mapping[str, tuple[float, float]]) -> None:
    """15: numbers before and after a relu, and the error of symmetric over affine grids, measured and by formula."""
    left, right = panels(2, height=2.6)
    left.hist(before, 80, color="0.75", label="before")
    left.hist(after, 80, color="black", histtype="step", linewidth=1.2, label="after")
    for shift, hatch, place, name in ((-0.2, "", 0, "measured"), (0.2, "//", 1, "formula")):
        right.bar(np.arange(4) + shift, [both[place] for both in ratios.values()], 0.4, hatch=hatch, label=name)
    label(left, "hidden units, before and after relu", "value", legend=True, yscale="log")
    label(right, "6 bits: error symmetric / affine", ylim=(0, 5.5), xticks=range(4))
    right.set_xticklabels(ratios, fontsize=8)
    right.legend(loc="upper left")


def levels_of_channels(levels: Mapping[str, Array], title: str) -> None:
    """15: how many different codes each channel has, by granularity."""
    ax = panels(height=2.2)
    for (granularity, counts), shift, hatch in zip(levels.items(), (-0.2, 0.2), ("", "//"), strict=True):
        ax.bar(np.arange(len(counts)) + shift, counts, 0.4, hatch=hatch, label=granularity)
    ax.legend(loc="best", ncols=2)
    label(ax, title, "channel, by its range", ylim=(0, 12), yticks=(0, 3, 6, 9), xticks=range(0, 16, 3))


def step_and_slope(x: Array, now: Array, larger: Array, slope: Array) -> None:
    """16: what a step makes of numbers, what a larger one would, and the slope of the step."""
    top, bottom = panels(rows=2, height=1.8, sharex=True)
    top.plot(x, now, "C0-")
    top.plot(x, larger, "C0:", linewidth=1)
    bottom.plot(x, slope, "C1-")
    label(top, "2 bits, s = 0.5; dotted: a step 15 % larger", y="reconstruction")
    label(bottom, x="x", y="slope of s")


def paths_of_alpha(paths: Mapping[str, Sequence[Array]], largest: float, best: float) -> None:
    """16: alpha under each gradient, from two starts; the largest number, and the least squared error."""
    ax = panels(height=3.0)
    for (name, both), style in zip(paths.items(), ("C0-", "C1--", "C2-."), strict=True):
        for i, path in enumerate(both):
            ax.plot(path, style, label=None if i else name)
    ax.axhline(largest, color="0.5", linestyle=":", linewidth=1)
    ax.axhline(best, color="black", linestyle=":", linewidth=1)
    label(ax, "dotted: the largest number, and the least squared error", "update", "alpha", legend=True)


def fitted_levels(numbers: Array, levels: Mapping[str, Array], errors: Mapping[str, float], title: str) -> None:
    """16: how numbers are distributed, and above them the levels of each method, with its squared error."""
    ax = panels(height=2.7)
    ax.hist(numbers, 150, color="0.8", log=True)
    for height, (name, of_method) in zip((600, 240, 100), levels.items(), strict=True):
        ax.plot(of_method, np.full(len(of_method), height), "|", markersize=11, linestyle="")
        ax.text(8.6, height, f"{name}: {errors[name]:.4f}", fontsize=8, va="center")
    label(ax, title, "value", "how many", xlim=(-1, 15))


def points_below(gaps: Mapping[str, Mapping[str, Array]]) -> None:
    """16: how far each method is below the float network, mean and standard error, for each number of bits."""
    ax, names = panels(height=3.0), list(next(iter(gaps.values())))
    for (bits, of_bits), marker, shift in zip(gaps.items(), "os", (-0.1, 0.1), strict=False):
        values = [of_bits[name] for name in names]
        ax.errorbar([d.mean() for d in values], np.arange(len(names)) + shift,
                    xerr=[d.std(ddof=1) / len(d) ** 0.5 for d in values], marker=marker, linestyle="", capsize=2,
                    label=f"{bits} bits")
    ax.axvline(0, color="black", linewidth=0.8)
    label(ax, "", "points below the float network, trained on as long", "", True, yticks=range(len(names)),
          yticklabels=names)
