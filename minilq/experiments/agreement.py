"""Published numbers beside measured ones, and whether they agree.

Two runs that differ in nothing but their seed do not give the same numbers, so each quantity has a tolerance:

accuracy            two standard errors of the difference of the means: 2 s sqrt(1/n + 1/m) for n published and m
                    measured seeds, s the largest standard deviation over seeds that was published. A collapsed network
                    (published below 50 %) has an accuracy of chance; it is not compared.
integers            their number, smallest and largest: 20 %, at least 1. Seeds move 20 integers by one or two, and the
                    thesis' own 24 and the 20 of the reproduction are a sixth apart.
zip                 all bytes that round to the printed figure, and 10 %: a fifth more integers is a quarter of a bit
                    of the three to four that a code takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.pareto import Point
from minilq.experiments.run import CONFIG
from minilq.experiments.thesis import PUBLISHED, Published

SEED_SPREAD = max(point.spread for point in PUBLISHED if point.spread is not None)
INTEGER_SHARE = 0.2
ZIP_SHARE = 0.1
COLLAPSED = 0.5

AGREES, DIFFERS, NOT_COMPARED = "agrees", "does not agree", "n/a"
IMAGE_SIZE = 224
PUBLISHED_FOR = {"digits": "mnist", "fashion": "mnist"}
"""Data without published numbers of their own -> the data whose numbers are shown for orientation."""

SAME = ("model", "epochs", "batch", "lr", "quantize", "layer_thresholds", "layer_rates", "augment", "limit", "holdout",
        "quick", "image_size")
"""Settings that must be the thesis' before its numbers can be expected."""


@dataclass(frozen=True)
class Comparison:
    """A published point, the pooled point that was measured (None: not run), and the verdict.

    verdict     "agrees", "does not agree" or "n/a"
    reason      which quantities do not agree, or why nothing was compared
    """

    published: Published
    measured: Point | None
    verdict: str
    reason: str = ""


def compare(pooled: Sequence[Point], data: str) -> list[Comparison]:
    """Every number published for a data set beside the pooled points of a sweep on it, raw input and floor alone.

    A published point whose start is not known stands beside both. Numbers for MNIST stand beside runs on the embedded
    digits and Fashion-MNIST for orientation, without a verdict. Raises DataError for a damaged config.json.
    """
    comparisons = []
    for published in PUBLISHED:
        if published.data != PUBLISHED_FOR.get(data, data):
            continue
        found = [point for point in pooled if _same_point(published, point)]
        comparisons += [_compared(published, point) for point in found]
        if not found:
            comparisons.append(Comparison(published, None, NOT_COMPARED, "not run"))
    return comparisons


def _same_point(published: Published, point: Point) -> bool:
    if point["scheme"] != published.scheme or point["input"] != "raw" or point.get("variant"):
        return False
    if published.scheme == "float":
        return True
    assert published.strength is not None
    return (point["rounding"] == "floor" and point["granularity"] == published.granularity
            and published.start in (None, point["start"])
            and math.isclose(point["strength"], published.strength, rel_tol=1e-6))


def _compared(published: Published, point: Point) -> Comparison:
    if point["data"] != published.data:
        return Comparison(published, point, NOT_COMPARED, f"for orientation: published for {published.data}")
    other = settings_that_differ(read_config(point["members"][0]["folder"] / CONFIG))
    if other:
        return Comparison(published, point, NOT_COMPARED, "other settings: " + ", ".join(other))
    verdicts = agreements(published, point)
    if not verdicts:
        return Comparison(published, point, NOT_COMPARED, "nothing to compare")
    wrong = [name for name, agrees in verdicts.items() if not agrees]
    return Comparison(published, point, DIFFERS if wrong else AGREES, ", ".join(wrong))


def settings_that_differ(config: RunConfig) -> list[str]:
    """In which settings a run is not the thesis' recipe for its data, seed, scheme and sweep aside."""
    recipe = RunConfig(data=config.data, recipe="thesis")
    if config.data == "imagenette":
        recipe = replace(recipe, image_size=IMAGE_SIZE)
    return [f"{name.replace('_', ' ')} {_said(getattr(config, name))} (published: {_said(getattr(recipe, name))})"
            for name in SAME if getattr(config, name) != getattr(recipe, name)]


def _said(value: Any) -> str:
    return "none" if value is None or value == {} else "no" if value is False else str(value)


def agreements(published: Published, point: Point) -> dict[str, bool]:
    """For every quantity that was published and can be compared, whether the measured mean lies in its tolerance.

    >>> row = Published("thesis", "mnist", "nested", "row", 1e-10, "scratch", (0.96, 0.97), unique=(24, 24))
    >>> agreements(row, {"accuracy": 0.952, "unique_integers": 18.0, "seeds": [42]})
    {'accuracy': True, 'integers': False}
    """
    verdicts = {}
    if published.accuracy is not None and published.accuracy[1] > COLLAPSED:
        error = 2 * SEED_SPREAD * math.sqrt(1 / published.seeds + 1 / len(point["seeds"]))
        verdicts["accuracy"] = _within(point["accuracy"], published.accuracy, error)
    if published.unique is not None:
        verdicts["integers"] = _within(point["unique_integers"], published.unique, _integers(published.unique[1]))
    if published.integer_min is not None and published.integer_max is not None:
        verdicts["range"] = all(_within(point[name], (end, end), _integers(end)) for name, end in
                                (("integer_min", published.integer_min), ("integer_max", published.integer_max)))
    if published.zip_bytes is not None:
        measured = point["bytes_float32_zip" if published.scheme == "float" else "bytes_int8_zip"]
        verdicts["zip"] = _within(measured, published.zip_bytes, ZIP_SHARE * sum(published.zip_bytes) / 2)
    return verdicts


def _integers(value: int) -> float:
    return max(1.0, INTEGER_SHARE * abs(value))


def _within(value: float, ends: tuple[float, float], tolerance: float) -> bool:
    return ends[0] - tolerance <= value <= ends[1] + tolerance
