"""The picture of the README: accuracy against entropy-coded size on full MNIST, learned scales beside a float network
that is merely rounded.

    minilq train --data mnist --out runs/mnist-1
    python tutorials/pictures/front.py runs/mnist-1

The learned points are those of the thesis' sweep, benchmarks/sweeps/thesis-mnist.csv; the rounded ones are measured
here, on the float network of the run, which is the sweep's baseline.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from minilq.experiments.config import read_config
from minilq.experiments.pareto import front
from minilq.experiments.rounded import rounded_front, score_on
from minilq.experiments.run import data_of, trained
from minilq.files import write_text
from minilq.report.figures import STYLE
from minilq.report.svg import svg_of

HERE = Path(__file__).parent
SWEEP = HERE.parents[1] / "benchmarks" / "sweeps" / "thesis-mnist.csv"
SITES = [f"dense{layer}.{what}" for layer in (1, 2) for what in ("weight", "bias")]
LEARNED = {"nested": ("the thesis’ nested layer", "#0072B2", "o"), "maxbin": ("MaxBin", "#D55E00", "s"),
           "inverse": ("Inverse", "#009E73", "^"), "difference": ("Difference", "#CC79A7", "D")}


def main(run: Path) -> None:
    points = list(csv.DictReader(SWEEP.read_text(encoding="utf-8").splitlines()))
    baseline, = (point for point in points if point["scheme"] == "float")
    level = float(baseline["accuracy"])
    with mpl.rc_context(fname=STYLE):
        figure = Figure(figsize=(7.2, 3.8))
        ax = figure.subplots()
        ax.axhline(100 * level, color="black", linestyle="--", linewidth=1,
                   label=f"float network, {float(baseline['bytes_float32']) / 1000:.0f} kB")
        rival = rounded(run)
        ax.plot(*_xy(rival), color="#555555", marker="v", linestyle=":", label="float network, rounded to nearest")
        for scheme, (label, colour, marker) in LEARNED.items():
            own = [{name: float(point[name]) for name in ("bytes_entropy", "accuracy")}
                   for point in points if point["scheme"] == scheme]
            ax.plot(*_xy(front(own, "bytes_entropy")), color=colour, marker=marker, markersize=5,
                    label=f"{label}, learned")
        ax.set_xscale("log")
        ax.set_xlim(13, 130)
        ax.set_ylim(90, 98)
        ax.set_xticks([15, 20, 30, 50, 70, 100], ["15", "20", "30", "50", "70", "100"])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("kB, entropy-coded, scales and tables counted")
        ax.set_ylabel("accuracy on MNIST (%)")
        ax.legend(loc="lower right")
        write_text(HERE / "front.svg", svg_of(figure, "front"))


def rounded(run: Path) -> list[dict[str, Any]]:
    """The front of the float network of a run rounded to nearest, in every granularity."""
    config = read_config(run / "config.json")
    points = rounded_front(trained(run, "float"), SITES, score_on(data_of(config), config), each=8)
    for point in points:
        print(f"{point['granularity']} {point['reach']:.2f}: {100 * point['accuracy']:.2f} %, "
              f"{point['bytes_entropy'] / 1000:.1f} kB")
    return points


def _xy(points: Any) -> tuple[list[float], list[float]]:
    return [point["bytes_entropy"] / 1000 for point in points], [100 * point["accuracy"] for point in points]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
