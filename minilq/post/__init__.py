"""Post-training: a trained network in, a smaller one out; what is reckoned from gradients, but not trained."""

from minilq.post.allocation import shared_out
from minilq.post.collapse import collapse
from minilq.post.precision import Round, Spent, adaptive, spent_by, water_filling

__all__ = ["Round", "Spent", "adaptive", "collapse", "shared_out", "spent_by", "water_filling"]
