"""A run's network as a file, and a file's network back at its data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minilq.data.augment import center_crop
from minilq.errors import ConfigError, DataError
from minilq.experiments.build import inputs_for
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.result import read_accuracy
from minilq.experiments.run import CHECKPOINTS, CONFIG, data_of, trained
from minilq.files import as_path
from minilq.integer.engine import convert
from minilq.integer.float_twin import Comparison, FloatTwin, compare
from minilq.nn import coded_in
from minilq.store.arrays import floats_in
from minilq.store.codes import SMALLEST
from minilq.store.modelfile import StoredModel, contents, load, save
from minilq.store.npz import to_npz
from minilq.store.onnx import to_onnx
from minilq.store.safetensors import to_safetensors
from minilq.store.sections import MAGIC, VERSION
from minilq.train.metrics import evaluate

SETTINGS = ("data", "model", "input", "limit", "holdout", "image_size", "skip_damaged", "quick")
"""What of a run's settings says which images its network saw, and how; model names the shape of the images too."""

PLAIN = "thesis"
"""The recipe whose settings a file leaves out: what a file means does not change with what is usual."""

CALIBRATION = 500
"""Training images that show between which numbers activations lie."""

ARRAYS = {"safetensors": to_safetensors, "npz": to_npz}
FORMATS = ("mlq", "onnx", *ARRAYS)


def facts_of(folder: str | Path) -> dict[str, Any]:
    """What the file of a run's network says beside the network: its SETTINGS where they are not the thesis' for the
    data, whatever the recipe, and the accuracy of the run's result, a share of 1, when it has come so far."""
    folder = as_path(folder)
    config = read_config(folder / CONFIG)
    plain = asdict(RunConfig(data=config.data, recipe=PLAIN))
    facts = {name: value for name, value in asdict(config).items()
             if name in SETTINGS and (name == "data" or value != plain[name])}
    if (accuracy := read_accuracy(folder)) is not None:
        facts["accuracy"] = accuracy
    return facts


def network_at(path: str | Path) -> StoredModel:
    """The quantized network of a run folder or of a sweep's point, as its file would hold it, or that of a file.

    Raises DataError for what is neither, and for a folder without a quantized network.
    """
    path = as_path(path)
    if not os.path.exists(path / CONFIG):
        return load(path)
    if not os.path.exists(path / CHECKPOINTS["quantized"]):
        raise DataError(str(path), "a quantized network was expected", got="none",
                        cause="It is a float point of a sweep, or a run that has not come so far: go on with --resume")
    model = trained(path, "quantized")
    return StoredModel(model, coded_in(model), facts_of(path))


def file_of(path: str | Path, stored: StoredModel) -> bytes:
    """The bytes of a model file as it is; of what is none, or of an older version, as `export` would write it."""
    path = as_path(path)
    if path.is_file():
        content = path.read_bytes()
        if content[len(MAGIC)] == VERSION:
            return content
    return contents(stored.network, facts=stored.facts)


def export(stored: StoredModel, path: Path, kind: str = "mlq", coder: str = SMALLEST) -> None:
    """Write a quantized network as one file.

    With stochastic rounding the codes are drawn once more, so the accuracy may differ from that of the run.

    kind    one of FORMATS: "mlq", see `modelfile.save`, which takes the coder; "onnx", "safetensors" or "npz"
    """
    if kind == "mlq":
        save(path, stored.network, coder, stored.facts)
    elif kind == "onnx":
        config = config_of(stored, {})
        image = np.zeros((1, *config.image_shape), np.uint8)
        to_onnx(stored, path, inputs_for(config)(image).shape[1:])
    else:
        ARRAYS[kind](stored.coded, path, floats_in(stored.network, stored.coded))


def config_of(stored: StoredModel, asked: Mapping[str, Any]) -> RunConfig:
    """The settings whose data the stored network belongs to. What is asked for goes first; other data than those of
    the file are taken whole.

    Raises ConfigError for a file that does not say, and is not told, what data it is for; DataError for facts that make
    no sense.
    """
    settings = {name: value for name, value in stored.facts.items() if name in SETTINGS}
    if "data" in settings:
        settings = _checked(settings)
    if "data" in settings and asked.get("data", settings["data"]) != settings["data"]:
        settings = {name: settings[name] for name in ("model", "input")}
    if "data" not in {**settings, **asked}:
        raise ConfigError("model file", "the file does not say what data it is for: name them",
                          cause="minilq evaluate is told with --data, for example --data mnist")
    return RunConfig(**{"recipe": PLAIN, **settings, **asked})


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings and what they leave out, as a run has them. Raises DataError when there is no such run."""
    try:
        config = RunConfig(**settings, recipe=PLAIN)
    except (ConfigError, TypeError) as error:
        raise DataError("facts of the model file", "the settings of a run were expected", got=str(error),
                        cause="Say with --data what it is for, or export the run again") from error
    return {name: getattr(config, name) for name in SETTINGS}


def accuracy_of(stored: StoredModel) -> float | None:
    """The accuracy of the run, when the file says it. Raises DataError for what is no share of 1."""
    accuracy = stored.facts.get("accuracy")
    if accuracy is not None and not (type(accuracy) in (int, float) and 0 <= accuracy <= 1):
        raise DataError("facts of the model file", "an accuracy of 0..1 was expected", got=repr(accuracy)[:80])
    return accuracy


def evaluate_stored(stored: StoredModel, config: RunConfig) -> tuple[float, float]:
    """Loss and accuracy of the stored network on the validation images, exactly as a run measures them."""
    data = data_of(config)
    return evaluate(stored.network, data.validation_images, data.validation_labels, inputs_for(config))


def on_integers(stored: StoredModel, config: RunConfig) -> tuple[float, float, Comparison]:
    """The stored network without floats: accuracy of its float twin and its own on the validation images, and how far
    the two are apart.

    The grids of its activations are laid over what the first CALIBRATION training images show. Raises ConfigError for a
    network that `convert` does not take.
    """
    data, to_input = data_of(config), inputs_for(config)
    first = data.train_images[:CALIBRATION]
    if config.data == "imagenette":
        first = center_crop(first, config.image_shape[0])
    network = convert(stored, to_input(first))
    beside = compare(network, FloatTwin(stored, network), to_input(data.validation_images))
    twin, own = (float(np.mean(classes == data.validation_labels)) for classes in (beside.expected, beside.predicted))
    return twin, own, beside
