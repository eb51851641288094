"""Method by method, on the page of a sweep of methods: a row for each with its flags, and what each one is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minilq.experiments.config import RunConfig
from minilq.experiments.league import LEFT_OUT
from minilq.experiments.pareto import Point
from minilq.quantize import Quantizer
from minilq.quantize.flags import spelled
from minilq.quantize.methods import QUANTIZERS
from minilq.report import sweep_style as style
from minilq.report.curves import drawn, text
from minilq.report.methods import Described, described, instance, one_method
from minilq.report.page_tables import Cell, kilo, number, table
from minilq.report.sweep_crowd import bound
from minilq.report.sweep_data import SweepData
from minilq.report.sweep_figures import Drawing
from minilq.report.text import shown

METHODS = "methods.csv"
"""The table of methods as a file."""

BUDGET = ("recipe", "epochs", "batch", "lr", "adam", "input")
"""What a network must have in common with a float one of the sweep to have the same budget."""

HEADS = ["weights", "inputs", "from scratch %", "from the float network %", "recipe of its own %", "bits",
         "entropy-coded (kB)", "the codes alone (kB)", "ms per step", "on integers, same class %", "µs per image",
         "µs in floats", "learns", "remembers", "gradients", "which recipe", "why not on integers", "command"]

NOTE = ("Accuracies are means over the seeds ± their standard error. The rest of a row is of its most accurate "
        "network, and so is the command. From the float network it is trained as long again: its rival is the "
        "float network of twice the epochs. Sizes count everything: tables, scales, and what is left in floats; “the "
        "codes alone” is what they would take at their entropy. Times are as they were measured, of one thread; all "
        "other numbers come again. On integers: how often they give the class that the network gives, with activations "
        "of 8 bits where no method says otherwise. A method’s name leads to its formulas and curves. The same as a "
        f'file: <a href="{METHODS}">{METHODS}</a>.')


@dataclass
class Row:
    """The networks of one method of weights and one of inputs, flags told: from "scratch", "post", by a recipe of its
    "own"."""

    scheme: str
    weights: str
    inputs: str
    found: dict[str, Point] = field(default_factory=dict)

    @property
    def best(self) -> Point:
        return max(self.found.values(), key=lambda point: float(point["accuracy"]))


def is_league(sweep: SweepData) -> bool:
    """Whether a sweep compares methods, and not only schemes of the thesis."""
    kinds = {point["scheme"] for point in sweep.quantized}
    return len(kinds) > 1 and bool(kinds & set(QUANTIZERS) - set(style.SCHEMES))


def rows_of(sweep: SweepData) -> list[Row]:
    """One for each pair of methods, in the order of the sweep."""
    budgets = {_budget(point["members"][0]["config"]) for point in sweep.baselines}
    rows: dict[tuple[str, ...], Row] = {}
    for point in sweep.quantized:
        config = point["members"][0]["config"]
        weights = spelled(config.weights_of("")) if config.weights is not None else "none"
        inputs = "" if config.inputs is None else spelled(config.inputs)
        own = f"{point['scheme']}: {weights}" if point["scheme"] not in QUANTIZERS else weights
        if point["scheme"] in style.SCHEMES and config.rate is not None:
            own += f" rate={config.rate:g}"
        row = rows.setdefault((own, inputs), Row(point["scheme"], own, inputs))
        row.found[point["start"] if _budget(config) in budgets or not budgets else "own"] = point
    return list(rows.values())


def _budget(config: RunConfig) -> tuple[Any, ...]:
    return tuple(getattr(config, name) for name in BUDGET)


def league_table(sweep: SweepData) -> str:
    """The table of all rows, and what is not there; "" for a sweep of the thesis' schemes."""
    if not is_league(sweep):
        return ""
    told = {name: described(QUANTIZERS[name]) for name in _methods(sweep)}
    rows = [_row(row, sweep, told) for row in rows_of(sweep)]
    left = "" if not sweep.grid.startswith("league") else "".join(
        f"<p>Not in it: <strong>{name}</strong>, {shown(why)}.</p>" for name, why in LEFT_OUT.items())
    return f"<p>{NOTE}</p>{left}{table('method by method', HEADS, rows)}"


def _row(row: Row, sweep: SweepData, told: Mapping[str, Described]) -> list[Cell]:
    point, one = row.best, told.get(row.scheme)
    members = point["members"]
    seconds = [sweep.curves[member["name"]].seconds / member["steps"] for member in members]
    runs = [sweep.integers[member["name"]] for member in members if member["name"] in sweep.integers]
    why = next((run.why for run in runs if run.why), "")
    on_integers = [number(None)] * 3
    if runs and not why:
        on_integers = [number(100 * _mean([run.same for run in runs]), "{:.2f}".format), *(
            Cell(kilo(value), value, "number time") for value in (
                _mean([run.microseconds for run in runs]), _mean([run.of_floats for run in runs])))]
    own = row.found.get("own")
    recipe = "" if own is None else _recipe(own["members"][0]["config"], sweep)
    command = members[0]["command"]
    return [Cell(row.weights, row.weights, link=f"method-{row.scheme}" if one else ""), Cell(row.inputs, row.inputs),
            *(_accuracy(row.found.get(start)) for start in ("scratch", "post", "own")),
            number(point["bits"], lambda bits: f"{bits:.3g}"), number(point["bytes_entropy"] / 1000, kilo),
            number(bound(point) / 1000, kilo), Cell(f"{1000 * _mean(seconds):.2f}", _mean(seconds), "number time"),
            *on_integers, *(Cell(words, words) for words in (
                *(("", "", "") if one is None else (one.learns, one.remembers, one.gradients)), recipe, why)),
            Cell(command, command, "command")]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _recipe(config: RunConfig, sweep: SweepData) -> str:
    """In what the settings of a network are not those of the float ones."""
    usual = sweep.baselines[0]["members"][0]["config"]
    return ", ".join(f"{name} {getattr(config, name)}" for name in BUDGET
                     if getattr(config, name) != getattr(usual, name))


def _accuracy(point: Point | None) -> Cell:
    if point is None:
        return number(None)
    error = point["deviation"]["accuracy"] / len(point["seeds"]) ** 0.5
    return number(100 * point["accuracy"], lambda value: f"{value:.2f}" + (
        f" ± {100 * error:.2f}" if error == error else ""))


def _methods(sweep: SweepData) -> list[str]:
    """Names of the methods that occur, of weights and of inputs."""
    names = {choice["method"] for point in sweep.quantized for config in [point["members"][0]["config"]]
             for choice in (config.weights, config.inputs) if choice is not None}
    return sorted(names & set(QUANTIZERS))


def method_drawings(sweep: SweepData) -> Iterator[tuple[str, str, Drawing | None]]:
    """Of each method that occurs: its name, its formulas, and its curves, None where it cannot be drawn."""
    for name in _methods(sweep) if is_league(sweep) else ():
        kind: type[Quantizer] = QUANTIZERS[name]
        said, curves = one_method(instance(kind), set())
        caption = f"What {name} makes of a number, and what becomes of a gradient of 1."
        yield name, said if curves is None else said.removesuffix(text(curves)).rstrip(), (
            None if curves is None else Drawing(f"method-{name}-curves", name, caption, drawn(curves)))
