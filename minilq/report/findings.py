"""What `minilq explain` shows of each finding: text and a figure, made from its measured numbers alone."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minilq.experiments.findings import (
    difference,
    divide,
    equivalence,
    floor_nearest,
    gate,
    growth_nested,
    growth_penalties,
    inputs,
    lambda_epsilon,
)
from minilq.experiments.findings.finding import Finding, Measured, number, verdict
from minilq.experiments.findings.growth import Followed
from minilq.files import make_folder
from minilq.report import findings_gradients, findings_integers
from minilq.report.figures import in_style, save_svg
from minilq.report.table import WIDTH, aligned, filled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES: tuple[dict[str, Any], ...] = ({"marker": "o"}, {"marker": "s", "linestyle": "--"},
                                     {"marker": "^", "linestyle": "-."}, {"marker": "D", "linestyle": ":"})
"""Of curves that a reader must tell apart without colour."""


def told(finding: Finding, measured: Measured) -> str:
    """What came out of a finding's experiment: its setting, its tables, the verdict part by part, and the source."""
    tables = [aligned(table, left=1) for table in measured.tables()]
    checks = measured.checks()
    parts = [textwrap.fill(f"{'holds' if check.holds else 'DOES NOT HOLD'}: {part} ({check.numbers})", WIDTH,
                           initial_indent="  ", subsequent_indent="    ") for part, check in checks.items()]
    return "\n\n".join([filled([measured.setting()]), *tables, "\n".join(
        [f"Verdict: the claim {verdict(checks)}.", *parts]), filled([f"Source: {finding.source}."])])


def save(name: str, measured: Any, folder: Path) -> Path:
    """Draw the figure of a finding into folder/name.svg, the same bytes for the same numbers, and return its path.

    Raises DataError when the folder cannot be written to.
    """
    make_folder(folder)
    with in_style():
        return save_svg(figure_of(name, measured), folder / f"{name}.svg")


def figure_of(name: str, measured: Any) -> Figure:
    """The figure of a finding, in the style that is in force."""
    from matplotlib.figure import Figure

    draw, size = FIGURES[name]
    figure = Figure(figsize=size)
    draw(measured, figure)
    return figure


def _lambda_epsilon(r: lambda_epsilon.LambdaEpsilon, figure: Figure) -> None:
    ax = figure.subplots()
    for n, curve in enumerate([*r.alike, r.other, r.slow]):
        style = [*LINES, {"marker": "v"}, {"marker": "x", "linestyle": "--"}][n]
        _curve(ax, curve.steps, curve.scales, n, label=curve.label, offset=7 * n, **style)
    _log_log(ax, "median scale of the first weight")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _growth_nested(r: growth_nested.GrowthNested, figure: Figure) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for n, (lam, run) in enumerate(r.runs.items()):
        _followed(left, run, n, f"λ = {number(lam)}")
    _law(left, list(r.runs.values()))
    _log_log(left, "median scale of the first weight")
    runs = {lam: run for lam, run in r.runs.items() if run.begin is not None}
    right.boxplot([run.ratio for run in runs.values()], whis=(5, 95), showfliers=False, widths=0.5,
                  medianprops={"color": "black"})
    right.set_xticks(range(1, len(runs) + 1), [number(lam) for lam in runs])
    right.axhline(1, color="black", linestyle="--", linewidth=1)
    right.set_ylim(0.8, 1.2)
    right.set_xlabel("λ")
    right.set_ylabel("scale / law at the end\n(box: half of the rows, whiskers: 90 %)")


