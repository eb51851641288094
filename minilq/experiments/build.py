"""From the settings of a run to its data, networks and trainers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.data import Dataset, load
from minilq.data.augment import center_crop, random_brightness, random_crop, random_flip, random_saturation
from minilq.errors import ConfigError
from minilq.experiments import models
from minilq.experiments.config import RunConfig
from minilq.experiments.thesis import RECIPES
from minilq.nn import Sequential
from minilq.objective import OF_PAIRS, Objective, l2, penalty_on
from minilq.optim import Adam, groups_of, steps
from minilq.quantize import Quantizer, frozen, stochastic, threshold
from minilq.train.checkpoint import load_checkpoint
from minilq.train.loop import Augment, Trainer
from minilq.train.metrics import INPUTS, ToInput

Streams = dict[str, np.random.Generator]


def data_for(config: RunConfig) -> Dataset:
    """The data set of a run, all of it; see `RunConfig.limit`."""
    if config.data == "imagenette":
        return load(config.data, config.data_dir, image_size=config.image_size,
                    damaged="skip" if config.skip_damaged else "refuse")
    return load(config.data, config.data_dir)


def streams(seed: int) -> Streams:
    """Independent generators: initial values, order of the batches, stochastic rounding, dropout, changes of images."""
    names = ("init", "shuffle", "noise", "dropout", "augment")
    return dict(zip(names, map(np.random.default_rng, np.random.SeedSequence(seed).spawn(len(names))), strict=True))


def network(name: str, config: RunConfig, generators: Streams) -> Sequential:
    """The untrained "float" or "quantized" network; both start from the same weights."""
    return _architecture(config, generators["init"], generators["dropout"],
                         quantizers_for(config, generators) if name == "quantized" else None)


def rounded_network(config: RunConfig, rng: np.random.Generator, quantizer: Quantizer) -> Sequential:
    """The network with one quantizer for all layers that the run quantizes: for `round_to_nearest`."""
    chosen = _chosen(config)
    return _architecture(config, rng, rng, lambda layer: quantizer if layer in chosen else None)


def _architecture(config: RunConfig, rng: np.random.Generator, noise: np.random.Generator,
                  quantizers: models.Quantizers) -> Sequential:
    shape = config.image_shape
    if config.model == "lenet":
        return models.lenet(rng, quantizers, (shape[0], shape[1], shape[2] if len(shape) == 3 else 1))
    if config.model == "cifar10_cnn":
        return models.cifar10_cnn(rng, quantizers, noise)
    if config.model == "imagenette_resnet":
        return models.imagenette_resnet(rng, quantizers, noise, shape[0])
    return models.mnist_mlp(rng, quantizers)


def quantizers_for(config: RunConfig, generators: Streams) -> models.Quantizers:
    """What the settings say for each layer. Raises ConfigError for a threshold of a layer that is not quantized, and
    when no layer is."""
    rounding = stochastic(generators["noise"]) if config.rounding == "stochastic" else config.rounding
    assert config.granularity is not None
    assert config.threshold is not None
    thresholds, otherwise = config.layer_thresholds, config.threshold
    common = Quantizer(rounding, granularity=config.granularity)
    chosen = _chosen(config)
    if not chosen:
        raise ConfigError("train", "a layer must be left to be quantized",
                          got=f"quantize {config.quantize!r} for {config.model}",
                          cause="Choose recipe or all, or a deeper network")
    if unknown := set(thresholds) - set(chosen):
        raise ConfigError("train", f"a layer with its own threshold must be one of the quantized: {', '.join(chosen)}",
                          got=", ".join(sorted(unknown)))

    def quantizer_of(layer: str) -> Quantizer | None:
        if layer not in chosen:
            return None
        lam = thresholds.get(layer, otherwise)
        return replace(common, scale_rule=threshold(lam, config.gate) if lam > 0 else frozen())

    return quantizer_of


def _chosen(config: RunConfig) -> list[str]:
    """Names of the layers that are quantized, in the order of the network."""
    names: list[str] = []
    asked = Quantizer(granularity="scalar")

    def note(layer: str) -> Quantizer | None:
        names.append(layer)
        return None

    _architecture(config, np.random.default_rng(0), np.random.default_rng(0), note)
    if config.quantize == "inner":
        return names[1:-1]
    if config.quantize == "all":
        return names
    by_recipe = _architecture(config, np.random.default_rng(0), np.random.default_rng(0), asked).quantized()
    return [name for name in names if f"{name}.bias" in by_recipe]


def inputs_for(config: RunConfig) -> ToInput:
    """Images of the data set -> what the network sees; lenet gets grey images with an axis for their one channel."""
    to_input = INPUTS[config.input]
    if config.model == "lenet" and len(config.image_shape) == 2:
        return lambda images: to_input(images)[..., None]
    return to_input


def augment_for(config: RunConfig) -> Augment | None:
    """What happens to the images in training.

    "none": nothing, but imagenette's, which are larger than the network's, are cut to their middle; "crop": a random
    crop of the network's size, mirrored or not; "thesis": brightness +- 0.2 and saturation 0.8..1.2 as well, clipped to
    0..255. CIFAR-10's images, which have the network's size already, are only mirrored (and recoloured).
    """
    size = config.image_shape[0]
    if config.augment == "none":
        return (lambda images, rng: center_crop(images, size)) if config.data == "imagenette" else None

    def crop(images: Array, rng: np.random.Generator) -> Array:
        return random_flip(random_crop(images, size, rng), rng)

    def thesis(images: Array, rng: np.random.Generator) -> Array:
        images = crop(images, rng).astype(np.float32)
        return random_saturation(random_brightness(images, rng), rng)

    return crop if config.augment == "crop" else thesis


def objective_for(config: RunConfig, model: Sequential) -> Objective:
    """The recipe's L2 on kernels and biases of the residual blocks, and the penalty of the settings where the network
    has quantized parameters."""
    parts: dict[str, Callable[[], Tensor]] = {}
    rate = RECIPES[config.data].l2
    chosen = [p for name, p in model.parameters().items()
              if name.startswith("residual") and name.endswith((".kernel", ".bias"))]
    if rate > 0 and chosen:
        parts["l2"] = partial(l2, chosen, rate)
    if config.penalty is not None and model.quantized():
        assert config.rate is not None
        to_scales = config.penalty in OF_PAIRS or not (config.threshold or config.layer_thresholds)
        parts[config.penalty] = penalty_on(model, config.penalty, config.rate, config.layer_rates, to_scales)
    return Objective(parts)


def trainer_for(name: str, config: RunConfig, data: Dataset, start_from: Path | None = None) -> Trainer:
    """A trainer at its beginning, with the parameters of a checkpoint if one is named. Both see the same batches."""
    generators = streams(config.seed)
    model = network(name, config, generators)
    if start_from is not None:
        model.load_state(load_checkpoint(start_from)[0], scales=False)
    assert config.batch is not None
    return Trainer(model, Adam(groups_of(model), lr=config.lr), data, inputs_for(config), config.batch, generators,
                   steps(RECIPES[config.data].schedule), augment_for(config), objective_for(config, model))
