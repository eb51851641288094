"""Whole runs: killed, interrupted and resumed to the same bits; folders that are damaged; what result.json says."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minilq
from minilq import cli, files
from minilq.coding.packing import HEADER
from minilq.coding.sizes import zipped
from minilq.data import load
from minilq.errors import ConfigError, DataError, NonFiniteError, ShapeError
from minilq.experiments import run
from minilq.experiments.build import streams, trainer_for
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.rounded import rounded_like, score_on
from minilq.experiments.thesis import RECIPES
from minilq.nn import Sequential, coded_in, codes_in
from minilq.quantize import codes_of, fake_quantize
from minilq.quantize.statistics import bits_for
from minilq.train.checkpoint import load_checkpoint, save_checkpoint
from minilq.train.history import read_history
from minilq.train.metrics import INPUTS, evaluate, scales_in

pytestmark = pytest.mark.usefixtures("few_roundings")

signals = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and SIGINT are of POSIX systems")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(minilq.__file__).parents[1])}       # also where it is not installed
EPOCHS_OF_KILLED = 8
SETTINGS = ("--quick", "--epochs", str(EPOCHS_OF_KILLED))

# The same program without its figures; and saving after each epoch instead of every two seconds.
UNDRAWN = ("import sys; from minilq import cli; from minilq.report import figures; from minilq.experiments import run; "
           "figures.draw = lambda folder: []; {}sys.exit(cli.main(sys.argv[1:]))")
OFTEN = "run.SECONDS_BETWEEN_CHECKPOINTS = -1.0; "


ONE_EPOCH = ("import sys, pathlib; from minilq.experiments import run, config; "
             "run.start(config.RunConfig(quick=True, epochs=1, input='unit'), pathlib.Path(sys.argv[1]), print)")


def quiet(text):
    pass


def launch(*arguments, often=False):
    program = UNDRAWN.format(OFTEN if often else "")
    return subprocess.Popen([sys.executable, "-c", program, "train", *map(str, arguments)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)


def read_until(process, pattern):
    """Read lines until one matches: the process is then past it, and no further than its next few lines."""
    for line in process.stdout:
        if re.search(pattern, line):
            return
    raise AssertionError(f"no line with {pattern!r}; {process.stderr.read()}")


def wait_for(process, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return out


def kill(process):
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def without_seconds(value):
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if not k.startswith("seconds")}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def outcome(folder):
    """Everything a run comes to, as bytes, without the time it took."""
    assert (folder / "DONE").exists()
    found = {"result": without_seconds(json.loads((folder / "result.json").read_text())),
             "history": without_seconds(read_history(folder / "history.csv")),
             "config": (folder / "config.json").read_bytes()}
    for name in ("float.npz", "quantized.npz"):
        arrays, meta = load_checkpoint(folder / name)
        found[name] = {k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()}, without_seconds(meta)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(launch(*SETTINGS, "--out", folder))
    return outcome(folder)


@signals
@pytest.mark.deep
def test_killed_at_several_moments_and_resumed_gives_the_bits_of_an_undisturbed_run(undisturbed, tmp_path):
    folder = tmp_path / "run"
    process = launch(*SETTINGS, "--out", folder)
    read_until(process, r"^float +epoch +2/")                # nothing saved yet: back to the beginning
    kill(process)
    assert not (folder / "DONE").exists()
    process = launch("--resume", folder)
    read_until(process, r"^quantized +epoch +3/")            # one network done, the other not saved
    kill(process)
    process = launch("--resume", folder)
    wait_for(process, (folder / "result.json").exists)       # all trained, no figures yet
    kill(process)
    assert not (folder / "DONE").exists()
    finish(launch("--resume", folder))
    assert outcome(folder) == undisturbed


@signals
@pytest.mark.deep
def test_killed_in_the_midst_of_saving_and_resumed_gives_the_bits_of_an_undisturbed_run(undisturbed, tmp_path):
    folder = tmp_path / "run"
    process = launch(*SETTINGS, "--out", folder, often=True)
    read_until(process, r"^float +epoch +4/")
    wait_for(process, lambda: any(folder.glob(".*.npz.*.part")) or (folder / "quantized.npz").exists())
    kill(process)
    load_checkpoint(folder / "float.npz")                    # whole, whatever was being written
    process = launch("--resume", folder, often=True)
    read_until(process, r"^float: going on in epoch [2-8]|^quantized")
    read_until(process, r"^quantized +epoch +5/")
    kill(process)
    done = load_checkpoint(folder / "quantized.npz")[1]["place"]["epoch"]
    assert done >= 4
    out = finish(launch("--resume", folder))
    assert f"quantized: going on in epoch {done + 1}\n" in out or done == EPOCHS_OF_KILLED
    assert outcome(folder) == undisturbed


@signals
def test_ctrl_c_saves_says_how_to_go_on_and_gives_the_same_bits(undisturbed, tmp_path):
    folder = tmp_path / "run"
    process = launch(*SETTINGS, "--out", folder)
    read_until(process, r"^quantized +epoch +2/")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert out.splitlines()[-1].endswith(f"minilq train --resume {folder}")
    assert not (folder / "DONE").exists()
    done = load_checkpoint(folder / "quantized.npz")[1]["place"]["epoch"]
    assert 2 <= done <= EPOCHS_OF_KILLED
    rows = [row for row in read_history(folder / "history.csv") if row["network"] == "quantized"]
    assert len(rows) == done                                 # the history is saved with it
    out = finish(launch("--resume", folder))
    assert f"quantized: going on in epoch {done + 1}\n" in out or done == EPOCHS_OF_KILLED
    assert outcome(folder) == undisturbed


# ---- the rest in this process, on 200 images


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(run, "QUICK_IMAGES", 200)


def config(**changes):
    return RunConfig(**{"quick": True, "epochs": 2, "input": "unit", "lr": 1e-3, **changes})


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "QUICK_IMAGES", 200)
        run.start(config(), folder, quiet)
    return folder


@pytest.fixture
def finished(finished_once, tmp_path):
    return shutil.copytree(finished_once, tmp_path / "finished")


def interrupting(pattern):
    def log(text):
        if re.search(pattern, text):
            signal.raise_signal(signal.SIGINT)
    return log


MOMENTS = [f"^{network} .*epoch +{epoch}/" for network in ("float", "quantized") for epoch in (1, 2)]


@pytest.mark.parametrize(("moment", "rounding"), [
    pytest.param(moment, rounding, marks=() if (i % 2 == 0) == (rounding == "nearest") else pytest.mark.deep)
    for i, moment in enumerate(MOMENTS) for rounding in ("nearest", "stochastic")])
def test_interrupted_after_any_epoch_also_the_last_and_resumed_gives_the_same_result(moment, rounding, tmp_path):
    settings = config(rounding=rounding)
    want = run.start(settings, tmp_path / "a", quiet)
    with pytest.raises(run.Stopped):
        run.start(settings, tmp_path / "b", interrupting(moment))
    assert not (tmp_path / "b" / "result.json").exists()
    assert (tmp_path / "b" / "quantized.npz").exists() == moment.startswith("^quantized")
    result = run.carry_on(tmp_path / "b", quiet)
    assert without_seconds(result) == without_seconds(want)
    assert without_seconds(run.read_result(tmp_path / "b")) == without_seconds(want)


def test_both_networks_start_from_the_same_weights_and_see_the_same_batches():
    data = load("digits").head(200)
    a, b = (run.trainer_for(name, config(), data) for name in ("float", "quantized"))
    for name, parameter in a.model.parameters().items():
        assert parameter.numpy().tobytes() == b.model.parameters()[name].numpy().tobytes()
    for t in (a, b):
        t.run(1, stop=lambda t=t: t.place.batch == 1)
    np.testing.assert_array_equal(a.order, b.order)
    assert coded_in(a.model) == {}
    assert len(scales_in(coded_in(b.model))) == 4


def test_the_streams_of_one_seed_differ_from_each_other_and_from_other_seeds():
    draws = {(seed, name): g.random() for seed in (0, 1) for name, g in streams(seed).items()}
    assert len(set(draws.values())) == len(draws) == 10
    assert streams(0)["noise"].random() == draws[0, "noise"]


def test_resuming_a_finished_run_changes_nothing(finished):
    before = {name: (finished / name).read_bytes() for name in ("result.json", "history.csv", "quantized.npz")}
    run.carry_on(finished, pytest.fail)
    assert {name: (finished / name).read_bytes() for name in before} == before


def test_a_quick_run_builds_three_networks(monkeypatch, capsys, tmp_path):
    """Float, quantized, and one for the figures; the rounded baseline is a copy."""
    built = []
    first = Sequential.__init__
    monkeypatch.setattr(Sequential, "__init__", lambda self, *layers: built.append(self) or first(self, *layers))
    assert cli.main(["train", "--quick", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert len(built) == 3


EDITS = {"lr": 0.01, "batch": 16, "seed": 1, "input": "raw", "rounding": "nearest", "threshold": 1e-3, "gate": False,
         "limit": 100, "weights": {"method": "nested", "positivity": "exp"}, "own": {"dense1.bias": None},
         "inputs": {"method": "lsq", "bits": 4, "signed": False}, "adam": "torch", "quantize": "all"}


@pytest.mark.parametrize(("name", "value"), EDITS.items(), ids=EDITS)
def test_edited_settings_are_refused_by_name_when_a_run_goes_on(name, value, tmp_path):
    with pytest.raises(run.Stopped):
        run.start(config(epochs=2), tmp_path, interrupting("^quantized .*epoch +1/"))
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, name: value}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=rf"npz was trained with other settings; got {name} .*there "):
        run.carry_on(tmp_path, quiet)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert {k: v for k, v in after.items() if k != "history.csv"} == {
        k: v for k, v in before.items() if k != "history.csv"}


def test_settings_of_quantizers_may_change_while_the_float_network_trains(tmp_path):
    with pytest.raises(run.Stopped):
        run.start(config(epochs=2), tmp_path / "a", interrupting("^float .*epoch +1/"))
    (tmp_path / "a" / "config.json").write_text(config(epochs=2, threshold=1e-3).to_json())
    want = run.start(config(epochs=2, threshold=1e-3), tmp_path / "b", quiet)
    assert without_seconds(run.carry_on(tmp_path / "a", quiet)) == without_seconds(want)


def test_more_epochs_go_on_to_the_bits_of_a_longer_run(tmp_path):
    run.start(config(epochs=1), tmp_path / "a", quiet)
    (tmp_path / "a" / "config.json").write_text(config(epochs=3).to_json())
    want = run.start(config(epochs=3), tmp_path / "b", quiet)
    assert without_seconds(run.carry_on(tmp_path / "a", quiet)) == without_seconds(want)


@pytest.mark.parametrize(("weights", "inputs"), [
    ({"method": "lsq", "bits": 3}, {"method": "lsq", "bits": 4, "signed": False}),
    ({"method": "affine", "bits": 4}, {"method": "pact", "bits": 4})])
def test_a_run_with_other_methods_is_resumed_to_the_same_result(weights, inputs, tmp_path):
    settings = config(weights=weights, inputs=inputs)
    want = run.start(settings, tmp_path / "a", quiet)
    assert want["scheme"] == weights["method"]
    assert want["bits"] <= weights["bits"]
    with pytest.raises(run.Stopped):
        run.start(settings, tmp_path / "b", interrupting("^quantized .*epoch +1/"))
    assert without_seconds(run.carry_on(tmp_path / "b", quiet)) == without_seconds(want)


# ---- result.json


def test_the_result_is_what_the_saved_networks_give(finished):
    result = json.loads((finished / "result.json").read_text())
    data, model = load("digits").head(200), run.trained(finished, "quantized")
    images, labels = data.validation_images, data.validation_labels
    assert evaluate(model, images, labels, INPUTS["unit"]) == (result["loss"], result["accuracy"])
    assert evaluate(run.trained(finished, "float"), images, labels, INPUTS["unit"]) == \
        (result["baseline_loss"], result["baseline_accuracy"])

    arrays, _ = load_checkpoint(finished / "quantized.npz")
    codes, packed_bits = {}, 0
    for name in coded_in(model):
        scale, method = arrays[f"model/{name}.scale"], model.sites()[name].method.scaled
        k = codes_of(arrays[f"model/{name}.latent"], scale, method)
        codes[name] = k.astype(np.int64)
        packed_bits += 8 * -(-k.size * bits_for(np.ptp(codes[name]) + 1) // 8)
        packed_bits += 32 * scale.size + 8 * HEADER
    everything = np.concatenate([k.reshape(-1) for k in codes.values()])
    low, high = int(everything.min()), int(everything.max())
    assert (result["integer_min"], result["integer_max"]) == (low, high)
    assert result["unique_integers"] == len(np.unique(everything))
    assert 2 ** (result["bits"] - 1) < high - low + 1 <= 2 ** result["bits"]
    kind = next(t for t in ("int8", "int16", "int32") if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    assert result["integer_type"] == kind
    assert result["bytes_int8_zip"] == zipped({name: k.astype(kind) for name, k in codes.items()})
    assert result["bytes_packed"] == packed_bits // 8
    assert result["parameters"] == 784 * 128 + 128 + 128 * 10 + 10 == everything.size
    assert result["scales"] == sum(arrays[f"model/{name}.scale"].size for name in codes) == 4
    assert result["bytes_float32"] == 4 * result["parameters"]
    floats, _ = load_checkpoint(finished / "float.npz")
    assert result["bytes_float32_zip"] == zipped({name: floats[f"model/{name}.latent"] for name in codes})
    assert result["ratio_packed"] == round(result["bytes_float32"] / result["bytes_packed"], 2)
    assert result["ratio_int8_zip"] == round(result["bytes_float32"] / result["bytes_int8_zip"], 2)
    assert result["seconds"] == round(sum(result["seconds_each"].values()), 2)
    baseline = run.trained(finished, "float")
    score = score_on(data, read_config(finished / "config.json"))
    assert result["rounded"] == rounded_like(baseline, list(codes), score, result["accuracy"])


def test_the_network_computes_with_the_codes_times_the_scales(finished):
    model = run.trained(finished, "quantized")
    coded = coded_in(model)
    assert len(coded) == 4
    for name, one in coded.items():
        site = model.sites()[name]
        np.testing.assert_array_equal(fake_quantize(site.latent, site.scale, site.method.scaled).numpy(),
                                      one.codes.astype(np.float32) * site.scale.numpy())
        np.testing.assert_array_equal(site().numpy(), one.values)


def test_the_history_has_a_row_for_every_epoch_of_both_networks(finished):
    rows = read_history(finished / "history.csv")
    assert [(row["network"], row["epoch"]) for row in rows] == \
        [("float", 1), ("float", 2), ("quantized", 1), ("quantized", 2)]
    result = run.read_result(finished)
    assert rows[-1]["validation_accuracy"] == result["accuracy"]
    assert rows[-1]["bits"] == result["bits"]
    assert "bits" not in rows[0]


def test_the_environment_is_written(finished):
    assert json.loads((finished / "env.json").read_text())["numpy"] == np.__version__


# ---- divergence


def broken_update(trainer, batch):
    """The optimizer's step after which a weight is infinite."""
    real = trainer.optimizer.step

    def step():
        real()
        if trainer.optimizer.steps == batch:
            parameter = next(iter(trainer.model.parameters().values()))
            parameter.array[0, 0] = np.inf
            parameter.changed_in_place()

    trainer.optimizer.step = step


