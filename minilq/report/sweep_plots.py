"""Accuracy against what it costs: the Pareto figures of a sweep. Nothing here reads or writes a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from minilq.experiments.pareto import Point, dominated, front
from minilq.report import sweep_style as style
from minilq.report.svg import TITLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_FROM = 15                                    # largest by smallest cost
GREY = "#8A8A8A"
FRONTS: dict[str, Literal["-", "-."]] = {"scratch": "-", "post": "-."}


def pareto(points: Sequence[Point], baselines: Sequence[Point], cost: str, rounded: Sequence[Point] = ()) -> Figure:
    """Accuracy against a cost, one panel per granularity, one row per pair of input and rounding.

    points      pooled points of quantized networks, at least one
    baselines   pooled float baselines; each is a dashed line in the rows of its input
    rounded     a float network merely rounded: its front is a dotted line in every panel

    Filled markers were trained from scratch, open ones after the float baseline; each of the two has its own front in
    every panel, whose points are large and coloured, the others small and pale. The axis is cut where collapsed runs
    begin; an arrow at the bottom stands for each that lies below.
    """
    columns, rows = style.granularities(points), style.variants(points)
    figure, grid = style.panels(len(rows), len(columns))
    cut = style.lowest_shown([point["accuracy"] for point in points])
    for variant, line in zip(rows, grid, strict=True):
        for granularity, ax in zip(columns, line, strict=True):
            own = [point for point in style.of_variant(points, variant) if point["granularity"] == granularity]
            ax.set_title(style.plain(granularity + ("" if len(rows) == 1 else f", {style.words(variant)}")))
            _panel(ax, own, cost, cut)
            for baseline in [point for point in baselines if point["input"] == variant[0]]:
                draw_baseline(ax, baseline, cut)
            draw_rounded(ax, rounded, points, cost)
        line[0].set_ylabel("validation accuracy (%)")
    for ax in grid[-1]:
        ax.set_xlabel(style.COSTS[cost].label)
    limits(list(figure.axes), points, baselines, cost, cut)
    above = any(cut is None or point["accuracy"] >= cut for point in baselines)
    _legend(figure, points, above, cut is not None, bool(rounded))
    return figure


def _panel(ax: Axes, points: Sequence[Point], cost: str, cut: float | None) -> None:
    if not points:
        style.note(ax, "no point")
        return
    error_bars(ax, points, cost, [_place(point, cost) for point in points])
    below = [point for point in points if cut is not None and point["accuracy"] < cut]
    for start, dashes in FRONTS.items():
        own = [point for point in points if point["start"] == start]
        best = front(own, cost)
        ax.step([x_of(point, cost) for point in best], [100 * point["accuracy"] for point in best], dashes,
                where="post", color="black", linewidth=0.9, zorder=2)
        for point, worse in zip(own, dominated(own, cost), strict=True):
            if point not in below:
                ax.plot(_place(point, cost), 100 * point["accuracy"], gid=TITLE + title_of(point, cost),
                        **_marker(point, worse), zorder=3 if worse else 4)
    for point in below:
        colour = style.style_of(point["scheme"]).colour
        ax.plot(_place(point, cost), 0.025, transform=ax.get_xaxis_transform(), marker="v",
                markersize=4, color=colour, markerfacecolor=colour if point["start"] == "scratch" else "white",
                linestyle="", zorder=4, gid=TITLE + title_of(point, cost))
    if below and cut is not None:
        style.note(ax, f"{len(below)} below {100 * cut:.1f} %", (0.03, 0.055))


def _marker(point: Point, worse: bool) -> dict[str, Any]:
    own = style.style_of(point["scheme"])
    colour = _pale(own.colour) if worse else own.colour
    return {"marker": own.marker, "linestyle": "", "color": colour, "markersize": 4 if worse else 6.5,
            "markerfacecolor": colour if point["start"] == "scratch" else "white",
            "markeredgewidth": 0.9 if worse else 1.4}


def _pale(colour: str) -> tuple[float, ...]:
    """A colour on its way to grey: recognisable, but behind."""
    from matplotlib.colors import to_rgb

    return tuple(round(0.45 * part + 0.55 * 0.78, 3) for part in to_rgb(colour))


def x_of(point: Point, cost: str) -> float:
    return float(point[cost]) / style.COSTS[cost].unit


def _place(point: Point, cost: str) -> float:
    """Where a marker stands. Bits are few and whole: schemes stand side by side around each, so that they do not hide
    each other."""
    if cost != "bits":
        return x_of(point, cost)
    schemes = list(style.SCHEMES)
    column = schemes.index(point["scheme"]) if point["scheme"] in schemes else len(schemes) // 2
    places = len(schemes) * len(style.STARTS)
    column += len(schemes) * list(style.STARTS).index(point["start"])
    return x_of(point, cost) + 0.7 * ((column + 0.5) / places - 0.5)


def title_of(point: Point, cost: str) -> str:
    """What a reader sees who points at a marker."""
    words = [style.described(point)] if point["scheme"] == "rounded" else [
        style.style_of(point["scheme"]).label, style.strength(point), style.STARTS[point["start"]]]
    seeds = len(point["seeds"])
    return (f"{', '.join(word for word in words if word)}: "
            f"{100 * point['accuracy']:.2f} %, {x_of(point, cost):.4g} {style.COSTS[cost].label.partition(' (')[0]}"
            + (f", {seeds} seeds" if seeds > 1 else ""))


def _deviation(point: Point) -> float:
    """Of the accuracy over the seeds; 0 where there is one seed."""
    deviation: float = point["deviation"]["accuracy"]
    return deviation if math.isfinite(deviation) else 0.0


def error_bars(ax: Axes, points: Sequence[Point], cost: str, places: Sequence[float]) -> None:
    """One standard deviation over the seeds, both ways, each point at its place."""
    bars = [(place, point) for place, point in zip(places, points, strict=True)
            if math.isfinite(point["deviation"]["accuracy"])]
    if bars:
        many = [point for _, point in bars]
        ax.errorbar([place for place, _ in bars], [100 * point["accuracy"] for point in many],
                    xerr=[point["deviation"][cost] / style.COSTS[cost].unit for point in many],
                    yerr=[100 * point["deviation"]["accuracy"] for point in many],
                    fmt="none", ecolor=GREY, elinewidth=0.7, zorder=1)


def draw_baseline(ax: Axes, baseline: Point, cut: float | None) -> None:
    """A line, or its number where it would lie below the axis."""
    if cut is None or baseline["accuracy"] >= cut:
        ax.axhline(100 * baseline["accuracy"], color="black", linestyle="--", linewidth=1.0, zorder=1)
    else:
        style.note(ax, f"float baseline: {100 * baseline['accuracy']:.1f} %", (0.03, 0.11))


def draw_rounded(ax: Axes, rounded: Sequence[Point], points: Sequence[Point], cost: str) -> None:
    """The front of a rounded float network, as far as the costs of the points go."""
    costs = [x_of(point, cost) for point in points]
    best = [point for point in front(rounded, cost) if min(costs) / 1.3 <= x_of(point, cost) <= max(costs) * 1.3]
    own = style.ROUNDED
    ax.step([x_of(point, cost) for point in best], [100 * point["accuracy"] for point in best], ":", where="post",
            color=own.colour, linewidth=1.3, zorder=2)
    for point in best:
        ax.plot(x_of(point, cost), 100 * point["accuracy"], own.marker, color=own.colour, markersize=3, zorder=2,
                gid=TITLE + title_of(point, cost))


def limits(axes: Sequence[Axes], points: Sequence[Point], baselines: Sequence[Point], cost: str,
            cut: float | None) -> None:
    """The common scales: logarithmic where the costs span decades; the accuracies that are shown, and some air."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    costs = [x_of(point, cost) for point in points]
    ends = [point["accuracy"] + sign * _deviation(point) for point in (*points, *baselines) for sign in (-1, 1)]
    low, high = 100 * (min(ends) if cut is None else cut), 100 * max(ends)
    air = max(0.06 * (high - low), 0.1)
    for ax in axes:
        ax.set_ylim(low - (2 if cut is not None else 1) * air, high + air)
        if min(costs) > 0 and max(costs) >= LOG_FROM * min(costs):
            ax.set_xscale("log")
            ax.set_xlim(min(costs) / 1.3, max(costs) * 1.3)
            few = max(costs) < 100 * min(costs)
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.10g}" if x < 1e4 else f"{x / 1000:.10g}k"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        elif cost == "bits":
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def _legend(figure: Figure, points: Sequence[Point], baseline: bool, cut: bool, rounded: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=own.label, color=own.colour, marker=own.marker, linestyle="", markersize=6.5)
               for own in map(style.style_of, style.schemes(points))]
    for start, label in style.STARTS.items():
        if any(point["start"] == start for point in points):
            handles.append(Line2D([], [], label=f"{label}, with its front", color="black", marker="o",
                                  linestyle=FRONTS[start], linewidth=0.9, markersize=6.5,
                                  markerfacecolor="black" if start == "scratch" else "white"))
    handles.append(Line2D([], [], label="dominated", color=GREY, marker="o", linestyle="", markersize=4))
    if baseline:
        handles.append(Line2D([], [], label="float baseline", color="black", linestyle="--", linewidth=1.0))
    if rounded:
        own = style.ROUNDED
        handles.append(Line2D([], [], label=own.label, color=own.colour, marker=own.marker, linestyle=":",
                              linewidth=1.3, markersize=3))
    if cut:
        handles.append(Line2D([], [], label="below the axis", color=GREY, marker="v", linestyle="", markersize=4))
    style.legend(figure, handles)
