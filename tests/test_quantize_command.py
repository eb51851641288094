"""minilq quantize: a run folder without training, and what the other commands make of it."""

import contextlib
import io
import json

import numpy as np
import pytest

from minilq import cli
from minilq.errors import ConfigError
from minilq.experiments.build import built
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.run import trained
from minilq.experiments.without_training import Steps, settings_of
from minilq.files import make_folder, write_text
from minilq.train.checkpoint import save_checkpoint
from tests.commands import call


def run_of(folder, **settings):
    """A run folder with a float network that was never trained: tests ask what becomes of it, not how good it is."""
    config = RunConfig(limit=120, **settings)
    make_folder(folder)
    write_text(folder / "config.json", config.to_json())
    save_checkpoint(folder / "float.npz", {f"model/{name}": a for name, a in built(config)[0].state().items()}, {})
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A dense network and LeNet, as float runs."""
    parent = tmp_path_factory.mktemp("runs")
    return {"mlp": run_of(parent / "mlp"), "lenet": run_of(parent / "lenet", model="lenet")}


@pytest.fixture(scope="module")
def quantized(runs):
    """The folder that all steps made, and what was printed."""
    folder = runs["mlp"].parent / "quantized"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(["quantize", str(runs["mlp"]), "--weights", "affine", "bits=4", "--inputs", "affine",
                         "--equalize", "--absorb", "--calibrate", "kl", "--calibrate-weights", "mse", "--round", "gptq",
                         "--correct-bias", "--images", "60", "--out", str(folder)]) == 0
    return folder, out.getvalue()


def test_the_folder_is_that_of_a_run(quantized, runs):
    folder, out = quantized
    assert "equalized, high biases absorbed, inputs by kl, weights by mse, rounded by gptq, biases corrected by" in out
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "env.json", "float.npz", "quantized.npz", "quantize.json", "history.csv", "result.json",
        "figures", "DONE"}
    result, config = json.loads((folder / "result.json").read_text()), read_config(folder / "config.json")
    assert config.start_from == str(runs["mlp"])
    assert config.weights == {"method": "affine", "bits": 4, "ranges": "data"}
    assert f"{100 * result['nearest']['accuracy']:.2f} %" in out
    assert result["bits"] == 4
    before, after = trained(runs["mlp"], "float"), trained(folder, "float")
    for name, array in before.state().items():
        np.testing.assert_array_equal(after.state()[name], array)
    model = trained(folder, "quantized")
    for name in ("dense1", "dense2"):
        weight = model.sites()[f"{name}.weight"]
        np.testing.assert_array_equal(weight.coded().values, weight.latent.array)    # chosen, and nearest now
        assert model.sites()[f"{name}.input"].held["high"] > 0


@pytest.mark.deep
def test_other_commands_take_it(quantized, capsys):
    folder, _ = quantized
    for command in (["report"], ["sizes"], ["export"], ["evaluate", "--integer"], ["sensitivity", "--samples", 2]):
        status, out, err = call(capsys, command[0], folder, *command[1:])
        assert (status, err) == (0, [])
        assert command[0] != "evaluate" or "as in the run that it came from" in out
        assert command[0] != "report" or "with all steps" in out
    assert call(capsys, "evaluate", folder / "model.mlq")[0] == 0
    status, out, _ = call(capsys, "train", "--resume", folder)
    assert status == 0
    assert "nothing is left to train" in out
    status, _, err = call(capsys, "quantize", folder, "--out", folder)
    assert (status, err) == (2, [f"minilq: quantize: {folder} already holds a run. Choose another --out"])


@pytest.mark.deep
def test_a_convolutional_network_with_dynamic_inputs(runs, tmp_path, capsys):
    status, _, err = call(capsys, "quantize", runs["lenet"], "--inputs", "affine", "bits=7", "ranges=tensor",
                            "--weights", "affine", "granularity=filter", "--out", tmp_path / "out")
    assert (status, err) == (0, [])
    model = trained(tmp_path / "out", "quantized")
    assert model.sites()["conv2d1.input"].held == {}
    assert model.sites()["conv2d1.weight"].held["low"].shape == (1, 1, 1, 6)
    assert call(capsys, "evaluate", tmp_path / "out")[0] == 0


@pytest.mark.parametrize(("options", "says"), [
    (["--calibrate", "mean"], "--calibrate must be one of min-max, percentile"),
    (["--round", "adarond"], "--round must be one of nearest, adaround, gptq; got 'adarond'. Did you mean 'adaround'?"),
    (["--images", "0"], "--images must be a whole number, at least 1; got 0"),
    (["--correct-bias", "moments"], "--correct-bias moments needs batch normalisation"),
    (["--weights", "lsq", "bits=4", "--round", "gptq"], "a weight must have a method whose grid stays as it is"),
    (["--weights", "affine", "bit=4"], "affine: flags are bits"),
    (["--own", "dense9.weight=lsq"], "a site with its own method must be one of")])
def test_what_is_wrong_is_said_before_anything_is_written(runs, tmp_path, capsys, options, says):
    status, _, err = call(capsys, "quantize", runs["mlp"], *options, "--out", tmp_path / "out")
    assert status == 2
    assert says in err[0]
    assert not (tmp_path / "out").exists()


def test_ranges_that_must_stay_do():
    before = RunConfig(penalty="difference", rate=1e-7, gate=False)
    tensor = {"method": "affine", "ranges": "tensor"}
    own = {"dense1.input": {"method": "affine"}, "dense2.weight": {"method": "lsq"}}
    config = settings_of(".", before, {"weights": tensor, "inputs": tensor, "own": own})
    assert config.weights["ranges"] == config.own["dense1.input"]["ranges"] == "data"
    assert config.inputs["ranges"] == "tensor"
    assert (config.penalty, config.start_from) == (None, ".")
    with pytest.raises(ConfigError, match="correct-bias must be one of images, moments"):
        Steps(correct_bias="data")
