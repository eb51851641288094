"""The size ladder as text and as a figure of stacked bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from minilq.coding.ladder import TOTAL, Weight
from minilq.files import make_folder
from minilq.report.figures import in_style, save_svg
from minilq.report.table import aligned, filled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ladder = Mapping[str, Mapping[str, Weight]]

PARTS = (("codes", "#0072B2", ""), ("tables", "#E69F00", "xxxx"), ("scales", "#CC79A7", "////"))
"""Of a bar: what for, colour (Okabe and Ito; dark, light and middle in grey), hatch."""

SIZE = (7, 3.8)


def table(ladder: Ladder) -> str:
    """The total by what the bytes are for, with its ratio to float32; and every parameter, in half of the forms and in
    the others.
    """
    total = ladder[TOTAL]
    raw = total["float32"].total
    split = [("bytes", *(part for part, _, _ in PARTS), TOTAL, "smaller than float32")]
    split += [(form, *(f"{part:,}" for part in w), f"{w.total:,}", f"{raw / w.total:.2f}x" if w.total else "-")
              for form, w in total.items()]
    forms = list(total)
    halves = forms[:len(forms) // 2], forms[len(forms) // 2:]
    each = [aligned([("bytes", *half), *((name, *(f"{row[form].total:,}" for form in half))
                                         for name, row in ladder.items())]) for half in halves]
    notes = ["Grids, mostly scales, are counted (4 bytes a number) everywhere but in float32. The total of zip and of "
             "xz is one file.", "Shannon: a bound for coders that take codes as independent, its table left out; no "
             "file. Context foresees codes from their neighbours, and may be below it."]
    if total["int8"].codes > raw // 4:
        notes.append("Some codes do not fit into int8: those parameters count with 2 bytes a code, or more.")
    return "\n\n".join([aligned(split), *each, filled(notes)])


def draw(ladder: Ladder, ax: Axes | None = None) -> Axes:
    """The total in every form as a bar of codes, tables and scales, in kB (1000 bytes); the Shannon bound as a line.

    float32 would make all others short: its bar is cut off. Every bar has its length beside it. Without `ax` a figure
    in the style of all figures is made.
    """
    if ax is None:
        with in_style():
            from matplotlib.figure import Figure

            return draw(ladder, Figure(figsize=SIZE).subplots())
    total = {form: weight for form, weight in ladder[TOTAL].items() if form != "Shannon"}
    raw, bound = total["float32"].total, ladder[TOTAL]["Shannon"].total / 1000
    end = 1.25 * max(weight.total for form, weight in total.items() if form != "float32") / 1000
    left = [0.0] * len(total)
    for part, colour, hatch in PARTS:
        widths = [getattr(weight, part) / 1000 for weight in total.values()]
        ax.barh(list(total), widths, left=left, height=0.7, color=colour, hatch=hatch, edgecolor="white",
                linewidth=0.5, label=part)
        left = [x + width for x, width in zip(left, widths, strict=True)]
    for form, weight in total.items():
        cut = weight.total / 1000 > end
        ax.annotate(f"{weight.total / 1000:,.1f}" + (" →" if cut else f"  ({raw / weight.total:.1f}x)"),
                    (min(weight.total / 1000, end), form), xytext=(-4 if cut else 4, 0), textcoords="offset points",
                    ha="right" if cut else "left", va="center", fontsize=8, color="white" if cut else "black")
    ax.axvline(bound, color="black", linestyle="--", linewidth=1.2, label=f"Shannon bound and scales, {bound:,.1f}")
    ax.set_xlim(0, end)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("kB, all quantized parameters together (in brackets: times smaller than float32)")
    line, *bars = ax.get_legend_handles_labels()[0]
    ax.figure.legend(handles=[*bars, line], loc="outside upper center", ncols=4)
    return ax


def save(ladder: Ladder, path: Path) -> Path:
    """`draw` as an SVG file, whose folder is made; returns the path. Raises UnwritableError."""
    make_folder(path.parent)
    with in_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE)
        draw(ladder, figure.subplots())
        return save_svg(figure, path)
