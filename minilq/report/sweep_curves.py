"""What the points of a sweep did by epoch: scales, accuracy and loss. Nothing here reads or writes a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from minilq.experiments.pareto import Point
from minilq.report import sweep_style as style
from minilq.report.plots import plain_numbers, ticks_at_integers
from minilq.train.history import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """By epoch: validation accuracy (share), validation loss, and the median scale of kernels and weights.

    The scale is the median over the quantized weights of the median scale of each; empty for a float network, and for
    methods without scales. seconds: of all epochs, as they were measured.
    """

    epochs: list[int]
    accuracy: list[float]
    loss: list[float]
    scale: list[float]
    seconds: float = 0.0


def curve_of(rows: Sequence[Row]) -> Curve:
    """The curve of one history."""
    scales = [column for column in (rows[0] if rows else ()) if column.startswith("scale/")
              and column.endswith(".weight/median")]
    return Curve([int(row["epoch"]) for row in rows], [float(row["validation_accuracy"]) for row in rows],
                 [float(row["validation_loss"]) for row in rows],
                 [median(float(row[column]) for column in scales) for row in rows] if scales else [],
                 sum(float(row["seconds"]) for row in rows))


def scale_trajectories(points: Sequence[Point], curves: Mapping[str, Curve]) -> Figure:
    """Median scale by epoch for each strength of one scheme: a panel per granularity, a row per start.

    points      pooled points of one scheme, input and rounding, at least one
    curves      name of a point -> its curve; of several seeds the mean is drawn
    """
    columns, rows = style.granularities(points), _starts(points)
    figure, grid = style.panels(len(rows), len(columns))
    looks = _looks(points)
    for start, line in zip(rows, grid, strict=True):
        for granularity, ax in zip(columns, line, strict=True):
            ax.set_title(style.plain(f"{granularity}, {style.STARTS[start]}"))
            own = [point for point in points if (point["granularity"], point["start"]) == (granularity, start)]
            for point in own:
                _draw(ax, point, curves, "scale", looks[point["strength"]])
            if not own:
                style.note(ax, "no point")
            ax.set_yscale("log")
            plain_numbers(ax.yaxis)
        line[0].set_ylabel("median scale")
    _finish(figure, grid[-1], points[0]["scheme"], looks, baseline=False)
    return figure


def learning_curves(points: Sequence[Point], baselines: Sequence[Point], curves: Mapping[str, Curve]) -> Figure:
    """Validation accuracy and loss by epoch for each strength: two rows, a panel per granularity.

    points      pooled points of one scheme, input, rounding and start, at least one
    baselines   pooled float baselines of the same input: dashed, by epoch beside training from scratch, and as the
                level that it ended at beside post-training

    The axis of accuracy begins 8 points below the best at the end; what ends below is counted in the panel.
    """
    columns = style.granularities(points)
    figure, grid = style.panels(2, len(columns))
    looks = _looks(points)
    cut = style.lowest_shown([point["accuracy"] for point in points])
    for granularity, accuracy, loss in zip(columns, *grid, strict=True):
        own = [point for point in points if point["granularity"] == granularity]
        accuracy.set_title(style.plain(f"{granularity}, {style.STARTS[points[0]['start']]}"))
        for ax, quantity in ((accuracy, "accuracy"), (loss, "loss")):
            for baseline in baselines:
                _draw_baseline(ax, baseline, curves, quantity, points[0]["start"])
            for point in own:
                _draw(ax, point, curves, quantity, looks[point["strength"]])
        loss.set_yscale("log")
        plain_numbers(loss.yaxis)
        if below := sum(cut is not None and point["accuracy"] < cut for point in own):
            style.note(accuracy, f"{below} end{'s' if below == 1 else ''} below {100 * (cut or 0):.1f} %")
    if cut is not None:
        best = max(max(_mean(curves, point, "accuracy")[1]) for point in (*points, *baselines))
        grid[0][0].set_ylim(100 * cut, 100 * best + 0.5)
    grid[0][0].set_ylabel("validation accuracy (%)")
    grid[1][0].set_ylabel("validation loss (nats)")
    _finish(figure, grid[-1], points[0]["scheme"], looks, bool(baselines))
    return figure


def _starts(points: Sequence[Point]) -> list[str]:
    return [start for start in style.STARTS if any(point["start"] == start for point in points)]


def _looks(points: Sequence[Point]) -> dict[float | None, dict[str, Any]]:
    """Colour and marker of each strength: from dark to light as it grows, so that grey keeps the order."""
    import matplotlib as mpl

    strengths = sorted({point["strength"] for point in points}, key=lambda one: -1 if one is None else one)
    shades = mpl.colormaps["cividis"]
    return {strength: {"color": shades(0.88 * place / max(len(strengths) - 1, 1)),
                       "marker": style.MARKERS[place % len(style.MARKERS)]}
            for place, strength in enumerate(strengths)}


def _mean(curves: Mapping[str, Curve], point: Point, quantity: str) -> tuple[list[int], list[float]]:
    """Epochs, and the mean over the seeds of what each has for that epoch; nan where that is no finite number."""
    values: dict[int, list[float]] = {}
    for member in point["members"]:
        curve = curves[member["name"]]
        for epoch, value in zip(curve.epochs, getattr(curve, quantity) or [math.nan] * len(curve.epochs), strict=True):
            values.setdefault(epoch, []).append(value)
    epochs = sorted(values)
    return epochs, [fmean(values[e]) if all(map(math.isfinite, values[e])) else math.nan for e in epochs]


def _draw(ax: Axes, point: Point, curves: Mapping[str, Curve], quantity: str, look: dict[str, Any]) -> None:
    epochs, values = _mean(curves, point, quantity)
    every = max(len(epochs) // 5, 1)
    ax.plot(epochs, [100 * y for y in values] if quantity == "accuracy" else values, **look, linewidth=1.2,
            markersize=4, markevery=(style.MARKERS.index(look["marker"]) % every, every))


def _draw_baseline(ax: Axes, baseline: Point, curves: Mapping[str, Curve], quantity: str, start: str) -> None:
    epochs, values = _mean(curves, baseline, quantity)
    factor = 100 if quantity == "accuracy" else 1
    dashes: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.0, "zorder": 3}
    if start == "post":
        if math.isfinite(baseline[quantity]):
            ax.axhline(factor * baseline[quantity], **dashes)
    else:
        ax.plot(epochs, [factor * y for y in values], **dashes)


def _finish(figure: Figure, bottom: Sequence[Axes], scheme: str, looks: dict[float | None, dict[str, Any]],
            baseline: bool) -> None:
    from matplotlib.lines import Line2D

    for ax in bottom:
        ax.set_xlabel("epoch")
        ticks_at_integers(ax)
    handles = [Line2D([], [], label="" if strength is None else style.number(strength), linewidth=1.2, markersize=4,
                      **look) for strength, look in looks.items()]
    if baseline:
        handles.append(Line2D([], [], label="float baseline", color="black", linestyle="--", linewidth=1.0))
    style.legend(figure, handles, f"{style.style_of(scheme).label}, {style.symbol(scheme)} =", width=1.6)
