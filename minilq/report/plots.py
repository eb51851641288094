"""Plots of one run. Each takes an Axes and draws into it; nothing here reads or writes a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.train.history import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

LABELS = {"float": "float baseline", "quantized": "quantized"}
DASHES = {"float": "--", "quantized": "-"}
LONG = 45                                        # letters of a title that a panel has room for


def learning_curves(rows: Sequence[Row], quantity: str, ax: Axes) -> Axes:
    """`quantity` ("loss" or "accuracy") by epoch: bold on validation data, thin on training data, for each network."""
    factor = 100 if quantity == "accuracy" else 1
    for number, name in enumerate(LABELS):
        own = [row for row in rows if row["network"] == name]
        if not own:
            continue
        epochs = [row["epoch"] for row in own]
        style: dict[str, Any] = {"color": f"C{number}", "linestyle": DASHES[name]}
        ax.plot(epochs, [factor * float(r[f"validation_{quantity}"]) for r in own], label=LABELS[name], **style,
                marker="o" if len(own) == 1 else "")
        ax.plot(epochs, [factor * float(r[quantity]) for r in own], linewidth=0.7, alpha=0.7,
                label=f"{LABELS[name]}, training", **style)
    ax.set_xlabel("epoch")
    ticks_at_integers(ax)
    ax.set_ylabel("accuracy (%)" if quantity == "accuracy" else "cross-entropy (nats)")
    ax.legend()
    return ax


def zoom_accuracy(rows: Sequence[Row], ax: Axes) -> Axes:
    """Cut the first epochs off the bottom, so that the difference between the networks can be seen."""
    late = [100 * float(r["validation_accuracy"]) for r in rows if int(r["epoch"]) > len(rows) // 20]
    if late:
        ax.set_ylim(np.floor(min(late)) - 2, 100.5)
    return ax


def integer_histogram(codes: Array, name: str, ax: Axes) -> Axes:
    """How often each integer code occurs in one parameter."""
    from matplotlib.ticker import NullLocator

    values, counts = np.unique(codes.astype(np.int64), return_counts=True)
    if len(values) <= 200:
        ax.bar(values, counts, width=0.85)
        tallest = counts.max()
    else:
        width = -(-(values[-1] - values[0] + 1) // 200)          # whole: every bar counts as many integers
        edges = np.arange(values[0], values[-1] + width + 1, width) - 0.5
        tallest = np.max(ax.hist(values, edges.tolist(), weights=counts)[0])
    ax.set_yscale("log")
    plain_numbers(ax.yaxis)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0.7, max(10, 2 * tallest))
    ticks_at_integers(ax)
    title = ax.set_title(f"{name}: {len(values)} integers, {values[0]}..{values[-1]}")
    if len(title.get_text()) > LONG:
        title.set_fontsize(8)
    ax.set_xlabel("integer code")
    ax.set_ylabel("count")
    return ax


def followed(rows: Sequence[Row]) -> dict[str, str]:
    """The numbers of methods that the history follows: "scale/dense1.weight" -> what the legend calls it."""
    own = [row for row in rows if row["network"] == "quantized"]
    columns = [column.removesuffix("/median") for column in dict.fromkeys(c for row in own for c in row)
               if column.endswith("/median")]
    parts = {column: column.partition("/")[::2] for column in columns}
    return {column: site if name == "scale" else f"{name} of {site}" for column, (name, site) in parts.items()
            if name != "count"}                  # of batches: no number of a grid


def scale_trajectories(rows: Sequence[Row], ax: Axes, beside: int = 0) -> Axes:
    """Median of each array of scales, or of what else a method learned, by epoch, with the band from the smallest to
    the largest.

    beside   in how many columns the legend stands to the right of the plot; 0 for inside
    """
    own = [row for row in rows if row["network"] == "quantized"]
    smallest = []
    for number, (column, label) in enumerate(followed(rows).items()):
        there = [row for row in own if f"{column}/median" in row]
        epochs = [float(row["epoch"]) for row in there]
        low, middle, high = ([float(r[f"{column}/{part}"]) for r in there] for part in ("min", "median", "max"))
        smallest += low
        ax.fill_between(epochs, low, high, color=f"C{number}", alpha=0.15, linewidth=0)
        ax.plot(epochs, middle, color=f"C{number}", label=label, marker="osD^vP*X"[number % 8],
                markevery=max(len(epochs) // 8, 1), markersize=4)
    if min(smallest, default=1) > 0:
        ax.set_yscale("log")
        plain_numbers(ax.yaxis)
    else:                                        # an offset or a range has two signs
        ax.set_yscale("symlog", linthresh=min((abs(s) for s in smallest if s != 0), default=1))
    ax.set_xlabel("epoch")
    ticks_at_integers(ax)
    ax.set_ylabel("scale: median, smallest to largest")
    if beside:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), ncols=beside, fontsize="x-small")
    else:
        ax.legend()
    return ax


def all_histograms(codes: Mapping[str, Array], axes: Sequence[Axes]) -> None:
    """One histogram per parameter."""
    for (name, k), ax in zip(codes.items(), axes, strict=True):
        integer_histogram(k, name, ax)


def ticks_at_integers(ax: Axes) -> None:
    """Epochs and integers have no halves."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def plain_numbers(axis: Axis) -> None:
    """Numbers at a logarithmic axis as 100, 0.01 and 1e-05, not as formulas, which take as long to set as a panel."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""  # where that shows none, there are too many

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(labelOnlyBase=False))
