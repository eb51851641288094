"""Polino: levels between the smallest and the largest weight of every bucket, even ones, or points that are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilq.arguments import is_whole, shown
from minilq.autodiff.memory import Keep
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, smooth_of, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, DTypeError, ShapeError
from minilq.ops.broadcast import check_floats
from minilq.quantize.buckets import FLAT, Buckets, in_buckets, of_each, scaling
from minilq.quantize.coded import Coded, Even, Grid, Table, narrowed
from minilq.quantize.draws import first_draw, fresh_draws
from minilq.quantize.method import Held, Quantizer, plain, seen, trained
from minilq.quantize.methods.bounds import one_of
from minilq.quantize.methods.fixed_grid import nearest_level
from minilq.quantize.methods.lsq import checked, codable

GRADIENTS = ("identity", "exact", "code")
MOST_LEVELS = 65536


@primitive
def polino(w: Any, levels: int, bucket: int | None = 256, u: Array | None = None, gradient: str = "identity") -> Array:
    """Even levels between the ends of every bucket.

    Forward     v = (w - beta) / alpha, beta = min and alpha = max - min of the bucket of w (1 where that is < 1e-10);
                k = round((S - 1) v), halves to even, or floor((S - 1) v) + [u <= what is left over];
                y = k alpha / (S - 1) + beta. With q = k / (S - 1) it is y = w + alpha (q - v)
    Derivative  kind: surrogate, of y = w + alpha c with c = q - v held. By `gradient`
                identity  dw = g: alpha is held too
                exact     and sum over the bucket of g c to its largest w, minus the same to its smallest
                code      as released: to the first w that is quantized to the top level, and to the bottom one
    At kinks    exact: several largest or smallest share alike. A bucket narrower than 1e-10 sends g alone
    Shapes      w any, u alike -> w.shape. Buckets of `bucket` entries, row by row; None for a single one
    Dtype       float32 or float64, preserved; sums in float64
    Raises      ShapeError, DTypeError
    Source      Polino, Pascanu and Alistarh 2018 (arXiv 1802.05668), sections 2.1 and 2.2; "code":
                github.com/antspy/quantized_distillation

    >>> polino(np.array([0.0, 0.4, 3.0, 7.0, 7.4, 9.0]), 2, 3)
    array([0., 0., 3., 7., 7., 9.])
    """
    _check_flags("polino", "levels", levels, bucket, gradient)
    _check(w, u)
    return _even_grid(w, levels, bucket).values(_even_codes(w, levels, bucket, u))


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((3, 4))], {"levels": 3, "bucket": 5, "u": None, "gradient": "exact"}


@vjp_of(polino, kind="surrogate", needs="w u", at=_at)
def polino_vjp(g: Array, y: Array, w: Array, levels: int, bucket: int | None = 256, u: Array | None = None,
               gradient: str = "identity") -> tuple[Array]:
    if gradient == "identity":
        return (g,)
    q = _even_codes(w, levels, bucket, u) / w.dtype.type(levels - 1)
    return (g + through_the_scaling(g, w, q, bucket, gradient),)


@smooth_of(polino)
def polino_smooth(keep: Keep, w: Array, levels: int, bucket: int | None = 256, u: Array | None = None,
                  gradient: str = "identity") -> Array:
    q = _even_codes(w, levels, bucket, u) / w.dtype.type(levels - 1)
    return smooth_scaling(keep, w, q, bucket, gradient)


@primitive
def polino_points(w: Any, points: Any, bucket: int | None = 256, gradient: str = "identity") -> Array:
    """The nearest of points p that all buckets share: differentiable quantization.

    Forward     v as for `polino`; q = the nearest p, the lower of two as near; y = alpha q + beta
    Derivative  kind: surrogate; of the points exact. dp_j = sum of alpha g over w whose nearest is p_j; dw as for
                `polino` (the paper learns the points alone)
    Shapes      w any, points (S,) -> w.shape
    Dtype       float32 or float64, the same for both, preserved; sums in float64
    Raises      ShapeError, DTypeError
    Source      Polino, Pascanu and Alistarh 2018 (arXiv 1802.05668), section 4

    >>> polino_points(np.array([0.0, 0.4, 3.0, 4.0]), np.array([0.1, 0.8]), None)
    array([0.4, 0.4, 3.2, 3.2])
    """
    one_of("polino_points", "gradient", gradient, GRADIENTS)
    _check(w, None)
    check_floats("polino_points", points=points)
    if points.ndim != 1 or not points.size:
        raise ShapeError("polino_points", "points must be a list of at least one", got=f"the shape {points.shape}")
    if points.dtype != w.dtype:
        raise DTypeError("polino_points", "w and points must have one dtype", got=f"{w.dtype} and {points.dtype}")
    return _grid_of_points(w, points, bucket).values(nearest_level(scaled(w, bucket), points))


def _at_points(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return [rng.standard_normal((3, 4)), np.array([0.0, 0.31, 0.57, 1.0])], {"bucket": 5, "gradient": "exact"}


@vjp_of(polino_points, kind="surrogate", needs="w points", at=_at_points)
def polino_points_vjp(g: Array, y: Array, w: Array, points: Array, bucket: int | None = 256,
                      gradient: str = "identity") -> tuple[Array, Array]:
    k, size = nearest_level(scaled(w, bucket), points), _size(w, bucket)
    # y_i = alpha_b p_k(i) + beta_b   =>   dy_i/dp_j = alpha_b [k(i) = j]
    alpha = of_each(scaling(w, size)[0], size, w)
    dp = np.bincount(k.reshape(-1), (g * alpha).reshape(-1), len(points)).astype(points.dtype)
    return g + through_the_scaling(g, w, points[k], bucket, gradient), dp


@smooth_of(polino_points)
def polino_points_smooth(keep: Keep, w: Array, points: Array, bucket: int | None = 256,
                         gradient: str = "identity") -> Array:
    k, size = keep(nearest_level(scaled(w, bucket), points)), _size(w, bucket)
    alpha = keep(of_each(scaling(w, size)[0], size, w))
    return smooth_scaling(keep, w, keep(points)[k], bucket, gradient) + alpha * (points - keep(points))[k]


def _size(w: Array, bucket: int | None) -> int:
    """The entries of a bucket, of which there is one at least."""
    return max(w.size if bucket is None else min(bucket, w.size), 1)


def scaled(w: Array, bucket: int | None) -> Array:
    """v = (w - beta) / alpha, 0 .. 1, in the shape of w."""
    size = _size(w, bucket)
    alpha, beta = scaling(w, size)
    return np.asarray((w - of_each(beta, size, w)) / of_each(alpha, size, w))


def through_the_scaling(g: Array, w: Array, q: Array, bucket: int | None, gradient: str) -> Array:
    """What the ends of every bucket receive: sum of g (q - v) to the top, minus that to the bottom."""
    if gradient == "identity":
        return np.zeros_like(g)
    size = _size(w, bucket)
    terms = (g * (q - scaled(w, bucket))).reshape(-1)
    total = np.add.reduceat(terms, np.arange(0, w.size, size), dtype=np.float64)
    top, bottom = ends_of(w, q, size, gradient)
    return np.asarray((total[:, None] * (top - bottom)).reshape(-1)[:w.size], g.dtype).reshape(w.shape)


def ends_of(w: Array, q: Array, size: int, gradient: str) -> tuple[Array, Array]:
    """Weights (buckets, size) that pick the top and the bottom of every bucket, each row adding up to 1."""
    rows = in_buckets(w, size)
    if gradient == "code":
        rows_q, columns = in_buckets(q, size), np.arange(rows.shape[1])
        top, bottom = columns == rows_q.argmax(axis=1)[:, None], columns == rows_q.argmin(axis=1)[:, None]
    else:
        top, bottom = (rows == end(axis=1, keepdims=True) for end in (rows.max, rows.min))
        own = rows.shape[1] - (rows.size - w.size)
        top[-1, own:] = bottom[-1, own:] = False             # what fills up the last bucket has no share
    wide = rows.max(axis=1, keepdims=True) - rows.min(axis=1, keepdims=True) >= FLAT
    return (wide * top / top.sum(axis=1, keepdims=True), wide * bottom / bottom.sum(axis=1, keepdims=True))


def smooth_scaling(keep: Keep, w: Array, q: Array, bucket: int | None, gradient: str) -> Array:
    """y = w + alpha c, in which c is held, and alpha too, or moves with the ends of its bucket."""
    size = _size(w, bucket)
    c, alpha = keep(q - scaled(w, bucket)), of_each(scaling(w, size)[0], size, w)
    y = w + keep(alpha) * c
    if gradient == "identity":
        return np.asarray(y)
    top, bottom = map(keep, ends_of(w, q, size, gradient))
    width = (in_buckets(w, size) * (top - bottom)).sum(axis=1)
    return np.asarray(y + of_each(width - keep(width), size, w) * c)


def _even_codes(w: Array, levels: int, bucket: int | None, u: Array | None = None) -> Array:
    v = scaled(w, bucket) * w.dtype.type(levels - 1)
    if u is None:
        return narrowed(np.rint(v))
    down = np.floor(v)
    return narrowed(np.minimum(down + (u <= v - down), levels - 1))


def _even_grid(w: Array, levels: int, bucket: int | None) -> Grid:
    size = _size(w, bucket)
    alpha, beta = scaling(w, size)
    scale = alpha / w.dtype.type(levels - 1)
    return Buckets(scale, beta, np.array([size])) if len(scale) > 1 else Even(scale, offset=beta)


def _grid_of_points(w: Array, points: Array, bucket: int | None) -> Grid:
    size = _size(w, bucket)
    alpha, beta = scaling(w, size)
    return Buckets(alpha, beta, np.array([size]), points.copy()) if len(alpha) > 1 else Table(alpha * points + beta)


def _check(w: Any, u: Any) -> None:
    check_floats("polino", w=w)
    if not w.size:
        raise ShapeError("polino", "w must have an entry", got=f"the shape {w.shape}")
    if u is not None and np.shape(u) != w.shape:
        raise ShapeError("polino", "u must have the shape of w", got=f"w {w.shape}, u {np.shape(u)}")


def _check_flags(method: str, name: str, count: Any, bucket: Any, gradient: Any) -> None:
    if not is_whole(count, 2, MOST_LEVELS):
        raise ConfigError(method, f"{name} must be a whole number in 2..{MOST_LEVELS}", got=shown(count))
    if bucket is not None and not is_whole(bucket, 1):
        raise ConfigError(method, "bucket must be a whole number > 0, or None for a single one", got=shown(bucket))
    one_of(method, "gradient", gradient, GRADIENTS)


@dataclass(frozen=True)
class Polino(Quantizer):
    """Uniform quantization in buckets (Polino et al. 2018): S even levels between the ends of every bucket.

    levels      S
    bucket      entries of a bucket, row by row: 256 in the paper. None: the tensor is a single one
    stochastic  in training up or down at random, so that E y = w; outside training the nearest level
    gradient    identity (straight through, as the paper trains), exact (through the scaling too), code (as released),
                see `polino`

    Learns nothing; stochastic, it remembers `draw`. A file holds two numbers for each bucket. What it really minimises
    is the loss at the levels, whose ends move with the largest and the smallest weights alone.

    Raises ConfigError for fewer than two levels, a bucket of nothing, and an unknown gradient.

    >>> method, w = Polino(levels=3, bucket=4), np.array([[0.0, 0.6, 1.0, 0.1], [8.0, 9.0, 8.0, 8.7]])
    >>> method(Tensor(w), {}).numpy().tolist(), method.coded(w, {}).codes.tolist()
    ([[0.0, 0.5, 1.0, 0.0], [8.0, 9.0, 8.0, 8.5]], [[0, 1, 2, 0], [0, 2, 0, 1]])
    """

    levels: int = 4
    bucket: int | None = 256
    stochastic: bool = False
    gradient: str = "identity"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"bucket": 8}, {"bucket": 8, "gradient": "exact"}, {"bucket": 8, "gradient": "code"},
        {"levels": 16, "bucket": None, "stochastic": True})

    def __post_init__(self) -> None:
        _check_flags("Polino", "levels", self.levels, self.bucket, self.gradient)
        if not isinstance(self.stochastic, bool):
            raise ConfigError("Polino", "stochastic must be a bool", got=shown(self.stochastic))

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("Polino", plain(x))
        return {"draw": first_draw(x)} if self.stochastic else {}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        x = seen(x)
        u = fresh_draws(held, x.array) if self.stochastic and training else None
        y: Tensor = polino(x, self.levels, self.bucket, u, self.gradient)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x = codable("Polino", plain(x))
        return Coded(_even_codes(x, self.levels, self.bucket), _even_grid(x, self.levels, self.bucket))


@dataclass(frozen=True)
class PolinoPoints(Quantizer):
    """Differentiable quantization (Polino et al. 2018): the nearest of points that are learned, in buckets.

    points      how many: S
    bucket      entries of a bucket, row by row: 256 in the paper. None: the tensor is a single one
    gradient    of the weights: identity (as released), exact, code, see `polino`

    Holds `points`, at first the quantiles of the scaled weights, of which 0 and 1 are the ends. What it really
    minimises is the loss itself, in the points; which of them is nearest is nobody's choice. The paper holds the
    weights still. They need not stay in order here.

    Raises ConfigError for fewer than two points, a bucket of nothing, and an unknown gradient.

    >>> method, w = PolinoPoints(points=2, bucket=None), np.array([[0.0, 1.0], [4.0, 3.0]])
    >>> held = method.start(w)
    >>> method(Tensor(w), held).numpy().tolist(), method.coded(w, held).codes.tolist()
    ([[0.0, 0.0], [4.0, 4.0]], [[0, 0], [1, 1]])
    """

    points: int = 4
    bucket: int | None = 256
    gradient: str = "identity"

    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"bucket": 8}, {"bucket": 8, "gradient": "exact"}, {"bucket": 8, "gradient": "code"},
        {"points": 8, "bucket": None})

    def __post_init__(self) -> None:
        _check_flags("PolinoPoints", "points", self.points, self.bucket, self.gradient)

    def start(self, x: Array) -> dict[str, Parameter | Array]:
        x = checked("PolinoPoints", plain(x))
        quantiles = np.quantile(scaled(x, self.bucket), np.linspace(0, 1, self.points))
        return {"points": Parameter(quantiles, dtype=x.dtype)}

    def __call__(self, x: Tensor, held: Held, training: bool = False) -> Tensor:
        y: Tensor = polino_points(seen(x), trained(held, "points"), self.bucket, self.gradient)
        return y

    def coded(self, x: Array, held: Held) -> Coded:
        x, points = codable("PolinoPoints", plain(x)), trained(held, "points").array
        return Coded(narrowed(nearest_level(scaled(x, self.bucket), points)), _grid_of_points(x, points, self.bucket))
