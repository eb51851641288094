"""The methods of `front.py`: what each makes of a trained float network, with its settings.

A method takes the float network, the data, the number of epochs, a seed, and one of its settings; it gives the network
that is stored. All train with the same Adam, batches and epochs in total, from the same float network; stages of one
method share the epochs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

from mnist_networks import BATCH, seen, train

from minilq import (
    LSQ,
    DeepCompression,
    HashedNets,
    Mixture,
    Polino,
    PolinoPoints,
    Pruned,
    Scaled,
    Sequential,
    Tensor,
    VectorQuantization,
    chain_rule,
    penalty_on,
    quantize,
    softmax_cross_entropy,
)
from minilq.data import Dataset
from minilq.experiments.build import streams, trainer_for
from minilq.experiments.config import RunConfig
from minilq.nn import low_rank
from minilq.objective import sparsity_on
from minilq.post import adaptive, collapse
from minilq.quantize import Quantizer
from minilq.train.metrics import ToInput, raw, unit
from minilq.train.stage import Stage

BIAS_BITS = 8
WEIGHT_STEP, BIAS_STEP = 0.05, 0.1
"""Of the learned size: scales at first."""
SLOW = 0.1
"""On the learning rate of scales there, beside that of weights."""
WARM = 0.25
"""The share of the epochs over which the price of a bit grows."""
LAST_KEEP = 0.3
COMPONENTS = 9
"""Of soft weight sharing, one of them at 0."""
JUDGED, PART = 20_000, 2_000
"""Images on which Khoram and Li's limit holds, and how many are computed at once."""

Make = Callable[[Sequential, Dataset, int, int, Any], Sequential]


class Method(NamedTuple):
    """How it is made, the settings from the smallest network to the largest, and what the network sees of images."""

    make: Make
    settings: tuple[Any, ...]
    to_input: ToInput = seen


def weights(method: Quantizer, bias: Quantizer | None = None) -> Callable[[str], Quantizer | None]:
    """A method for all weights, and one for biases, by default LSQ with 8 bits."""
    return lambda name: {"weight": method, "bias": bias or LSQ(BIAS_BITS)}.get(name.rpartition(".")[2])


def with_method(of: Callable[[Any], Quantizer], bias: Callable[[Any], Quantizer] | None = None) -> Make:
    """Every weight gets a method, and the network is trained on."""
    def make(start: Sequential, data: Dataset, epochs: int, seed: int, setting: Any) -> Sequential:
        choose = weights(of(setting), None if bias is None else bias(setting))
        return train(quantize(copy.deepcopy(start), choose), data, epochs, seed)
    return make


def by_recipe(start: Sequential, data: Dataset, epochs: int, seed: int, setting: dict[str, Any]) -> Sequential:
    """The thesis' recipe (batches of 32, Adam 1e-4), after a float network of the same recipe."""
    config = RunConfig(data="mnist", recipe="thesis", seed=seed, epochs=epochs, **setting)
    before = float_by_recipe(data, epochs, seed, config.input)
    trainer = trainer_for("quantized", config, data, fresh=(copy.deepcopy(before), streams(seed)))
    trainer.run(epochs)
    return trainer.model


@lru_cache(maxsize=4)
def float_by_recipe(data: Dataset, epochs: int, seed: int, pixels: str) -> Sequential:
    trainer = trainer_for("float", RunConfig(data="mnist", recipe="thesis", seed=seed, epochs=epochs, input=pixels),
                          data)
    trainer.run(epochs)
    return trainer.model


