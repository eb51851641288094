"""Many methods in one panel: accuracy against what it costs. Nothing here reads or writes a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from minilq.experiments.pareto import Point, front
from minilq.report import sweep_style as style
from minilq.report.svg import TITLE
from minilq.report.sweep_plots import GREY, draw_baseline, draw_rounded, error_bars, limits, title_of, x_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#000000")
MARKERS = "os^DvPX*<>"
SIZE = (9.6, 7.4)
SIZES = "bytes_entropy"
APART = 0.06
"""Of the height of a front, that names need."""


def looks(points: Sequence[Point]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each scheme: no two alike while there are no more than there are pairs."""
    pairs = [(COLOURS[i % len(COLOURS)], marker) for marker, i in product(MARKERS, range(len(COLOURS)))]
    return {scheme: pairs[place % len(pairs)] for place, scheme in enumerate(style.schemes(points))}


def crowd(points: Sequence[Point], baselines: Sequence[Point], cost: str, rounded: Sequence[Point] = ()) -> Figure:
    """Every pooled point with the colour and marker of its method, filled from scratch, open after the float baseline;
    those on the front of all are named. A thin line begins at what the codes alone would take at their entropy.

    Arguments as of `pareto`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE)
    ax = figure.subplots()
    cut, own = style.lowest_shown([point["accuracy"] for point in points]), looks(points)
    seen = [point for point in points if cut is None or point["accuracy"] >= cut]
    places = {point["members"][0]["name"]: x_of(point, cost) for point in points}
    if cost == "bits":                           # few and whole: methods stand side by side
        step = 0.8 / len(own)
        for point in points:
            places[point["members"][0]["name"]] += step * (list(own).index(point["scheme"]) + 0.5) - 0.4
    error_bars(ax, seen, cost, [places[point["members"][0]["name"]] for point in seen])
    best = front(points, cost)
    ax.step([x_of(point, cost) for point in best], [100 * point["accuracy"] for point in best], where="post",
            color="black", linewidth=0.9, zorder=2)
    for point in points:
        below, x = cut is not None and point["accuracy"] < cut, places[point["members"][0]["name"]]
        colour, marker = own[point["scheme"]]
        look: dict[str, Any] = {"marker": "v" if below else marker, "color": colour, "linestyle": "", "zorder": 3,
                                "markersize": 7 if point in best else 4.5, "gid": TITLE + title_of(point, cost),
                                "markerfacecolor": colour if point["start"] == "scratch" else "none"}
        if below:
            ax.plot(x, 0.02, transform=ax.get_xaxis_transform(), **look)
        else:
            ax.plot(x, 100 * point["accuracy"], **look)
            if cost == SIZES and 2 * bound(point) > point[SIZES]:            # codes, not floats beside them
                ax.plot([bound(point) / 1000, x], 2 * [100 * point["accuracy"]], color=colour,
                        linewidth=0.6, zorder=1)
    for point in named([point for point in best if point in seen]):
        at = places[point["members"][0]["name"]], 100 * point["accuracy"]
        ax.annotate(style.plain(short(point)), at, fontsize=8, xytext=(4, -10), textcoords="offset points", zorder=5)
    for baseline in baselines:
        draw_baseline(ax, baseline, cut)
    draw_rounded(ax, rounded, points, cost)
    limits([ax], seen, baselines, cost, cut)
    ax.set(xlabel=style.COSTS[cost].label, ylabel="validation accuracy (%)")
    _legend(figure, own, bool(rounded), cost == SIZES)
    return figure


def named(best: Sequence[Point]) -> list[Point]:
    """Of a front, the most accurate first, what is far enough below the last named one that their names do not meet.

    >>> [point["accuracy"] for point in named([{"accuracy": a} for a in (0.8, 0.949, 0.95)])]
    [0.95, 0.8]
    """
    kept: list[Point] = []
    for point in sorted(best, key=lambda point: -float(point["accuracy"])):
        if not kept or kept[-1]["accuracy"] - point["accuracy"] > APART * (kept[0]["accuracy"] - best[0]["accuracy"]):
            kept.append(point)
    return kept


def bound(point: Point) -> float:
    """The bytes of the codes at their entropy, without tables and scales; those of the point where they are fewer."""
    return min(float(point["entropy"] * point["parameters"] / 8), float(point[SIZES]))


def short(point: Point) -> str:
    """A point in as few words as will do.

    >>> short({"scheme": "lsq", "strength": 2, "variant": "inputs lsq bits=2 signed=false"})
    'lsq 2 A'
    """
    strength = "" if point["strength"] is None else f"{style.number(point['strength'])}"
    others = "A" if "inputs" in point.get("variant", "") else ""
    return " ".join(word for word in (style.style_of(point["scheme"]).label, strength, others) if word)


def _legend(figure: Figure, own: Mapping[str, tuple[str, str]], rounded: bool, sizes: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=style.style_of(scheme).label, color=colour, marker=marker, linestyle="")
               for scheme, (colour, marker) in own.items()]
    for label, look in (("from scratch", {"marker": "o"}), ("from the float network", {
            "marker": "o", "markerfacecolor": "none"}), ("below the axis", {"marker": "v"})):
        handles.append(Line2D([], [], label=label, color=GREY, linestyle="", **look))  # type: ignore[arg-type]
    handles.append(Line2D([], [], label="float baseline", color="black", linestyle="--"))
    if rounded:
        handles.append(Line2D([], [], label=style.ROUNDED.label, color=style.ROUNDED.colour, linestyle=":",
                              marker=style.ROUNDED.marker, markersize=3))
    if sizes:
        handles.append(Line2D([], [], label="down to the entropy of the codes", color=GREY, linewidth=0.6))
    style.legend(figure, handles, width=1.75)
