"""Pictures of notebook 27: chance, and the front of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels

from minilq.experiments.pareto import front

Array = np.ndarray[Any, Any]


def judged_again(accuracies: Array, mean: float, error: float) -> None:
    """Accuracies of one network on 2000 images, drawn again and again, and the normal density of the formula."""
    ax = panels(height=2.3)
    right = np.rint(2000 * accuracies)               # whole numbers: three in each bar, lest some have more than others
    ax.hist(right / 20, bins=np.arange(right.min() - 0.5, right.max() + 3, 3) / 20, density=True, color="C0", alpha=0.6)
    x = np.linspace(mean - 4 * error, mean + 4 * error, 200)
    density = np.exp(-((x - mean) ** 2) / (2 * error**2)) / (error * np.sqrt(2 * np.pi)) / 100
    ax.plot(100 * x, density, color="black", linestyle="--", label="by the formula")
    label(ax, "One network, its 2000 images drawn again", "accuracy (%)", "density", True)


def two_errors(names: Sequence[str], gaps: Sequence[float], paired: Sequence[float], apart: Sequence[float]) -> None:
    """Differences to one network, with errors on the same images and as if on others."""
    ax, places = panels(height=2.2), np.arange(len(names))
    kinds = (-0.12, paired, "o", "on the same images"), (0.12, apart, "s", "as if on others")
    for shift, errors, style, name in kinds:
        ax.errorbar(100 * np.array(gaps), places + shift, xerr=100 * np.array(errors), fmt=style, capsize=3,
                    linestyle="", label=name)
    ax.axvline(0, color="black", linewidth=0.8)
    label(ax, "First seed: difference to the first method, and its standard error", "points",
          ylim=(-0.6, len(names) + 0.6))
    ax.set_yticks(places, names)
    ax.legend(ncol=2, fontsize=8, loc="upper center")


def winners(fields: Sequence[int], gains: Sequence[float]) -> None:
    """By how much the best of some equal methods looks better than it is."""
    ax = panels(height=2.2)
    ax.semilogx(fields, gains, "o-")
    label(ax, "The best of m methods that are all equally good", "m", "too good by (points)")
    ax.set_xticks(fields, [str(m) for m in fields])
    ax.minorticks_off()


def front_of_all(nothing: Sequence[Sequence[Mapping[str, Any]]], pooled: Sequence[Mapping[str, Any]],
                 floats: Mapping[str, Any], names: Mapping[int, str]) -> None:
    """Methods with standard errors over seeds, and for each seed what its float network comes to when rounded."""
    ax = panels(height=3.0)
    for seed, line in enumerate(nothing):
        points = front(line, "bytes_entropy")
        ax.plot([p["bytes_entropy"] / 1000 for p in points], [100 * p["accuracy"] for p in points], "v:", color="0.4",
                markersize=3, label="" if seed else "do nothing, each seed")
    for p, marker in zip(pooled, "os^DPX", strict=False):
        ax.errorbar(p["bytes_entropy"] / 1000, 100 * p["accuracy"], 100 * p["deviation"]["accuracy"] /
                    len(p["seeds"]) ** 0.5, fmt=marker, capsize=3, markersize=6, label=names[id(p)])
    ax.axhline(100 * floats["accuracy"], color="black", linestyle="-.", linewidth=0.8, label="float, 407 kB")
    label(ax, "A small league: 784-128-10 on the digits", "kB, entropy-coded", "accuracy (%)", xlim=(0, 60),
          ylim=(84, 94))
    ax.legend(fontsize=8, ncol=2, loc="lower right")
