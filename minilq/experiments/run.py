"""The main job: train the network twice, float and quantized, and compare.

A run folder holds

    config.json     every setting               history.csv    one row per epoch and network
    env.json        versions and platform       result.json    the comparison
    float.npz       checkpoint of the baseline  figures/       drawn by report/
    quantized.npz   checkpoint of the other     DONE           written last
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minilq._version import __version__
from minilq.autodiff.tape import Array
from minilq.coding.sizes import compressed, entropy_coded, narrowest, packed, zipped
from minilq.data import Dataset
from minilq.errors import ConfigError, DataError
from minilq.experiments.build import (
    data_for,
    inputs_for,
    methods_for,
    network,
    quantized_sites,
    streams,
    trainer_for,
)
from minilq.experiments.config import QUICK_IMAGES, RunConfig, read_config
from minilq.experiments.rounded import round_to_nearest
from minilq.experiments.training import resumed, train
from minilq.files import make_folder, read_text, write_text
from minilq.kernels import kernels_in_use
from minilq.nn import Sequential, coded_in, quantize
from minilq.quantize.statistics import integers_together, mean_entropy, zero_share
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import Row, write_history
from minilq.train.interrupt import Interrupt
from minilq.train.loop import Trainer, under
from minilq.train.metrics import evaluate, scales_in, sqnr_in

CONFIG, HISTORY, RESULT, DONE = "config.json", "history.csv", "result.json", "DONE"
CHECKPOINTS = {"float": "float.npz", "quantized": "quantized.npz"}
SECONDS_BETWEEN_CHECKPOINTS = 2.0

# Numbers in result.json that the table needs: of each quantized network, and of the whole run.
MEASURED = ("accuracy", "loss", "unique_integers", "integer_min", "integer_max", "bits", "bytes_int8_zip",
            "bytes_packed")
COMPARED = ("baseline_accuracy", "baseline_loss", "parameters", "scales", "bytes_float32", "bytes_float32_zip")

Log = Callable[[str], None]


class Stopped(Exception):
    """The run was interrupted; everything is saved."""


def start(config: RunConfig, folder: Path, log: Log) -> dict[str, Any]:
    """A new run in a folder that holds none yet. Returns the result; see `carry_on`.

    Nothing is written before the data and the network to start from have been read.
    """
    if any((folder / file).exists() for file in (CONFIG, *CHECKPOINTS.values())):
        raise ConfigError("train", f"{folder} already holds a run",
                          cause="Go on with --resume, or choose another --out")
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise ConfigError("train", "--out must be a folder", got=f"{folder}, where {there} is a file")
    generators = streams(config.seed)                # a layer that is not there is found out before the data are read
    methods_for(config, network(config, generators), generators)
    data = data_of(config)
    given = None
    if config.start_from is not None:
        given = trainer_for("float", config, data, _float_checkpoint(Path(config.start_from), config))
    make_folder(folder)
    if given is not None:                        # a copy: the run goes on without the original
        save_checkpoint(folder / CHECKPOINTS["float"], *given.state())
    write_text(folder / CONFIG, config.to_json())
    return _run(config, data, folder, log)


def _float_checkpoint(path: Path, config: RunConfig) -> Path:
    """The checkpoint that `start_from` names. Raises ConfigError when it is a quantized network, or was trained on
    other inputs than this run's, as far as the run folder beside it tells."""
    file = path / CHECKPOINTS["float"] if path.is_dir() else path
    if any(name.startswith("before/") or name.endswith("scale") for name in load_checkpoint(file)[0]):
        raise ConfigError("train", "--from must name a float network", got=f"{file}, a quantized one",
                          cause=f"{CHECKPOINTS['float']} in the same folder is the float one")
    if (file.parent / CONFIG).exists():
        before = read_config(file.parent / CONFIG)
        for name in ("model", "input"):
            if getattr(before, name) != getattr(config, name):
                raise ConfigError("train", f"--from must name a network trained with the same {name}",
                                  got=f"{getattr(before, name)} there, {getattr(config, name)} here")
    return file


