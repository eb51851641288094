"""The picture of the README: accuracy against entropy-coded size on full MNIST, networks with learned scales beside a
float network that is merely rounded.

    python tutorials/pictures/front.py

All points are those of sweeps whose tables are in benchmarks; of several seeds the mean is drawn, with bars of one
standard deviation.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minilq.experiments.pareto import front, pool
from minilq.files import write_text
from minilq.report.figures import STYLE
from minilq.report.svg import svg_of

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks"
THESIS, BEST, LSQ = (BENCHMARKS / name for name in (
    "sweeps/thesis-mnist.csv", "recipe/best-mnist.csv", "sweeps/lsq-mnist.csv"))
LEARNED = {"nested": ("the thesis’ nested layer", "#0072B2", "o"), "maxbin": ("MaxBin", "#D55E00", "s"),
           "inverse": ("Inverse", "#009E73", "^"), "difference": ("Difference", "#CC79A7", "D")}
SIZE = "bytes_entropy"


def main() -> None:
    points = read(THESIS)
    rival = [point for point in points if point["scheme"] == "rounded"]
    baseline, = (point for point in points if point["name"] == rival[0]["of"])
    with mpl.rc_context(fname=STYLE):
        figure = Figure(figsize=(7.2, 4.2))
        ax = figure.subplots()
        ax.axhline(100 * baseline["accuracy"], color="black", linestyle="--", linewidth=1,
                   label=f"float network, {baseline['bytes_float32'] / 1000:.0f} kB")
        ax.plot(*_xy(front(rival, SIZE)), color="#555555", marker="v", markersize=4, linestyle=":",
                label="that network, merely rounded to nearest")
        for scheme, (label, colour, marker) in LEARNED.items():
            own = [point for point in points if point["scheme"] == scheme]
            ax.plot(*_xy(front(own, SIZE)), color=colour, marker=marker, markersize=5, label=label)
        _with_seeds(ax, read(BEST), "ungated", "one learned scale for each layer", "#56B4E9", "p")
        _with_seeds(ax, read(LSQ), "lsq", "LSQ, 2 to 4 bits", "#000000", "X")
        ax.set_xscale("log")
        ax.set_xlim(7, 130)
        ax.set_ylim(90, 98.4)
        ax.set_xticks([7, 10, 15, 20, 30, 50, 70, 100], ["7", "10", "15", "20", "30", "50", "70", "100"])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("kB, entropy-coded, scales and tables counted")
        ax.set_ylabel("accuracy on MNIST (%)")
        ax.legend(loc="lower right")
        write_text(HERE / "front.svg", svg_of(figure, "front"))


def read(path: Path) -> list[dict[str, Any]]:
    """The points of a sweep's table, numbers as numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: _value(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def _value(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def _with_seeds(ax: Axes, points: list[dict[str, Any]], scheme: str, label: str, colour: str, marker: str) -> None:
    """The pooled points of a scheme that no other of its own beats."""
    best = front(pool([point for point in points if point["scheme"] == scheme]), SIZE)
    deviations = [point["deviation"] for point in best]
    ax.errorbar(*_xy(best), xerr=[d[SIZE] / 1000 for d in deviations], yerr=[100 * d["accuracy"] for d in deviations],
                color=colour, marker=marker, markersize=6, linewidth=1.2, elinewidth=0.9, capsize=2, label=label)


def _xy(points: Any) -> tuple[list[float], list[float]]:
    return [point[SIZE] / 1000 for point in points], [100 * point["accuracy"] for point in points]


if __name__ == "__main__":
    main()
