"""Tokens: what stands for each of them, and for the place where it stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilq.arguments import check_generator, check_whole, float_type, is_number, is_whole, shown
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.nn.initialise import normal
from minilq.nn.layer import Layer
from minilq.nn.site import Site
from minilq.ops import add, embedding


class Embedding(Layer):
    """A row of a trained table for each token; see `minilq.embedding`. Its table is a site, `weight`.

    tokens, channels    numbers of rows and of columns of the table
    rng                 a numpy.random.Generator, for the initial values
    std                 their standard deviation
    Shapes              x, whole numbers in 0..tokens-1, kept as floats: (N, ...) -> (N, ..., channels)
    Raises              ConfigError; DTypeError for x that are no whole numbers; ShapeError for a token beyond the table

    >>> layer = Embedding(10, 4, np.random.default_rng(0))
    >>> layer(Tensor([[1.0, 9.0, 1.0]])).shape
    (1, 3, 4)
    """

    def __init__(self, tokens: int, channels: int, rng: np.random.Generator, std: float = 0.05,
                 dtype: Any = np.float32) -> None:
        check_whole("Embedding", "tokens", tokens)
        check_whole("Embedding", "channels", channels)
        self.weight = table("Embedding", (tokens, channels), rng, std, dtype)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        numbers = (x if isinstance(x, Tensor) else Tensor(x)).array
        if not (np.abs(numbers) < 2.0**53).all() or not (numbers == np.rint(numbers)).all():
            raise DTypeError("Embedding", "tokens must be whole numbers", got="others",
                             cause="They are the rows of a table, kept as floats: tokens.astype(np.float32)")
        return embedding(self.weight(training=training), numbers.astype(np.int64))

    def settings(self) -> dict[str, Any]:
        tokens, channels = self.weight.shape
        return {"tokens": tokens, "channels": channels}

    @classmethod
    def made(cls, **settings: Any) -> Embedding:
        return cls(**settings, rng=np.random.default_rng(0), std=0)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return {"weight.latent": (settings["tokens"], settings["channels"])}


class Position(Layer):
    """y = x + weight: a trained number for each place and channel. `weight` is a site.

    shape       of x without the batch, (tokens, channels) or (height, width, channels)
    rng, std    as for `Embedding`
    Raises      ConfigError; ShapeError for x of another shape

    >>> layer = Position((3, 2), np.random.default_rng(0))
    >>> layer(Tensor(np.zeros((5, 3, 2), np.float32))).shape
    (5, 3, 2)
    """

    def __init__(self, shape: tuple[int, ...], rng: np.random.Generator, std: float = 0.05, dtype: Any = np.float32,
                 ) -> None:
        if not (isinstance(shape, tuple) and shape and all(is_whole(n, 1) for n in shape)):
            raise ConfigError("Position", "shape must be a tuple of whole numbers, at least 1", got=shown(shape))
        self.weight = table("Position", shape, rng, std, dtype)

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        if x.shape[1:] != self.weight.shape:
            raise ShapeError("Position", f"x must be (N, {', '.join(map(str, self.weight.shape))})", got=f"x {x.shape}")
        return add(x, self.weight(training=training))

    def settings(self) -> dict[str, Any]:
        return {"shape": self.weight.shape}

    @classmethod
    def made(cls, **settings: Any) -> Position:
        return cls(**settings, rng=np.random.default_rng(0), std=0)

    @classmethod
    def shapes(cls, **settings: Any) -> dict[str, tuple[int, ...]]:
        return {"weight.latent": tuple(settings["shape"])}


def table(op: str, shape: tuple[int, ...], rng: np.random.Generator, std: float, dtype: Any) -> Site:
    """The site of a table of normal numbers."""
    check_generator(op, rng)
    if not is_number(std) or std < 0:
        raise ConfigError(op, "std must be a number >= 0", got=shown(std))
    return Site(normal(rng, shape, std, float_type(op, dtype)))
