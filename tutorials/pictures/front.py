"""The picture of the README: accuracy on full MNIST against bytes of one network, 784-128-10, by every method that
makes it smaller, beside the same float network merely rounded to nearest.

    python tutorials/pictures/front.py

All points are lines of benchmarks/front/front.csv. Of each method those are drawn that no other strength of it beats in
accuracy on the images held out of training and in bytes; their accuracy is that on the test images, mean and standard
deviation of the seeds.
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minilq.experiments.pareto import front
from minilq.files import write_text
from minilq.report.figures import STYLE
from minilq.report.svg import svg_of

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "benchmarks" / "front" / "front.csv"
FREE = {"rounded": ("rounded to nearest, untrained", "#555555", "v", ":")}
THESIS = {"nested": ("the thesis’ nested layer", "#0072B2", "o", "-"), "MaxBin": ("MaxBin", "#D55E00", "s", "-"),
          "Inverse": ("Inverse", "#009E73", "^", "-"), "Difference": ("Difference", "#CC79A7", "D", "-")}
OTHERS = {"learned size": ("bits in the loss", "#000000", "*", "-"),
          "one scale a layer": ("one learned scale a layer", "#56B4E9", "p", "-"),
          "Deep Compression": ("Deep Compression", "#E69F00", "P", "-"),
          "DeepHoyer": ("DeepHoyer", "#7A5195", "h", "-"),
          "soft sharing": ("soft weight sharing", "#A6761D", "8", "-"), "LSQ": ("LSQ", "#332288", "X", "--"),
          "low rank": ("low rank, 4 bits", "#999933", "<", "--"),
          "vectors": ("vector quantization", "#882255", ">", "--"),
          "HashedNets": ("HashedNets", "#44AA99", "d", "--"), "Polino": ("Polino, buckets", "#DDCC77", "H", "--"),
          "Polino's points": ("Polino, points", "#117733", "1", "--"),
          "Khoram and Li": ("Khoram and Li, untrained", "#999999", "2", ":")}
SHOWN = (88, 98.4)
"""Accuracies that are drawn, in %."""


def main() -> None:
    points = pooled()
    (floats,) = (point for point in points if point["method"] == "float")
    with mpl.rc_context(fname=STYLE):
        figure = Figure(figsize=(7.6, 6.4))
        ax = figure.subplots()
        ax.axhline(100 * floats["test"], color="black", linestyle="--", linewidth=1,
                   label=f"float network, {floats['entropy'] / 1000:.0f} kB")
        for method, style in {**FREE, **THESIS, **OTHERS}.items():
            draw(ax, [point for point in points if point["method"] == method], *style)
        ax.set_xscale("log")
        ax.set_xlim(1.5, 80)
        ax.set_ylim(*SHOWN)
        ticks = (2, 3, 5, 7, 10, 15, 20, 30, 50, 80)
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("kB of the file, everything in it")
        ax.set_ylabel("accuracy on MNIST’s test images (%)")
        figure.legend(loc="outside lower center", ncols=3)
        write_text(HERE / "front.svg", svg_of(figure, "front"))


def pooled() -> list[dict[str, Any]]:
    """The settings of every method: means over seeds, and standard deviations where there are several."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            groups.setdefault((row["method"], row["setting"]), []).append(row)
    points = []
    for (method, setting), rows in groups.items():
        values = {name: [float(row[name]) for row in rows] for name in ("held_out", "test", "file", "entropy")}
        points.append({"method": method, "setting": setting, "seeds": len(rows),
                       **{name: fmean(each) for name, each in values.items()},
                       "deviation": {name: stdev(each) if len(each) > 1 else 0.0 for name, each in values.items()}})
    return points


def chosen(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that no other beats in accuracy on what was held out and in bytes, the smallest first."""
    return [dict(point) for point in front([{**point, "accuracy": point["held_out"]} for point in points], "file")]


def draw(ax: Axes, points: list[dict[str, Any]], label: str, colour: str, marker: str, line: str) -> None:
    best = [point for point in chosen(points) if 100 * point["test"] >= SHOWN[0]]
    ax.errorbar([point["file"] / 1000 for point in best], [100 * point["test"] for point in best],
                xerr=[point["deviation"]["file"] / 1000 for point in best],
                yerr=[100 * point["deviation"]["test"] for point in best], color=colour, marker=marker, linestyle=line,
                markersize=8 if marker == "*" else 5, linewidth=2 if marker == "*" else 1.1, elinewidth=0.8, capsize=2,
                label=label)


if __name__ == "__main__":
    main()
