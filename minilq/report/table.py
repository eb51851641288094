"""The table that ends a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = ("network", "accuracy", "loss", "integers", "range", "bits", "float32", "int8 zip", "packed", "packed ratio",
        "time")


def comparison(result: Mapping[str, Any], title: str) -> str:
    """Three lines: the float baseline, the quantized network, and the baseline merely rounded to nearest.

    Sizes in kB (1000 bytes) of all quantized parameters; "packed" counts the scales, "int8 zip" (thesis) does not.
    """
    each = result["seconds_each"]
    raw, zip_float = result["bytes_float32"], result["bytes_float32_zip"]
    rows = [
        ("float baseline", _percent(result["baseline_accuracy"]), f"{result['baseline_loss']:.3f}", "-", "-", "32",
         _kilo(raw), f"({_kilo(zip_float)})", "-", "-", f"{each['float']:.1f} s"),
        _quantized(title, result, raw, f"{each['quantized']:.1f} s"),
        _quantized("baseline, rounded to nearest", result["rounded"], raw, "-"),
    ]
    note = (f"{result['parameters']:,} parameters, {result['scales']:,} scales. Sizes in kB. In brackets: the float32 "
            f"zip; int8 zip is {zip_float / result['bytes_int8_zip']:.1f} times smaller.\n"
            "packed: codes at the width of each parameter's range, scales and headers counted; its ratio is against "
            "float32.")
    wide = {r["integer_type"] for r in (result, result["rounded"])} - {"int8"}
    if wide:
        note += f"\n*: these codes do not fit into int8; zipped as {', '.join(sorted(wide))}."
    return aligned([HEAD, *rows]) + "\n" + note


def _quantized(name: str, r: Mapping[str, Any], raw: int, seconds: str) -> tuple[str, ...]:
    return (name, _percent(r["accuracy"]), f"{r['loss']:.3f}", str(r["unique_integers"]),
            f"{r['integer_min']}..{r['integer_max']}", str(r["bits"]), _kilo(raw),
            _kilo(r["bytes_int8_zip"]) + "*" * (r["integer_type"] != "int8"),
            _kilo(r["bytes_packed"]), f"{raw / r['bytes_packed']:.1f}x", seconds)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _kilo(count: int) -> str:
    return f"{count / 1000:.1f}"


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of cells as text, a line below the first: the first `left` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) if i < left else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
