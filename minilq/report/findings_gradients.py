"""Figures of the findings about pretended derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilq.experiments.findings import rivals, surrogates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>P*Xph"


def of_rivals(r: rivals.Measured, figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    rows = [(f"{name} {value}", n, rights) for n, (name, of_values) in enumerate(r.accuracy.items())
            for value, rights in of_values.items()]
    for n, (name, pairs) in enumerate(r.pairs.items()):
        left.errorbar([p.apart for p in pairs], [100 * abs(p.gap) for p in pairs], [100 * p.error for p in pairs],
                      color=f"C{n % 10}", marker=MARKERS[n % len(MARKERS)], linestyle="", markersize=5, label=name)
    left.set_yscale("symlog", linthresh=1)
    left.set_yticks([0, 0.5, 1, 2, 5, 10, 20, 50], ["0", "0.5", "1", "2", "5", "10", "20", "50"])
    left.set_ylim(bottom=-0.2)
    left.set_xlabel("|g - h| / max(|g|, |h|) of the two gradients")
    left.set_ylabel("difference of the accuracies\n(points, with standard error)")
    left.legend(loc="upper left", fontsize=8)
    for y, (_, n, rights) in enumerate(reversed(rows)):
        right.plot([100 * a for a in rights], [y] * len(rights), color=f"C{n % 10}", marker=MARKERS[n % len(MARKERS)],
                   linestyle="", markersize=4)
    right.set_yticks(range(len(rows)), [label for label, _, _ in reversed(rows)], fontsize=8)
    right.set_xlabel("validation accuracy (%), each seed")


def of_surrogates(r: surrogates.Surrogates, figure: Figure) -> None:
    left, middle, right = figure.subplots(1, 3)
    left.plot(r.t, r.true, color="black", linewidth=1, marker=".", linestyle=":", label="true")
    left.plot(r.t, r.dithered, color="C1", linewidth=2, label=f"dithered, {r.draws} draws")
    left.set_xlabel("t, from the start (0) to the end (1) of a training")
    left.set_ylabel("loss")
    left.legend()
    middle.plot((r.t[1:] + r.t[:-1]) / 2, r.slope, color="black", linewidth=4, alpha=0.3, label="dithered loss")
    for n, (name, slopes) in enumerate(r.noisy.items()):
        colour, marker, line = f"C{n % 7}", MARKERS[n % len(MARKERS)], "-" if n < 7 else "--"
        middle.plot(r.t, slopes, color=colour, linestyle=line, linewidth=1, marker=marker, markersize=4,
                    markevery=(n % 4, 5), label=name)
        right.plot(r.bias[name].x, r.bias[name].closed, color=colour, linestyle=line, linewidth=1)
        right.plot(r.bias[name].x[n % 4::5], r.bias[name].measured[n % 4::5], color=colour, linestyle="",
                   marker=marker, markersize=4)
    middle.set_xlabel("t")
    middle.set_ylabel("slope along the line, as reported")
    middle.legend(fontsize=8)
    right.set_xlabel("x between the codes -1 and 1")
    right.set_ylabel("bias for a quadratic\n(line: closed form, marks: measured)")
