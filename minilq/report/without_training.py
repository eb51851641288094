"""The table of a network that was quantized without training: what the steps made good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minilq.experiments.without_training import described
from minilq.report.table import aligned, filled


def table(result: Mapping[str, Any]) -> str:
    """Accuracy and loss of the float network, of the same methods rounded to nearest, and after all steps."""
    lines = {"float": (result["baseline_accuracy"], result["baseline_loss"]),
             "rounded to nearest": (result["nearest"]["accuracy"], result["nearest"]["loss"]),
             "with all steps": (result["accuracy"], result["loss"])}
    rows = [("without training", "accuracy", "loss")]
    rows += [(name, f"{100 * accuracy:.2f} %", f"{loss:.4f}") for name, (accuracy, loss) in lines.items()]
    return f"{aligned(rows)}\n\n{filled([f'steps: {described(dict(result))}.'])}"
