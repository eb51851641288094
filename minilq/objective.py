"""The objective: the task loss and what is added to it, one differentiable scalar whose parts stay visible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from minilq.arguments import check_flag, check_function, check_instance, is_number, shown
from minilq.autodiff.parameter import Masked
from minilq.autodiff.tensor import Tensor
from minilq.errors import ConfigError, meant
from minilq.nn import Layer, Site
from minilq.ops import add_up, sum_of_squares
from minilq.quantize import Quantizer, Scaled, deviations, entropy, penalties, sparsity
from minilq.quantize.period import waveq

Part = Callable[[], Tensor]

# Penalties of quantized parameters by name; those of the second kind need to know the rounding.
OF_PAIRS: dict[str, Callable[..., Tensor]] = {
    "maxbin": penalties.maxbin, "inverse": penalties.inverse, "difference": penalties.difference,
    "sine": deviations.sine, "hoyer": sparsity.hoyer, "hoyer_square": sparsity.hoyer_square,
    "group_hoyer": sparsity.group_hoyer}
OF_PAIRS_AND_QUANTIZER: dict[str, Callable[..., Tensor]] = {
    "squared_deviation": deviations.squared_deviation, "absolute_deviation": deviations.absolute_deviation,
    "dampening": deviations.dampening, "code_size": entropy.code_size}
PENALTIES = (*OF_PAIRS, *OF_PAIRS_AND_QUANTIZER)


class Objective:
    """task loss + sum of parts.

    parts       name -> () -> a scalar Tensor, its rate included, such as what `penalty_on` gives
    Call        objective(task) -> (the sum as a Tensor, {name: value of the part})

    >>> W = Tensor([1.0, 2.0], requires_grad=True)
    >>> total, parts = Objective({"l2": lambda: l2([W], rate=0.5)})(Tensor(1.0))
    >>> total.item(), parts
    (3.5, {'l2': 2.5})
    """

    def __init__(self, parts: Mapping[str, Part] | None = None) -> None:
        if not (parts is None or (isinstance(parts, Mapping) and all(map(callable, parts.values())))):
            raise ConfigError("Objective", "parts must be a dict from names to functions that give a scalar Tensor",
                              got=shown(parts))
        self.parts = dict(parts or {})

    def __call__(self, task: Tensor) -> tuple[Tensor, dict[str, float]]:
        check_instance("Objective", "the loss", task, Tensor, "a Tensor")
        total, terms = self.added_to(task)
        return total, {name: y.item() for name, y in terms.items()}

    def added_to(self, task: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum, and the parts as Tensors."""
        terms = {}
        for name, part in self.parts.items():
            terms[name] = part()
            task = task + terms[name]
        return task, terms


def penalty_on(model: Layer, name: str, rate: float, layer_rates: Mapping[str, float] | None = None,
               to_scales: bool = True) -> Part:
    """A penalty on every weight and bias of a model whose method has a scale, as a part of an objective.

    name            one of PENALTIES; those that round do it as each site's own method does
    rate            the factor gamma >= 0
    layer_rates     name of a layer, such as "dense2" -> its own factor; the weights #_t / T stay those of the whole
    to_scales       False: the penalty sends no gradient to the scales
    Raises          ConfigError for an unknown penalty, a negative rate, a layer that has nothing quantized, and a
                    model without such a site

    >>> import numpy as np
    >>> from minilq import Dense, Nested, quantize
    >>> model = quantize(Dense(3, 2, np.random.default_rng(0)), lambda name: Nested() if name == "weight" else None)
    >>> round(penalty_on(model, "inverse", rate=1e-4)().item(), 2)      # 1e-4 / SCALE_MIN
    8.39
    """
    check_instance("penalty", "the model", model, Layer, "a Layer")
    if not isinstance(name, str) or name not in PENALTIES:
        raise ConfigError("penalty", f"must be one of {', '.join(PENALTIES)}", got=shown(name),
                          cause=meant(name, PENALTIES))
    if not (layer_rates is None or isinstance(layer_rates, Mapping)):
        raise ConfigError("penalty", "layer_rates must be a dict from names of layers to rates", got=shown(layer_rates))
    layer_rates = dict(layer_rates or {})
    for factor in (rate, *layer_rates.values()):
        if not (is_number(factor) and factor >= 0):
            raise ConfigError("penalty", "a rate must be a number >= 0", got=shown(factor))
    check_flag("penalty", "to_scales", to_scales)
    sites = [(site, name.rpartition(".")[0]) for name, site in model.sites().items() if site.latent is not None]
    value = Penalty(name, [(site, layer_rates.get(layer, rate)) for site, layer in sites], to_scales)
    if not value.there():
        raise ConfigError("penalty", "a weight must have a method with a scale", got="a model without one",
                          cause="Call quantize(model, choose) first, with a method such as Nested() or LSQ(4)")
    layers = dict.fromkeys(layer for site, layer in sites if site.scale is not None)
    if unknown := set(layer_rates) - set(layers):
        raise ConfigError("penalty", f"a layer with its own rate must be one of the quantized: {', '.join(layers)}",
                          got=", ".join(sorted(unknown)), cause=meant(min(unknown), layers))
    value()                                      # what is wrong with the model is found out now
    return value