@pytest.mark.parametrize("batch", [3, 7, 14], ids=["a batch", "the last batch of an epoch", "the very last"])
def test_a_network_that_diverges_says_when_and_keeps_what_came_before(batch, tmp_path, monkeypatch, capsys):
    """200 images are 7 batches. What the update of a last batch breaks, no loss of a batch shows."""
    real = run.trainer_for

    def trainer_for(name, *rest):
        trainer = real(name, *rest)
        if name == "quantized":
            broken_update(trainer, batch)
        return trainer

    monkeypatch.setattr(run, "trainer_for", trainer_for)
    if batch < 14:                               # of the two networks, only the last has something to draw of both
        monkeypatch.setattr("minilq.report.figures.draw", lambda folder: [])
    folder = tmp_path / "run"
    for again in (["--quick", "--epochs", "2", "--input", "unit", "--out", str(folder)], ["--resume", str(folder)]):
        assert cli.main(["train", *again]) == 1
        err = capsys.readouterr().err
        where = "epoch 1, batch 4" if batch == 3 else f"epoch {batch // 7}, batch 7"
        assert re.fullmatch(rf"minilq: quantized network: training.*{where}[^\n]*--lr 0.0001 for example; this one "
                            rf"keeps {max(0, batch // 7 - 1)} epochs\n", err)
        assert not (folder / "result.json").exists()
        assert cli.main(["report", str(folder)]) == 0
        capsys.readouterr()
    rows = read_history(folder / "history.csv")
    assert [row["network"] for row in rows] == ["float"] * 2 + ["quantized"] * (batch == 14)