def carry_on(folder: Path, log: Log) -> dict[str, Any]:
    """Train what is not trained yet, and write the result. Raises Stopped after Ctrl-C, with everything saved."""
    config = read_config(folder / CONFIG)
    for leftover in folder.glob(".*.part"):      # of a write during which the run was killed
        leftover.unlink(missing_ok=True)
    return _run(config, data_of(config), folder, log)


def data_of(config: RunConfig) -> Dataset:
    """The images that a run trains on and validates on."""
    data = data_for(config)
    if config.holdout is not None:
        data = data.holdout(config.holdout)
    if config.limit is not None:
        return data.head(config.limit)
    return data.head(QUICK_IMAGES) if config.quick else data


def _run(config: RunConfig, data: Dataset, folder: Path, log: Log) -> dict[str, Any]:
    write_text(folder / "env.json", json.dumps(environment(), indent=1) + "\n")
    networks = {}
    rows: list[Row] = []
    for name, file in CHECKPOINTS.items():
        if name == "float" and config.start_from is not None:
            networks[name] = trainer_for(name, config, data, folder / file)
        else:
            networks[name] = _train(name, config, data, folder, rows, log)
        rows += [{"network": name, **row} for row in networks[name].rows]
        write_history(folder / HISTORY, rows)
    result = compare(config, data, networks)
    write_text(folder / RESULT, json.dumps(result, indent=1) + "\n")
    return result


def trained(folder: Path, name: str) -> Sequential:
    """The "float" or "quantized" network of a run, as it was saved last."""
    config = read_config(folder / CONFIG)
    generators = streams(config.seed)
    model = network(config, generators)
    if name == "quantized":
        quantize(model, methods_for(config, model, generators))
    model.load_state(under("model/", load_checkpoint(folder / CHECKPOINTS[name])[0]))
    return model


def _train(name: str, config: RunConfig, data: Dataset, folder: Path, earlier: list[Row], log: Log) -> Trainer:
    """Train one network to the end, from its checkpoint if there is one."""
    assert config.epochs is not None
    epochs = config.epochs
    path = folder / CHECKPOINTS[name]
    trainer = resumed(trainer_for(name, config, data, None if config.start_from is None else
                                  folder / CHECKPOINTS["float"]), path)
    if trainer.rows and trainer.place.epoch < epochs:
        log(f"{name}: going on in epoch {trainer.place.epoch + 1}")

    def after_save() -> None:
        write_history(folder / HISTORY, [*earlier, *({"network": name, **r} for r in trainer.rows)])

    with Interrupt() as interrupt:
        train(trainer, path, epochs, lambda: interrupt.wished, SECONDS_BETWEEN_CHECKPOINTS,
              lambda row: log(f"{name:9} {_line(row, epochs, trainer.rows)}"), after_save)
        if interrupt.wished:                     # also when that was in the very last batch
            raise Stopped
    return trainer


def _line(row: Row, epochs: int, rows: list[Row]) -> str:
    recent = [float(r["seconds"]) for r in rows[-10:]]
    left = (epochs - int(row["epoch"])) * sum(recent) / len(recent)
    integers = (f"  integers {row['integer_min']}..{row['integer_max']} ({row['unique_integers']})"
                if "bits" in row else "")
    return (f"epoch {row['epoch']:3}/{epochs}  loss {row['loss']:.4f}  accuracy {100 * float(row['accuracy']):6.2f} %  "
            f"validation {row['validation_loss']:.4f} {100 * float(row['validation_accuracy']):6.2f} %{integers}"
            f"  {left:.0f} s left")