@dataclass(frozen=True)
class Penalty:
    """What `penalty_on` gives: a penalty on sites, each with its rate."""

    name: str
    sites: list[tuple[Site, float]]
    to_scales: bool

    def there(self) -> list[tuple[Tensor, Tensor, Scaled, float]]:
        """Latent, scale, rounding and rate of every site that has a scale now: its method may be another later on."""
        found: list[tuple[Tensor, Tensor, Scaled, float]] = []
        for site, rate in self.sites:
            s, method = site.scale, site.method
            if s is not None and site.latent is not None and method is not None and method.scaled is not None:
                found.append((site.real(), s, method.scaled, rate))
        return found

    def __call__(self) -> Tensor:
        if not (found := self.there()):
            return Tensor(np.zeros((), self.sites[0][0].dtype))  # a stage in full precision
        latents, scales, quantizers, rates = zip(*found, strict=True)
        pairs = list(zip(latents, scales if self.to_scales else [s.detach() for s in scales], strict=True))
        if self.name in OF_PAIRS:
            return OF_PAIRS[self.name](pairs, rates=rates)
        return OF_PAIRS_AND_QUANTIZER[self.name](pairs, quantizers, rates=rates)


def waveq_on(model: Layer, rate: float, bit_rate: float) -> Part:
    """WaveQ on every weight and bias of a model whose method has a scale, as a part of an objective: see `waveq`.

    The scales are what it learns the bits by: methods that move them by themselves pull too. Scaled("nearest",
    scale_rule="frozen()") leaves them to it.

    rate, bit_rate  factors >= 0 of the waves and of the bits
    Raises          ConfigError for another rate and for a model without such a site

    >>> from minilq import Dense, Scaled, quantize
    >>> model = quantize(Dense(3, 2, np.random.default_rng(0)), lambda name: Scaled("nearest", scale_rule="frozen()"))
    >>> round(waveq_on(model, rate=0.0, bit_rate=1.0)().item(), 1)       # 3 rows and 2 biases, each of 16.4 bits
    81.8
    """
    for name, factor in (("rate", rate), ("bit_rate", bit_rate)):
        if not (is_number(factor) and factor >= 0):
            raise ConfigError("waveq", f"{name} must be a number >= 0", got=shown(factor))
    sites = [site for site in model.sites().values() if site.latent is not None]

    def value() -> Tensor:
        pairs = [(site.real(), s) for site in sites if (s := site.scale) is not None]
        return waveq(pairs, rate, bit_rate)

    value()                                      # what is wrong with the model is found out now
    return value


def sparsity_on(model: Layer, name: str, rate: float, biases: bool = False) -> Part:
    """A penalty on how many weights are not zero, quantized or not, as a part of an objective.

    Weights under a mask are left out, so that DeepHoyer is a training in two stages, from a float network: one without
    a method, and one with Pruned(quality=tau), which is trained further without the penalty.

    name        hoyer (there rate 0.02 for LeNet-300-100), hoyer_square (2e-4) or group_hoyer (2e-3)
    rate        the factor >= 0
    biases      True: also on biases, as in the released code; the paper has weights alone
    Raises      ConfigError for another name or rate and for a model without a weight
    Source      Yang, Wen, Li 2020, DeepHoyer (arXiv 1908.09979), appendix C

    >>> from minilq import Dense
    >>> round(sparsity_on(Dense(3, 2, np.random.default_rng(0)), "hoyer_square", rate=1.0)().item(), 3)
    4.141
    """
    check_instance("sparsity", "the model", model, Layer, "a Layer")
    if not isinstance(name, str) or name not in sparsity.TERMS:
        raise ConfigError("sparsity", f"must be one of {', '.join(sparsity.TERMS)}", got=shown(name),
                          cause=meant(name, sparsity.TERMS))
    if not (is_number(rate) and rate >= 0):
        raise ConfigError("sparsity", "rate must be a number >= 0", got=shown(rate))
    check_flag("sparsity", "biases", biases)
    latents = [site.latent for key, site in model.sites().items()
               if site.latent is not None and (biases or not key.endswith("bias"))]

    def value() -> Tensor:
        free = [latent for latent in latents if not isinstance(latent.constraint, Masked)]
        total: Tensor = add_up(*[sparsity.TERMS[name](latent, rate) for latent in free]) if free else Tensor(
            np.zeros((), latents[0].dtype))
        return total

    if not latents:
        raise ConfigError("sparsity", "there must be a weight", got="a model without one")
    value()                                      # what is wrong with the model is found out now
    return value


