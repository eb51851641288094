"""Post-training: a trained network in, a smaller one out; what is reckoned from gradients, but not trained."""

from minilq.post.allocation import shared_out

__all__ = ["shared_out"]
