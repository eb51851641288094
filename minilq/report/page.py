"""The page of a sweep: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from minilq.experiments.agreement import AGREES, DIFFERS, PUBLISHED_FOR, Comparison, compare
from minilq.files import make_folder, write_text
from minilq.report.figures import STYLE
from minilq.report.page_tables import points_csv, points_table, published_table
from minilq.report.svg import inline, svg_of
from minilq.report.sweep_data import SweepData, read_sweep_data
from minilq.report.sweep_figures import Drawing, curve_drawings, pareto_drawings, scale_drawings

PAGE, TABLE, FIGURES = "index.html", "points.csv", "figures"
HERE = Path(__file__).parent

PARETO_NOTE = (
    "Each panel holds one granularity. Filled markers: from scratch; open markers: after the float baseline. The two "
    "have a front each (solid and dash-dotted): no other point of the panel with the same start costs as little and is "
    "as accurate; points equal in both stay on the front together. Points of a front are large and coloured. Bars: one "
    "standard deviation over the seeds. Point at a marker to read its numbers.")
TOLERANCE = (
    "<p>Runs that differ in nothing but their seed do not give the same numbers. What still counts as agreement:</p>"
    "<dl><dt>accuracy</dt><dd>2 × 0.4 points × √(1/n + 1/m) for n published and m measured seeds: two standard errors "
    "of the difference. Seeds spread by 0.2 to 0.4 points; the larger is taken for all. 1.1 points for one run against "
    "one. Collapsed networks, published below 50 %, are not compared in accuracy.</dd>"
    "<dt>integers, ends of the range</dt><dd>20 %, at least 1. Seeds move 20 integers by one or two, and the thesis’ "
    "own 24 and the 20 of the reproduction are a sixth apart.</dd>"
    "<dt>zip</dt><dd>every size that rounds to the printed figure, and 10 % beside: a fifth more integers is a quarter "
    "of a bit of the three to four that a code takes.</dd></dl>"
    "<p>Bits follow from the integers and are not compared on their own. Published for raw input and floor; a point "
    "with other settings than the published ones has no verdict.</p>")


def write_page(folder: Path) -> Path:
    """Write index.html, points.csv and figures/*.svg into a sweep's folder, from its files alone; returns the page.

    The same finished points give the same bytes, in whatever order they were finished: nothing tells the time or the
    place. A sweep that is not finished has a page too, which says what is missing.
    Raises DataError when a file is missing or damaged, or the page cannot be written.
    """
    sweep = read_sweep_data(folder)
    make_folder(folder / FIGURES)
    write_text(folder / TABLE, points_csv(sweep))
    pareto, curves, scales = (_figures(drawings, folder) for drawings in (
        pareto_drawings(sweep), curve_drawings(sweep), scale_drawings(sweep)))
    title = f"Sweep {sweep.grid} on {sweep.data}"
    sections = [
        ("fronts", "Accuracy against cost", f"<p>{PARETO_NOTE}</p>{pareto}" if pareto else ""),
        ("published", "Published beside measured", _published(sweep)),
        ("curves", "Accuracy and loss by epoch", curves),
        ("scales", "Scales by epoch", scales and (
            "<p>The median over the kernels and weights of their median scale, biases left out; the mean over the "
            f"seeds.</p>{scales}")),
        ("points", "All points", _points(sweep))]
    body = "\n".join([f"<h1>{escape(title)}</h1>", _facts(sweep), _nav(sections), _missing(sweep),
                      *(f'<section id="{name}"><h2>{heading}</h2>\n{content}</section>'
                        for name, heading, content in sections if content)])
    style, script = ((HERE / file).read_text(encoding="utf-8") for file in ("page.css", "page.js"))
    write_text(folder / PAGE, (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f'\n<style>\n{style}</style></head>\n<body>\n{body}\n<script>\n{script}</script>\n</body></html>\n'))
    return folder / PAGE


def _figures(drawings: Iterable[Drawing], folder: Path) -> str:
    """Each figure as a file, and as a part of the page."""
    import matplotlib as mpl

    parts = []
    with mpl.rc_context(fname=STYLE):
        for drawing in drawings:
            svg = svg_of(drawing.figure, drawing.name)
            write_text(folder / FIGURES / f"{drawing.name}.svg", svg)
            parts.append(f"<h3>{escape(drawing.heading)}</h3>\n<figure>{inline(svg, escape(drawing.caption))}"
                         f"<figcaption>{escape(drawing.caption)}</figcaption></figure>")
    return "\n".join(parts)


def _facts(sweep: SweepData) -> str:
    total = len(sweep.points) + len(sweep.failures) + len(sweep.missing)
    state = f"{len(sweep.points)} of {total} finished, {len(sweep.failures)} failed, {len(sweep.missing)} not run"
    facts = [("data", sweep.data), ("points", state)]
    for name, heading in (("model", "network"), ("epochs", "epochs"), ("steps", "steps"),
                          ("train_images", "training images"), ("seed", "seeds"), ("input", "input")):
        values = sorted({point[name] for point in sweep.points})
        many = "{:,}" if name in ("steps", "train_images") else "{}"
        facts.append((heading, ", ".join(map(many.format, values)) or "not known yet"))
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts) + "</dl>"


def _nav(sections: Sequence[tuple[str, str, str]]) -> str:
    links = (f'<a href="#{name}">{heading}</a>' for name, heading, content in sections if content)
    return f'<nav aria-label="sections">{" ".join(links)}</nav>'


def _missing(sweep: SweepData) -> str:
    """What a reader must know is not there."""
    parts = []
    if sweep.failures:
        parts.append(f"<h2>{len(sweep.failures)} failed</h2>" + "".join(
            f"<p><strong>{escape(name)}</strong></p><pre>{escape(message)}</pre>"
            for name, message in sweep.failures.items()))
    if sweep.missing:
        many = "1 point has" if len(sweep.missing) == 1 else f"{len(sweep.missing)} points have"
        parts.append(f"<details><summary>{many} not been run</summary><ul>"
                     + "".join(f"<li>{escape(name)}</li>" for name in sweep.missing) + "</ul></details>")
    if not sweep.quantized:
        parts.append("<p>No quantized network is finished yet: there are no figures.</p>")
    if not sweep.baselines:
        parts.append("<p>No float baseline is finished: the figures have no line for it.</p>")
    if sweep.quantized and max(len(point["seeds"]) for point in sweep.quantized) == 1:
        parts.append("<p>One seed for each point: there are no error bars. Seeds spread accuracy by 0.2 to 0.4 points; "
                     "smaller differences say nothing.</p>")
    return f'<section class="warn" id="missing">{"".join(parts)}</section>' if parts else ""


def _published(sweep: SweepData) -> str:
    comparisons = compare([*sweep.baselines, *sweep.quantized], sweep.data)
    if not comparisons:
        return f"<p>Nothing was published for {escape(sweep.data)}.</p>"
    if sweep.data in PUBLISHED_FOR:
        intro = ("<p><strong>For orientation only.</strong> The numbers were published for "
                 f"{PUBLISHED_FOR[sweep.data]}, the sweep ran on {escape(sweep.data)}: they are not compared.</p>")
    else:
        intro = f"<p>{_counts(comparisons)}</p>{TOLERANCE}"
    return ("<p>“thesis”: the published thesis; “reproduced”: a second implementation on full MNIST, with which the "
            f"thesis’ own code agrees.</p>{intro}{published_table(comparisons)}")


def _counts(comparisons: Sequence[Comparison]) -> str:
    verdicts = [comparison.verdict for comparison in comparisons]
    agree, differ = verdicts.count(AGREES), verdicts.count(DIFFERS)
    return f"{agree} agree, {differ} do not agree, {len(verdicts) - agree - differ} n/a."


def _points(sweep: SweepData) -> str:
    if not sweep.points:
        return ""
    return ('<p>Click a heading to sort. Sizes in kB of 1000 bytes. A command gives the same numbers when it is called '
            'in the folder of this page; where the data lie, <code>--data-dir</code>, is left out. The same as a file: '
            f'<a href="{TABLE}">{TABLE}</a>.</p>{points_table(sweep)}')
