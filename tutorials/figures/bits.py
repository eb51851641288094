"""Pictures of notebooks 17 to 20: signs, tables, codebooks, and gradients of few bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels

Array = np.ndarray[Any, Any]
Errors = tuple[float, float]                     # a mean and its standard error


def factors(f: Array, accuracies: Sequence[float], scaled: float, floats: float) -> None:
    """17: accuracy with signs times a factor, with a factor for each unit, and of the floats."""
    ax = panels(height=2.5)
    ax.semilogx(f, accuracies, label="f · sign(W), one f for all")
    ax.axhline(floats, color="black", linestyle=":", label="float")
    ax.axhline(scaled, color="C1", linestyle="--", label="mean |w| of each unit · sign(W)")
    label(ax, "The sizes are thrown away, the signs stay", "factor f", "accuracy (%)", legend=True)


def beside_doing_nothing(bits: Array, accuracy: Array, methods: Mapping[str, tuple[float, Errors]], floats: float,
                         markers: str, **more: Any) -> None:
    """17, 18: floats rounded and entropy-coded (networks, steps), and methods at their bits; with standard errors."""
    ax = panels(height=2.8)
    ax.errorbar(bits.mean(axis=0), accuracy.mean(axis=0), accuracy.std(axis=0, ddof=1) / len(accuracy) ** 0.5,
                label="do nothing: rounded, entropy-coded")
    for (name, (place, found)), marker in zip(methods.items(), markers, strict=True):
        ax.errorbar([place], *found, fmt=marker, linestyle="", capsize=3, label=name)
    ax.axhline(floats, color="black", linestyle=":", label="float")
    label(ax, "First layer of 784-16-10; bars are standard errors", "bits per weight", "accuracy (%)", True, **more)


def surrogates(u: Array, curves: Mapping[str, tuple[Array, Array]]) -> None:
    """17: six surrogates of the sign, each curve with its slope."""
    axes = panels(3, rows=2, height=1.6, sharex=True, sharey=True).ravel()
    for ax, (name, both) in zip(axes, curves.items(), strict=True):
        for curve, told in zip(both, ("curve", "slope"), strict=True):
            ax.plot(u, curve, label=told)
        label(ax, name, ylim=(-1.6, 2.7))
    axes[0].legend(loc="best")


def lloyd_max(tables: Mapping[int, tuple[Array, Array]]) -> None:
    """18: levels and thresholds of tables for normal weights, with the density behind them."""
    ax, line = panels(height=2.6), np.linspace(-3.2, 3.2, 300)
    ax.fill_between(line, 5.2 * np.exp(-(line**2) / 2), color="0.9")
    for row, (levels, thresholds) in enumerate(tables.values()):
        names = ("levels", "thresholds") if row == 0 else (None, None)
        ax.plot(levels, np.full(len(levels), row + 1), "o", color="C0", linestyle="", label=names[0])
        ax.plot(thresholds, np.full(len(thresholds), row + 1), "|", color="C1", markersize=12, linestyle="",
                label=names[1])
    ax.legend(loc="upper left")
    label(ax, "Lloyd–Max for normal weights", "w / σ", xlim=(-4.2, 3.4), yticks=range(1, len(tables) + 1),
          yticklabels=[f"K = {K}" for K in tables])


def learned_levels(weights: Array, levels: Sequence[float], threshold: float) -> None:
    """18: latent weights, the levels that were learned, and the thresholds at plus and minus one number."""
    ax = panels(height=2.2)
    ax.hist(weights, 101, range=(-0.25, 0.25), color="C0", label="latent weights")
    for level in levels:
        ax.axvline(level, color="C1", linestyle="--", label="levels" if level == levels[-1] else None)
    for side in (-1, 1):
        ax.axvline(side * threshold, color="black", linestyle=":", label="thresholds" * (side > 0))
    label(ax, "What TTQ has learned (last seed)", "w", "count", legend=True)


def starts(errors: Mapping[str, Array], values: Mapping[str, Array]) -> None:
    """19: the error of k-means on its way from each start, and where its values end."""
    left, right = panels(2, height=2.7)
    for row, (name, error) in enumerate(errors.items()):
        left.loglog(np.arange(1, len(error) + 1), error, label=name)
        right.plot(values[name], np.full(len(values[name]), row), "o", color=f"C{row}", markersize=4, linestyle="")
    label(left, "error on the way", "step", "error / variance", True)
    label(right, "where the values end", "value / σ", "", yticks=range(len(errors)), yticklabels=list(errors))


def small_steps(widths: Array, bits: tuple[Array, Array], errors: tuple[Array, Array]) -> None:
    """19: bits and squared error over the step, measured and by formula."""
    left, right = panels(2, height=2.5)
    for values, name in zip(bits, ("measured", "h - log₂ s"), strict=True):
        left.semilogx(widths, values, label=name)
    for values, name in zip(errors, ("measured", "s² / 12"), strict=True):
        right.loglog(widths, values, label=name)
    label(left, "bits of the codes", "step s / σ", "bits", True)
    label(right, "squared error", "step s / σ", "error / variance", True)


def gaps(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], limit: float) -> None:
    """19: how far quantizers are above the bound, over their bits."""
    ax = panels(height=2.8)
    for (name, line), style in zip(lines.items(), ("-", "s--", "o-."), strict=True):
        ax.plot(*line, style, label=name)
    ax.axhline(limit, color="black", linestyle=":", label="½ log₂(πe/6)")
    label(ax, "Normal numbers: bits above the bound (0 is the bound)", "bits per number", "gap (bits)", True,
          ylim=(0, 0.8))


def walk(time: Array, walkers: Array, mean: Array, spread: Array) -> None:
    """20: weights under a constant gradient (steps, weights), the mean and two deviations by the formula."""
    ax = panels(height=2.5)
    ax.plot(time, walkers, color="0.75", linestyle="-", linewidth=0.6)
    ax.plot(time, mean, color="C0", linestyle="-", label="mean, by the formula")
    ax.plot(time, mean + 2 * spread, color="C1", linestyle="--", label="± 2 deviations")
    ax.plot(time, mean - 2 * spread, color="C1", linestyle="--")
    ax.axhline(0, color="black", linestyle=":", label="nearest")
    label(ax, "Updates of a tenth of a step, 25 weights", "step", "w", legend=True)


def on_a_grid(grids: Sequence[float], means_and_errors: Mapping[str, tuple[Array, Array]]) -> None:
    """20: accuracy of networks with weights on a grid, over its step."""
    ax = panels(height=2.6)
    for (name, both), style in zip(means_and_errors.items(), ("o:", "s-", "^--"), strict=True):
        ax.errorbar(grids, *both, fmt=style, label=name, capsize=3)
    label(ax, "784-16-10, weights on a grid; bars are standard errors", "step s of the grid", "accuracy (%)", True)
    ax.set_xscale("log")
    ax.set_xticks(grids, map(str, grids))
    ax.minorticks_off()


def draws_and_means(g: Array, draws: Mapping[int, Array]) -> None:
    """20: what becomes of gradients g with few bits, three draws and the mean of all, for each number of bits."""
    for ax, (bits, drawn) in zip(panels(len(draws), height=2.5, sharey=True), draws.items(), strict=True):
        ax.plot(np.repeat(g, 3), drawn[:3].T.ravel(), ".", color="0.6", markersize=3, linestyle="", label="three draws")
        ax.plot(g, drawn.mean(axis=0), color="C0", label="mean")
        title = f"{bits} bit{'s' * (bits > 1)}: {len(np.unique(drawn.round(9)))} levels"
        label(ax, title, "g", "ĝ" * (bits == 1), legend=bits == 4)


def distances(sizes: Array, far: Mapping[tuple[str, int], Array]) -> None:
    """20: distance of quantized gradients from the true one over the batch, by (rounding, bits); 3 bits are hollow."""
    ax = panels(height=2.7)
    for (name, bits), values in far.items():
        ax.loglog(sizes, values, "o-" if name == "coin" else "s--", color=f"C{bits // 2}",
                  markerfacecolor="white" if bits == 3 else None, label=f"{name}, bits: {bits}")
    label(ax, "First weight: distance from the true gradient", "samples in the batch", "relative distance", legend=True)


def against_real(bits: Sequence[int], means_and_errors: Mapping[str, tuple[Array, Array]], real: float) -> None:
    """20: points that are lost with gradients of few bits, mean and standard error."""
    ax = panels(height=2.6)
    for (name, both), style in zip(means_and_errors.items(), ("o-", "s--"), strict=True):
        ax.errorbar(bits, *both, fmt=style, label=name, capsize=3)
    ax.axhline(0, color="black", linestyle=":", label=f"real gradients, {real:.1f} %")
    label(ax, "784-16-10, points against real gradients", "bits of the gradient", "accuracy (points)", True,
          xticks=bits)
