"""Figures of the findings about pretended derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilq.experiments.findings import rivals

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
