"""Cross-layer equalization: factors of channels move between layers until one scale suits all of them."""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_whole
from minilq.autodiff.tape import Array
from minilq.nn import Sequential
from minilq.post.folding import Moments, check_moments
from minilq.post.pairs import Pair, divide_channels, pairs
from minilq.quantize.methods.bounds import one_of

UNTIL = 2e-7
"""How near to 1 all factors are when nothing is left to do."""
RANGES = ("largest", "width")


def equalize(model: Sequential, moments: Moments | None = None, passes: int = 100, ranges: str = "largest",
             ) -> dict[str, Array]:
    """Move factors between neighbouring layers, the network's function being what it was: max |w| becomes alike.

        W2 f(W1 x + b1) = (W2 S) f(S^-1 (W1 x + b1)) for f(s x) = s f(x),    s_i = sqrt(r1_i / r2_i)

    r1_i and r2_i are the ranges of channel i in the first weight and in the second, which both become sqrt(r1_i r2_i).
    From pair to pair, and over all of them again until no factor is farther from 1 than 2e-7. Through relu, pools,
    flatten and batch normalisation; a channel without weights on one side stays.

    model       in full precision, changed in place
    moments     of outputs, as `fold_batch_norms` gave them: divided too
    ranges      of a channel: largest, max |w|; width, max w - min w
    Returns     for each layer by whose factors outputs were divided, all of them together
    Raises      ConfigError for a network with a method, for numbers of passes below 1, and other names
    Source      Nagel et al. 2019 (arXiv 1906.04721), section 4.1

    >>> from minilq import Dense, ReLU
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Dense(3, 2, rng), ReLU(), Dense(2, 1, rng))
    >>> weights = [model.sites()[f"dense{i}.weight"].latent.array for i in (1, 2)]
    >>> _ = equalize(model)
    >>> bool(np.allclose(np.abs(weights[0]).max(axis=0), np.abs(weights[1]).max(axis=1)))
    True
    """
    check_whole("equalize", "passes", passes)
    one_of("equalize", "ranges", ranges, RANGES)
    check_moments("equalize", moments)
    every = pairs(model)
    total = {pair.name: np.ones(pair.channels) for pair in every}
    for _ in range(passes):
        apart = 0.0
        for pair in every:
            s = factors(pair, ranges)
            divide_channels(pair, s)
            total[pair.name] *= s
            apart = max(apart, float(np.abs(s - 1).max()))
        if apart < UNTIL:
            break
    for name, s in total.items():
        if moments is not None and name in moments:
            moments[name] = moments[name].divided(s)
    return total


def factors(pair: Pair, ranges: str = "largest") -> Array:
    """s of each channel, 1 where a range is 0 or the quotient none."""
    r1, r2 = (_range(w.astype(np.float64), ranges) for w in (pair.outgoing(), pair.incoming()))
    there = (r1 > 0) & (r2 > 0)
    s = np.sqrt(np.where(there, r1, 1) / np.where(there, r2, 1))
    return np.where(np.isfinite(s) & (s > 0), s, 1.0)


def _range(w: Array, ranges: str) -> Array:
    return np.abs(w).max(axis=1) if ranges == "largest" else w.max(axis=1) - w.min(axis=1)
