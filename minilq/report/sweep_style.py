"""How points of a sweep are named, ordered and drawn: the same in every figure and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minilq.experiments.pareto import Point

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Style:
    """Name, colour and marker of a scheme: the thesis' four in colours that colour-blind readers tell apart (Okabe and
    Ito), and each with a marker of its own."""

    label: str
    colour: str
    marker: str


@dataclass(frozen=True)
class Cost:
    """What accuracy is set against: in a word, in a table, on an axis, and what its numbers are divided by there."""

    word: str
    head: str
    label: str
    unit: int = 1


COSTS = {
    "bytes_packed": Cost("packed size", "packed (kB)", "packed size, scales counted (kB)", 1000),
    "bytes_entropy": Cost("entropy-coded size", "entropy-coded (kB)",
                          "entropy-coded size, tables and scales counted (kB)", 1000),
    "unique_integers": Cost("integers", "integers", "unique integers"),
    "range": Cost("range", "range", "integer range, max - min + 1"),
    "bits": Cost("bits", "bits", "bits that the range needs"),
}
"""Of `pareto.COSTS`, in the order in which a reader meets them."""

SCHEMES = {
    "nested": Style("nested", "#0072B2", "o"),
    "ungated": Style("nested without gate", "#56B4E9", "p"),
    "maxbin": Style("MaxBin", "#D55E00", "s"),
    "inverse": Style("Inverse", "#009E73", "^"),
    "difference": Style("Difference", "#CC79A7", "D"),
    "squared_deviation": Style("squared deviation", "#E69F00", "P"),
    "absolute_deviation": Style("absolute deviation", "#882255", "X"),
    "dampening": Style("dampening", "#000000", "*"),
    "sine": Style("sine", "#44AA99", "<"),
    "hoyer": Style("Hoyer", "#DDCC77", "d"),
    "hoyer_square": Style("Hoyer-square", "#777777", "h"),
    "group_hoyer": Style("group Hoyer", "#88CCEE", "H"),
    "code_size": Style("size of the codes", "#661100", "v"),
}
ROUNDED = Style("float, rounded to nearest", "#555555", "v")
ONE = "one grid"
GRANULARITIES = ("row", "column", "scalar", "channel", "filter")
STARTS = {"scratch": "from scratch", "post": "post-training"}
SYMBOLS = {"nested": "λ", "ungated": "λ"}        # of a scheme's strength; the penalties' is γ, other methods have bits
OTHERS = ("#332288", "#117733", "#AA4499", "#999933", "#661100", "#6699CC", "#888888")
OTHER_MARKERS = "v>dH84"
MARKERS = "os^DvPX<>*"                          # of strengths, in ascending order
MOST_PANELS = 12
BELOW = 0.08
WIDE, HIGH, LOW = 3.7, 3.9, 3.0                  # inches: of a panel, alone and in one of several rows

Variant = tuple[str, str, str]
"""Input, rounding, and what else a grid tells apart."""


def style_of(scheme: str) -> Style:
    """How a scheme is drawn; methods that have no style of their own get one by their name, always the same."""
    place = sum(scheme.encode())
    return SCHEMES.get(scheme) or Style(scheme, OTHERS[place % len(OTHERS)], OTHER_MARKERS[place % len(OTHER_MARKERS)])


def schemes(points: Sequence[Point]) -> list[str]:
    """Those that occur: the thesis' in its order, then other methods by their names."""
    return _in_order([point["scheme"] for point in points], tuple(SCHEMES))


def _in_order(words: Sequence[str], known: Sequence[str]) -> list[str]:
    return [*(word for word in known if word in words), *sorted(set(words) - set(known))]


def _place(word: str, known: Sequence[str]) -> tuple[int, str]:
    return (known.index(word), "") if word in known else (len(known), word)


def order(point: Point) -> tuple[object, ...]:
    """A key that sorts points for a reader: baselines first, then by scheme, granularity, start, strength."""
    if point["scheme"] == "float":
        return (-1, point["input"])
    strength = point["strength"]
    return (*_place(point["scheme"], list(SCHEMES)), point["input"], point["rounding"], point.get("variant", ""),
            *_place(point["granularity"], GRANULARITIES), list(STARTS).index(point["start"]),
            -1 if strength is None else strength)


def granularities(points: Sequence[Point]) -> list[str]:
    """Those that occur, in the order of the thesis, then others."""
    return _in_order([point["granularity"] for point in points], GRANULARITIES)


