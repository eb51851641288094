"""The sensitivity of sites as tables and as bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minilq.experiments.sensitivity import MEASURES, Sensitivity
from minilq.files import make_folder
from minilq.report.figures import in_style, save_svg
from minilq.report.table import aligned, filled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = {"measured": ("measured", "#0072B2", ""), "hessian": ("by the Hessian's trace", "#E69F00", "xxxx"),
         "gradient": ("by the gradient, at worst", "#CC79A7", "////")}
"""Of a measure: its name, colour and hatch, as in the size ladder."""

HEAD = ("rounded alone", "numbers", "accuracy", "loss", "Hessian", "gradient", "trace of Hessian")


def told(found: Sensitivity) -> str:
    """Two tables: every site rounded alone, then what comes of allocations, and what each gives every site."""
    rungs, kinds = found.rungs, found.allocations.values()
    rows: list[tuple[str, ...]] = [HEAD]
    rows += [(name, f"{site.numbers:,}", f"{100 * site.accuracy:.2f} %",
              *(f"{site.growth[measure]:+.4f}" for measure in MEASURES),
              f"{site.trace.mean:.3g} +- {site.trace.error:.1g}") for name, site in found.sites.items()]
    above = filled([f"One parameter rounded to nearest, {_asked(found)}, all others float, on {found.images:,} "
                    f"training images, where the float network has {100 * found.float_accuracy[0]:.2f} % and a loss of "
                    f"{found.float_loss[0]:.4f}. loss: by how much it grows; then what the trace of the Hessian and "
                    "the gradient (at worst) say of that."])
    below = filled(["All rounded to nearest, on the validation images, where the float network has "
                    f"{100 * found.float_accuracy[1]:.2f} % and a loss of {found.float_loss[1]:.4f}: each parameter "
                    f"with {'a step' if rungs.bits is None else 'bits'} of its own, by each measure, in no more bytes "
                    "(entropy-coded) than the first, or than the budget."])
    each = [("all rounded", *found.allocations), ("accuracy", *(f"{100 * one.accuracy:.2f} %" for one in kinds)),
            ("loss", *(f"{one.loss:.4f}" for one in kinds)), ("kB", *(f"{one.bytes / 1000:.2f}" for one in kinds)),
            *((site, *(rungs.label(one.rungs[site]) for one in kinds)) for site in found.sites)]
    return f"{above}\n\n{aligned(rows)}\n\n{below}\n\n{aligned(each)}"


def _asked(found: Sensitivity) -> str:
    label = found.rungs.label(found.rungs.asked)
    return f"step {label}" if found.rungs.bits is None else label


def draw(found: Sensitivity, ax: Axes) -> Axes:
    """The growth of the loss by each measure, a group of bars for every site, on a logarithmic axis; what does not grow
    has no bar."""
    names = list(found.sites)
    height = 0.8 / len(MEASURES)
    for place, measure in enumerate(MEASURES):
        label, colour, hatch = LOOKS[measure]
        widths = [max(site.growth[measure], 0.0) for site in found.sites.values()]
        ax.barh([i + (place - 1) * height for i in range(len(names))], widths, height, color=colour, hatch=hatch,
                edgecolor="white", linewidth=0.5, label=label)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    if any(site.growth[measure] > 0 for site in found.sites.values() for measure in MEASURES):
        ax.set_xscale("log")
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(f"loss grows by, with only this one rounded ({_asked(found)})")
    ax.figure.legend(loc="outside upper center", ncols=3)
    return ax


def save(found: Sensitivity, path: Path) -> Path:
    """`draw` as an SVG file, whose folder is made; returns the path. Raises UnwritableError."""
    make_folder(path.parent)
    with in_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 1.4 + 0.5 * len(found.sites)))
        draw(found, figure.subplots())
        return save_svg(figure, path)