def _growth_penalties(r: growth_penalties.GrowthPenalties, figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    quick, slow = growth_penalties.QUICK, growth_penalties.THESIS
    for n, (beta2, run) in enumerate(((quick, r.runs["inverse"]), (slow, r.thesis))):
        _curve(left, run.steps[1:], run.memory[1:], 3 * n, label=f"β₂ = {beta2:g}", **LINES[3 * n], marks=6)
    left.axhline(1, color="black", linewidth=1, linestyle="--")
    left.text(0.98, 1.15, "√v = ε", transform=left.get_yaxis_transform(), ha="right", va="bottom")
    left.set_yscale("log")
    left.set_xlabel("step")
    left.set_ylabel("median √v / ε, Inverse")
    left.legend()
    for n, (name, run) in enumerate(r.runs.items()):
        _followed(right, run, n, f"{growth_penalties.TITLES[name]}, β₂ = {quick:g}")
    _followed(right, r.thesis, 3, f"Inverse, β₂ = {slow:g}")
    _law(right, [*r.runs.values(), r.thesis])
    _log_log(right, "median scale of the first weight")


def _equivalence(r: equivalence.Equivalence, figure: Figure) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    left.plot(r.inverse.steps, r.inverse.scales, color="0.75", linewidth=6, label="Inverse", solid_capstyle="butt")
    for n, (matched, same) in enumerate(zip(r.matched, r.same, strict=True)):
        marker = LINES[n + 1]["marker"]
        _curve(left, matched.steps, matched.scales, n, label=f"{matched.title}, matched", marker=marker, offset=6 * n)
        _curve(left, same.steps, same.scales, n, label=f"{same.title}, rate of Inverse", marker=marker, linestyle="--",
               markerfacecolor="white", offset=6 * n)
    _log_log(left, "median scale of the first weight")
    bars = [*((f"{n.title}, matched", n) for n in r.matched), *((f"{n.title}, rate of Inverse", n) for n in r.same),
            (r.seed.title, r.seed)]
    for y, (_, net) in enumerate(reversed(bars)):
        colour = "C0" if net in r.matched else "0.75"
        right.barh(y, 100 * net.equal, color=colour, edgecolor="black", linewidth=0.6)
        right.text(100 * net.equal + 2, y, f"{net.integers} integers\n{100 * net.accuracy:.1f} % right", va="center",
                   fontsize=8)
    right.set_yticks(range(len(bars)), [title for title, _ in reversed(bars)])
    right.set_xlim(0, 130)
    right.set_xticks(range(0, 101, 25))
    right.grid(visible=False, axis="y")
    right.set_xlabel("codes equal to Inverse's (%)")


def _gate(r: gate.Gate, figure: Figure) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    kinds = {"voted: dead pixel": ("pixel", "C0", ""), "voted: dead ReLU": ("relu", "C5", "///"),
             "voted: sure samples": ("saturated", "C4", "..."), "voted: cancelled": ("other", "C3", "xx"),
             "abstained": ("abstained", "white", ""), "full vote, no voter": ("full", "0.55", "")}
    for y, votes in enumerate(reversed(r.votes.values())):
        b = votes.branches
        counts = {**vars(votes), "abstained": b.abstained, "full": b.entries - b.voted - b.abstained}
        start = 0.0
        for label, (kind, colour, hatch) in kinds.items():
            width = 100 * counts[kind] / b.entries
            left.barh(y, width, left=start, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6,
                      label=label if y == 0 else None)
            start += width
    left.set_yticks(range(len(r.votes)), list(reversed(r.votes)))
    left.set_xlim(0, 100)
    left.grid(visible=False)
    left.set_xlabel("entries in a batch (%)")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    for pair in r.pairs:
        right.plot(pair.integers, [100 * a for a in pair.accuracy], color="0.7", linewidth=1, zorder=1)
    for side, (label, marker, face) in enumerate((("with the gate", "o", "C0"), ("without it", "s", "white"))):
        right.plot([p.integers[side] for p in r.pairs], [100 * p.accuracy[side] for p in r.pairs], linestyle="",
                   marker=marker, color="C0" if side == 0 else "C1", markerfacecolor=face, markersize=7, label=label)
    right.set_xscale("log")
    _plain_ticks(right, [i for p in r.pairs for i in p.integers])
    right.set_xlabel("unique integers")
    right.set_ylabel("validation accuracy (%)")
    right.legend(loc="lower right")


def _floor_nearest(r: floor_nearest.FloorNearest, figure: Figure) -> None:
    left, middle, right = figure.subplots(1, 3)
    levels = [2**bits for bits in floor_nearest.BITS]
    for n, (method, accuracies) in enumerate(r.accuracy.items()):
        left.plot(levels, [100 * a for a in accuracies], label=method, color=f"C{n}", **LINES[n])
        middle.hist(r.errors[method], bins=np.linspace(-1.05, 1.05, 43).tolist(), histtype="step", density=True,
                    color=f"C{n}", linestyle=LINES[n].get("linestyle", "-"), linewidth=2.4 - 0.6 * n, label=method)
    left.axhline(100 * r.float_accuracy, color="black", linestyle=":", linewidth=1, label="float")
    left.set_xscale("log", base=2)
    _plain_ticks(left, levels)
    left.set_xlabel("levels, nothing trained after rounding")
    left.set_ylabel("validation accuracy (%)")
    left.legend()
    middle.axvline(0, color="black", linewidth=0.8)
    middle.set_xlabel(f"error (P_hat - P) / s at {2**floor_nearest.SHOWN} levels")
    middle.set_ylabel("density")
    middle.set_ylim(0, 1.9)
    middle.legend(loc="upper right")
    for n, rounding in enumerate(("floor", "nearest")):
        for x, accuracies in enumerate(a[rounding] for a in r.learned.values()):
            right.plot([x + 0.2 * (n - 0.5)] * len(accuracies), [100 * a for a in accuracies], color=f"C{n}",
                       linestyle="", marker=LINES[n]["marker"], markersize=7, label=rounding if x == 0 else None)
    right.set_xticks(range(len(r.learned)), [f"λ = {number(lam)}" for lam in r.learned])
    right.set_xlim(-0.6, len(r.learned) - 0.4)
    right.set_xlabel("trained with the threshold rule")
    right.set_ylabel("validation accuracy (%), each seed")
    right.legend(loc="lower left")


def _inputs(r: inputs.Inputs, figure: Figure) -> None:
    ax = figure.subplots()
    for n, which in enumerate(inputs.TITLES):
        ax.axhline(100 * r.floats[which], color=f"C{n}", linestyle=("-.", "--")[n], linewidth=1.2,
                   label=f"{which}, float")
        for marker, (scheme, point) in zip("os^", r.points[which].items(), strict=True):
            ax.plot(point.integers.unique, 100 * point.accuracy, marker=marker, markersize=11 if marker == "o" else 7,
                    linestyle="", markeredgewidth=1.6, color=f"C{n}", markerfacecolor=("white", f"C{n}")[n],
                    label=f"{which}, {scheme}")
    ax.set_xscale("log")
    _plain_ticks(ax, [p.integers.unique for own in r.points.values() for p in own.values()])
    ax.set_xlabel("unique integers")
    ax.set_ylabel("validation accuracy (%)")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _difference(r: difference.Difference, figure: Figure) -> None:
    (pull, shrink), (curves, snap) = figure.subplots(2, 2)
    for n, start in enumerate(difference.STARTS):
        _curve(pull, range(len(r.pull)), r.pull[:, n], n, label=f"from {start:g}", **LINES[n], marks=6)
    pull.axhline(1, color="black", linewidth=0.8)
    pull.set_xlabel("step of gradient descent on s alone")
    pull.set_ylabel("scale")
    pull.set_title("Difference pulls s towards 1")
    pull.legend()
    rates = [s.rate for s in r.shrunk]
    shrink.plot(rates, [s.mean_size for s in r.shrunk], color="C0", marker="o", label="mean|P| (left axis)")
    shrink.set(xscale="log", yscale="log", xlabel="rate of Difference", ylabel="mean|P| of the first weight",
               title="large rates drive P to 0")
    beside = shrink.twinx()
    beside.plot(rates, [100 * s.accuracy for s in r.shrunk], color="C1", marker="s", linestyle="--",
                label="accuracy (right axis)")
    beside.set_ylim(0, 100)
    beside.set_ylabel("validation accuracy (%)")
    beside.grid(visible=False)
    beside.spines.right.set_visible(True)
    shrink.legend(handles=[*shrink.get_lines(), *beside.get_lines()], loc="lower left")
    for n, (name, label) in enumerate((("difference", "|P - P/s|"), ("absolute_deviation", "|P - s floor(P/s)|"))):
        _curve(curves, *r.curves[name], n, label=label, **LINES[n])
    _log_log(curves, "median scale of the first weight")
    curves.set_title("what its name says keeps s at its minimum")
    for n, (label, state) in enumerate((("before", r.before), ("trained further", r.stopped))):
        snap.hist(state.errors, bins=np.linspace(-0.5, 0.5, 51).tolist(), histtype="step", color=f"C{n}", density=True,
                  linestyle=("-", "--")[n], linewidth=1.8, label=f"{label}: {state.integers} integers")
    snap.set_yscale("log")
    snap.set_ylim(0.005, 400)
    snap.set_xlabel("P/s - round(P/s)")
    snap.set_ylabel("density")
    snap.set_title("the squared deviation snaps to the grid")
    snap.legend(loc="upper left")


def _divide(r: divide.Divide, figure: Figure) -> None:
    ax = figure.subplots()
    for n, (label, share) in enumerate((("floor(P · (1/s))", r.multiplied), ("floor(P/s)", r.divided))):
        ax.plot(r.codes, 100 * share, color=f"C{1 - n}", linewidth=1 + 0.4 * n, linestyle=("--", "-")[n],
                label=f"{label}: {100 * share.mean():.1f} % on average")
    ax.set_xlabel("code k of the multiple P = fl(k s)")
    ax.set_ylabel("floor is k - 1 (% of the scales)")
    ax.set_ylim(0, 1.3 * 100 * r.multiplied.max())
    ax.legend(loc="upper center", ncols=2)


def _curve(ax: Axes, steps: Any, values: Any, colour: int, label: str, offset: int = 0, marks: int = 8,
           **style: Any) -> None:
    """A curve with few markers, so that it can be told apart without colour."""
    every = max(len(steps) // marks, 1)
    ax.plot(steps, values, color=f"C{colour}", label=label, markersize=5, markevery=(offset % every, every), **style)


def _followed(ax: Axes, run: Followed, n: int, label: str) -> None:
    """Observed scales at steps spread evenly over the logarithm of their number."""
    at = np.unique(np.geomspace(1, len(run.steps) - 1, 60).astype(int))
    _curve(ax, np.array(run.steps)[at], np.array(run.observed)[at], n, label=label, marker=LINES[n]["marker"],
           linestyle="", marks=60)


def _law(ax: Axes, runs: list[Followed]) -> None:
    """What the law predicts, with one entry in the legend."""
    for n, run in enumerate(runs):
        ax.plot(run.steps, run.predicted, color="black", linewidth=1.2, label="law" if n == 0 else None, zorder=3)


def _log_log(ax: Axes, ylabel: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel(ylabel)
    ax.legend()


def _plain_ticks(ax: Axes, values: list[int]) -> None:
    """Whole numbers on a logarithmic axis that spans little more than a decade."""
    ticks = [t for t in (4, 8, 16, 32, 64, 128, 256, 512) if min(values) <= 2 * t and t <= 2 * max(values)]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.set_xticks([], minor=True)


FIGURES: dict[str, tuple[Any, tuple[float, float]]] = {
    "lambda-epsilon": (_lambda_epsilon, (9, 4)), "growth-nested": (_growth_nested, (9, 4)),
    "growth-penalties": (_growth_penalties, (9.5, 4.2)), "equivalence": (_equivalence, (10.5, 4)),
    "gate": (_gate, (10.5, 4)), "floor-nearest": (_floor_nearest, (11.5, 3.8)), "inputs": (_inputs, (8.5, 4)),
    "difference": (_difference, (9.5, 7)), "divide": (_divide, (8, 3.8)),
    "rivals": (findings_gradients.of_rivals, (11, 6)), "surrogates": (findings_gradients.of_surrogates, (12, 4)),
    "integer-functions": (findings_integers.of_functions, (9, 4))}
