"""Which figures a sweep has, with their headings and what to look for in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import minilq.report.sweep_curves as curves
from minilq.report import sweep_style as style
from minilq.report.sweep_crowd import crowd
from minilq.report.sweep_data import SweepData
from minilq.report.sweep_plots import pareto

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LONGEST = 120                                    # characters of a file's name, of some 255 that a file system takes


@dataclass(frozen=True)
class Drawing:
    """A figure: the name of its file, its heading, and a sentence on how to read it."""

    name: str
    heading: str
    caption: str
    figure: Figure


def pareto_drawings(sweep: SweepData) -> Iterator[Drawing]:
    """Accuracy against each cost, in the order of `sweep_style.COSTS`."""
    for name, cost in style.COSTS.items():
        if sweep.quantized:
            caption = f"Accuracy against {cost.label}."
            together = style.crowded(sweep.quantized)
            if together:
                caption += " All methods together; point at a marker to read which it is."
            if name == "bits":
                what = "methods" if together else "schemes"
                caption += f" Bits are whole numbers; {what} stand side by side around each."
            yield Drawing(f"pareto-{name.replace('_', '-')}", cost.word[0].upper() + cost.word[1:], caption,
                          (crowd if together else pareto)(sweep.quantized, sweep.baselines, name, sweep.rounded))


def curve_drawings(sweep: SweepData) -> Iterator[Drawing]:
    """Accuracy and loss by epoch, of every scheme and start; none where there would be too many to look at."""
    if style.crowded(sweep.quantized):
        return
    for scheme, variant, label, file in _schemes(sweep):
        of_scheme = [p for p in style.of_variant(sweep.quantized, variant) if p["scheme"] == scheme]
        baselines = [point for point in sweep.baselines if point["input"] == variant[0]]
        for start, words in style.STARTS.items():
            own = [point for point in of_scheme if point["start"] == start]
            if own:
                yield Drawing(f"curves-{file}-{start}", f"{label}, {words}",
                              f"Accuracy and loss on validation data by epoch, {label}, {words}.",
                              curves.learning_curves(own, baselines, sweep.curves))


def scale_drawings(sweep: SweepData) -> Iterator[Drawing]:
    """Scales by epoch, of every scheme; as `curve_drawings`."""
    if style.crowded(sweep.quantized):
        return
    for scheme, variant, label, file in _schemes(sweep):
        own = [p for p in style.of_variant(sweep.quantized, variant) if p["scheme"] == scheme]
        if any(sweep.curves[member["name"]].scale for point in own for member in point["members"]):
            yield Drawing(f"scales-{file}", label, f"Median scale by epoch, {label}.",
                          curves.scale_trajectories(own, sweep.curves))


def _schemes(sweep: SweepData) -> Iterator[tuple[str, style.Variant, str, str]]:
    """Every scheme and variant that occurs, what a heading calls the two, and what a file does: none twice."""
    variants = style.variants(sweep.quantized)
    files: list[str] = []
    for variant in variants:
        for scheme in style.schemes(style.of_variant(sweep.quantized, variant)):
            words = (re.sub(r"[^\w.]+", "-", part.replace("_", "-")) for part in (scheme, *variant) if part)
            files.append("-".join(words)[:LONGEST])
            again = files.count(files[-1])
            yield (scheme, variant, style.style_of(scheme).label + (f", {style.words(variant)}" * (len(variants) > 1)),
                   files[-1] + f"-{again}" * (again > 1))
