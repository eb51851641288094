"""The table that ends a run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 80
HEAD = ("network", "accuracy", "integers", "bits", "kB", "times smaller")
ROUNDED = "float, rounded to nearest"
SHARED = {"network": "one scale for all", "scalar": "a scale for each parameter"}
"""What shares a scale, in words."""

REST = ("network", "loss", "range", "zip", "packed", "lzma", "seconds")

Measured = Mapping[str, Any]
"""What was measured of a network (experiments/measure.py); of a float one, accuracy and loss alone."""


def comparison(result: Mapping[str, Any], title: str, verbose: bool = False) -> str:
    """Three lines: the float network, the quantized one, and the float one merely rounded to nearest, as coarsely as it
    can be and be as accurate (experiments/rounded.py); see `table_of`.

    title       the quantized network in words
    """
    floats = {"accuracy": result["baseline_accuracy"], "loss": result["baseline_loss"],
              "bytes_zip": result["bytes_float32_zip"], "seconds": result["seconds_each"]["float"]}
    return table_of({"float": floats, "quantized": {**result, "seconds": result["seconds_each"]["quantized"]},
                     ROUNDED: result["rounded"]}, result, title, verbose)


def table_of(networks: Mapping[str, Measured], sizes: Mapping[str, Any], title: str, verbose: bool = False) -> str:
    """A line for each network, by what it is called: accuracy, integers, and one size. Lines below name what they are
    compared with. A second table has everything else, if it is wanted. No line is longer than WIDTH.

    The size is in kB (1000 bytes), entropy-coded, with scales, tables and headers; how many times smaller, against the
    same numbers in float32.
    """
    raw = sizes["bytes_float32"]
    rows = [HEAD]
    for name, r in networks.items():
        quantized = "unique_integers" in r
        size = r["bytes_entropy"] if quantized else raw
        rows.append((name, "-" if r["accuracy"] is None else f"{100 * r['accuracy']:.2f} %",
                     f"{r['unique_integers']:,}" if quantized else "-", str(r["bits"]) if quantized else "32",
                     _kilo(size), f"{raw / size:.1f}"))
    notes = [f"quantized: {title}."] * ("quantized" in networks)
    if "granularity" in (rounded := networks.get(ROUNDED, {})):
        found = rounded["accuracy"] >= networks["quantized"]["accuracy"]
        granularity = str(rounded["granularity"])
        shared = SHARED.get(granularity, f"a scale for each {granularity}")
        notes.append(f"rounded: without training, {shared}; the "
                     f"{'smallest that is as accurate' if found else 'most accurate, none is as good'}.")
    notes.append(f"kB of {sizes['parameters']:,} parameters, entropy-coded, with {sizes['scales']:,} scales; times "
                 f"smaller than the same parameters in float32, {_kilo(raw)} kB.")
    return f"{aligned(rows)}\n\n{filled(notes)}" + (f"\n\n{_rest(networks)}" if verbose else "")


def _rest(networks: Mapping[str, Measured]) -> str:
    rows: list[tuple[str, ...]] = [REST]
    wide: set[str] = set()
    for name, r in networks.items():
        cells = ["-", _kilo(r["bytes_zip"]) if "bytes_zip" in r else "-", "-", "-"]
        if "unique_integers" in r:
            mark = "*" * (r["integer_type"] != "int8")
            wide |= {r["integer_type"]} - {"int8"}
            cells = [f"{r['integer_min']}..{r['integer_max']}", _kilo(r["bytes_int8_zip"]) + mark,
                     _kilo(r["bytes_packed"]), _kilo(r["bytes_lzma"])]
        rows.append((name, f"{r['loss']:.3f}" if "loss" in r else "-", *cells,
                     f"{r['seconds']:.1f}" if "seconds" in r else "-"))
    notes = ["Sizes in kB. zip: the thesis' measure, int8 codes without scales (float: float32). packed: codes at the "
             "width of each parameter's range; lzma: all codes as one stream; both with scales."]
    if wide:
        notes.append(f"*: these codes do not fit into int8; zipped as {', '.join(sorted(wide))}.")
    return f"{aligned(rows)}\n\n{filled(notes)}"


def filled(paragraphs: Sequence[str]) -> str:
    """Paragraphs in lines of at most WIDTH."""
    return "\n".join(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) for text in paragraphs)


def _kilo(count: int) -> str:
    return f"{count / 1000:,.1f}"


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of cells as text, a line below the first: the first `left` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) if i < left else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