def test_a_network_that_has_diverged_is_not_saved_by_ctrl_c(tmp_path, monkeypatch):
    real = run.trainer_for

    def trainer_for(name, *rest):
        trainer = real(name, *rest)
        broken_update(trainer, 3)
        step = trainer.optimizer.step

        def interrupted():
            step()
            if trainer.optimizer.steps == 3:
                signal.raise_signal(signal.SIGINT)

        trainer.optimizer.step = interrupted
        return trainer

    monkeypatch.setattr(run, "trainer_for", trainer_for)
    with pytest.raises(NonFiniteError, match=r"NaN or infinity in .*dense1\.weight\.latent.* after epoch 1, batch 3"):
        run.start(config(), tmp_path, quiet)
    assert not (tmp_path / "float.npz").exists()


def test_an_answer_of_nan_is_not_the_first_class():
    model = run.trainer_for("float", config(), load("digits").head(200)).model
    for parameter in model.parameters().values():
        parameter.array[...] = np.nan
        parameter.changed_in_place()
    _, accuracy = evaluate(model, np.zeros((5, 28, 28), np.uint8), np.zeros(5, np.int64), INPUTS["unit"])
    assert accuracy == 0


# ---- post-training


@pytest.mark.parametrize("file", ["", "float.npz"])
def test_post_training_starts_from_the_float_network_and_keeps_it_as_its_baseline(file, finished, tmp_path):
    result = run.start(config(start_from=str(finished / file), epochs=1), tmp_path / "b", quiet)
    before = run.read_result(finished)
    assert (result["baseline_loss"], result["baseline_accuracy"]) == \
        (before["baseline_loss"], before["baseline_accuracy"])
    assert {row["network"] for row in read_history(tmp_path / "b" / "history.csv")} == {"quantized"}
    a, b = (load_checkpoint(folder / "float.npz")[0] for folder in (finished, tmp_path / "b"))
    w = load_checkpoint(tmp_path / "b" / "quantized.npz")[0]["model/dense1.weight.latent"]
    np.testing.assert_array_equal(a["model/dense1.weight.latent"], b["model/dense1.weight.latent"])
    assert 0 < np.abs(w - a["model/dense1.weight.latent"]).max() < 0.02       # seven steps of 1e-3 away