def learned_size(start: Sequential, data: Dataset, epochs: int, seed: int, price: float) -> Sequential:
    """Rounded to nearest by a scale for each weight and bias, with a price on every bit of the codes."""
    method = Scaled("nearest", granularity="scalar", scale_rule=chain_rule())
    model = quantize(copy.deepcopy(start), weights(method, method))
    for name, tensor in model.parameters().items():
        if name.endswith("scale"):
            tensor.data[...] = WEIGHT_STEP if "weight" in name else BIAS_STEP
            tensor.lr = SLOW
    bits, rise, steps = penalty_on(model, "code_size", 1.0), WARM * epochs * -(-len(data.train_images) // BATCH), 0

    def paid() -> Tensor:
        nonlocal steps
        steps += 1
        return price * min(1.0, steps / rise) * bits()

    return train(model, data, epochs, seed, {"bits": paid})


def deep_compression(start: Sequential, data: Dataset, epochs: int, seed: int, setting: tuple[float, int],
                     ) -> Sequential:
    """Pruned to half of the way, then to a share, then levels; setting: the share of the first layer's weights that
    stays, and levels. Of the last layer LAST_KEEP stays."""
    keep, k = setting

    def pruned(power: float, name: str) -> Quantizer | None:
        layer, _, kind = name.rpartition(".")
        return Pruned((keep if layer == "dense1" else LAST_KEEP) ** power) if kind == "weight" else None

    quarter = epochs // 4
    stages = [Stage(quarter, partial(pruned, 0.5)), Stage(epochs - 2 * quarter, partial(pruned, 1.0)),
              Stage(quarter, weights(DeepCompression(k)))]
    return train(copy.deepcopy(start), data, epochs, seed, stages=stages)


def hoyer(start: Sequential, data: Dataset, epochs: int, seed: int, setting: tuple[float, float, int]) -> Sequential:
    """DeepHoyer: Hoyer-square on weights, what is small goes, the rest is trained and clustered; setting: the rate,
    the bound in standard deviations, and levels."""
    rate, quality, k = setting
    half, quarter = epochs // 2, epochs // 4
    stages = [Stage(half), Stage(epochs - half - quarter, weights(Pruned(quality=quality))),
              Stage(quarter, weights(DeepCompression(k)))]
    model = copy.deepcopy(start)
    return train(model, data, epochs, seed, {"hoyer": sparsity_on(model, "hoyer_square", rate)}, stages)


def soft_sharing(start: Sequential, data: Dataset, epochs: int, seed: int, setting: tuple[float, float]) -> Sequential:
    """Drawn to the means of a mixture, then put on them; setting: the rate, and the share of the component at 0."""
    rate, zero_share = setting
    model = copy.deepcopy(start)
    latents = [site.latent for name, site in model.sites().items() if name.endswith("weight")]
    mixture = Mixture([latent.numpy() for latent in latents], COMPONENTS, zero_share)
    for parameter in mixture.parameters().values():
        parameter.lr = 0.5
    train(model, data, epochs, seed, {"mixture": lambda: mixture.penalty(latents, rate)},
          more=mixture.parameters().values())
    collapse(model, mixture)
    return with_biases(model)


def low_ranked(start: Sequential, data: Dataset, epochs: int, seed: int, rank: int) -> Sequential:
    """The first layer as two thin ones, by its singular values, weights with 4 bits."""
    flatten, first, *rest = copy.deepcopy(start).layers.values()
    model = Sequential(flatten, *low_rank(first, rank), *rest)
    return train(quantize(model, weights(LSQ(4))), data, epochs, seed)


def khoram_li(start: Sequential, data: Dataset, epochs: int, seed: int, more: float) -> Sequential:
    """As few bits for each number as a loss that grows by no `more` allows, without training."""
    model = copy.deepcopy(start)
    images, labels = seen(data.train_images[:JUDGED]), data.train_labels[:JUDGED]

    def loss() -> Tensor:
        parts = [softmax_cross_entropy(model(images[i:i + PART]), labels[i:i + PART])
                 for i in range(0, len(images), PART)]
        return sum(parts[1:], parts[0]) * (1 / len(parts))

    adaptive(model, loss, loss().item() + more)
    return model


def with_biases(model: Sequential) -> Sequential:
    """The same network, its biases with 8 bits."""
    for name, site in model.sites().items():
        if name.endswith("bias"):
            site.change(LSQ(BIAS_BITS))
    return model


UNGATED = {"input": "unit", "granularity": "scalar", "rounding": "nearest", "gate": False,
           "layer_thresholds": {"dense2": 1e-10}}

METHODS = {
    "nested": Method(by_recipe, tuple({"threshold": lam, "granularity": by} for lam, by in (
        (1e-9, "row"), (1e-10, "scalar"), (1e-10, "row"))), raw),
    "MaxBin": Method(by_recipe, tuple({"penalty": "maxbin", "rate": rate, "granularity": by} for rate, by in (
        (1e-10, "scalar"), (1e-9, "column"))), raw),
    "Inverse": Method(by_recipe, tuple({"penalty": "inverse", "rate": rate, "granularity": "scalar"} for rate in (
        1e-11, 1e-12)), raw),
    "Difference": Method(by_recipe, tuple({"penalty": "difference", "rate": rate, "granularity": by} for rate, by in (
        (1e-9, "scalar"), (1e-8, "column"))), raw),
    "one scale a layer": Method(by_recipe, tuple({**UNGATED, "threshold": lam} for lam in (3e-9, 1e-9)), unit),
    "LSQ": Method(with_method(LSQ), (2, 3, 4)),
    "learned size": Method(learned_size, (2e-5, 1e-5, 5e-6, 2e-6, 1e-6)),
    "Deep Compression": Method(deep_compression, ((0.03, 4), (0.05, 8), (0.1, 8), (0.1, 15))),
    "DeepHoyer": Method(hoyer, ((1e-3, 0.1, 8), (3e-4, 0.1, 8), (1e-4, 0.1, 8))),
    "HashedNets": Method(with_method(HashedNets), (1 / 64, 1 / 32, 1 / 16)),
    "vectors": Method(with_method(lambda k: VectorQuantization(k, blocks=1 if k > 64 else 2)), (16, 64, 128)),
    "Polino": Method(with_method(lambda levels: Polino(levels, 1024)), (3, 4, 8)),
    "Polino's points": Method(with_method(lambda points: PolinoPoints(points, 1024)), (3, 4, 8)),
    "low rank": Method(low_ranked, (4, 8, 16)),
    "Khoram and Li": Method(khoram_li, (0.1, 0.05, 0.02, 0.01)),
    "soft sharing": Method(soft_sharing, ((1e-6, 0.99),)),
}
