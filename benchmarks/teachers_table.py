"""The tables of `teachers.py`: means with standard errors, and paired differences, seed by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

REFERENCES = {
    "float": (97.05, 97.21), "quantized distillation W2": (96.33, 96.08), "quantized distillation W4": (96.88, 96.92),
    "learned points W4": (97.14, 97.12), "Affine W8A8": (97.09, 97.21), "Affine W4A4": (96.87, 96.95),
    "Affine W4A4, scales of outputs": (96.84, 97.11), "two stages, W2 then W2A2": (93.68, 93.35),
}
"""Of set recipe: the accuracies of two seeds in PyTorch."""

TAUGHT = {f"{name}, taught": f"{name}, alone" for name in (
    "float", "rounded to 3 levels", "put on Polino's 4 levels", "put on VecQ's 4 levels", "Polino W2", "LSQ W2")}

COMPARED = {
    "student": TAUGHT,
    "qgt": {f"{bits} bits, rate {rate}": f"{bits} bits, rate 0" for bits in (2, 3)
            for rate in ("0.001", "0.01", "0.1")},
    "two": {name: "direct" for name in ("two stages", "progressive", "distilled", "guided, logits", "guided, maps")},
}
"""Name of a method -> the one that it is compared with."""


def mean(values: Sequence[float]) -> str:
    """Mean +- standard error."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} +- {statistics.stdev(values) / math.sqrt(len(values)):.2f}"


def table(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    """The table of a set, in Markdown."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["method"], {})[row["seed"]] = float(row["accuracy"])
    return _beside_references(found) if name == "recipe" else _compared(found, COMPARED[name])


def _compared(found: Mapping[str, Mapping[str, float]], others: Mapping[str, str]) -> str:
    lines = ["| network | accuracy | seeds | compared with | difference |", "|---|---|---|---|---|"]
    for method, by_seed in found.items():
        other = others.get(method, "")
        differences = [right - found[other][seed] for seed, right in by_seed.items() if seed in found.get(other, {})]
        sign = "+" if differences and statistics.mean(differences) >= 0 else ""
        lines.append(f"| {method} | {mean(list(by_seed.values()))} | {len(by_seed)} | {other} | "
                     f"{sign + mean(differences) if differences else ''} |")
    return "\n".join(lines)


def _beside_references(found: Mapping[str, Mapping[str, float]]) -> str:
    lines = ["| method | PyTorch, two seeds | minilq, its seeds | mean | apart | allowed | verdict |",
             "|---|---|---|---|---|---|---|"]
    for method, by_seed in found.items():
        values, reference = list(by_seed.values()), REFERENCES.get(method)
        words = ["", "", ""]
        if reference is not None:
            apart, allowed = statistics.mean(values) - statistics.mean(reference), max(1, 2 * abs(
                reference[0] - reference[1]))
            words = [f"{apart:+.2f}", f"{allowed:.2f}", "within" if abs(apart) <= allowed else "outside"]
        lines.append(f"| {method} | {', '.join(f'{x:.2f}' for x in reference or ())} | "
                     f"{', '.join(f'{x:.2f}' for x in values)} | {mean(values)} | {' | '.join(words)} |")
    return "\n".join(lines)
