"""HashedNets: weights in random places share a number each, by a hash that is fixed before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_number, is_whole, shown
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, ShapeError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded
from minilq.quantize.hashing import MOST_SEED, Hashed, places
from minilq.quantize.method import Held, Quantizer, plain, seen, trained
from minilq.quantize.methods.bounds import one_of
from minilq.quantize.methods.lsq import checked, codable
from minilq.quantize.sparse import at_least

STARTS = ("spread", "nearest")


@primitive
def hashed(weights: Any, buckets: Array, signs: Array) -> Array:
    """Weights that are shared by places.

    Forward     y_i = signs_i weights[buckets_i]
    Derivative  kind: exact. dweight_k = sum of signs g over buckets = k
    Shapes      weights (K,), buckets and signs alike, any -> their shape
    Dtype       float32 or float64, preserved; sums in float64
    Raises      ShapeError, DTypeError
    Source      Chen et al. 2015 (arXiv 1504.04788), equations 7 and 12

    >>> hashed(np.array([0.5, 2.0]), np.array([1, 0, 1]), np.array([1, -1, -1], np.int8))
    array([ 2. , -0.5, -2. ])
    """
    check_floats("hashed", weights=weights)
    if weights.ndim != 1 or buckets.shape != signs.shape:
        raise ShapeError("hashed", "weights must have one axis, and each bucket a sign",
                         got=f"weights {weights.shape}, buckets {buckets.shape}, signs {signs.shape}")
    return np.asarray(weights[buckets] * signs)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal(5)], {"buckets": rng.integers(0, 5, (3, 4)),
                                      "signs": rng.choice(np.array([-1, 1], np.int8), (3, 4))}


@vjp_of(hashed, kind="exact", needs="buckets signs", at=_at)
def hashed_vjp(g: Array, y: Array, weights: Array, buckets: Array, signs: Array) -> tuple[Array]:
    # y_i = sum_k [buckets_i = k] signs_i weight_k   =>   dy_i/dweight_k = [buckets_i = k] signs_i
    return (np.bincount(buckets.reshape(-1), (g * signs).reshape(-1), len(weights)).astype(weights.dtype),)


@dataclass(frozen=True)
class HashedNets(Quantizer):
    """HashedNets (Chen et al. 2015): K = ceil(share n) numbers for n weights, each with a sign, placed by a hash.

    share       of stored numbers, 0 < share <= 1: 1/8 and 1/64 in the paper
    seed        of the hash, 0 .. 2^31 - 1: a file holds it in the place of all indices
    first       of a number, from its members x: spread, sum of signs x / sqrt(members), as spread out as they are, to
                train from the beginning; nearest, their mean, of all such tensors the nearest to x

    Learns `weights` (K,). x itself only gives the first ones, and is trained no more. A number without a place is 0.

    Raises ConfigError for another share, seed and start.

    >>> method, w = HashedNets(0.5, first="nearest"), np.array([[0.5, -1.0, 0.25, 0.3]])
    >>> held = method.start(w)
    >>> held["weights"].shape, len(np.unique(np.abs(method(Tensor(w), held).numpy())))
    ((2,), 2)
    """

    share: float = 0.125
    seed: int = 0
    first: str = "spread"

    variants: ClassVar[tuple[dict[str, Any], ...]] = ({}, {"share": 0.6, "seed": 7, "first": "nearest"})

    def __post_init__(self) -> None:
        if not (is_number(self.share) and 0 < self.share <= 1):
            raise ConfigError("HashedNets", "share must be a number in (0, 1]", got=shown(self.share))
        if not is_whole(self.seed, 0, MOST_SEED):
            raise ConfigError("HashedNets", f"seed must be a whole number in 0..{MOST_SEED}", got=shown(self.seed))
        one_of("HashedNets", "first", self.first, STARTS)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("HashedNets", plain(x))
        K = at_least(self.share, x.size)
        buckets, signs = places(self.seed, x.shape, K)
        total = np.bincount(buckets.reshape(-1), (x.astype(np.float64) * signs).reshape(-1), K)
        members = np.maximum(np.bincount(buckets.reshape(-1), minlength=K), 1)
        weights = total / (members if self.first == "nearest" else np.sqrt(members))
        return {"weights": Parameter(weights, dtype=x.dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        weights = trained(held, "weights")
        y: Tensor = hashed(weights, *self._places(seen(x).array, weights.size))
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, weights = codable("HashedNets", plain(x)), trained(held, "weights").array.copy()
        self._places(x, len(weights))
        return Coded(np.zeros(x.shape, np.int8), Hashed(weights, np.array([self.seed])))

    def _places(self, x: Array, K: int) -> tuple[Array, Array]:
        if at_least(self.share, x.size) != K:
            raise ShapeError("HashedNets", "x must have the shape that start was given",
                             got=f"x {x.shape} for {K} weights",
                             cause="It belongs to a weight or a bias, not to an input")
        return places(self.seed, x.shape, K)
