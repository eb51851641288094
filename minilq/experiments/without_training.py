"""Quantization without training: the float network of a run in, a run folder with the quantized one out.

The folder is that of any run (experiments/run.py), but for

    quantize.json   what was done; nothing is left that `minilq train --resume` could go on with
    history.csv     of the float network alone, where its run has one
"""

from __future__ import annotations

import copy
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minilq.arguments import is_number, is_whole, shown
from minilq.autodiff.tape import Array
from minilq.data import Dataset
from minilq.data.augment import center_crop
from minilq.errors import ConfigError, MinilqError, meant
from minilq.experiments.build import inputs_for, methods_for, streams
from minilq.experiments.config import RunConfig, config_from
from minilq.experiments.float_at import float_at
from minilq.experiments.run import (
    CHECKPOINTS,
    CONFIG,
    ENVIRONMENT,
    HISTORY,
    QUANTIZE,
    RESULT,
    Log,
    compared,
    data_of,
    environment,
    refuse_to_overwrite,
)
from minilq.files import as_path, make_folder, write_text
from minilq.kernels.blas import one_blas_thread
from minilq.nn import Sequential, quantize
from minilq.post import (
    absorb_high_biases,
    calibrate_ranges,
    correct_biases,
    correct_biases_by_moments,
    equalize,
    fold_batch_norms,
    migrate,
    round_layers,
)
from minilq.post.calibration import RULES
from minilq.post.folding import Moments
from minilq.post.layerwise import HOW
from minilq.quantize.flags import Choice
from minilq.train.checkpoint import save_checkpoint
from minilq.train.history import Row, read_history, write_history
from minilq.train.metrics import evaluate

FROM_THE_RUN = ("data", "recipe", "data_dir", "model", "epochs", "batch", "lr", "adam", "seed", "input", "augment",
                "limit", "holdout", "image_size", "skip_damaged", "quick", "quantize")
"""Settings that the quantized network has in common with the float one."""

ROUNDINGS = ("nearest", *HOW)
CORRECTIONS = ("images", "moments")


@dataclass(frozen=True)
class Steps:
    """What is done without training, in this order; see minilq/post.

    smooth              alpha of SmoothQuant's migration, out of inputs behind a normalisation into weights; None
    equalize            factors of channels move between layers; batch normalisation is folded first
    absorb              biases that a relu never cuts off move into the next layer
    calibrate           rule for the ranges of inputs, of RULES
    calibrate_weights   rule for those of weights
    round               nearest, adaround or gptq
    correct_bias        images, by the means over images; moments, by those that batch normalisation has learned; None
    images              training images that are looked at
    """

    smooth: float | None = None
    equalize: bool = False
    absorb: bool = False
    calibrate: str = "mse"
    calibrate_weights: str = "min-max"
    round: str = "nearest"
    correct_bias: str | None = None
    images: int = 500

    def __post_init__(self) -> None:
        for name, known in (("calibrate", tuple(RULES)), ("calibrate_weights", tuple(RULES)), ("round", ROUNDINGS),
                            ("correct_bias", (None, *CORRECTIONS))):
            value = getattr(self, name)
            if value not in known:
                words = [word for word in known if word is not None]
                raise ConfigError("quantize", f"--{name.replace('_', '-')} must be one of {', '.join(words)}",
                                  got=shown(value), cause=meant(str(value), words))
        if self.smooth is not None and not (is_number(self.smooth) and 0 <= self.smooth <= 1):
            raise ConfigError("quantize", "--smooth must be a number in 0..1", got=shown(self.smooth))
        if not is_whole(self.images, 1):
            raise ConfigError("quantize", "--images must be a whole number, at least 1", got=shown(self.images))

    def describe(self) -> str:
        """The steps in a line.

        >>> Steps(equalize=True, round="gptq").describe()
        'equalized, inputs by mse, weights by min-max, rounded by gptq; 500 images'
        """
        words = [*([] if self.smooth is None else [f"smoothed with {self.smooth:g}"]),
                 *["equalized"] * self.equalize, *["high biases absorbed"] * self.absorb,
                 f"inputs by {self.calibrate}", f"weights by {self.calibrate_weights}",
                 "rounded to nearest" if self.round == "nearest" else f"rounded by {self.round}"]
        if self.correct_bias is not None:
            words.append(f"biases corrected by {self.correct_bias}")
        return f"{', '.join(words)}; {self.images} images"


