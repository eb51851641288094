"""A figure as lean SVG text that can stand beside others on one page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "title: "
"""An artist whose gid is TITLE + text shows the text when a reader points at it."""

ROOT = ('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{0}pt" '
        'height="{1}pt" viewBox="0 0 {0} {1}" font-family="DejaVu Sans, Verdana, sans-serif" stroke-linejoin="round" '
        'stroke-linecap="butt">')


def drawn(figure: Figure) -> bytes:
    """What figure.savefig would write, without a date. That draws a figure twice, the first time for nothing."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    content = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(content, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return content.getvalue()


def svg_of(figure: Figure, name: str) -> str:
    """The SVG of a figure as text, the same for the same figure: no date, no program, no address.

    Text stays text. Coordinates keep two decimals (a hundredth of 1/72 inch). Ids are numbered and begin with `name`,
    so that figures with different names can stand in one document; ids that nothing refers to are left out.
    """
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        svg = drawn(figure).decode()
    width, height = (f"{72 * float(inches):g}" for inches in figure.get_size_inches())
    svg = svg[svg.index(">", svg.index("<svg")) + 1:]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(font-family: )[^;\"]*; ?", "", svg)
    svg = re.sub(rf'<g id="{TITLE}([^"]*)">', r"<g><title>\1</title>", svg)
    svg = re.sub(r"(-?\d+\.\d\d)\d+", r"\1", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    svg = re.sub(r'(?<= d=")[^"]*', lambda path: re.sub(r"\s*([A-Za-z])\s*", r"\1", path[0]), svg)
    return ROOT.format(width, height) + _own_ids(svg, name)


def inline(svg: str, label: str) -> str:
    """The text of `svg_of` as part of an HTML page, somewhat larger if there is room; `label`, already escaped, is read
    to those who cannot see it."""
    most = 1.5 * float(re.findall(r'width="([^"]*)pt"', svg)[0])
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| (width|height)="[^"]*pt"', "", svg)
    start = f'<svg role="img" aria-label="{label}" style="max-width: {most:.0f}px"'
    return svg.replace("xlink:href", "href").replace("<svg", start, 1)


def _own_ids(svg: str, name: str) -> str:
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    numbers = {old: f"{name}-{number}" for number, old in enumerate(used, 1)}
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{numbers[m[1]]}"' if m[1] in numbers else "", svg)
    return re.sub(r'(url\(#|href="#)([^)"]+)', lambda m: m[1] + numbers[m[2]], svg)
