"""Whole runs on images: from the command line, stopped and resumed, with damaged pictures, wrong options."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave

from minilq import cli
from minilq.errors import ConfigError
from minilq.experiments import run
from minilq.experiments.config import RunConfig, read_config
from minilq.train.checkpoint import load_checkpoint
from minilq.train.history import read_history

pytestmark = pytest.mark.usefixtures("few_roundings")

SIDE, PER_CLASS = 40, 6
CLASSES = ("apple", "beach", "cloud")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder in Imagenette's layout: three classes, each of one colour with noise."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for part, count in (("train", PER_CLASS), ("val", 2)):
        for label, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 80, (SIDE, SIDE, 3))
                pixels[..., label] += 150
                imsave(folder / f"{i}.png", pixels.astype(np.uint8))
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path_factory.mktemp("cache")))


def settings(tree, **changes):
    return RunConfig(**{"data": "imagenette", "data_dir": str(tree), "model": "lenet", "image_size": 32, "epochs": 2,
                        "batch": 5, "augment": "crop", "lr": 1e-3, "threshold": 1e-9, **changes})


def without_seconds(value):
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if not k.startswith("seconds")}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def outcome(folder):
    found = {"history": without_seconds(read_history(folder / "history.csv")),
             "result": without_seconds(json.loads((folder / "result.json").read_text()))}
    for name in ("float.npz", "quantized.npz"):
        arrays, meta = load_checkpoint(folder / name)
        found[name] = {k: a.tobytes() for k, a in arrays.items()}, without_seconds(meta)
    return found


def quiet(text):
    pass


@pytest.mark.deep
@pytest.mark.parametrize("model", ["cifar10_cnn", "imagenette_resnet", "lenet"])
def test_every_network_trains_from_the_command_line_and_reports(model, tree, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["train", "--data", "imagenette", "--data-dir", str(tree), "--model", model, "--image-size", "32",
                 "--epochs", "1", "--batch", "6", "--augment", "thesis", "--granularity", "filter",
                 "--quantize", "inner", "--limit", "12", "--out", str(out)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "nested, filter, lambda 1e-11, floor" in printed
    result = json.loads((out / "result.json").read_text())
    assert (result["model"], result["data"]) == (model, "imagenette")
    assert (out / "DONE").exists()
    assert sorted(p.name for p in (out / "figures").iterdir()) == ["integers.svg", "learning.svg", "scales.svg"]
    arrays, _ = load_checkpoint(out / "quantized.npz")
    assert any("variance" in name for name in arrays) == (model != "lenet")
    rows = read_history(out / "history.csv")
    assert ("penalty/l2" in rows[0]) == (model == "imagenette_resnet")
    assert cli.main(["report", str(out)]) == 0


@pytest.mark.parametrize(("model", "moment"), [
    ("lenet", "float"), ("lenet", "quantized"), *(
        pytest.param("cifar10_cnn", moment, marks=pytest.mark.deep) for moment in ("float", "quantized"))])
def test_stopped_with_augmentation_and_dropout_and_resumed_gives_the_same_bits(model, moment, tree, tmp_path):
    config = settings(tree, model=model)
    run.start(config, tmp_path / "a", quiet)

    def interrupting(text):
        if text.startswith(moment) and " 1/2" in text:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(run.Stopped):
        run.start(config, tmp_path / "b", interrupting)
    run.carry_on(tmp_path / "b", quiet)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")


def test_large_batches_are_prepared_ahead_to_the_same_bits(tree, tmp_path, monkeypatch):
    run.start(settings(tree), tmp_path / "a", quiet)
    monkeypatch.setattr("minilq.train.loop.LARGE", 1)
    run.start(settings(tree), tmp_path / "b", quiet)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")


@pytest.mark.deep
def test_post_training_starts_from_the_running_statistics_too(tree, tmp_path):
    run.start(settings(tree, model="cifar10_cnn", epochs=3), tmp_path / "a", quiet)
    result = run.start(settings(tree, model="cifar10_cnn", epochs=1, lr=0.0, threshold=0.0,
                                start_from=str(tmp_path / "a")), tmp_path / "b", quiet)
    before, after = (load_checkpoint(tmp_path / name)[0] for name in ("a/float.npz", "b/quantized.npz"))
    mean = "model/batchnorm1.mean"
    # three epochs of four batches, and four batches more: far from where a new network would be
    a, b = after[mean] / (1 - 0.99**16), before[mean] / (1 - 0.99**12)
    assert np.linalg.norm(a - b) < 0.1 * np.linalg.norm(b)
    assert result["baseline_accuracy"] == json.loads((tmp_path / "a" / "result.json").read_text())["baseline_accuracy"]


def test_post_training_refuses_what_is_not_the_float_baseline(tree, tmp_path):
    run.start(settings(tree, epochs=1), tmp_path / "a", quiet)
    before = tmp_path / "a"
    for changes, match in (({"start_from": str(before / "quantized.npz")}, r"quantized.npz, a quantized one.*float"),
                           ({"start_from": str(before), "input": "unit"}, "same input; got raw there, unit here"),
                           ({"start_from": str(before / "float.npz"), "model": "cifar10_cnn"}, "same model")):
        with pytest.raises(ConfigError, match=match):
            run.start(settings(tree, **changes), tmp_path / "b", quiet)
        assert not (tmp_path / "b").exists()


def test_without_augmentation_the_middle_of_the_larger_images_is_seen(tree, tmp_path):
    result = run.start(settings(tree, augment="none", epochs=1), tmp_path / "a", quiet)
    assert result["epochs"] == 1


def test_lenet_on_the_embedded_digits(no_figures, tmp_path, capsys):
    assert cli.main(["train", "--model", "lenet", "--limit", "200", "--epochs", "1", "--granularity", "channel",
                     "--layer-threshold", "conv2d1=1e-12", "--layer-threshold", "dense3=0",
                     "--out", str(tmp_path / "run")]) == 0
    config = read_config(tmp_path / "run" / "config.json")
    assert config.layer_thresholds == {"conv2d1": 1e-12, "dense3": 0.0}
    arrays, _ = load_checkpoint(tmp_path / "run" / "quantized.npz")
    assert len(np.unique(arrays["model/dense3.weight.scale"])) == 1    # lambda 0: still where it began
    assert json.loads((tmp_path / "run" / "result.json").read_text())["parameters"] == 61706
    assert "nested, channel, lambda 1e-08, floor, conv2d1 1e-12, dense3 0\n" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "message"), [
    (["--data", "cifar10", "--model", "vgg"], "model must be one of mnist_mlp, lenet, cifar10_cnn, imagenette_resnet"),
    (["--data", "cifar10", "--image-size", "64"], "image-size is an option of imagenette alone"),
    (["--layer-threshold", "dense1"], "--layer-threshold takes a layer and a number"),
    (["--layer-threshold", "dense1=x"], "--layer-threshold takes a layer and a number"),
    (["--layer-threshold", "conv2d1=1e-3"], "must be one of the quantized: dense1, dense2; got conv2d1"),
    (["--quantize", "inner"], "a layer must be left to be quantized"),
    (["--limit", "0"], "limit must be a whole number, at least 1"),
    (["--resume", "x", "--layer-threshold", "dense1=1", "--limit", "3"], "--layer-threshold, --limit"),
])
def test_wrong_options_are_one_line_and_write_nothing(options, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_a_damaged_picture_is_named_and_refused_or_skipped_as_the_user_chose(no_figures, tree, tmp_path, capfd):
    damaged = tmp_path / "pictures"
    for source in tree.rglob("*.png"):
        target = damaged / source.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (damaged / "train" / "beach" / "3.png").write_bytes((damaged / "train" / "beach" / "3.png").read_bytes()[:100])
    arguments = ["train", "--data", "imagenette", "--data-dir", str(damaged), "--model", "lenet", "--image-size", "32",
                 "--epochs", "1", "--out", str(tmp_path / "run")]
    assert cli.main(arguments) == 1
    assert "3.png" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
    assert cli.main([*arguments, "--skip-damaged"]) == 0
    assert "3.png" in capfd.readouterr().err
    assert (tmp_path / "run" / "DONE").exists()
