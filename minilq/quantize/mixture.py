"""Soft weight sharing: a mixture of normal distributions, learned with the weights, that draws them to few values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilq.arguments import check_instance, check_reals, is_number, is_whole, shown
from minilq.autodiff.parameter import Parameter
from minilq.autodiff.primitive import primitive, vjp_of
from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError, ShapeError
from minilq.ops import add_up, exp
from minilq.ops.broadcast import check_floats
from minilq.quantize.penalties import finite


@primitive
def mixture_term(w: Any, means: Any, log_variances: Any, logits: Any, zero_share: float = 0.0, weight: float = 1.0,
                 ) -> Array:
    """The negative log likelihood of one tensor under a mixture of K normal distributions.

    Forward     y = -weight sum_i log sum_k exp a_ik,
                a_ik = log pi_k - (log 2 pi + rho_k + (w_i - mu_k)^2 / e^rho_k) / 2,
                pi = softmax(logits); with zero_share, pi_0 is that and the others have 1 - pi_0 to share
    Derivative  kind: exact. With responsibilities r_ik = exp(a_ik) / sum_j exp a_ij, R_k = sum_i r_ik:
                dw_i = g weight sum_k r_ik (w_i - mu_k) / e^rho_k,  dmu_k = -g weight sum_i of the same terms
                drho_k = g weight / 2 sum_i r_ik (1 - (w_i - mu_k)^2 / e^rho_k)
                dlogits_k = g weight (pi_k n - R_k); with zero_share g weight (q_k sum_(j>0) R_j - R_k), q the softmax
                of the others, and 0 for the first
    Shapes      w any; means, log_variances and logits (K,); returns ()
    Dtype       float32 or float64, one for all, preserved; sums in float64
    Raises      ShapeError, NonFiniteError
    Source      Nowlan and Hinton 1992, Simplifying neural networks by soft weight-sharing; Ullrich, Meeds and Welling
                2017 (arXiv 1702.04008), equation 7

    >>> round(float(mixture_term(np.zeros(2), np.zeros(1), np.zeros(1), np.zeros(1))), 6)        # 2 log sqrt(2 pi)
    1.837877
    """
    check_floats("mixture", w=w, means=means, log_variances=log_variances, logits=logits)
    if means.ndim != 1 or not means.shape == log_variances.shape == logits.shape or not means.size:
        raise ShapeError("mixture", "means, log_variances and logits must be (K,)",
                         got=f"{means.shape}, {log_variances.shape}, {logits.shape}")
    top, total = _likelihood(w, means, log_variances, logits, zero_share)[1:]
    y = -weight * float((top + np.log(total)).sum(dtype=np.float64))
    return finite("mixture", y, w, means).astype(w.dtype)


def _at(rng: np.random.Generator) -> tuple[list[Array], dict[str, Any]]:
    return ([rng.standard_normal((3, 4)), np.array([0.0, -0.7, 0.9]), np.array([-3.0, -0.5, 0.3]),
             np.array([0.3, -0.2, 0.5])], {"zero_share": 0.6, "weight": 0.7})


@vjp_of(mixture_term, kind="exact", needs="w means log_variances logits", at=_at)
def mixture_term_vjp(g: Array, y: Array, w: Array, means: Array, log_variances: Array, logits: Array,
                     zero_share: float = 0.0, weight: float = 1.0) -> tuple[Array, Array, Array, Array]:
    scaled, _, total = _likelihood(w, means, log_variances, logits, zero_share)
    r, c = scaled / total, float(g) * weight                             # (K, n)
    # y = -w sum_i log sum_k exp a_ik   =>   dy/da_ik = -w r_ik,   da_ik/dw_i = -(w_i - mu_k) / e^rho_k = -da_ik/dmu_k
    off = (w.reshape(-1) - means[:, None]) * np.exp(-log_variances)[:, None]
    pull = r * off
    # da_ik/drho_k = ((w_i - mu_k)^2 / e^rho_k - 1) / 2
    drho = -c / 2 * (r * ((w.reshape(-1) - means[:, None]) * off - 1)).sum(axis=1, dtype=np.float64)
    R = r.sum(axis=1, dtype=np.float64)
    # dlog pi_k/dlogits_j = [j = k] - pi_j
    first = int(zero_share > 0)
    shares, dlogits = softmax(logits[first:]), np.zeros(len(R))
    dlogits[first:] = c * (shares * R[first:].sum() - R[first:])
    dw = (w.dtype.type(c) * pull.sum(axis=0)).reshape(w.shape)
    dmeans = -c * pull.sum(axis=1, dtype=np.float64)
    return dw, dmeans.astype(w.dtype), drho.astype(w.dtype), dlogits.astype(w.dtype)


def _likelihood(w: Array, means: Array, log_variances: Array, logits: Array, zero_share: float,
                ) -> tuple[Array, Array, Array]:
    """exp(a - max a) (K, n), max a of every entry (n,), and the sum of the first over K."""
    a = joint(w, means, log_variances, logits, zero_share)
    top = a.max(axis=0)
    scaled = np.exp(a - top)
    return scaled, top, scaled.sum(axis=0)


def joint(w: Array, means: Array, log_variances: Array, logits: Array, zero_share: float) -> Array:
    """log (pi_k N(w_i | mu_k, e^rho_k)), (K, n)."""
    squares = np.square(w.reshape(-1) - means[:, None]) * np.exp(-log_variances)[:, None]
    offset = np.log(shares_of(logits, zero_share)) - (math.log(2 * math.pi) + log_variances) / 2
    return np.asarray(offset.astype(w.dtype)[:, None] - squares / 2)


def shares_of(logits: Array, zero_share: float = 0.0) -> Array:
    """pi: the softmax of the logits, or with zero_share that for the first, the softmax of the others times the rest.

    >>> shares_of(np.array([9.0, 0.0, 0.0]), zero_share=0.8).round(6).tolist()
    [0.8, 0.1, 0.1]
    """
    if not zero_share:
        return softmax(logits)
    return np.concatenate([[zero_share], (1 - zero_share) * softmax(logits[1:])])


def softmax(z: Array) -> Array:
    """exp(z_k) / sum exp(z), in float64, no share below 1e-300."""
    e = np.exp(z.astype(np.float64) - z.max(initial=-np.inf))
    return np.maximum(e / e.sum(), 1e-300)


@dataclass(frozen=True)
class _FirstAtZero:
    """The constraint that the first entry is 0."""

    def __call__(self, p: Array) -> None:
        p[:1] = 0


class Mixture:
    """A mixture that all weights of a network share: K normal distributions, the first of which stays at 0.

    A penalty (`penalty`) makes weights likely; in turn the mixture follows them. At the end every weight becomes the
    mean that most probably made it (`codes`, `post.collapse`), and a file holds K numbers and which one it is.

    weights         the arrays that it starts from
    K               how many, 2 .. 256: 17 in the paper
    zero_share      pi_0, of those at 0; held, in (0, 1): 0.999 for 64 times smaller LeNets. The others are learned
    Attributes      means (K,), at first evenly over mean +- 2 standard deviations; log_variances (K,), at first those
                    of about half their distance; logits (K,). Parameters: give them to the optimizer, see `parameters`

    Raises ConfigError for other numbers, and without a weight; DTypeError and NonFiniteError for other weights.

    Source      Nowlan and Hinton 1992; Ullrich, Meeds and Welling 2017 (arXiv 1702.04008)

    >>> mixture = Mixture([np.array([-1.0, 0.0, 1.0])], K=3, zero_share=0.5)
    >>> mixture.means.numpy().round(3).tolist()
    [0.0, -1.633, 1.633]
    """

    def __init__(self, weights: Sequence[Array], K: int = 17, zero_share: float = 0.99) -> None:
        if not is_whole(K, 2, 256):
            raise ConfigError("Mixture", "K must be a whole number in 2..256", got=shown(K))
        if not is_number(zero_share) or not 0 < zero_share < 1:
            raise ConfigError("Mixture", "zero_share must be a number in (0, 1)", got=shown(zero_share))
        if not isinstance(weights, (list, tuple)) or not any(isinstance(w, np.ndarray) and w.size for w in weights):
            raise ConfigError("Mixture", "weights must be a list of arrays, with an entry", got=shown(weights))
        for w in weights:
            check_reals("Mixture", "weights", w)
        everything = np.concatenate([w.reshape(-1) for w in weights])
        if not np.isfinite(everything).all():
            raise NonFiniteError("Mixture", "weights must be finite", got="NaN or infinity")
        self.zero_share, spread = float(zero_share), max(2 * float(everything.std()), 1e-3)
        around = np.linspace(-spread, spread, K - 1) if K > 2 else np.zeros(1)
        means = np.concatenate([[0.0], everything.mean() + around])
        self.means = Parameter(means, _FirstAtZero(), dtype=everything.dtype)
        self.log_variances = Parameter(np.full(K, 2 * math.log(spread / K)), dtype=everything.dtype)
        self.logits = Parameter(np.zeros(K), dtype=everything.dtype)

    def parameters(self) -> dict[str, Parameter]:
        """What it learns, by name."""
        return {"means": self.means, "log_variances": self.log_variances, "logits": self.logits}

    def penalty(self, weights: Sequence[Tensor], rate: float, alpha: float = 250.0, beta: float = 0.1) -> Tensor:
        """rate times the negative log likelihood of the weights and of the precisions e^-rho, a scalar Tensor.

        alpha, beta     of the Gamma distribution of the precisions, sum_k (alpha - 1) rho_k + beta e^-rho_k, around
                        (alpha - 1) / beta: without it, a component could become infinitely narrow
        Raises          ConfigError for other numbers and without a weight, what `mixture_term` raises
        """
        for name, number in (("rate", rate), ("alpha", alpha), ("beta", beta)):
            if not is_number(number) or number < 0:
                raise ConfigError("Mixture", f"{name} must be a number >= 0", got=shown(number))
        if not isinstance(weights, (list, tuple)) or not weights:
            raise ConfigError("Mixture", "weights must be a list of Tensors", got=shown(weights))
        for w in weights:
            check_instance("Mixture", "every weight", w, Tensor, "a Tensor")
        rho = self.log_variances
        prior: Tensor = ((alpha - 1) * rho + beta * exp(-rho)).sum()
        total: Tensor = add_up(rate * prior, *[mixture_term(w, self.means, rho, self.logits, self.zero_share, rate)
                                              for w in weights])
        return total

    def codes(self, w: Array) -> Array:
        """Of each entry the component that most probably made it, in the shape of w."""
        check_reals("mixture", "w", w)
        x = w.astype(np.result_type(w, np.float32), copy=False)
        a = joint(x, self.means.array, self.log_variances.array, self.logits.array, self.zero_share)
        return np.asarray(a.argmax(axis=0).reshape(w.shape))
