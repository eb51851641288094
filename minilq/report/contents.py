"""What is in a model file, as text."""

from __future__ import annotations

import json

from minilq.quantize.granularity import Granularity
from minilq.quantize.statistics import integers_of
from minilq.report.table import aligned
from minilq.store.arrays import floats_in
from minilq.store.modelfile import StoredModel

HEAD = ("parameter", "shape", "granularity", "scales", "integers", "range", "bits")


def contents(stored: StoredModel) -> str:
    """The layers in a line, every quantized parameter in one of a table, what else there is, and the facts."""
    floats = floats_in(stored.network, stored.coded)
    rows = [HEAD]
    for name, coded in stored.coded.items():
        own = integers_of(coded.codes)
        rows.append((name, " x ".join(map(str, coded.codes.shape)), _named(coded.granularity), f"{coded.scale.size:,}",
                     str(own.unique), f"{own.minimum}..{own.maximum}", str(own.bits)))
    lines = [f"layers: {', '.join(stored.network.layers)}", "", aligned(rows),
             f"{sum(coded.codes.size for coded in stored.coded.values()):,} integers, "
             f"{sum(coded.scale.size for coded in stored.coded.values()):,} scales; in full precision "
             f"{sum(array.size for array in floats.values()):,} numbers: {', '.join(floats) or 'none'}"]
    return "\n".join([*lines, *(f"{name}: {json.dumps(value)}" for name, value in stored.facts.items())])


def _named(granularity: Granularity) -> str:
    return granularity if isinstance(granularity, str) else f"axes {', '.join(map(str, granularity))}"
