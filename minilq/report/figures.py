"""The figures of a run folder, drawn from its files alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from minilq.experiments.run import CHECKPOINTS, HISTORY, trained
from minilq.files import make_folder, write_bytes
from minilq.report import plots
from minilq.train.history import read_history
from minilq.train.metrics import codes_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "minilq.mplstyle"


def draw(folder: Path) -> list[Path]:
    """Draw every figure that the folder has data for, into folder/figures, and return their paths.

    The same run gives the same bytes. Raises DataError when history or checkpoint are missing or damaged.
    """
    import matplotlib as mpl

    make_folder(folder / "figures")
    paths = []
    with mpl.rc_context(fname=STYLE):
        for name, figure in _figures(folder):
            content = io.BytesIO()
            figure.savefig(content, format="svg", metadata={"Date": None})
            paths.append(folder / "figures" / f"{name}.svg")
            write_bytes(paths[-1], content.getvalue())
    return paths


def _figures(folder: Path) -> Iterator[tuple[str, Figure]]:
    from matplotlib.figure import Figure

    rows = read_history(folder / HISTORY)
    if rows:
        figure = Figure(figsize=(9, 3.6))
        left, right = figure.subplots(1, 2)
        plots.zoom_accuracy(rows, plots.learning_curves(rows, "accuracy", left))
        plots.learning_curves(rows, "loss", right).set_yscale("log")
        yield "learning", figure
    if any(row["network"] == "quantized" for row in rows):
        figure = Figure(figsize=(6.5, 4))
        plots.scale_trajectories(rows, figure.subplots())
        yield "scales", figure
    if (folder / CHECKPOINTS["quantized"]).exists():
        codes = codes_in(trained(folder, "quantized"))
        figure = Figure(figsize=(9, 5.5))
        plots.all_histograms(codes, figure.subplots(-(-len(codes) // 2), 2).reshape(-1)[:len(codes)])
        yield "integers", figure
