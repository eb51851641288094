"""Pictures of notebook 11: codes in files, and layers on integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from course import label, panels

Array = np.ndarray[Any, Any]


def tree(words: Sequence[str], counts: Mapping[int, int]) -> None:
    """A Huffman tree, left for 0 and right for 1, with codes at its leaves and sums at its joints."""
    def place(word: str) -> tuple[float, int]:
        return sum((2 * int(bit) - 1) * 0.75**depth for depth, bit in enumerate(word)), -len(word)

    def box(word: str, text: str, colour: str) -> None:
        ax.text(*place(word), text, ha="center", va="center", fontsize=8, zorder=3,
                bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": colour})

    ax = panels(height=3.2)
    for word, (code, times) in zip(words, counts.items(), strict=True):
        for end in range(len(word)):
            ax.plot(*zip(place(word[:end]), place(word[:end + 1]), strict=True), color="grey", linestyle="-")
            below = [n for other, n in zip(words, counts.values(), strict=True) if other.startswith(word[:end])]
            box(word[:end], str(sum(below)), "C1")
        box(word, f"{code}: {times} times\n{word}", "C0")
    ax.axis("off")
    ax.axis((-1.6, 3.1, -4.5, 0.4))


def weights_and_codes(weights: Array, values: Array, counts: Array) -> None:
    """How latent weights are distributed, and how their codes are."""
    left, right = panels(2, height=2.5)
    left.hist(weights.ravel(), 100, color="C5")
    right.bar(values, counts, width=1.0)
    label(left, "first layer: latent weights", "P", "count")
    label(right, "first layer: codes", "integer", "count")


def ladder_of_sizes(rungs: Mapping[str, Any]) -> None:
    """Codes, tables and scales of each form as bars; float32, the first form, is in the title."""
    ax, start = panels(height=3.0), np.zeros(len(rungs) - 1)
    for part, hatch in (("codes", ""), ("tables", "///"), ("scales", "...")):
        size = np.array([getattr(weight, part) / 1e3 for form, weight in rungs.items() if form != "float32"])
        ax.barh(list(rungs)[1:], size, left=start, hatch=hatch, edgecolor="white", label=part)
        start += size
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    label(ax, f"float32 would be {rungs['float32'].total / 1e3:.0f} kB", "kB", "", legend=True)


def zero_point(grid: Any, title: str) -> None:
    """A grid of 256 codes on the real line, with the first, the zero point, the middle and the last."""
    ax = panels(height=1.4)
    marks = np.array([0, grid.zero, 128, 255])
    ax.plot(grid.reals(np.arange(256)), np.zeros(256), "|", color="C0", linestyle="")
    ax.plot(grid.reals(marks), np.zeros(4), "o", color="C1", linestyle="")
    for code in marks:
        ax.text(grid.reals(code), 0.3, f"code {code}", ha="center", fontsize=8)
    label(ax, title, "real number", ylim=(-0.5, 0.8), yticks=[])


def one_unit(title: str, accumulators: Array, codes: Array, reals: Array, off: Array) -> None:
    """Codes of a unit over its accumulators with the real numbers as a line, and how far all codes are off."""
    order = np.argsort(accumulators)
    left, right = panels(2, height=2.6)
    left.plot(accumulators[order] / 1e3, codes[order], ".", color="C0", linestyle="", label="code")
    left.plot(accumulators[order] / 1e3, reals[order], color="C1", linewidth=1, label="y / S'")
    right.hist(off, 41, range=(-0.6, 0.6))
    label(left, title, "accumulator (thousands)", "code of the next layer", legend=True, ylim=(-60, 280))
    label(right, "code minus real number", "difference (steps of the grid)", "count")