@pytest.mark.parametrize("file", ["float.npz", "env.json"])
def test_killed_before_the_copy_of_the_network_it_starts_from_a_run_goes_on(file, finished, tmp_path, monkeypatch):
    settings, real = config(start_from=str(finished), epochs=1), files.write_bytes
    want = run.start(settings, tmp_path / "a", quiet)

    def killed(path, content):
        if path == tmp_path / "b" / file:
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("minilq.train.checkpoint.write_bytes", killed)
        patch.setattr(files, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            run.start(settings, tmp_path / "b", quiet)
    assert (tmp_path / "b" / "config.json").exists()
    assert without_seconds(run.carry_on(tmp_path / "b", quiet)) == without_seconds(want)


def test_whether_it_starts_from_a_network_cannot_be_changed_later(finished, tmp_path):
    (finished / "config.json").write_text(changed_config(finished, start_from="x", epochs=3))
    with pytest.raises(ConfigError, match="other settings; got start_from a checkpoint, there None"):
        run.carry_on(finished, quiet)
    (finished / "config.json").write_text(changed_config(finished, start_from=None))
    with pytest.raises(run.Stopped):
        run.start(config(start_from=str(finished)), tmp_path / "b", interrupting("^quantized .*epoch +1/"))
    (tmp_path / "b" / "config.json").write_text(changed_config(tmp_path / "b", start_from=None))
    with pytest.raises(ConfigError, match="other settings; got start_from None, there a checkpoint"):
        run.carry_on(tmp_path / "b", quiet)


def test_a_post_training_run_can_be_resumed_without_the_network_it_started_from(finished, tmp_path):
    settings = config(start_from=str(finished))
    want = run.start(settings, tmp_path / "a", quiet)
    with pytest.raises(run.Stopped):
        run.start(settings, tmp_path / "b", interrupting("^quantized .*epoch +1/"))
    shutil.rmtree(finished)
    assert without_seconds(run.carry_on(tmp_path / "b", quiet)) == without_seconds(want)


def test_a_teacher_teaches_the_quantized_network_alone_and_the_run_goes_on_with_it(finished, tmp_path):
    settings = config(teacher=str(finished))
    want, alone = run.start(settings, tmp_path / "a", quiet), run.read_result(finished)
    assert want["baseline_loss"] == alone["baseline_loss"]
    assert want["loss"] != alone["loss"]
    assert f"taught by {finished}" in settings.describe()
    with pytest.raises(run.Stopped):
        run.start(settings, tmp_path / "c", interrupting("^quantized .*epoch +1/"))
    assert without_seconds(run.carry_on(tmp_path / "c", quiet)) == without_seconds(want)


@pytest.mark.parametrize(("teacher", "student"), [("lenet", "mnist_mlp"), ("vit", "mnist_mlp"), ("mnist_mlp", "lenet")])
def test_a_network_of_images_with_channels_teaches_one_without(teacher, student, tmp_path):
    settings = config(model=teacher)
    (tmp_path / "config.json").write_text(settings.to_json())
    save_checkpoint(tmp_path / "float.npz", *trainer_for("float", settings, load("digits").head(4)).state())
    trainer = trainer_for("quantized", config(teacher=str(tmp_path), model=student), load("digits").head(4))
    assert type(trainer.task).__name__ == "Distillation"
    trainer.run(1)


def test_what_cannot_teach_is_found_out_before_anything_is_trained(finished, tmp_path):
    for settings, error, match in ((config(teacher=str(tmp_path)), DataError, "config.json"),
                                   (config(teacher=str(finished), input="raw"), ConfigError,
                                    "a run with the same input; got unit there, raw here")):
        with pytest.raises(error, match=match):
            run.start(settings, tmp_path / "b", quiet)
        assert not (tmp_path / "b").exists()


def other_network(path):
    arrays, meta = load_checkpoint(path)
    save_checkpoint(path, {**arrays, "model/dense1.bias.latent": np.zeros(3, np.float32)}, meta)


@pytest.mark.parametrize(("damage", "error"), [
    (lambda path: path.write_bytes(path.read_bytes()[:5000]), DataError), (lambda path: path.unlink(), DataError),
    (lambda path: path.write_text("hello"), DataError), (other_network, ShapeError)])
def test_a_network_that_cannot_be_started_from_leaves_no_folder_behind(damage, error, finished, tmp_path):
    damage(finished / "float.npz")
    with pytest.raises(error):
        run.start(config(start_from=str(finished)), tmp_path / "b", quiet)
    assert not (tmp_path / "b").exists()


# ---- folders


@pytest.mark.parametrize("file", ["config.json", "float.npz", "quantized.npz"])
def test_a_folder_with_a_run_or_checkpoints_is_never_trained_over(file, tmp_path):
    (tmp_path / file).write_text("mine")
    with pytest.raises(ConfigError, match="already holds a run"):
        run.start(config(), tmp_path, quiet)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {file: "mine"}


@pytest.mark.parametrize("file", ["result.json", "history.csv", "env.json", "DONE", "figures/learning.svg"])
def test_files_of_something_else_are_never_overwritten(file, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / file).write_text("mine")
    with pytest.raises(ConfigError, match="must hold nothing that a run would overwrite"):
        run.start(config(), tmp_path, quiet)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


@pytest.mark.parametrize("file", ["float.npz", "quantized.npz"])
def test_resuming_from_a_damaged_checkpoint_is_refused(file, finished):
    content = bytearray((finished / file).read_bytes())
    content[len(content) // 2] ^= 4
    (finished / file).write_bytes(content)
    with pytest.raises(DataError, match=f"{finished.name}.*{re.escape(file)}"):
        run.carry_on(finished, quiet)


@pytest.mark.parametrize(("key", "other", "message"), [
    ("optimizer/0/m", lambda a: a.astype(complex), "0/m complex128, not float32"),
    ("optimizer/0/v", lambda a: a - 1, "Adam: 0/v must hold means of squares; got -1.0"),
    ("optimizer/steps", lambda a: np.array([a, a]), "Adam: steps must be a whole number >= 0; got int64 of shape"),
    ("model/dense1.bias.latent", lambda a: a.astype(str), "dense1.bias.latent <U32, not float32"),
    ("model/dense1.bias.latent", lambda a: a[None], "dense1.bias.latent (1, 128), not (128,)"),
    ("settings", lambda meta: 5, "the settings of a training were expected; got 5"),
    ("place", lambda meta: {**meta, "batch": 10**6}, "ValueError: the place {'epoch'"),
    ("rows", lambda meta: [{"epoch": None}], "a row of something else than finite numbers")])
def test_a_checkpoint_of_other_arrays_is_refused_in_one_line_that_names_file_and_array(key, other, message, finished):
    arrays, meta = load_checkpoint(finished / "quantized.npz")
    part = arrays if "/" in key else meta
    part[key] = other(part[key])
    save_checkpoint(finished / "quantized.npz", arrays, meta)
    with pytest.raises(DataError, match=rf"quantized\.npz: .*{re.escape(message)}"):
        run.carry_on(finished, quiet)


def test_a_float_checkpoint_in_place_of_the_quantized_one_is_refused(finished):
    shutil.copy(finished / "float.npz", finished / "quantized.npz")
    with pytest.raises(DataError, match=r"dense1\.weight\.scale"):
        run.carry_on(finished, quiet)


def changed_config(finished, **changes):
    settings = json.loads((finished / "config.json").read_text())
    return json.dumps({**settings, **changes})


DAMAGES = {
    "empty": lambda f: "", "no JSON": lambda f: "{", "a list": lambda f: "[1]", "null": lambda f: "null",
    "deep": lambda f: "[" * 100_000, "another setting": lambda f: changed_config(f, nosuch=1),
    "a setting less": lambda f: json.dumps({"data": "digits"}), "threshold NaN": lambda f: changed_config(
        f, threshold=float("nan")), "threshold text": lambda f: changed_config(f, threshold="1"),
    "threshold huge": lambda f: changed_config(f, threshold=10**400), "epochs 0": lambda f: changed_config(f, epochs=0),
    "epochs 1.5": lambda f: changed_config(f, epochs=1.5), "epochs true": lambda f: changed_config(f, epochs=True),
    "data": lambda f: changed_config(f, data=["digits"]), "data_dir": lambda f: changed_config(f, data_dir="x"),
    "data_dir 5": lambda f: changed_config(f, data="mnist", data_dir=5), "quick": lambda f: changed_config(f, quick=1),
    "start_from": lambda f: changed_config(f, start_from=5), "seed": lambda f: changed_config(f, seed=-1),
    "rounding": lambda f: changed_config(f, rounding=None), "limit": lambda f: changed_config(f, limit=True),
    "layer": lambda f: changed_config(f, layer_thresholds={"dense1": "1"}),
    "layers": lambda f: changed_config(f, layer_thresholds=[]), "model": lambda f: changed_config(f, model=["lenet"]),
    "image_size": lambda f: changed_config(f, image_size=64)}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_settings_are_refused_in_one_line(damage, finished):
    (finished / "config.json").write_text(damage(finished))
    with pytest.raises(DataError, match=r"config\.json: the settings of a run were expected") as caught:
        read_config(finished / "config.json")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"config\.json"):
        run.carry_on(finished, quiet)


def test_settings_come_back_as_they_were_written(tmp_path):
    settings = RunConfig(data="mnist", data_dir="a b/c", threshold=0.1 + 0.2, rounding="stochastic", start_from="é")
    (tmp_path / "config.json").write_text(settings.to_json())
    assert read_config(tmp_path / "config.json") == settings
    assert settings.epochs == RECIPES["usual"]["mnist"].epochs
    assert RunConfig(quick=True).epochs == RECIPES["usual"]["digits"].quick_epochs
    assert RunConfig(quick=True, epochs=3).epochs == 3


def test_a_run_of_before_there_were_recipes_has_the_thesis(tmp_path):
    for config in (RunConfig(recipe="thesis"), RunConfig(data="mnist", recipe="thesis", lr=1e-3, threshold=1e-9)):
        settings = {name: value for name, value in json.loads(config.to_json()).items() if name != "recipe"}
        (tmp_path / "config.json").write_text(json.dumps(settings))
        assert read_config(tmp_path / "config.json") == config


def changed_result(finished, part=None, **changes):
    result = json.loads((finished / "result.json").read_text())
    (result if part is None else result[part]).update(changes)
    return json.dumps(result)


RESULTS = {
    "empty": lambda f: "", "cut": lambda f: (f / "result.json").read_text()[:200], "a list": lambda f: "[]",
    "a number": lambda f: "5", "deep": lambda f: "[" * 100_000, "nothing measured": lambda f: '{"rounded": {}}',
    "accuracy text": lambda f: changed_result(f, accuracy="0.5"), "loss null": lambda f: changed_result(f, loss=None),
    "bits NaN": lambda f: changed_result(f, bits=float("nan")), "no bytes": lambda f: changed_result(f, bytes_packed=0),
    "rounded text": lambda f: changed_result(f, rounded="x"), "rounded list": lambda f: changed_result(f, rounded=[]),
    "rounded loss": lambda f: changed_result(f, "rounded", loss=[1]), "huge": lambda f: changed_result(f, loss=10**400),
    "integer_type": lambda f: changed_result(f, integer_type=8), "scales": lambda f: changed_result(f, scales={}),
    "seconds_each": lambda f: changed_result(f, seconds_each={"float": 1}),
    "seconds text": lambda f: changed_result(f, "seconds_each", float="1")}


@pytest.mark.parametrize("damage", RESULTS.values(), ids=RESULTS)
def test_a_damaged_result_is_refused_in_one_line_by_the_report(damage, finished, capsys, monkeypatch):
    monkeypatch.setattr("minilq.report.figures.draw", lambda folder: [])       # slow, and not what is tested
    (finished / "result.json").write_text(damage(finished))
    assert cli.main(["report", str(finished)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"minilq: .*result\.json: the result of a run was expected; got [^\n]+\n", err)


def test_a_run_without_a_result_has_none(finished):
    (finished / "result.json").unlink()
    assert run.read_result(finished) is None


@pytest.mark.deep
def test_environment_switch_trains_without_kernels_to_nearly_the_same(tmp_path):
    # In separate processes, so that the variable is read. Sums in another order move weights by about 1e-6 a step; the
    # codes of the smallest scale (1e-5) then differ by a few in a thousand. Accuracy: 2 of 500 validation images.
    results, codes = {}, {}
    for kernels in ("0", "1"):
        folder = tmp_path / kernels
        subprocess.run([sys.executable, "-c", ONE_EPOCH, folder], check=True, capture_output=True,
                       env={**ENVIRONMENT, "MINILQ_KERNELS": kernels})
        results[kernels] = run.read_result(folder)
        codes[kernels] = codes_in(run.trained(folder, "quantized"))
        assert json.loads((folder / "env.json").read_text())["kernels"] == str(kernels == "1")
    assert abs(results["0"]["accuracy"] - results["1"]["accuracy"]) <= 2 / 500
    assert results["0"]["loss"] == pytest.approx(results["1"]["loss"], rel=1e-3)
    for name, k in codes["0"].items():
        difference = np.abs(k.astype(int) - codes["1"][name])
        assert np.mean(difference > 1) < 0.01, name
        assert difference.max() <= 0.02 * np.abs(k.astype(int)).max() + 1, name
