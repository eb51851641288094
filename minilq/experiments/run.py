"""The main job: train the network twice, float and quantized, and compare.

A run folder holds

    config.json     every setting               history.csv    one row per epoch and network
    env.json        versions and platform       result.json    the comparison
    float.npz       checkpoint of the baseline  figures/       drawn by report/
    quantized.npz   checkpoint of the other     DONE           written last
    .lock           who has the folder, while somebody has it (see experiments/claim.py)
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minilq._version import __version__
from minilq.arguments import check_instance
from minilq.data import Dataset
from minilq.errors import ConfigError
from minilq.experiments.build import built, data_for, methods_for, quantized_sites, teacher_of, trainer_for
from minilq.experiments.checks import one_of
from minilq.experiments.config import CONFIG as CONFIG
from minilq.experiments.config import QUICK_IMAGES, RunConfig, read_config
from minilq.experiments.measure import counted, measure
from minilq.experiments.result import RESULT as RESULT
from minilq.experiments.result import read_result as read_result
from minilq.experiments.rounded import rounded_like, score_on
from minilq.experiments.training import CHECKPOINTS as CHECKPOINTS
from minilq.experiments.training import check_same, settings_that_matter, train
from minilq.experiments.watch import Watch, each_epoch
from minilq.files import as_path, make_folder, write_text
from minilq.kernels import kernels_in_use
from minilq.kernels.blas import blas_in_use, blas_threads_in_use, one_blas_thread
from minilq.kernels.threads import threads_in_use
from minilq.nn import Sequential, quantize
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import Row, write_history
from minilq.train.interrupt import Interrupt
from minilq.train.loop import Trainer, under

ENVIRONMENT, HISTORY, DONE = "env.json", "history.csv", "DONE"
QUANTIZE = "quantize.json"
"""What `minilq quantize` writes beside the rest, experiments/without_training.py."""
OF_A_RUN = (CONFIG, *CHECKPOINTS.values())
WRITTEN = (*OF_A_RUN, ENVIRONMENT, HISTORY, RESULT, QUANTIZE, DONE, "figures")
SECONDS_BETWEEN_CHECKPOINTS = 2.0

Log = Callable[[str], None]


class Stopped(Exception):
    """The run was interrupted; everything is saved."""


def start(config: RunConfig, folder: str | Path, log: Log, watch: Watch | None = None) -> dict[str, Any]:
    """A new run in a folder that holds none yet. Returns the result; see `carry_on`.

    Nothing is written before the data and the network to start from have been read. So that nobody else writes there,
    the folder must be `claimed`.

    watch       is told how far the training is, see experiments/watch.py; by default every epoch is a line of the log
    """
    check_instance("train", "config", config, RunConfig, "a RunConfig")
    folder = as_path(folder)
    refuse_to_overwrite(folder)
    fresh = built(config)
    methods_for(config, *fresh)                  # a layer that is not there is found out before the data are read
    teacher_of(config)                           # and so is a teacher that cannot teach
    given = None if config.start_from is None else _float_checkpoint(Path(config.start_from), config, fresh[0])
    log(f"training {config.model} on {config.data}: {'float, then ' if given is None else ''}"
        f"{config.describe()}")
    data = data_of(config)
    baseline = trainer_for("float", config, data, given, fresh)
    log(f"writing to {folder}")
    make_folder(folder)
    write_text(folder / CONFIG, config.to_json())
    return _run(config, data, folder, log, watch or each_epoch(log), baseline)


def refuse_to_overwrite(folder: Path, op: str = "train") -> None:
    """ConfigError where a folder holds a run, or anything that one would overwrite."""
    if any(os.path.exists(folder / file) for file in OF_A_RUN):
        raise ConfigError(op, f"{folder} already holds a run",
                          cause="Go on with --resume, or choose another --out" if op == "train" else
                          "Choose another --out")
    if others := [file for file in WRITTEN if os.path.lexists(folder / file)]:
        raise ConfigError(op, f"{folder} must hold nothing that a run would overwrite", got=", ".join(others),
                          cause="Choose another --out")


def _float_checkpoint(path: Path, config: RunConfig, model: Sequential) -> Path:
    """The checkpoint that `start_from` names. Raises ConfigError when it is a quantized network, or was trained on
    other inputs than this run's, as far as the run folder beside it tells."""
    file = path / CHECKPOINTS["float"] if path.is_dir() else path
    if set(under("model/", load_checkpoint(file)[0])) > set(model.tensors()):            # what methods hold, too
        raise ConfigError("train", "--from must name a float network", got=f"{file}, a quantized one",
                          cause=f"{CHECKPOINTS['float']} in the same folder is the float one")
    if (file.parent / CONFIG).exists():
        before = read_config(file.parent / CONFIG)
        for name in ("model", "input"):
            if getattr(before, name) != getattr(config, name):
                raise ConfigError("train", f"--from must name a network trained with the same {name}",
                                  got=f"{getattr(before, name)} there, {getattr(config, name)} here")
    return file


def carry_on(folder: str | Path, log: Log, watch: Watch | None = None) -> dict[str, Any]:
    """Train what is not trained yet, and write the result. Raises Stopped after Ctrl-C, with everything saved.

    The folder must be `claimed`, as for `start`.
    """
    folder = as_path(folder)
    if os.path.exists(folder / QUANTIZE) and (result := read_result(folder)) is not None:
        if os.path.exists(folder / DONE):
            return result
        raise ConfigError("train", "--resume goes on with a training", got=f"{folder}, which minilq quantize has made",
                          cause=f"Train from its float network with --from {folder}")
    config, own = read_config(folder / CONFIG), folder / CHECKPOINTS["float"]
    given = None
    if config.start_from is not None:            # killed before it was copied: it is copied now
        given = own if os.path.exists(own) else _float_checkpoint(Path(config.start_from), config, built(config)[0])
    data = data_of(config)
    return _run(config, data, folder, log, watch or each_epoch(log), trainer_for("float", config, data, given))


