"""From the settings of a run to its data, networks and trainers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minilq.autodiff.tape import Array
from minilq.autodiff.tensor import Tensor
from minilq.data import Dataset, load
from minilq.data.augment import center_crop, random_brightness, random_crop, random_flip, random_saturation
from minilq.errors import ConfigError, meant
from minilq.experiments import models
from minilq.experiments.choices import method_from
from minilq.experiments.config import CONFIG, RunConfig, read_config
from minilq.experiments.thesis import RECIPES
from minilq.experiments.training import CHECKPOINTS
from minilq.nn import Sequential, quantize
from minilq.objective import OF_PAIRS, Objective, l2, own_penalties, penalty_on
from minilq.optim import Adam
from minilq.quantize import Quantizer
from minilq.quantize.flags import Choice, flags_of
from minilq.schedule import Schedule, steps
from minilq.train.checkpoint import load_checkpoint
from minilq.train.loop import Augment, Trainer, under
from minilq.train.metrics import INPUTS, ToInput
from minilq.train.task import Task, cross_entropy
from minilq.train.teacher import Distillation

Streams = dict[str, np.random.Generator]
Built = tuple[Sequential, Streams]
Choose = Callable[[str], Quantizer | None]

ADAM: dict[str, float] = {"keras": 1e-7, "torch": 1e-8}
"""Forms of Adam, and the epsilon that each has where it comes from."""


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


def network(config: RunConfig, generators: Streams) -> Sequential:
    """The untrained network of a run, in full precision."""
    shape, rng, noise = config.image_shape, generators["init"], generators["dropout"]
    if config.model in ("lenet", "vit"):
        make = models.lenet if config.model == "lenet" else models.vit
        return make(rng, (shape[0], shape[1], shape[2] if len(shape) == 3 else 1))
    if config.model == "cifar10_cnn":
        return models.cifar10_cnn(rng, noise)
    if config.model == "imagenette_resnet":
        return models.imagenette_resnet(rng, noise, shape[0])
    if config.model in models.RECURRENT:
        return models.over_rows(config.model, rng, shape[1])
    return models.mnist_mlp(rng)


def quantized_layers(config: RunConfig, model: Sequential) -> list[str]:
    """Names of the layers that the settings quantize, in the order of the network. Raises ConfigError for none.

    By the recipe these are the layers that the thesis quantizes: all, or where there is batch normalisation the
    convolutions.
    """
    names = [name.removesuffix(".weight") for name in model.sites() if name.endswith(".weight")]
    if config.quantize == "inner":
        ends = {_owner(names[0], model), _owner(names[-1], model)}
        names = [name for name in names if _owner(name, model) not in ends]
    elif config.quantize == "recipe" and config.model in ("cifar10_cnn", "imagenette_resnet"):
        names = [name for name in names if name.rpartition(".")[2].startswith("conv2d")]
    if not names:
        raise ConfigError("train", "a layer must be left to be quantized",
                          got=f"quantize {config.quantize!r} for {config.model}",
                          cause="Choose recipe or all, or a deeper network")
    return names


def _owner(layer: str, model: Sequential) -> str:
    """The layer itself, or, of a gate, the recurrent layer that it is a part of: where the input comes in."""
    return layer if f"{layer}.input" in model.sites() else layer.rpartition(".")[0]


def quantized_sites(config: RunConfig, model: Sequential) -> list[str]:
    """Names of the weights and biases that the settings quantize."""
    choose = methods_for(config, model, streams(config.seed))
    return [name for name, site in model.sites().items() if site.latent is not None and choose(name) is not None]


def methods_for(config: RunConfig, model: Sequential, generators: Streams) -> Choose:
    """What the settings say for each site of a model. Raises ConfigError for a layer or site that is not there, for
    flags that a method does not take, and when all weights and biases stay in full precision."""
    layers, sites = quantized_layers(config, model), model.sites()
    owners = {_owner(layer, model) for layer in layers}
    for what, names, there in (("layer with its own threshold", config.layer_thresholds, layers),
                               ("layer with its own rate", config.layer_rates, layers),
                               ("site with its own method", config.own, list(sites))):
        if unknown := sorted(set(names) - set(there)):
            which = "the quantized: " if there is layers else ""
            raise ConfigError("train", f"a {what} must be one of {which}{', '.join(there)}", got=", ".join(unknown),
                              cause=meant(unknown[0], there))

    def choose(name: str) -> Quantizer | None:
        layer, _, kind = name.rpartition(".")
        if name in config.own:
            own = config.own[name]
            return method_from(_on_bias(own) if kind.endswith("bias") else own, generators["noise"])
        if kind.endswith("input"):
            attention = f"{layer.rpartition('.')[0]}.project"        # whose queries, keys .. are multiplied too
            there = layer in owners or attention in layers
            return method_from(config.inputs if there else None, generators["noise"])
        if layer not in layers:
            return None
        method = method_from(config.weights_of(layer), generators["noise"])
        if kind.endswith("bias") and method is not None:
            return replace(method, granularity="scalar") if method.on_bias else None  # type: ignore[type-var]
        return method

    # what is wrong with a flag is found out now
    if not [name for name, site in sites.items() if choose(name) is not None and site.latent is not None]:
        raise ConfigError("train", "a run compares a float network with one whose weights are quantized",
                          got="weights in full precision everywhere",
                          cause="Leave a layer to --weights, or give a weight a method with --own")
    return choose


def flag_of_weights(config: RunConfig, flag: str) -> Any:
    """What the method of the weights has for a flag, such as its granularity; None where it has no such flag."""
    method = None if config.weights is None else method_from(config.weights_of(""), np.random.default_rng(0))
    return getattr(method, flag, None)


def _on_bias(choice: Choice | None) -> Choice | None:
    """A bias has one scale unless something else is said: rows and filters are of weights."""
    if choice is None or "granularity" not in flags_of(choice["method"]):
        return choice
    return {"granularity": "scalar", **choice}


def inputs_for(config: RunConfig) -> ToInput:
    """Images of the data set -> what the network sees; lenet and vit get grey images with an axis for their one
    channel."""
    assert config.input is not None
    to_input = INPUTS[config.input]
    if config.model in ("lenet", "vit") and len(config.image_shape) == 2:
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
    """The recipe's L2 on weights and biases of the residual blocks, the penalty of the settings where the network has
    quantized weights, and what the methods add themselves."""
    parts: dict[str, Callable[[], Tensor]] = {}
    rate = RECIPES[config.recipe][config.data].l2
    chosen = [p for name, p in model.parameters().items()
              if name.startswith("residual") and name.endswith(".latent")]
    if rate > 0 and chosen:
        parts["l2"] = partial(l2, chosen, rate)
    if config.penalty is not None and any(site.method for site in model.sites().values()):
        assert config.rate is not None
        to_scales = config.penalty in OF_PAIRS or not (config.threshold or config.layer_thresholds)
        parts[config.penalty] = penalty_on(model, config.penalty, config.rate, config.layer_rates, to_scales)
    if (own := own_penalties(model)) is not None:
        parts["methods"] = own
    return Objective(parts)


def schedule_for(config: RunConfig) -> Schedule:
    """The recipe's schedule, stretched to the epochs of the run: a rate that falls at epoch 40 of 100 falls at 8 of 20,
    and where that is within an epoch, at the end of it. A run that goes on with more epochs has the schedule of these
    from there on."""
    recipe = RECIPES[config.recipe][config.data]
    assert config.epochs is not None
    factors: dict[int, float] = {}
    for epoch, factor in recipe.schedule.items():
        here = -(-epoch * config.epochs // recipe.epochs)
        factors[here] = factors.get(here, 1.0) * factor
    return steps(factors)


def built(config: RunConfig) -> Built:
    """The untrained network of a run, and its generators, from which it was drawn."""
    generators = streams(config.seed)
    return network(config, generators), generators


def teacher_of(config: RunConfig) -> tuple[Sequential, RunConfig] | None:
    """The float network that teaches the quantized one of a run, and its own settings; None for no teacher.

    Raises ConfigError for one that was trained on other data or other inputs, DataError for a folder without one
    """
    if config.teacher is None:
        return None
    folder = Path(config.teacher)
    there = read_config(folder / CONFIG)
    for name in ("data", "input", "image_shape"):
        if getattr(there, name) != getattr(config, name):
            raise ConfigError("train", f"--teacher must name a run with the same {name.replace('_', ' ')}",
                              got=f"{getattr(there, name)} there, {getattr(config, name)} here")
    model, _ = built(there)
    model.load_state(under("model/", load_checkpoint(folder / CHECKPOINTS["float"])[0]))
    return model, there


def trainer_for(name: str, config: RunConfig, data: Dataset, start_from: Path | None = None,
                fresh: Built | None = None) -> Trainer:
    """A trainer of the "float" or the "quantized" network at its beginning, with the parameters of a float checkpoint
    if one is named. Both start from the same weights and see the same batches.

    fresh       what `built` gave, where that is there already
    """
    model, generators = built(config) if fresh is None else fresh
    if start_from is not None:
        model.load_state(under("model/", load_checkpoint(start_from)[0]))
    if name == "quantized":
        quantize(model, methods_for(config, model, generators))
    assert config.batch is not None
    assert config.lr is not None
    adam = Adam(model.parameters().values(), lr=config.lr, epsilon=ADAM[config.adam], form=config.adam)
    task: Task = cross_entropy
    to_input = inputs_for(config)
    if name == "quantized" and (teacher := teacher_of(config)) is not None:
        task = Distillation(teacher[0])
        if config.model == "mnist_mlp":          # it flattens, and the teacher's images may have an axis for channels
            to_input = inputs_for(teacher[1])
    return Trainer(model, adam, data, to_input, config.batch, generators, schedule_for(config), augment_for(config),
                   objective_for(config, model), task)