def qgt_on(model: Layer, choose: Callable[[str], Quantizer | None], rate: float,
           layer_rates: Mapping[str, float] | None = None) -> Part:
    """Quantization-guided training, as a part of an objective: rate * sum of (w_q - w)^2 over the weights of a network.

    Weights stay in full precision and are drawn to where a method would put them now, w_q, which is a constant to the
    gradient, 2 rate (w - w_q). Then `quantize(model, choose)`. With rate 0 that is rounding after training; the larger
    the rate, the more it is training on the grid.

    choose          name of a site -> its method, which starts anew from the latent each time, such as Affine(4); None
                    for one that is left alone
    rate            the factor >= 0;  layer_rates, of single layers, such as {"dense2": 0.1}
    Raises          ConfigError for another rate, and for a model in which nothing is chosen
    Source          Ghamari et al. 2021 (arXiv 2103.06231), equations 1 to 3

    >>> import numpy as np
    >>> from minilq import Affine, Dense
    >>> layer = Dense(2, 1, np.random.default_rng(0))
    >>> layer.weight.latent.data[:, 0] = [1.0, 0.25]             # of 2 bits, narrow: -1, 0 and 1
    >>> qgt_on(layer, {"weight": Affine(2, symmetric=True, narrow=True)}.get, rate=2.0)().item()
    0.125
    """
    check_instance("qgt", "the model", model, Layer, "a Layer")
    check_function("qgt", "choose", choose, " from the name of a site to its method, or None")
    if not (layer_rates is None or isinstance(layer_rates, Mapping)):
        raise ConfigError("qgt", "layer_rates must be a dict from names of layers to rates", got=shown(layer_rates))
    layer_rates = dict(layer_rates or {})
    for factor in (rate, *layer_rates.values()):
        if not (is_number(factor) and factor >= 0):
            raise ConfigError("qgt", "a rate must be a number >= 0", got=shown(factor))
    drawn: list[tuple[Site, Quantizer, float]] = []
    for name, site in model.sites().items():
        method = None if site.latent is None else choose(name)
        if method is not None:
            check_instance("qgt", "what is chosen", method, Quantizer, "a Quantizer, or None")
            drawn.append((site, method, layer_rates.get(name.rpartition(".")[0], rate)))
    if not drawn:
        raise ConfigError("qgt", "a weight must be chosen", got="none")

    def value() -> Tensor:
        terms = []
        for site, method, factor in drawn:
            w = site.real()
            on_grid = method.coded(w.array, method.start(w.array)).values
            terms.append(factor * sum_of_squares(w - Tensor.wrap(on_grid)))
        total: Tensor = add_up(*terms)
        return total

    value()                                      # what is wrong with the model is found out now
    return value


def own_penalties(model: Layer) -> Part | None:
    """What the methods of a model add to the loss themselves, such as PACT's decay of alpha; None for nothing.

    It follows the model: of a method that is given later, it adds what that one says.
    """
    sites = list(model.sites().values())

    def terms() -> list[Tensor]:
        found = (site.method.penalty(site.held) for site in sites if site.method is not None)
        return [term for term in found if term is not None]

    def value() -> Tensor:
        now = terms()
        return add_up(*now) if now else Tensor(np.zeros((), sites[0].dtype))

    return value if terms() else None


def l2(parameters: Iterable[Tensor], rate: float) -> Tensor:
    """Weight decay as a loss: rate * sum over all parameters of sum_i P_i^2, a scalar Tensor; dP = 2 rate P.

    Of the latent values, not of what quantizers make of them. Raises ConfigError without a parameter.
    Source      the thesis' Imagenette recipe: rate 1e-4 on kernels and biases of the residual blocks

    >>> l2([Tensor([1.0, 2.0]), Tensor([[3.0]])], rate=0.5).item()
    7.0
    """
    if isinstance(parameters, (Tensor, Mapping, np.ndarray)) or not isinstance(parameters, Iterable):
        raise ConfigError("l2", "parameters must be a list of Parameters", got=shown(parameters),
                          cause="Write model.parameters().values()")
    if not is_number(rate):
        raise ConfigError("l2", "a rate must be a number", got=shown(rate))
    parameters = list(parameters)
    for p in parameters:
        check_instance("l2", "every parameter", p, Tensor, "a Parameter")
    squares = [sum_of_squares(p) for p in parameters]
    if not squares:
        raise ConfigError("l2", "there must be a parameter", got="none")
    total: Tensor = rate * add_up(*squares)
    return total