def crowded(points: Sequence[Point]) -> bool:
    """Whether a panel for each granularity and variant would be more than a page can show: then all share one."""
    return len(granularities(points)) * len(variants(points)) > MOST_PANELS


def variants(points: Sequence[Point]) -> list[Variant]:
    """The triples of input, rounding and the rest that occur; each gets its own row of panels or its own figure."""
    return sorted({_variant(point) for point in points})


def of_variant(points: Sequence[Point], variant: Variant) -> list[Point]:
    return [point for point in points if _variant(point) == variant]


def _variant(point: Point) -> Variant:
    return point["input"], point["rounding"], point.get("variant", "")


def words(variant: Variant) -> str:
    """A variant as a heading says it.

    >>> words(("raw", "floor", "")), words(("unit", "own", "inputs lsq bits=4"))
    ('raw input, floor', 'unit input, inputs lsq bits=4')
    """
    seen, rounding, rest = variant
    return ", ".join([f"{seen} input", *(word for word in (rounding, rest) if word not in ("", "own"))])


def plain(text: str) -> str:
    """A text from a file for a figure, where dollars would begin a formula."""
    return text.replace("$", r"\$")


def symbol(scheme: str) -> str:
    """Of the strength: lambda for a threshold, gamma for the rate of a penalty, bits of other methods."""
    return SYMBOLS.get(scheme, "γ" if scheme in SCHEMES else "bits")


def strength(point: Point) -> str:
    """The strength of a point with its symbol; "" where it has none.

    >>> strength({"scheme": "nested", "strength": 1e-9}), strength({"scheme": "lsq", "strength": 4})
    ('λ = 1e-9', 'bits = 4')
    """
    return "" if point["strength"] is None else f"{symbol(point['scheme'])} = {number(point['strength'])}"


def described(point: Point, apart: bool = False) -> str:
    """A quantized point in words, or a float network that was rounded; `apart` tells the input, rounding and the rest
    of a trained one too.

    >>> described({"scheme": "maxbin", "strength": 1e-8, "granularity": "row", "start": "post"})
    'MaxBin, γ = 1e-8, row, post-training'
    >>> described({"scheme": "rounded", "strength": 8.0, "granularity": "network"})
    'float, rounded to nearest, one grid, reach 8'
    """
    if point["scheme"] == "rounded":
        granularity = ONE if point["granularity"] == "network" else point["granularity"]
        return f"{ROUNDED.label}, {granularity}, reach {point['strength']:.3g}"
    granularity = "" if point["granularity"] == "own" else point["granularity"]
    told = (style_of(point["scheme"]).label, strength(point), granularity, STARTS[point["start"]],
            words(_variant(point)) if apart else "")
    return ", ".join(word for word in told if word)


def number(strength: float) -> str:
    """A strength as a reader writes it.

    >>> number(1e-9), number(2.5e-4), number(0.0), number(4), number(8.0)
    ('1e-9', '2.5e-4', '0', '4', '8')
    """
    if float(strength).is_integer() and abs(strength) < 1e6:
        return f"{strength:.0f}"
    digits, exponent = f"{strength:.6e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def lowest_shown(accuracies: Sequence[float]) -> float | None:
    """Where the axis of accuracy is cut, so that collapsed runs do not squash the rest: as far below the best as the
    best is below 1, but at least 8 points; None when everything lies above.

    >>> lowest_shown([0.975, 0.1]), lowest_shown([0.75, 0.1])
    (0.895, 0.5)
    """
    best = max(accuracies)
    cut = best - max(BELOW, 1 - best)
    return cut if min(accuracies) < cut else None


def panels(rows: int, columns: int) -> tuple[Figure, NDArray[np.object_]]:
    """An empty figure with rows x columns axes of one size, on common scales."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(2, columns) * WIDE + 0.4, (HIGH if rows == 1 else rows * LOW) + 0.6))
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=True, sharey="row")


def legend(figure: Figure, handles: Sequence[Artist], title: str | None = None, width: float = 2.2) -> None:
    """A legend below all panels, with as many columns of `width` inches as there is room for."""
    columns = int(figure.get_size_inches()[0] / width)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), title=title)


def note(ax: Axes, text: str, place: tuple[float, float] = (0.03, 0.03)) -> None:
    """A remark in a panel, on white so that lines do not run through it; `place` in shares of the panel."""
    ax.text(*place, text, transform=ax.transAxes, va="bottom", fontsize=8, zorder=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85})