def compare(config: RunConfig, data: Dataset, networks: dict[str, Trainer]) -> dict[str, Any]:
    """What result.json holds: the quantized network at the top level, the others under names of their own.

    Accuracies are shares between 0 and 1. bits is ceil(log2(max - min + 1)). The int8 zip follows the thesis and
    leaves the scales out; packed counts them. A ratio is bytes_float32 by the bytes it names.
    """
    baseline, quantized = networks["float"].model, networks["quantized"].model
    images, labels, to_input = data.validation_images, data.validation_labels, inputs_for(config)
    nested = measure(quantized, data, config)
    baseline_loss, baseline_accuracy = evaluate(baseline, images, labels, to_input)
    rounded = round_to_nearest(baseline, quantized_sites(config, baseline), config.granularity or "filter",
                               max(nested["bits"], 1))
    floats = floats_of(config, baseline)
    raw = 4 * sum(a.size for a in floats.values())
    seconds = {name: round(sum(float(r["seconds"]) for r in t.rows), 2) for name, t in networks.items()}
    return {
        **nested,
        "baseline_accuracy": baseline_accuracy, "baseline_loss": baseline_loss,
        "parameters": sum(a.size for a in floats.values()),
        "scales": sum(s.size for s in scales_in(coded_in(quantized)).values()),
        "bytes_float32": raw, "bytes_float32_zip": zipped(floats),
        "ratio_int8_zip": round(raw / nested["bytes_int8_zip"], 2),
        "ratio_packed": round(raw / nested["bytes_packed"], 2),
        "rounded": measure(rounded, data, config),
        "seconds": round(sum(seconds.values()), 2), "seconds_each": seconds,
        "epochs": config.epochs, "data": config.data, "model": config.model, "seed": config.seed,
    }


def floats_of(config: RunConfig, model: Sequential) -> dict[str, Array]:
    """The latent values of those parameters that the settings quantize, whether this model does or not."""
    parameters = model.parameters()
    return {name: parameters[f"{name}.latent"].array for name in quantized_sites(config, model)}


def measure(model: Sequential, data: Dataset, config: RunConfig) -> dict[str, Any]:
    """Loss and accuracy, and of a quantized network its integers and sizes (train/metrics.py, coding/sizes.py)."""
    loss, accuracy = evaluate(model, data.validation_images, data.validation_labels, inputs_for(config))
    coded = coded_in(model)
    if not coded:
        return {"accuracy": accuracy, "loss": loss}
    codes: dict[str, Array] = {name: one.codes for name, one in coded.items()}
    together = integers_together(codes)
    small = narrowest(codes)
    return {"accuracy": accuracy, "loss": loss, "unique_integers": together.unique, "integer_min": together.minimum,
            "integer_max": together.maximum, "bits": together.bits, "bits_unique": together.bits_unique,
            "entropy": mean_entropy(codes), "zero_share": zero_share(codes), "sqnr": sqnr_in(model, coded),
            "integer_type": str(next(iter(small.values())).dtype),
            "bytes_int8_zip": zipped(small), "bytes_packed": packed(coded),
            "bytes_entropy": entropy_coded(coded), "bytes_lzma": compressed(coded)}


def read_result(folder: Path) -> dict[str, Any] | None:
    """What result.json holds, None when the run has not come so far. Raises DataError when it is damaged."""
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result: dict[str, Any] = json.loads(read_text(path))
        for part, names in ((result, (*MEASURED, *COMPARED)), (result["rounded"], MEASURED),
                            (result["seconds_each"], CHECKPOINTS)):
            for name in names:
                least = 1 if name.startswith("bytes") else -math.inf
                if isinstance(part[name], str) or not float(part[name]) >= least:
                    raise ValueError(f"{name} {part[name]}")
        if not all(isinstance(part["integer_type"], str) for part in (result, result["rounded"])):
            raise ValueError("integer_type is no text")
        return result
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(str(path), "the result of a run was expected", got=f"{type(error).__name__}: {error}",
                        cause="Delete it and go on with minilq train --resume") from error


def environment() -> dict[str, str]:
    """Versions and platform, for env.json."""
    return {"minilq": __version__, "python": platform.python_version(), "numpy": np.__version__,
            "machine": platform.machine(), "system": platform.system(), "kernels": str(kernels_in_use())}


def free_folder(parent: Path, name: str) -> Path:
    """parent/name-1, or the first number that is free."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"
