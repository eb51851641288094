"""What tables on a sweep's page are made of, and the table of every point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from minilq.experiments.pareto import Point
from minilq.report import sweep_style as style
from minilq.report.sweep_data import SweepData
from minilq.report.text import shown


@dataclass(frozen=True)
class Cell:
    """What a cell shows, what its column is sorted by ("" stays at the end), its class, and where it leads to."""

    text: str
    value: float | int | str = ""
    kind: str = ""
    link: str = ""

    def html(self) -> str:
        value = "" if self.value != self.value else str(self.value)
        if isinstance(self.value, float):
            value = value.replace("inf", "Infinity")         # as a script spells it
        text = f"<code>{shown(self.text)}</code>" if self.kind == "command" else shown(self.text)
        if self.link:
            text = f'<a href="#{escape(self.link)}">{text}</a>'
        kind = f' class="{self.kind}"' if self.kind else ""
        return f'<td{kind} data-value="{shown(value)}">{text}</td>'


def number(value: Any, write: Callable[[Any], str] = str) -> Cell:
    """A cell with a number, empty for None."""
    return Cell("", "", "number") if value is None else Cell(write(value), value, "number")


def kilo(value: float) -> str:
    return f"{value:.1f}"


def fold(heading: str, content: str, name: str = "") -> str:
    """What is there for who asks for it; `heading` and `content` are HTML. Links to `name` open it."""
    own = f' id="{escape(name)}"' if name else ""
    return f"<details{own}><summary>{heading}</summary>\n{content}</details>"


def points_table(sweep: SweepData) -> str:
    """Every finished point, with the command that gives its numbers, and the rounded float network, with the command
    that trains it."""
    heads = ["point", "scheme", "granularity", "strength", "rounding", "start", "seed", "input", "accuracy %", "loss",
             "unique integers", "smallest", "largest", "bits", "entropy (bits)", "zeros %", "SQNR (dB)",
             "int8 zip (kB)", "packed (kB)", "entropy-coded (kB)", "on the front of", "command"]
    every = [*sweep.points, *(member for point in sweep.rounded for member in point["members"])]
    rows = [_point(point, sweep.fronts) for point in every]
    if any("variant" in point for point in every):
        heads.insert(1, "variant")
        for row, point in zip(rows, every, strict=True):
            row.insert(1, Cell(point.get("variant", ""), point.get("variant", "")))
    return table("points", heads, rows)


def _point(point: Point, fronts: dict[str, list[str]]) -> list[Cell]:
    def measured(name: str, write: Callable[[Any], str], factor: float = 1) -> Cell:
        value = point.get(name)
        return number(None if value is None else factor * value, write)

    def word(name: str) -> Cell:
        return Cell(str(point.get(name, "")), str(point.get(name, "")))

    on = [style.COSTS[cost].word for cost in fronts.get(point["name"], ())]
    return [word("name"), word("scheme"), word("granularity"), measured("strength", style.number), word("rounding"),
            word("start"), measured("seed", str), word("input"), measured("accuracy", "{:.2f}".format, 100),
            measured("loss", "{:.4g}".format),
            *(measured(name, str) for name in ("unique_integers", "integer_min", "integer_max", "bits")),
            measured("entropy", "{:.3f}".format), measured("zero_share", "{:.1f}".format, 100), measured("sqnr", kilo),
            *(measured(f"bytes_{name}", kilo, 1e-3) for name in ("int8_zip", "packed", "entropy")),
            Cell(", ".join(on), -len(on) if on else ""), Cell(point["command"], point["command"], "command")]


def table(name: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """An HTML table, each cell with the value that its column is sorted by; wide ones scroll in a region of their own,
    which a keyboard reaches too."""
    lines = [f'<div class="scroll" tabindex="0" role="region" aria-label="table: {escape(name)}">',
             '<table class="sortable"><thead><tr>']
    kinds = [cell.kind for cell in rows[0]] if rows else [""] * len(heads)
    lines += [f'<th scope="col" class="{kind}">{escape(head)}</th>'
              for head, kind in zip(heads, kinds, strict=True)]
    lines += ["</tr></thead><tbody>"]
    for row in rows:
        lines.append("<tr>" + "".join(cell.html() for cell in row) + "</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])
