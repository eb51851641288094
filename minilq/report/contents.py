"""What is in a model file, as text."""

from __future__ import annotations

import json

from minilq.errors import MOST_GOT, escaped
from minilq.quantize import Coded
from minilq.quantize.flags import choice_of, spelled
from minilq.quantize.method import Quantizer
from minilq.quantize.statistics import integers_of
from minilq.report.table import aligned
from minilq.store.arrays import floats_in
from minilq.store.modelfile import StoredModel

HEAD = ("site", "shape", "grid", "integers", "range", "bits")


def contents(stored: StoredModel) -> str:
    """The layers, every quantized weight as a line of a table, what else there is and what is not, and the facts."""
    floats = floats_in(stored.network, stored.coded)
    rows = [HEAD, *(_row(name, coded) for name, coded in stored.coded.items())]
    of_grids = sum(a.size for coded in stored.coded.values() for a in coded.grid.stored().values())
    lines = [f"layers: {', '.join(stored.network.layers)}", "", aligned(rows),
             f"{sum(coded.codes.size for coded in stored.coded.values()):,} integers, {of_grids:,} numbers of grids; "
             f"beside them {sum(array.size for array in floats.values()):,} numbers: {', '.join(floats) or 'none'}"]
    methods: dict[str, list[str]] = {}
    for name, site in stored.network.sites().items():
        if site.method is not None:
            methods.setdefault(_spelled(site.method), []).append(name)
    lines += [f"{method}: {', '.join(names)}" for method, names in methods.items()]
    lines += [f"not in the file: {what}" for what in stored.missing]
    lines += [": ".join(escaped(text, MOST_GOT) for text in (name, json.dumps(value)))
              for name, value in stored.facts.items()]
    return "\n".join(lines)


def _row(name: str, coded: Coded) -> tuple[str, ...]:
    own = integers_of(coded.codes)
    grid = ", ".join(f"{array.size:,} {part}{'s' * (part != 'levels' and array.size != 1)}"
                     for part, array in coded.grid.stored().items())
    return (name, " x ".join(map(str, coded.codes.shape)), grid, str(own.unique), f"{own.minimum}..{own.maximum}",
            str(own.bits))


def _spelled(method: Quantizer) -> str:
    choice = choice_of(method)
    return type(method).__name__ if choice is None else spelled(choice)
