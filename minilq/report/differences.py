"""An integer network beside its float twin, as text."""

from __future__ import annotations

from minilq.integer.float_twin import Comparison
from minilq.report.table import aligned

HEAD = ("codes that a layer multiplies", "apart at most", "share apart", "adding up: at most", "share")


def differences(comparison: Comparison) -> str:
    """How far the codes of each layer are apart, on equal inputs and when differences add up, and the predictions."""
    rows = [(name, str(own.largest), f"{100 * own.share:.4f} %", str(comparison.together[name].largest),
             f"{100 * comparison.together[name].share:.4f} %") for name, own in comparison.alone.items()]
    return (f"beside the same network with fake-quantized floats: the same prediction for "
            f"{100 * comparison.agreement:.2f} % of the images\n\n{aligned([HEAD, *rows])}")