def data_of(config: RunConfig) -> Dataset:
    """The images that a run trains on and validates on."""
    data = data_for(config)
    if config.holdout is not None:
        data = data.holdout(config.holdout)
    if config.limit is not None:
        return data.head(config.limit)
    return data.head(QUICK_IMAGES) if config.quick else data


@one_blas_thread()
def _run(config: RunConfig, data: Dataset, folder: Path, log: Log, watch: Watch, baseline: Trainer) -> dict[str, Any]:
    """Train what is not trained yet, compare, and write the result. baseline: the trainer of the float network."""
    write_text(folder / ENVIRONMENT, json.dumps(environment(), indent=1) + "\n")
    given = folder / CHECKPOINTS["float"] if config.start_from is not None else None
    if given is not None:
        settings = settings_that_matter("float", config)
        if os.path.exists(given):
            check_same(settings, load_checkpoint(given)[1].get("settings", {}), given)
        else:                                    # a copy: the run goes on without the original
            arrays, meta = baseline.state()
            save_checkpoint(given, arrays, {**meta, "settings": settings})
    networks: dict[str, Trainer] = {}
    rows: list[Row] = []
    for name in CHECKPOINTS:
        trainer = baseline if name == "float" else trainer_for(name, config, data, given)
        if name in networks_of(config):
            _train(name, config, trainer, folder, rows, log, watch)
        networks[name] = trainer
        rows += [{"network": name, **row} for row in trainer.rows]
        write_history(folder / HISTORY, rows)
    result = compare(config, data, networks)
    write_text(folder / RESULT, json.dumps(result, indent=1) + "\n")
    return result


def networks_of(config: RunConfig) -> list[str]:
    """Those that a run trains, in this order: the float one is not, where it is given."""
    return [name for name in CHECKPOINTS if name == "quantized" or config.start_from is None]


def trained(folder: str | Path, name: str) -> Sequential:
    """The "float" or "quantized" network of a run, as it was saved last."""
    folder = as_path(folder)
    one_of("the network", name, tuple(CHECKPOINTS))
    config = read_config(folder / CONFIG)
    model, generators = built(config)
    if name == "quantized":
        quantize(model, methods_for(config, model, generators))
    model.load_state(under("model/", load_checkpoint(folder / CHECKPOINTS[name])[0]))
    return model


def _train(name: str, config: RunConfig, trainer: Trainer, folder: Path, earlier: list[Row], log: Log,
           watch: Watch) -> None:
    """Train one network to the end, from its checkpoint if there is one."""
    assert config.epochs is not None
    epochs, images = config.epochs, len(trainer.data.train_images)

    def before(done: int) -> None:
        if 0 < done < epochs:
            log(f"{name}: going on in epoch {done + 1}")

    def after_save() -> None:
        write_history(folder / HISTORY, [*earlier, *({"network": name, **r} for r in trainer.rows)])

    def after_epoch(row: Row) -> None:
        watch(name, epochs, float(row["epoch"]), row)

    def stop() -> bool:
        watch(name, epochs, trainer.place.epoch + trainer.place.batch * trainer.batch / images, None)
        return interrupt.wished

    with Interrupt() as interrupt:
        train(name, config, trainer, folder / CHECKPOINTS[name], stop, SECONDS_BETWEEN_CHECKPOINTS, before, after_epoch,
              after_save)
        if interrupt.wished:                     # also when that was in the very last batch
            raise Stopped


def compare(config: RunConfig, data: Dataset, networks: dict[str, Trainer]) -> dict[str, Any]:
    """What result.json holds of two trained networks; see `compared`."""
    seconds = {name: round(sum(float(r["seconds"]) for r in t.rows), 2) for name, t in networks.items()}
    return compared(config, data, {name: trainer.model for name, trainer in networks.items()}, seconds)


def compared(config: RunConfig, data: Dataset, networks: dict[str, Sequential], seconds: dict[str, float],
             ) -> dict[str, Any]:
    """What result.json holds: the quantized network at the top level, the others under names of their own.

    Accuracies are shares between 0 and 1. bits is ceil(log2(max - min + 1)). The int8 zip follows the thesis and
    leaves the scales out; packed counts them. A ratio is bytes_float32 by the bytes it names.
    """
    baseline, quantized = networks["float"], networks["quantized"]
    learned, floats = measure(quantized, data, config), measure(baseline, data, config)
    rounded = rounded_like(baseline, quantized_sites(config, baseline), score_on(data, config), learned["accuracy"])
    sizes = counted(config, baseline, quantized)
    return {
        **learned, "baseline_accuracy": floats["accuracy"], "baseline_loss": floats["loss"], **sizes,
        "ratio_int8_zip": round(sizes["bytes_float32"] / learned["bytes_int8_zip"], 2),
        "ratio_packed": round(sizes["bytes_float32"] / learned["bytes_packed"], 2),
        "rounded": rounded,
        "seconds": round(sum(seconds.values()), 2), "seconds_each": seconds,
        "scheme": config.scheme(), "epochs": config.epochs, "data": config.data, "model": config.model,
        "seed": config.seed,
    }


def environment() -> dict[str, str]:
    """Versions, platform and threads, for env.json: the same bits come again where these are the same."""
    blas = blas_threads_in_use()
    return {"minilq": __version__, "python": platform.python_version(), "numpy": np.__version__,
            "machine": platform.machine(), "system": platform.system(), "kernels": str(kernels_in_use()),
            "kernel_threads": str(threads_in_use()), "blas": blas_in_use(),
            "blas_threads": "not known" if blas is None else str(blas)}
