"""Deep Compression: weights share the levels of a codebook, which is trained; what was pruned stays 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Masked, Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.ops.broadcast import check_floats
from minilq.quantize.coded import Coded, Table, check_codes, narrowed
from minilq.quantize.draws import first_draw
from minilq.quantize.kmeans import FIRST, kmeans
from minilq.quantize.method import Held, Quantizer, plain, remembered, seen, trained
from minilq.quantize.methods.bounds import one_of
from minilq.quantize.methods.fixed_grid import nearest_level
from minilq.quantize.methods.lsq import checked, codable

STARTS = ("linear", "density", "random")
GRADIENTS = ("sum", "mean")
ASSIGNMENTS = ("fixed", "nearest")
MOST_LEVELS = 1 << 15


@primitive
def shared(levels: Any, codes: Array, gradient: str = "sum") -> Array:
    """Weights that share levels.

    Forward     y_i = levels[codes_i - 1], and 0 where the code is 0: pruned
    Derivative  kind: surrogate; with "sum" exact:  dlevel_k = sum of g over codes = k
                with "mean" their mean: the derivative of levels that move by 1 / (number of members) of a step
    Shapes      levels (K,), codes any -> codes.shape
    Dtype       float32 or float64, preserved; sums in float64. Codes are integers in 0 .. K
    Raises      ShapeError, DTypeError; ConfigError for codes outside 0 .. K
    Source      Han et al. 2016 (arXiv 1510.00149), equation 3; the mean: TensorFlow Model Optimization

    >>> shared(np.array([-0.5, 2.0]), np.array([[1, 0], [2, 2]]))
    array([[-0.5,  0. ],
           [ 2. ,  2. ]])
    """
    check_floats("shared", levels=levels)
    if levels.ndim != 1:
        raise ShapeError("shared", "levels must have one axis", got=str(levels.shape))
    return Table(with_zero(levels)).values(codes)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal(4)], {"codes": rng.integers(0, 5, (3, 4)), "gradient": "mean"}


@vjp_of(shared, kind="surrogate", needs="codes", at=_at)
def shared_vjp(g: Array, y: Array, levels: Array, codes: Array, gradient: str = "sum") -> tuple[Array]:
    # y_i = sum_k [codes_i = k] level_k   =>   dy_i/dlevel_k = [codes_i = k]
    return (members_sum(g, codes, levels, gradient),)


@smooth_of(shared)
def shared_smooth(keep: Keep, levels: Array, codes: Array, gradient: str = "sum") -> Array:
    if gradient == "mean":
        levels = keep(levels) + (levels - keep(levels)) / np.maximum(members(codes, levels), 1)
    return Table(with_zero(levels)).values(codes)


@primitive
def clustered(x: Any, levels: Any, kept: Array, gradient: str = "sum") -> Array:
    """Each weight at the level that is nearest to it now, 0 where it is pruned.

    Forward     y_i = the level nearest to x_i where kept, the lower of two as near; 0 elsewhere
    Derivative  kind: surrogate. dlevels as of `shared`;  dx = g where kept, straight through
    Shapes      x any, levels (K,), kept booleans like x -> x.shape
    Dtype       float32 or float64, the same for both, preserved
    Source      TensorFlow Model Optimization, weight clustering

    >>> clustered(np.array([0.2, 0.9, 0.1]), np.array([0.0, 1.0]), np.array([True, True, False]))
    array([0., 1., 0.])
    """
    check_floats("clustered", x=x, levels=levels)
    if x.dtype != levels.dtype:
        raise DTypeError("clustered", "x and levels must have one dtype", got=f"x {x.dtype}, levels {levels.dtype}")
    return Table(with_zero(levels)).values(codes_now(x, levels, kept))


def _clustered_at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    levels = np.array([-1.5, -0.25, 1.0])
    return [levels[rng.integers(0, 3, (3, 4))] + rng.uniform(-0.3, 0.3, (3, 4)), levels], {
        "kept": rng.random((3, 4)) < 0.7, "gradient": "mean"}


@vjp_of(clustered, kind="surrogate", needs="x levels kept", at=_clustered_at)
def clustered_vjp(g: Array, y: Array, x: Array, levels: Array, kept: Array, gradient: str = "sum",
                  ) -> tuple[Array, Array]:
    # y_i = sum_k [codes_i = k] level_k + [kept_i] (x_i + c), c held
    return g * kept, members_sum(g, codes_now(x, levels, kept), levels, gradient)


@smooth_of(clustered)
def clustered_smooth(keep: Keep, x: Array, levels: Array, kept: Array, gradient: str = "sum") -> Array:
    return shared_smooth(keep, levels, keep(codes_now(x, levels, kept)), gradient) + kept * (x - keep(x))


def with_zero(levels: Array) -> Array:
    """The levels by code: 0 first, of what is pruned."""
    return np.concatenate([np.zeros(1, levels.dtype), levels])


def members(codes: Array, levels: Array) -> Array:
    """How many weights are on each level."""
    return np.bincount(codes.reshape(-1), minlength=len(levels) + 1)[1:]


def members_sum(g: Array, codes: Array, levels: Array, gradient: str) -> Array:
    """The sum, or the mean, of g over the members of each level."""
    total = np.bincount(codes.reshape(-1), g.reshape(-1), len(levels) + 1)[1:]
    return (total / np.maximum(members(codes, levels), 1) if gradient == "mean" else total).astype(levels.dtype)


def codes_now(x: Array, levels: Array, kept: Array) -> Array:
    """The code of the level that is nearest to each x, 0 where it is pruned."""
    return np.where(kept, 1 + nearest_level(x, levels), 0)


@dataclass(frozen=True)
class DeepCompression(Quantizer):
    """Deep Compression (Han et al. 2016): k levels by k-means on what is not 0, then trained; 0 stays 0.

    k            levels beside 0, 1 .. 2^15; 63 fill 6 bits
    first        where Lloyd's algorithm begins: linear (the paper's best), density, random
    gradient     of a level: the sum over its members (the paper, exact), or their mean
    assignments  fixed after the clustering (the paper; x itself is trained no more), or nearest: every weight is on the
                 level nearest to it now, and dx = g moves it on (TensorFlow Model Optimization)

    Learns `levels`, remembers `codes`, 0 for what is pruned, 1 .. k. An x without a 0 is clustered whole: the scalar
    k-means of Gong et al. 2014 (arXiv 1412.6115). Prune before it, as `prune_cluster` does.

    Raises ConfigError for unknown names and for other k.

    >>> method, w = DeepCompression(k=2), np.array([0.5, 0.0, 1.5, -4.0])
    >>> held = method.start(w)
    >>> held["levels"].numpy().tolist(), held["codes"].tolist(), method(Tensor(w), held).numpy().tolist()
    ([-4.0, 1.0], [2, 0, 2, 1], [1.0, 0.0, 1.0, -4.0])
    """

    k: int = 16
    first: str = "linear"
    gradient: str = "sum"
    assignments: str = "fixed"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {}, {"gradient": "mean"}, {"k": 4, "first": "density", "assignments": "nearest"},
        {"k": 3, "first": "random", "gradient": "mean", "assignments": "nearest"})

    def __post_init__(self) -> None:
        if not is_whole(self.k, 1, MOST_LEVELS):
            raise ConfigError("DeepCompression", f"k must be a whole number in 1..{MOST_LEVELS}", got=shown(self.k))
        one_of("DeepCompression", "first", self.first, STARTS)
        one_of("DeepCompression", "gradient", self.gradient, GRADIENTS)
        one_of("DeepCompression", "assignments", self.assignments, ASSIGNMENTS)

    def constraint(self, held: Held) -> Masked:
        return Masked(remembered(held, "codes"))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("DeepCompression", plain(x))
        codes = np.zeros(x.shape, narrowed(np.array([self.k])).dtype)
        kept = x != 0
        levels = np.zeros(self.k)
        if kept.any():
            points = x[kept].astype(np.float64)[:, None]
            found = kmeans(points, FIRST[self.first](points, self.k, np.random.default_rng(first_draw(x))))
            levels, codes[kept] = found.centres[:, 0], 1 + found.labels
        return {"levels": Parameter(levels, dtype=x.dtype), "codes": codes}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        codes = self._codes(x.array, held)
        if self.assignments == "nearest":
            y: Tensor = clustered(x, trained(held, "levels"), codes > 0, self.gradient)
        else:
            y = shared(trained(held, "levels"), codes, self.gradient)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, levels = codable("DeepCompression", plain(x)), trained(held, "levels").array
        codes = self._codes(x, held)
        if self.assignments == "nearest":
            codes = codes_now(x, levels, codes > 0)
        return Coded(narrowed(codes), Table(with_zero(levels)))

    def _codes(self, x: Array, held: Held) -> Array:
        codes = remembered(held, "codes")
        check_codes(codes)
        if codes.shape != x.shape:
            raise ShapeError("DeepCompression", "x must have the shape that start was given",
                             got=f"x {x.shape}, codes {codes.shape}",
                             cause="It belongs to a weight or a bias, not to an input")
        return codes
