"""SPIQ: a scale for each channel of an input, from what batch normalisation says of it, and not from data."""

from __future__ import annotations

import numpy as np

from minilq.arguments import check_whole, is_number, shown
from minilq.errors import ConfigError
from minilq.nn import ReLU, Sequential
from minilq.post.folding import Moments, check_moments
from minilq.post.pairs import divide_channels, pairs
from minilq.quantize.methods.fixed_grid import FixedGrid


def spiq(model: Sequential, moments: Moments, bits: int = 8, spread: float | None = None) -> list[str]:
    """Give inputs behind batch normalisation a grid of so many bits, with a scale for each channel in its weight.

    With mean beta and standard deviation gamma of a channel, its reach is |beta| + spread gamma, behind a ReLU
    beta + spread gamma, and its scale s the reach by the largest code. What comes is divided by s and the weight
    multiplied by it, which changes nothing; then one grid of whole numbers holds for all channels.

    model       in full precision, changed in place, its batch normalisation folded by `fold_batch_norms`
    moments     what that gave
    bits        of the inputs: 0 .. 2^bits - 1 behind a ReLU, else -(2^(bits-1) - 1) .. 2^(bits-1) - 1
    spread      so many standard deviations reach; None for `bits` of them, as in the paper
    Returns     the names of the inputs that have their grid now; weights are quantized by whatever comes next
    Raises      ConfigError for other arguments, and for a network with a method
    Source      Yvinec et al. 2023 (arXiv 2203.14642), equations 5 to 8; equation 9 prints the weight divided by s

    >>> from minilq import BatchNorm, Dense
    >>> from minilq.post import fold_batch_norms
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Dense(3, 2, rng), BatchNorm(2), ReLU(), Dense(2, 1, rng))
    >>> spiq(model, fold_batch_norms(model))
    ['dense2.input']
    """
    check_moments("spiq", moments, or_none=False)
    check_whole("spiq", "bits", bits, 2)
    if bits > 16 or not (spread is None or (is_number(spread) and spread > 0)):
        raise ConfigError("spiq", "bits must be at most 16, and spread a number > 0, or None",
                          got=f"{shown(bits)} and {shown(spread)}")
    wide, given = float(bits if spread is None else spread), []
    for pair in pairs(model):
        if pair.name not in moments:
            continue
        positive = any(isinstance(layer, ReLU) for layer in pair.between)
        low, high = (0, 2**bits - 1) if positive else (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
        mean, std = moments[pair.name]
        reach = (mean if positive else np.abs(mean)) + wide * std
        divide_channels(pair, np.where(reach > 0, reach / high, 1.0))        # else nothing ever comes
        given.append((pair, FixedGrid(low, high)))
    for pair, method in given:
        site = pair.second.input
        site.change(method)
        site.held, site.started = {"scale": np.ones(1, site.dtype)}, True
    return [f"{pair.next_name}.input" for pair, _ in given]
