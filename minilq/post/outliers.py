"""SmoothQuant: what makes an input hard to quantize, channels with outliers, moves into the weight behind it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minilq.arguments import as_array, check_reals, is_number, shown
from minilq.autodiff.tape import Array
from minilq.errors import ConfigError, ShapeError
from minilq.nn import BatchNorm, Conv2D, Dense, Dropout, LayerNorm, SelfAttention, Sequential
from minilq.nn.layers import Weighted
from minilq.post.inputs import look
from minilq.post.pairs import array_of, put, rows_of


def migration(x: Array, w: Array, alpha: float = 0.5) -> Array:
    """By how much each channel of an input is divided, and the weight's rows multiplied.

        s_j = max |x_j|^alpha / max |w_j|^(1 - alpha)

    alpha       0 leaves all the range to the input, 1 to the weight; with 1/2 both have sqrt(max |x_j| max |w_j|)
    Shapes      x and w, largest numbers by channel, (channels,) -> s alike, float64; 1 where one is 0
    Source      Xiao et al. 2022, SmoothQuant (arXiv 2211.10438), equation 4

    >>> migration(np.array([64.0, 1.0]), np.array([1.0, 1.0])).tolist()
    [8.0, 1.0]
    """
    x, w = (as_array("migration", a, name) for a, name in ((x, "x"), (w, "w")))
    for a, name in ((x, "x"), (w, "w")):
        check_reals("migration", name, a)
    x, w = (np.abs(a.astype(np.float64)) for a in (x, w))
    _check_alpha("migration", alpha)
    if x.shape != w.shape or x.ndim != 1:
        raise ShapeError("migration", "both must have a number for each channel", got=f"x {x.shape}, w {w.shape}")
    there = (x > 0) & (w > 0)
    return np.asarray(np.where(there, np.where(there, x, 1)**alpha / np.where(there, w, 1)**(1 - alpha), 1.0))


def migrate(model: Sequential, images: Any, alpha: float = 0.5) -> dict[str, Array]:
    """Divide what every normalisation gives by `migration`, and multiply the weight behind it; what the network
    computes stays.

        (x / s) (s W) = x W,     gamma and beta of the normalisation / s

    Of every LayerNorm or BatchNorm with a Dense, Conv2D or SelfAttention directly behind it, or behind a Dropout.

    model       in full precision, changed in place
    images      (N, ...), a few hundred of the training set, which show the largest |x| of each channel
    Returns     s by the names of the normalisations
    Raises      ConfigError for a network with a method, and for alpha outside 0..1

    >>> from minilq import Sequential
    >>> model = Sequential(LayerNorm(4), Dense(4, 2, np.random.default_rng(0)))
    >>> list(migrate(model, np.random.default_rng(1).standard_normal((9, 4)).astype(np.float32)))
    ['layernorm1']
    """
    _check_alpha("migrate", alpha)
    found = behind_norms(model)
    largest: dict[str, Array] = {}

    def watch(name: str, x: Array) -> None:
        largest[name] = np.maximum(largest.get(name, 0), np.abs(x).reshape(-1, x.shape[-1]).max(axis=0))

    look("migrate", model, images, {f"{one.place}.input": partial(watch, name) for name, one in found.items()})
    factors = {name: migration(largest[name], one.largest(), alpha) for name, one in found.items()}
    for name, s in factors.items():
        found[name].divide(s)
    return factors


class Behind(NamedTuple):
    """A normalisation and the layer behind it, whose input site is place.input."""

    norm: LayerNorm | BatchNorm
    place: str
    layer: Weighted

    def largest(self) -> Array:
        """max |w| of each input channel."""
        w = np.abs(array_of(self.layer.weight.latent))
        return np.asarray(w.max(axis=tuple(axis for axis in range(w.ndim) if axis != w.ndim - 2)))

    def divide(self, s: Array) -> None:
        """Divide what the normalisation gives by s, (channels,), and multiply the weight by it."""
        put(self.norm.gamma, self.norm.gamma.array / s)
        put(self.norm.beta, self.norm.beta.array / s)
        put(self.layer.weight.latent, array_of(self.layer.weight.latent) * s[:, None])


def behind_norms(model: Sequential) -> dict[str, Behind]:
    """Every LayerNorm or BatchNorm with a Dense, Conv2D or SelfAttention directly behind it, by its name."""
    found = {}
    for row in rows_of(model):
        before: tuple[str, LayerNorm | BatchNorm] | None = None
        for name, layer in row:
            place, behind = (f"{name}.project", layer.project) if isinstance(layer, SelfAttention) else (name, layer)
            if before is not None and type(behind) in (Dense, Conv2D):
                assert isinstance(behind, Weighted)
                found[before[0]] = Behind(before[1], place, behind)
            if isinstance(layer, (LayerNorm, BatchNorm)):
                before = name, layer
            elif not isinstance(layer, Dropout):
                before = None
    return found


def _check_alpha(op: str, alpha: Any) -> None:
    if not is_number(alpha) or not 0 <= alpha <= 1:
        raise ConfigError(op, "alpha must be a number in 0..1", got=shown(alpha))
