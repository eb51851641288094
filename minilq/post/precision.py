"""Precision: how exact each parameter must be for the loss to stay below a limit, and networks that are just so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minilq.arguments import as_array, check_function, check_instance, check_reals, check_whole, is_number, shown
from minilq.autodiff.tape import Array, no_grad
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, NonFiniteError
from minilq.nn import Sequential, Site
from minilq.post.gradient import loss_and_gradients
from minilq.quantize.methods.fewest_bits import LEAST, FewestBits, exactly, shortest
from minilq.quantize.statistics import entropy_of

SLACK = 1 - 2.0**-40
"""What is spent of a budget, so that the rounding of sums cannot exceed it."""
GROW, NEAR = 4.0, 1.1
"""How many times as much is spent after a round that was taken; how near a budget that was taken and one that was not
are to each other in the end."""


def water_filling(gradient: Array, budget: float, cap: float) -> Array:
    """Tolerances that cost the fewest bits: least -sum log2 tau_i with sum |g_i| tau_i <= budget, 0 < tau_i <= cap.

        tau_i = min(cap, nu / |g_i|),   nu such that the sum is the budget, or all tau_i = cap where that is within it

    Those whose gradient is small are at the cap; the others spend the same, |g_i| tau_i = nu, each.

    gradient    of the loss in every parameter, any shape; what is returned has it, in float64
    budget      > 0, by how much the loss may grow, to first order. It is never exceeded
    cap         > 0, the trust region: how far the gradient is believed
    Raises      ConfigError for other numbers; NonFiniteError and DTypeError for what is no array of finite floats
    Source      Khoram and Li 2018, Adaptive quantization of neural networks (ICLR); the solution with a trust region
                follows from the conditions of Karush, Kuhn and Tucker

    >>> water_filling(np.array([1.0, -4.0, 0.0]), budget=0.2, cap=1.0).round(6).tolist()
    [0.1, 0.025, 1.0]
    """
    gradient = as_array("water_filling", gradient, "gradient")
    check_reals("water_filling", "gradient", gradient)
    for name, number in (("budget", budget), ("cap", cap)):
        if not is_number(number) or not number > 0:
            raise ConfigError("water_filling", f"{name} must be a number > 0", got=shown(number))
    size = np.abs(gradient.astype(np.float64))
    _check_finite("water_filling", "gradient", size)
    a = np.sort(size.reshape(-1))
    n, budget = a.size, budget * SLACK
    if cap * a.sum() <= budget:
        return np.full(size.shape, float(cap))
    # the k smallest at the cap: nu_k = (budget - cap sum_(i<k) a_i) / (n - k), right for the first with nu <= cap a_k
    nu = (budget - cap * np.concatenate([[0.0], np.cumsum(a)[:-1]])) / (n - np.arange(n))
    fits = nu <= cap * a
    right = nu[np.argmax(fits)] if fits.any() else 0.0
    right = right if right > 0 else budget / n
    return np.minimum(cap, right / np.maximum(size, right / cap))


class Spent(NamedTuple):
    """What a network of fixed-point numbers takes, in bits.

    fraction    behind the point, N of every parameter: what the paper counts
    whole       before it, of those not below 1
    signs       one for each parameter that is not 0
    widths      which N it is, at the entropy of the N of each tensor: without it nothing can be read
    """

    fraction: int
    whole: int
    signs: int
    widths: int

    @property
    def total(self) -> int:
        """All of them, in bits."""
        return sum(self)


@dataclass(frozen=True)
class Round:
    """One round of `adaptive`: the trust region, how many budgets were spent, the loss, the bits behind the point, and
    whether it was taken."""

    cap: float
    budgets: float
    loss: float
    bits: int
    taken: bool


def adaptive(model: Sequential, loss_of: Callable[[], Tensor], limit: float, cap: float = 2.0**-4, rounds: int = 30,
             log: Callable[[Round], None] = lambda line: None) -> Spent:
    """Adaptive quantization: every weight and bias with the fewest bits that keep the loss at or below a limit.

    Repeated: tolerances by `water_filling`, from the gradient of the network as it was; every parameter becomes the
    shortest number within its tolerance of what it was. A network whose loss is within the limit, and which has fewer
    bits than the last, is taken; any other is undone.

    The bound sum |g_i| tau_i <= limit - loss is of errors that all have the worst sign. Those of rounding have both
    signs, and the loss grows by far less: so the first round spends this budget once, and what is spent grows fourfold
    until the loss is too large, then by halves of what is between. After that the trust region is doubled, as long as
    that takes bits away.

    model       a trained network, changed in place: the methods of its weights and biases are taken away first, and in
                the end they get `FewestBits`
    loss_of     () -> the loss of the model as it is now, a scalar Tensor, the same whenever the model is the same
    limit       what the loss must not exceed, above what it is at first
    cap         the first trust region, 2^-40 .. 1: how far from the first weights the gradient is believed
    rounds      at most
    log         called after every round
    Returns     what the network takes; its codes are the network's, see `nn.coded_in`
    Raises      ConfigError for a limit that the network is above already, for other numbers, and without a parameter
    Source      Khoram and Li 2018, Adaptive quantization of neural networks (ICLR). What the paper leaves open is ours:
                the trust region is of |w - w0|, the gradient is that at w0, and how much more than the budget is spent
    """
    check_instance("adaptive", "the model", model, Sequential, "a Sequential")
    check_function("adaptive", "loss_of", loss_of, " of nothing")
    check_whole("adaptive", "rounds", rounds)
    if not is_number(cap) or not LEAST <= cap <= 1:
        raise ConfigError("adaptive", "cap must be a number in 2^-40 .. 1", got=shown(cap))
    if not is_number(limit):
        raise ConfigError("adaptive", "limit must be a number", got=shown(limit))
    sites = [site for site in model.sites().values() if site.latent is not None]
    if not sites:
        raise ConfigError("adaptive", "there must be a weight", got="a model without one")
    for site in sites:
        site.change(None)
    first = [_latent(site).copy() for site in sites]
    best, fewest = first, -1
    loss, gradient = _loss_and_gradient(loss_of, sites)
    if not loss < limit:
        raise ConfigError("adaptive", "the limit must be above the loss that the network has",
                          got=f"{limit:g}, where it is {loss:g}")
    budget, budgets, low, high, before = limit - loss, 1.0, 0.0, math.inf, -1
    try:
        for _ in range(rounds):
            tolerance = np.maximum(water_filling(gradient, budgets * budget, cap), LEAST)
            made = [shortest(w, part.reshape(w.shape)) for w, part in zip(first, _split(tolerance, first), strict=True)]
            bits = sum(int(N.sum()) for _, N in made)
            _put(sites, [y for y, _ in made])
            with no_grad():
                loss = loss_of().item()
            taken = loss <= limit and (fewest < 0 or bits < fewest)
            log(Round(cap, budgets, loss, bits, taken))
            if taken:
                best, fewest = [y for y, _ in made], bits
            low, high = (budgets, high) if loss <= limit else (low, budgets)
            if high > NEAR * low and not (loss <= limit and (tolerance == cap).all()):
                budgets = min(GROW * low, math.sqrt(low * high)) if low else high / GROW
            elif fewest == before or cap == 1:
                break
            else:                                # a wider region, from what was spent in this one
                before, cap, budgets, low, high = fewest, min(2 * cap, 1.0), low, 0.0, math.inf
    finally:                                     # Ctrl-C too leaves the best so far
        _put(sites, best)
    for site in sites:
        site.change(FewestBits(max(exactly(_latent(site)), LEAST)))
    return spent_by(best)


def spent_by(values: list[Array]) -> Spent:
    """What these numbers take, each at the fewest bits that it is written with.

    >>> spent_by([np.array([0.25, 0.0, -1.5, 0.75])])
    Spent(fraction=5, whole=1, signs=3, widths=6)
    """
    if not isinstance(values, (list, tuple)):
        raise ConfigError("spent_by", "values must be a list of arrays", got=shown(values))
    fraction = whole = signs = 0
    widths = 0.0
    for y in values:
        check_reals("spent_by", "values", y)
        _check_finite("spent_by", "values", y)
        N = shortest(y, LEAST)[1]
        size = np.floor(np.abs(y.astype(np.float64)))
        fraction += int(N.sum())
        whole += int(np.ceil(np.log2(size + 1)).sum())
        signs += int(np.count_nonzero(y))
        widths += N.size * entropy_of(N)
    return Spent(fraction, whole, signs, int(np.ceil(widths)))


def _check_finite(op: str, name: str, array: Array) -> None:
    if not np.isfinite(array).all():
        raise NonFiniteError(op, f"{name} must be finite", got=f"{np.sum(~np.isfinite(array))} that are not")


def _latent(site: Site) -> Array:
    assert site.latent is not None
    return site.latent.array


def _put(sites: list[Site], values: list[Array]) -> None:
    for site, value in zip(sites, values, strict=True):
        assert site.latent is not None
        site.latent.array[...] = value
        site.latent.changed_in_place()


def _loss_and_gradient(loss_of: Callable[[], Tensor], sites: list[Site]) -> tuple[float, Array]:
    """The loss, and its gradient in all latents, one after the other, float64."""
    latents = [site.latent for site in sites if site.latent is not None]
    loss, gradients = loss_and_gradients("adaptive", loss_of, latents)
    return loss, np.concatenate([g.reshape(-1) for g in gradients])


def _split(flat: Array, like: list[Array]) -> list[Array]:
    return np.split(flat, np.cumsum([w.size for w in like])[:-1])
