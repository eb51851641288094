"""An integer network beside its float twin, as text."""

from __future__ import annotations

from minilq.integer.float_twin import Comparison
from minilq.report.table import aligned, filled

HEAD = ("codes that go into", "apart at most", "share apart", "added up: at most", "share")
TWIN = ("The twin has the same integer weights, and sets what goes from layer to layer on the same grids, of 8 bits "
        "where none is trained; in between it computes in float64. So it differs from the network as it was trained "
        "by these grids, and from the integers by rounding alone.")
POLYNOMIALS = "Both have I-BERT's polynomials for softmax and GELU, which the network as it was trained does not know."


def differences(comparison: Comparison, trained: float, twin: float, integers: float) -> str:
    """Accuracy as trained, of the twin and of the integers; what the twin is; and how far the codes of each layer are
    apart, when all layers before it got equal codes, and when differences add up."""
    accuracies = [("network", "accuracy"), ("as trained, float between layers", f"{100 * trained:.2f} %"),
                  ("its twin, fake-quantized between layers", f"{100 * twin:.2f} %"),
                  ("on integers alone", f"{100 * integers:.2f} %")]
    rows = [(name, str(own.largest), f"{100 * own.share:.4f} %", str(comparison.together[name].largest),
             f"{100 * comparison.together[name].share:.4f} %") for name, own in comparison.alone.items()]
    same = f"Twin and integers predict the same for {100 * comparison.agreement:.2f} % of the images."
    attends = any(name.endswith(".probabilities") for name in comparison.alone)
    told = [TWIN, POLYNOMIALS, same] if attends else [TWIN, same]
    return f"{aligned(accuracies)}\n\n{filled(told)}\n\n{aligned([HEAD, *rows])}"
