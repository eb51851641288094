"""The main job: train the network twice, float and quantized, and compare.

A run folder holds

    config.json     every setting               history.csv    one row per epoch and network
    env.json        versions and platform       result.json    the comparison
    float.npz       checkpoint of the baseline  figures/       drawn by report/
    quantized.npz   checkpoint of the other     DONE           written last
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minilq._version import __version__
from minilq.autodiff.tape import Array
from minilq.data import Dataset, load
from minilq.errors import ConfigError, DataError
from minilq.experiments.config import QUICK_IMAGES, RunConfig, read_config
from minilq.experiments.models import mnist_mlp
from minilq.experiments.rounded import round_to_nearest
from minilq.files import make_folder, read_text, write_text
from minilq.integer.sizes import narrowest, packed, zipped
from minilq.kernels import kernels_in_use
from minilq.nn import Sequential
from minilq.optim import Adam, group
from minilq.quantize import SCALE_MIN, Quantizer, stochastic, threshold
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import Row, write_history
from minilq.train.interrupt import Interrupt
from minilq.train.loop import Trainer
from minilq.train.metrics import INPUTS, codes_in, evaluate, integers_together

CONFIG, HISTORY, RESULT, DONE = "config.json", "history.csv", "result.json", "DONE"
CHECKPOINTS = {"float": "float.npz", "quantized": "quantized.npz"}
SECONDS_BETWEEN_CHECKPOINTS = 2.0

Log = Callable[[str], None]


class Stopped(Exception):
    """The run was interrupted; everything is saved."""


def start(config: RunConfig, folder: Path, log: Log) -> dict[str, Any]:
    """A new run in a folder that holds none yet. Returns the result; see `carry_on`."""
    if (folder / CONFIG).exists():
        raise ConfigError("train", f"{folder} already holds a run",
                          cause="Go on with --resume, or choose another --out")
    make_folder(folder)
    write_text(folder / CONFIG, config.to_json())
    return carry_on(folder, log)


def carry_on(folder: Path, log: Log) -> dict[str, Any]:
    """Train what is not trained yet, and write the result. Raises Stopped after Ctrl-C, with everything saved."""
    config = read_config(folder / CONFIG)
    write_text(folder / "env.json", json.dumps(environment(), indent=1) + "\n")
    data = load(config.data, config.data_dir)
    if config.quick:
        data = data.head(QUICK_IMAGES)
    networks = {}
    rows: list[Row] = []
    for name in CHECKPOINTS:
        given = name == "float" and config.start_from is not None
        networks[name] = (_given(config, data, folder) if given else _train(name, config, data, folder, rows, log))
        rows += [{"network": name, **row} for row in networks[name].rows]
        write_history(folder / HISTORY, rows)
    result = compare(config, data, networks)
    write_text(folder / RESULT, json.dumps(result, indent=1) + "\n")
    return result


def streams(seed: int) -> dict[str, np.random.Generator]:
    """Independent generators for initial values, the order of the batches, and stochastic rounding."""
    names = ("init", "shuffle", "noise")
    return dict(zip(names, map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3)), strict=True))


def network(name: str, config: RunConfig, generators: dict[str, np.random.Generator]) -> Sequential:
    """The untrained "float" or "quantized" network; both start from the same weights."""
    quantizer = None
    if name == "quantized":
        rounding = stochastic(generators["noise"]) if config.rounding == "stochastic" else config.rounding
        quantizer = Quantizer(rounding, granularity=config.granularity, scale_rule=threshold(config.threshold))
    return mnist_mlp(generators["init"], quantizer)


def trainer_for(name: str, config: RunConfig, data: Dataset) -> Trainer:
    """A trainer at its beginning. Both networks see the same batches."""
    generators = streams(config.seed)
    model = network(name, config, generators)
    if config.start_from is not None:
        path = Path(config.start_from)
        arrays, _ = load_checkpoint(path / CHECKPOINTS["float"] if path.is_dir() else path)
        model.load_state(arrays, scales=False)
    adam = Adam([group(model.parameters().values()), group(model.scales().values(), minimum=SCALE_MIN)], lr=config.lr)
    return Trainer(model, adam, data, INPUTS[config.input], config.batch, generators)


def trained(folder: Path, name: str) -> Sequential:
    """The "float" or "quantized" network of a run, as it was saved last."""
    config = read_config(folder / CONFIG)
    model = network(name, config, streams(config.seed))
    model.load_state(load_checkpoint(folder / CHECKPOINTS[name])[0])
    return model


def _given(config: RunConfig, data: Dataset, folder: Path) -> Trainer:
    """The baseline of a post-training run: the float network it starts from, as it is."""
    trainer = trainer_for("float", config, data)
    save_checkpoint(folder / CHECKPOINTS["float"], *trainer.state())
    return trainer


def _train(name: str, config: RunConfig, data: Dataset, folder: Path, earlier: list[Row], log: Log) -> Trainer:
    """Train one network to the end, from its checkpoint if there is one."""
    assert config.epochs is not None
    epochs = config.epochs
    trainer = trainer_for(name, config, data)
    path = folder / CHECKPOINTS[name]
    if path.exists():
        trainer.load_state(*load_checkpoint(path))
        if trainer.place.epoch < epochs:
            log(f"{name}: going on in epoch {trainer.place.epoch + 1}")
    saved = time.monotonic()

    def after_epoch(row: Row) -> None:
        nonlocal saved
        log(f"{name:9} {_line(row, epochs, trainer.rows)}")
        if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS or row["epoch"] == epochs:
            save_checkpoint(path, *trainer.state())
            write_history(folder / HISTORY, [*earlier, *({"network": name, **r} for r in trainer.rows)])
            saved = time.monotonic()

    with Interrupt() as interrupt:
        if not trainer.run(epochs, after_epoch, stop=lambda: interrupt.wished):
            save_checkpoint(path, *trainer.state())
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
    images, labels, to_input = data.validation_images, data.validation_labels, INPUTS[config.input]
    nested = _measure(quantized, data, config)
    baseline_loss, baseline_accuracy = evaluate(baseline, images, labels, to_input)
    rounded = round_to_nearest(baseline, mnist_mlp, config.granularity, max(nested["bits"], 1))
    floats = {name: baseline.parameters()[name].array for name in quantized.quantized()}
    raw = 4 * sum(a.size for a in floats.values())
    seconds = {name: round(sum(float(r["seconds"]) for r in t.rows), 2) for name, t in networks.items()}
    return {
        **nested,
        "baseline_accuracy": baseline_accuracy, "baseline_loss": baseline_loss,
        "parameters": sum(a.size for a in floats.values()),
        "scales": sum(s.size for s in quantized.scales().values()),
        "bytes_float32": raw, "bytes_float32_zip": zipped(floats),
        "ratio_int8_zip": round(raw / nested["bytes_int8_zip"], 2),
        "ratio_packed": round(raw / nested["bytes_packed"], 2),
        "rounded": _measure(rounded, data, config),
        "seconds": sum(seconds.values()), "seconds_each": seconds,
        "epochs": config.epochs, "data": config.data, "seed": config.seed,
    }


def _measure(model: Sequential, data: Dataset, config: RunConfig) -> dict[str, Any]:
    loss, accuracy = evaluate(model, data.validation_images, data.validation_labels, INPUTS[config.input])
    codes: dict[str, Array] = codes_in(model)
    together = integers_together(codes)
    scales = {name: s.array for name, s in model.scales().items()}
    small = narrowest(codes)
    return {"accuracy": accuracy, "loss": loss, "unique_integers": together.unique, "integer_min": together.minimum,
            "integer_max": together.maximum, "bits": together.bits, "bits_unique": together.bits_unique,
            "integer_type": str(next(iter(small.values())).dtype),
            "bytes_int8_zip": zipped(small), "bytes_packed": packed(codes, scales)}


def read_result(folder: Path) -> dict[str, Any] | None:
    """What result.json holds, None when the run has not come so far. Raises DataError when it is damaged."""
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result = json.loads(read_text(path))
        return {**result, "rounded": dict(result["rounded"])}
    except (ValueError, KeyError, TypeError) as error:
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
