"""What `front.py` has measured, as a table and as the picture of the README.

Of each method those strengths are shown that no other of it beats in accuracy on the images held out of training and in
bytes; their accuracy is that on the test images, mean and standard deviation of the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
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

PICTURE = Path(__file__).parents[1] / "tutorials" / "pictures" / "front.svg"
FREE = {"rounded": ("rounded to nearest, untrained", "#555555", "v", ":"),
        "rounded, no L2": ("rounded, a float network without L2", "#BBBBBB", "v", ":")}
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
SHOWN = (88, 98.6)
"""Accuracies that are drawn, in %."""
LISTED, LARGEST = 0.95, 40_000
SAME = ("input", "rounding", "gate", "penalty")
"""Of settings, what all of a method have."""
FLOAT, FLOAT_BYTES = "not rounded", 407_080

Rows = Sequence[dict[str, str]]


def draw(rows: Rows, path: Path = PICTURE) -> None:
    points = pooled(rows)
    (floats,) = (point for point in points if (point["method"], point["setting"]) == ("rounded", FLOAT))
    with mpl.rc_context(fname=STYLE):
        figure = Figure(figsize=(7.6, 6.4))
        ax = figure.subplots()
        ax.axhline(100 * floats["test"], color="black", linestyle="--", linewidth=1,
                   label=f"float network, {FLOAT_BYTES / 1000:.0f} kB")
        there = {point["method"] for point in points}
        for method, style in {**FREE, **THESIS, **OTHERS}.items():
            if method not in there:
                continue
            draw_one(ax, [point for point in points if point["method"] == method and point["setting"] != FLOAT], *style)
        ax.set_xscale("log")
        ax.set_xlim(1.3, 90)
        ax.set_ylim(*SHOWN)
        ticks = (1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 80)
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("kB of the file, everything in it")
        ax.set_ylabel("accuracy on MNIST’s test images (%)")
        figure.legend(loc="outside lower center", ncols=3)
        write_text(path, svg_of(figure, "front"))


def table(rows: Rows) -> str:
    """Markdown: a line for each strength that is shown, above LISTED in accuracy and below LARGEST in bytes."""
    points = pooled(rows)
    lines = ["| method | setting | seeds | held out | test | bytes | float32 / bytes |", "|---" * 7 + "|"]
    for method in (*FREE, *OTHERS, *THESIS):
        for point in chosen([point for point in points if point["method"] == method]):
            if point["held_out"] < LISTED or point["file"] > LARGEST:
                continue
            test, file, sd = 100 * point["test"], point["file"], point["deviation"]
            setting = ", ".join(part for part in point["setting"].split(", ") if not part.startswith(SAME))
            lines.append(f"| {method} | {setting} | {point['seeds']} | {100 * point['held_out']:.2f} | {test:.2f} +- "
                         f"{100 * sd['test']:.2f} % | {file:,.0f} +- {sd['file']:,.0f} | {FLOAT_BYTES / file:.0f} |")
    return "\n".join(lines)


def pooled(rows: Rows) -> list[dict[str, Any]]:
    """The settings of every method: means over seeds, and standard deviations, 0 of a single one."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["setting"]), []).append(row)
    points = []
    for (method, setting), members in groups.items():
        values = {name: [float(row[name]) for row in members] for name in ("held_out", "test", "file", "entropy")}
        points.append({"method": method, "setting": setting, "seeds": len(members),
                       **{name: fmean(each) for name, each in values.items()},
                       "deviation": {name: stdev(each) if len(each) > 1 else 0.0 for name, each in values.items()}})
    return points


def chosen(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that no other beats in accuracy on what was held out and in bytes, the smallest first."""
    return [dict(point) for point in front([{**point, "accuracy": point["held_out"]} for point in points], "file")]


def draw_one(ax: Axes, points: list[dict[str, Any]], label: str, colour: str, marker: str, line: str) -> None:
    best = [point for point in chosen(points) if 100 * point["test"] >= SHOWN[0]]
    ax.errorbar([point["file"] / 1000 for point in best], [100 * point["test"] for point in best],
                xerr=[point["deviation"]["file"] / 1000 for point in best],
                yerr=[100 * point["deviation"]["test"] for point in best], color=colour, marker=marker, linestyle=line,
                markersize=8 if marker == "*" else 5, linewidth=2 if marker == "*" else 1.1, elinewidth=0.8, capsize=2,
                label=label)

