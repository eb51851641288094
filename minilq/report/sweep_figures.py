"""Which figures a sweep has, with their headings and what to look for in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import minilq.report.sweep_curves as curves
from minilq.report import sweep_style as style
from minilq.report.sweep_data import SweepData
from minilq.report.sweep_plots import COSTS, pareto

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure: the name of its file, its heading, and a sentence on how to read it."""

    name: str
    heading: str
    caption: str
    figure: Figure


def pareto_drawings(sweep: SweepData) -> Iterator[Drawing]:
    """Accuracy against each cost."""
    for cost, (label, _) in COSTS.items():
        if sweep.quantized:
            caption = f"Accuracy against {label}."
            if cost == "bits":
                caption += " Bits are whole numbers; schemes stand side by side around each."
            yield Drawing(f"pareto-{cost.replace('_', '-')}", label[0].upper() + label[1:], caption,
                          pareto(sweep.quantized, sweep.baselines, cost))


def curve_drawings(sweep: SweepData) -> Iterator[Drawing]:
    """Accuracy and loss by epoch, of every scheme and start."""
    for scheme, variant, label in _schemes(sweep):
        of_scheme = [p for p in style.of_variant(sweep.quantized, variant) if p["scheme"] == scheme]
        baselines = [point for point in sweep.baselines if point["input"] == variant[0]]
        for start, words in style.STARTS.items():
            own = [point for point in of_scheme if point["start"] == start]
            if own:
                yield Drawing(f"curves-{_file(scheme, variant)}-{start}", f"{label}, {words}",
                              f"Accuracy and loss on validation data by epoch, {label}, {words}.",
                              curves.learning_curves(own, baselines, sweep.curves))


def scale_drawings(sweep: SweepData) -> Iterator[Drawing]:
    """Scales by epoch, of every scheme."""
    for scheme, variant, label in _schemes(sweep):
        own = [p for p in style.of_variant(sweep.quantized, variant) if p["scheme"] == scheme]
        if any(sweep.curves[member["name"]].scale for point in own for member in point["members"]):
            yield Drawing(f"scales-{_file(scheme, variant)}", label, f"Median scale by epoch, {label}.",
                          curves.scale_trajectories(own, sweep.curves))


def _schemes(sweep: SweepData) -> Iterator[tuple[str, style.Variant, str]]:
    several = len(style.variants(sweep.quantized)) > 1
    for variant in style.variants(sweep.quantized):
        for scheme in style.schemes(style.of_variant(sweep.quantized, variant)):
            yield scheme, variant, style.style_of(scheme).label + (f", {style.words(variant)}" if several else "")


def _file(scheme: str, variant: style.Variant) -> str:
    return "-".join(re.sub(r"[^\w.]+", "-", part.replace("_", "-")) for part in (scheme, *variant) if part)
