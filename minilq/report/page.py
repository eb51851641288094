"""The page of a sweep: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from minilq.files import make_folder, write_text
from minilq.report import sweep_style as style
from minilq.report.figures import in_style
from minilq.report.page_csv import methods_csv, points_csv
from minilq.report.page_fronts import switched_fronts
from minilq.report.page_league import METHODS, is_league, league_table, method_drawings
from minilq.report.page_published import published
from minilq.report.page_short import short
from minilq.report.page_summary import facts, missing, summary
from minilq.report.page_tables import fold, points_table
from minilq.report.svg import inline, svg_of
from minilq.report.sweep_data import SweepData, read_sweep_data
from minilq.report.sweep_figures import Drawing, curve_drawings, pareto_drawings, scale_drawings
from minilq.report.text import shown

PAGE, TABLE, FIGURES = "index.html", "points.csv", "figures"
HERE = Path(__file__).parent


def write_page(folder: Path) -> Path:
    """Write index.html, points.csv, methods.csv and figures/*.svg into a sweep's folder, from its files alone; returns
    the page.

    The same finished points give the same bytes, in whatever order they were finished: nothing tells the time or the
    place. A sweep that is not finished has a page too, which says what is missing.
    Raises DataError when a file is missing or damaged, or the page cannot be written.
    """
    sweep = read_sweep_data(folder)
    make_folder(folder / FIGURES)
    write_text(folder / TABLE, points_csv(sweep))
    if is_league(sweep):
        write_text(folder / METHODS, methods_csv(sweep))
    fronts = [figure for _, figure in _figures(pareto_drawings(sweep), folder)]
    curves, scales = (_gallery(drawings, folder) for drawings in (curve_drawings(sweep), scale_drawings(sweep)))
    title = f"Sweep {shown(sweep.grid)} on {shown(sweep.data)}"
    sections = [
        ("short", "In short", short(sweep)),
        ("fronts", "The front", switched_fronts(sweep, dict(zip(style.COSTS, fronts, strict=True))) if fronts else ""),
        ("league", "Method by method", league_table(sweep)),
        ("published", "Published beside measured", published(sweep)),
        ("curves", "Accuracy and loss by epoch", curves),
        ("scales", "Scales by epoch", scales and (
            "<p>The median over the kernels and weights of their median scale, biases left out; the mean over the "
            f"seeds.</p>{scales}")),
        ("points", "All points", _points(sweep)),
        ("methods", "What the methods are", _methods(sweep, folder))]
    there = [section for section in sections if section[2]]
    links = " ".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in there)
    body = "\n".join([f"<header><h1>{title}</h1>", summary(sweep), facts(sweep), "</header>",
                      f'<nav aria-label="sections">{links}</nav>', missing(sweep),
                      *(f'<section id="{name}"><h2>{heading}</h2>\n{content}</section>'
                        for name, heading, content in there)])
    css, script = ((HERE / file).read_text(encoding="utf-8") for file in ("page.css", "page.js"))
    write_text(folder / PAGE, (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f'\n<style>\n{css}</style></head>\n<body>\n{body}\n<script>\n{script}</script>\n</body></html>\n'))
    return folder / PAGE


def _figures(drawings: Iterable[Drawing], folder: Path) -> Iterator[tuple[str, str]]:
    """Each figure as a file, and its heading and itself as parts of the page."""
    with in_style():
        for drawing in drawings:
            svg = svg_of(drawing.figure, drawing.name)
            write_text(folder / FIGURES / f"{drawing.name}.svg", svg)
            heading, caption = shown(drawing.heading), shown(drawing.caption)
            yield heading, (f'<figure><div class="wide" tabindex="0" role="group" aria-label="figure: {heading}">'
                            f"{inline(svg, caption)}</div><figcaption>{caption}</figcaption></figure>")


def _gallery(drawings: Iterable[Drawing], folder: Path) -> str:
    """Figures one below the other, each folded: there may be dozens."""
    return "\n".join(fold(heading, figure) for heading, figure in _figures(drawings, folder))


def _methods(sweep: SweepData, folder: Path) -> str:
    """Every method that occurs, folded, with its formulas and its curves."""
    parts = []
    with in_style():                             # a figure has the style in which it is begun
        for name, formulas, drawing in method_drawings(sweep):
            pictures = "" if drawing is None else "".join(figure for _, figure in _figures([drawing], folder))
            parts.append(fold(shown(name), f"<pre>{shown(formulas)}</pre>{pictures}", f"method-{name}"))
    return "\n".join(parts)


def _points(sweep: SweepData) -> str:
    if not sweep.points:
        return ""
    return ('<p>Click a heading to sort. Sizes in kB of 1000 bytes. A command gives the same numbers when it is called '
            'in the folder of this page; where the data lie, <code>--data-dir</code>, is left out. Of what is merely '
            'rounded, it trains the float network. The same as a file: '
            f'<a href="{TABLE}">{TABLE}</a>.</p>{points_table(sweep)}')
