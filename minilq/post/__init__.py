"""Post-training: a trained network in, a smaller one out; what is reckoned from gradients, but not trained."""

from typing import TYPE_CHECKING

from minilq.later import imported_later

if TYPE_CHECKING:
    from minilq.post.allocation import gradient_norms, shared_out
    from minilq.post.bias_correction import correct_biases, correct_biases_by_moments
    from minilq.post.calibration import calibrate_ranges
    from minilq.post.collapsing import collapse
    from minilq.post.equalization import equalize
    from minilq.post.folding import fold_batch_norms
    from minilq.post.hessian import Trace, hessian_trace
    from minilq.post.high_biases import absorb_high_biases
    from minilq.post.layerwise import round_layers
    from minilq.post.outliers import migrate, migration
    from minilq.post.precision import Round, Spent, adaptive, spent_by, water_filling
    from minilq.post.static_inputs import spiq
else:
    __getattr__ = imported_later(__name__, {
        "allocation": "gradient_norms shared_out",
        "bias_correction": "correct_biases correct_biases_by_moments",
        "calibration": "calibrate_ranges",
        "collapsing": "collapse",
        "equalization": "equalize",
        "folding": "fold_batch_norms",
        "hessian": "Trace hessian_trace",
        "high_biases": "absorb_high_biases",
        "layerwise": "round_layers",
        "outliers": "migrate migration",
        "precision": "Round Spent adaptive spent_by water_filling",
        "static_inputs": "spiq"})

__all__ = ["Round", "Spent", "Trace", "absorb_high_biases", "adaptive", "calibrate_ranges", "collapse",
           "correct_biases", "correct_biases_by_moments", "equalize", "fold_batch_norms", "gradient_norms",
           "hessian_trace", "migrate", "migration", "round_layers", "shared_out", "spent_by", "spiq", "water_filling"]
