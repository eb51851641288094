"""Post-training: a trained network in, a smaller one out; what is reckoned from gradients, but not trained."""

from minilq.post.allocation import shared_out
from minilq.post.collapse import collapse
from minilq.post.hessian import Trace, hessian_trace
from minilq.post.precision import Round, Spent, adaptive, spent_by, water_filling

__all__ = ["Round", "Spent", "Trace", "adaptive", "collapse", "hessian_trace", "shared_out", "spent_by",
           "water_filling"]
