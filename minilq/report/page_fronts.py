"""The front of a sweep on its page: accuracy against one cost, as a table and a figure, with a switch for the cost."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from minilq.experiments.pareto import Point, front
from minilq.report import sweep_style as style
from minilq.report.page_tables import Cell, kilo, number, table
from minilq.report.sweep_data import SweepData

SIZES = ("bytes_packed", "bytes_entropy")

FIGURE = (
    "Each panel holds one granularity. Filled markers: from scratch; open markers: after the float baseline. The two "
    "have a front each (solid and dash-dotted), whose points are large and coloured. Bars: one standard deviation over "
    "the seeds. Point at a marker to read its numbers.")
TOGETHER = (
    "Each method has a colour and a marker: filled from scratch, open after the float baseline. The front of all is "
    "solid, and what lies on it is named, with its bits; A: inputs are quantized too. Bars: one standard deviation "
    "over the seeds. Point at a marker to read its numbers.")
ROUNDED = (" Dotted, everywhere the same: the best float network merely rounded to nearest, whatever the "
           "granularity.")


def switched_fronts(sweep: SweepData, figures: Mapping[str, str]) -> str:
    """A panel for each cost, of which one is shown: it works without a script, and with the arrow keys.

    figures     cost -> the figure, as HTML
    """
    parts, note = [], (TOGETHER if style.crowded(sweep.quantized) else FIGURE) + ROUNDED * bool(sweep.rounded)
    for place, (name, cost) in enumerate(style.COSTS.items()):
        own = f"cost-{name.replace('_', '-')}"
        parts.append(
            f'<input type="radio" name="cost" id="{own}"{"" if place else " checked"}>'
            f'<label for="{own}">{escape(cost.word)}</label>\n'
            f'<div class="panel"><h3>Accuracy against {escape(cost.label)}</h3>\n'
            f'{_front(sweep, name)}\n{figures[name]}<p class="note">{note}</p></div>')
    return '<div class="switch" role="group" aria-label="cost">\n' + "\n".join(parts) + "\n</div>"


def _front(sweep: SweepData, cost: str) -> str:
    """The front over all quantized networks and the rounded float one, most accurate first, and the float baselines
    below it."""
    best = front([*sweep.quantized, *sweep.rounded], cost)[::-1]
    lowest = style.lowest_shown([point["accuracy"] for point in sweep.quantized])
    shown = [point for point in best if lowest is None or point["accuracy"] >= lowest]
    below = len(best) - len(shown)
    size = cost if cost in SIZES else SIZES[0]
    costs = [cost, *(other for other in style.COSTS if other != cost)]
    heads = ["accuracy %", style.COSTS[cost].head, "times smaller", "network",
             *(style.COSTS[other].head for other in costs[1:]), "command"]
    apart = len(style.variants(sweep.quantized)) > 1
    rows = [_row(point, costs, size, style.described(point, apart)) for point in shown]
    rows += [_row(point, costs, size, ", ".join(filter(None, ("float baseline", point.get("variant")))))
             for point in sweep.baselines]
    note = ["No other network is as accurate and costs as little.",
            f"Times smaller: float32 against the {style.COSTS[size].word}."]
    if lowest is not None and below:
        note.append(f"{below} more of the front {'lies' if below == 1 else 'lie'} below {100 * lowest:.1f} %.")
    if rounded := sum(point["scheme"] == "rounded" for point in shown):
        note.append(f"{rounded} of {len(shown)}: nothing but the float network, rounded; the command trains that.")
    if any(len(point["seeds"]) > 1 for point in sweep.quantized):
        note.append("Numbers are means over the seeds; the command is that of the first.")
    return f"{table(f'front of {cost}', heads, rows)}<p class=\"note\">{' '.join(note)}</p>"


def _row(point: Point, costs: list[str], size: str, words: str) -> list[Cell]:
    deviation = point["deviation"]["accuracy"]
    accuracy = f"{100 * point['accuracy']:.2f}" + (f" ± {100 * deviation:.2f}" if deviation == deviation else "")
    raw = point["bytes_float32"]
    measured = {"bits": 32, "bytes_packed": raw, size: raw, **point}      # a float network has none of its own
    cost, *others = (_cost(measured.get(name), style.COSTS[name].unit) for name in costs)
    command = point["members"][0]["command"]
    return [number(100 * point["accuracy"], lambda _: accuracy), cost,
            number(raw / measured[size], lambda ratio: f"{ratio:.1f}"), Cell(words, words), *others,
            Cell(command, command, "command")]


def _cost(value: float | None, unit: int) -> Cell:
    """Sizes with a decimal, counts without one where they are whole."""
    if value is None:
        return number(None)
    return number(value / unit, kilo if unit > 1 else lambda count: f"{count:.1f}".removesuffix(".0"))