def settings_of(path: Path, before: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The settings of the new run: data and network as before, other methods, ranges that are remembered."""
    kept = {name: getattr(before, name) for name in FROM_THE_RUN}
    asked = {"weights": {"method": "affine"}, **settings}
    for name in ("weights", "inputs"):
        asked[name] = _remembering(asked.get(name), weights=name == "weights")
    asked["own"] = {site: _remembering(choice, weights=not site.endswith(".input"))
                    for site, choice in asked.get("own", {}).items()}
    return config_from({**kept, **asked, "start_from": str(path)})


def _remembering(choice: Choice | None, weights: bool) -> Choice | None:
    """A choice of affine whose range is held: of weights always, so that what is rounded stays; of inputs unless it is
    said that each batch has its own (dynamic quantization)."""
    if choice is None or choice["method"] != "affine":
        return choice
    said = choice.get("ranges")
    return {**choice, "ranges": "data"} if said is None or (weights and said == "tensor") else choice


@one_blas_thread()
def quantized(baseline: Sequential, config: RunConfig, images: Array, steps: Steps) -> Sequential:
    """A copy of a float network, quantized. images: as the network sees them."""
    model = copy.deepcopy(baseline)
    moments: Moments | None = None
    if steps.smooth is not None:
        migrate(model, images, steps.smooth)
    if steps.equalize or steps.absorb or steps.correct_bias == "moments":
        moments = fold_batch_norms(model)
    if steps.equalize:
        equalize(model, moments)
    by_moments = steps.correct_bias == "moments"
    if steps.absorb and by_moments:
        absorb_high_biases(model, moments=moments)
    elif steps.absorb:
        absorb_high_biases(model, images)
    floats = copy.deepcopy(model)
    quantize(model, methods_for(config, model, streams(config.seed)))
    calibrate_ranges(model, images, steps.calibrate, steps.calibrate_weights)
    if steps.round != "nearest":
        round_layers(model, images, steps.round)
    if steps.correct_bias == "images":
        correct_biases(model, images)
    elif by_moments:
        assert moments is not None
        if not correct_biases_by_moments(model, floats, moments):
            raise ConfigError("quantize", "--correct-bias moments needs batch normalisation between a layer and a relu",
                              got="none", cause="Write --correct-bias, which takes means over images")
    return model


def start(path: Path, settings: dict[str, Any], steps: Steps, folder: Path, log: Log) -> dict[str, Any]:
    """Quantize the float network at a path into a folder of its own. Returns the result, with `nearest`: accuracy and
    loss with the same methods, all ranges from smallest to largest number, rounded to nearest."""
    folder = as_path(folder)
    refuse_to_overwrite(folder, "quantize")
    baseline, before = float_at(path, "quantize")
    config = settings_of(path, before, settings)
    methods_for(config, baseline, streams(config.seed))          # what is wrong with them is found out now
    data = data_of(config)
    images = _seen(data, config, steps.images)
    log(f"quantizing {config.model} on {config.data}: {config.describe()}; {steps.describe()}")
    began = time.perf_counter()
    model = quantized(baseline, config, images, steps)
    seconds = {"float": 0.0, "quantized": round(time.perf_counter() - began, 2)}
    log(f"writing to {folder}")
    near = quantized(baseline, config, images, Steps(calibrate="min-max", images=steps.images))
    loss, accuracy = evaluate(near, data.validation_images, data.validation_labels, inputs_for(config))
    result = {**compared(config, data, {"float": baseline, "quantized": model}, seconds),
              "nearest": {"accuracy": accuracy, "loss": loss}, "steps": asdict(steps)}
    make_folder(folder)
    for name, network in (("float", baseline), ("quantized", model)):
        save_checkpoint(folder / CHECKPOINTS[name], {f"model/{key}": a for key, a in network.state().items()}, {})
    write_history(folder / HISTORY, _history(path))
    write_text(folder / ENVIRONMENT, json.dumps(environment(), indent=1) + "\n")
    write_text(folder / QUANTIZE, json.dumps(asdict(steps), indent=1) + "\n")
    write_text(folder / RESULT, json.dumps(result, indent=1) + "\n")
    write_text(folder / CONFIG, config.to_json())
    return result


def _seen(data: Dataset, config: RunConfig, count: int) -> Array:
    first = data.train_images[:count]
    if config.data == "imagenette":
        first = center_crop(first, config.image_shape[0])
    return np.asarray(inputs_for(config)(first))


def _history(path: Path) -> list[Row]:
    """The epochs of the float network, where its run tells."""
    if not os.path.exists(path / HISTORY):
        return []
    try:
        return [row for row in read_history(path / HISTORY) if row["network"] == "float"]
    except MinilqError:                          # it is a figure's worth, no more
        return []


def described(result: dict[str, Any]) -> str:
    """The steps of a result in a line."""
    return Steps(**result["steps"]).describe()
