"""The top of a sweep's page: what was found, in words; what the sweep is; what is not there."""

from __future__ import annotations

from minilq.experiments.chance import ERRORS
from minilq.experiments.pareto import Point
from minilq.report import sweep_style as style
from minilq.report.page_idle import warnings
from minilq.report.page_rounded import against_rounding
from minilq.report.page_short import told_apart
from minilq.report.page_tables import fold
from minilq.report.sweep_data import SweepData
from minilq.report.text import shown


def summary(sweep: SweepData) -> str:
    """Sentences on the quantized networks: how many are as good as floats, the smallest of those, the best; what can be
    told apart; what costs nothing."""
    if not sweep.quantized:
        return "<p>No quantized network is finished yet: there are no figures.</p>"
    many, apart = len(sweep.quantized), len(style.variants(sweep.quantized)) > 1
    best = max(sweep.quantized, key=lambda point: (point["accuracy"], -point["bytes_packed"]))
    lines = [f"The most accurate of {many} quantized network{'s' * (many > 1)}: {_found(best, apart)}"]
    if sweep.baselines:
        floats = max(sweep.baselines, key=lambda point: float(point["accuracy"]))
        near = [point for point in sweep.quantized if not sweep.chance.better(floats, point)]
        level = f"the float baseline’s {100 * floats['accuracy']:.2f} %"
        more = ERRORS * sweep.chance.error(floats, best)
        if near:
            smallest = min(near, key=lambda point: (point["bytes_packed"], -point["accuracy"]))
            lose = f"lose less than {100 * more:.2f} points, more than chance, against" if more else "are as good as"
            lines = [f"<strong>{len(near)} of {many}</strong> quantized networks {lose} {level}.",
                     f"The smallest of these: {_found(smallest, apart)}", f"The most accurate: {_found(best, apart)}"]
        else:
            lose = f"lose {100 * more:.2f} points, more than chance, or more" if more else "lose accuracy"
            lines.append(f"All {lose} against {level}.")
    return "".join(f"<p>{line}</p>" for line in lines) + told_apart(sweep) + against_rounding(sweep)


def _found(point: Point, apart: bool) -> str:
    raw = point["bytes_float32"]
    return (f"<strong>{shown(style.described(point, apart))}</strong>, {100 * point['accuracy']:.2f} % with "
            f"{point['unique_integers']:.0f} integers, {point['bytes_packed'] / 1000:.1f} kB packed "
            f"({raw / point['bytes_packed']:.1f} times smaller than float32) and "
            f"{point['bytes_entropy'] / 1000:.1f} kB entropy-coded ({raw / point['bytes_entropy']:.1f} times).")


def facts(sweep: SweepData) -> str:
    """How many points there are, and what they have in common, in a line."""
    total = len(sweep.points) + len(sweep.failures) + len(sweep.missing)
    said = [f"{len(sweep.points)} of {total} finished, {len(sweep.failures)} failed, {len(sweep.missing)} not run"]
    for name, form in (("model", "{}"), ("epochs", "{} epochs"), ("steps", "{:,} steps"),
                       ("train_images", "{:,} training images"), ("seed", "seed {}"), ("input", "{} input")):
        said += [form.format(value) for value in sorted({point[name] for point in sweep.points})]
    return f'<p class="note">{shown(" · ".join(said))}</p>'


def missing(sweep: SweepData) -> str:
    """What a reader must know is not there; "" when nothing is missing."""
    parts = []
    if sweep.failures:
        parts.append(fold(f"{len(sweep.failures)} failed", "".join(
            f"<p><strong>{shown(name)}</strong></p><pre>{shown(message)}</pre>"
            for name, message in sweep.failures.items())))
    if sweep.missing:
        many = "1 point has" if len(sweep.missing) == 1 else f"{len(sweep.missing)} points have"
        parts.append(fold(f"{many} not been run", f"<ul>{''.join(f'<li>{shown(name)}</li>' for name in sweep.missing)}"
                          "</ul>"))
    if not sweep.baselines:
        parts.append("<p>No float baseline is finished: the figures have no line for it.</p>")
    if sweep.baselines and not sweep.rounded:
        parts.append("<p>There is no line for the float network merely rounded to nearest: it was not rounded, or not "
                     "in the same parameters as the quantized networks.</p>")
    if sweep.quantized and max(len(point["seeds"]) for point in sweep.quantized) == 1:
        parts.append("<p>One seed for each point: there are no error bars, and how far seeds spread is not known.</p>")
    parts += warnings(sweep)
    return f'<section class="warn" id="missing">{"".join(parts)}</section>' if parts else ""
