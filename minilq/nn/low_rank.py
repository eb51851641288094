"""Low rank: a dense layer as two thin ones, by the singular value decomposition of its weight."""

from __future__ import annotations

import copy

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.parameter import Parameter
from minilq.errors import ConfigError
from minilq.nn.layers import Dense
from minilq.nn.site import Site


def low_rank(layer: Dense, rank: int) -> tuple[Dense, Dense]:
    """Two layers that together give the nearest thing of this rank to what one gives; it stays as it is.

    Forward     W = U S V^T of the largest `rank` singular values; the first layer is U S^1/2 with a bias of 0, the
                second S^1/2 V^T with the bias of the layer. Computed in float64
    Size        with the bias of the first layer rank (m + n + 1) numbers in the place of m n
    Raises      ConfigError for other layers, where the weight or the bias has a method, whose codes would be lost, and
                for a rank outside 1 .. min(m, n)
    Source      Gong et al. 2014 (arXiv 1412.6115), section 3.1; nearest: Eckart and Young 1936

    >>> layer = Dense(3, 2, np.random.default_rng(0))
    >>> first, second = low_rank(layer, 1)
    >>> first.weight.shape, second.weight.shape
    ((3, 1), (1, 2))
    """
    if not isinstance(layer, Dense):
        raise ConfigError("low_rank", "the layer must be Dense", got=shown(layer))
    weight, bias = layer.weight.latent, layer.bias.latent
    assert weight is not None
    assert bias is not None
    if layer.weight.method is not None or layer.bias.method is not None:
        raise ConfigError("low_rank", "the layer must be in full precision", got="a method at its weight or bias",
                          cause="Take it apart first, then quantize both layers")
    m, n = weight.shape
    if not is_whole(rank, 1, min(m, n)):
        raise ConfigError("low_rank", f"rank must be a whole number in 1..{min(m, n)}", got=shown(rank))
    U, s, V = np.linalg.svd(weight.array.astype(np.float64), full_matrices=False)
    root = np.sqrt(s[:rank])
    rng, dtype = np.random.default_rng(0), weight.dtype
    first, second = Dense(m, rank, rng, 0, dtype), Dense(rank, n, rng, 0, dtype)
    first.input = copy.copy(layer.input)
    first.weight, second.weight = (Site(Parameter(part.astype(dtype))) for part in (U[:, :rank] * root,
                                                                                    root[:, None] * V[:rank]))
    second.bias = Site(Parameter(bias.array.copy()))
    return first, second
