"""The figures of a run folder, drawn from its files alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilq.errors import ConfigError
from minilq.experiments.run import CHECKPOINTS, HISTORY, trained
from minilq.files import make_folder, opened, write_bytes
from minilq.nn import codes_in
from minilq.report import plots
from minilq.report.svg import drawn
from minilq.train.history import read_history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "minilq.mplstyle"
FEW = 6                                          # parameters whose names fit into a legend inside the plot
HEAD = 2000                                      # bytes of a figure in which Matplotlib says that it has drawn it
PER_COLUMN = 20                                  # names in one column of a legend beside it


def draw(folder: Path) -> list[Path]:
    """Draw every figure that the folder has data for, into folder/figures, and return their paths.

    The same run gives the same bytes. Raises DataError when history or checkpoint are missing or damaged.
    """
    make_folder(folder / "figures")
    paths = []
    with in_style({"figure.constrained_layout.use": False}):
        for name, figure in _figures(folder):
            paths.append(save_svg(figure, folder / "figures" / f"{name}.svg"))
    return paths


@contextlib.contextmanager
def in_style(settings: Any = None) -> Iterator[None]:
    """Matplotlib in the style of every figure, or with `settings` beside it. No window is opened: MPLBACKEND, which may
    name what is not there, does not matter."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    with mpl.rc_context(settings, STYLE):
        yield


def save_svg(figure: Figure, path: Path) -> Path:
    """Write a figure in the style that is in force: the same bytes each time. Returns the path.

    Raises ConfigError when the path holds something that is no figure of Matplotlib, which is never overwritten.
    """
    if os.path.isfile(path):
        with opened(path) as file:
            if b"Matplotlib" not in file.read(HEAD):
                raise ConfigError("figure", f"{path} must be a figure, or not there yet", got="another file",
                                  cause="Name another with --out")
    write_bytes(path, drawn(figure))
    return path


def margins(width: float, height: float, lines: int = 1, columns: int = 1, above: float = 0.1, beside: float = 0.0,
            ) -> dict[str, float]:
    """Room for numbers and names around panels in a figure of so many inches, and between them. A layout that measures
    every text, Matplotlib's "constrained", takes as long as the drawing.

    above, beside   inches above each panel, and to the right of all
    """
    left, below, right = 0.95, 0.55, 0.15
    panel = (width - beside) / columns - left - right, height / lines - below - above
    return {"left": left / width, "right": 1 - (right + beside) / width, "bottom": below / height,
            "top": 1 - above / height, "wspace": (left + right) / panel[0], "hspace": (below + above) / panel[1]}


def _figures(folder: Path) -> Iterator[tuple[str, Figure]]:
    from matplotlib.figure import Figure

    rows = read_history(folder / HISTORY)
    if rows:
        figure = Figure(figsize=(9, 3.6))
        left, right = figure.subplots(1, 2, gridspec_kw=margins(9, 3.6, columns=2))
        plots.zoom_accuracy(rows, plots.learning_curves(rows, "accuracy", left))
        plots.learning_curves(rows, "loss", right).set_yscale("log")
        plots.plain_numbers(right.yaxis)
        yield "learning", figure
    if names := plots.followed(rows):
        beside = -(-len(names) // PER_COLUMN) if len(names) > FEW else 0
        width, height = 6.5 + 2.2 * beside, 4 + 0.1 * min(len(names), PER_COLUMN)
        figure = Figure(figsize=(width, height))
        ax = figure.subplots(gridspec_kw=margins(width, height, beside=2.2 * beside))
        plots.scale_trajectories(rows, ax, beside)
        yield "scales", figure
    if (folder / CHECKPOINTS["quantized"]).exists():
        codes = codes_in(trained(folder, "quantized"))
        columns = 2 if len(codes) <= FEW else 4
        lines = -(-len(codes) // columns)
        width, height = 4.5 * columns, 2.75 * lines
        figure = Figure(figsize=(width, height))
        grid = margins(width, height, lines, columns, above=0.3)
        axes = list(figure.subplots(lines, columns, squeeze=False, gridspec_kw=grid).flat)
        plots.all_histograms(codes, axes[:len(codes)])
        for unused in axes[len(codes):]:
            unused.remove()
        yield "integers", figure
