"""The command line: exit statuses, one line for one error, and folders that hold what they promise."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import minilq
from minilq import cli
from minilq.experiments import run
from minilq.experiments.config import RunConfig
from minilq.train.checkpoint import load_checkpoint
from tests.commands import call

pytestmark = pytest.mark.usefixtures("few_roundings")

KEYS = {"accuracy", "loss", "baseline_accuracy", "baseline_loss", "unique_integers", "integer_min", "integer_max",
        "bits", "parameters", "bytes_float32", "bytes_float32_zip", "bytes_int8_zip", "bytes_packed", "seconds"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(minilq.__file__).parents[1])}       # also where it is not installed
TASTE = ("train", "--quick", "--epochs", "1", "--input", "unit")


@pytest.fixture(autouse=True)
def few_images_no_figures(monkeypatch, tmp_path):
    """200 images, figures left to test_report, and runs/ in a folder of the test's own."""
    monkeypatch.setattr(run, "QUICK_IMAGES", 200)
    monkeypatch.setattr("minilq.report.figures.draw", lambda folder: [folder / "figures" / "stand-in.svg"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "QUICK_IMAGES", 200)
        patch.setattr("minilq.report.figures.draw", lambda folder: [])
        assert cli.main([*TASTE, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def finished(finished_once, tmp_path):
    return shutil.copytree(finished_once, tmp_path / "finished")


# ---- wrong arguments


WRONG = {
    "unknown command": (["nosuch"], "nosuch"),
    "unknown option": (["train", "--nosuch"], "--nosuch"), "a stray word": (["train", "x"], "x"),
    "data": (["train", "--data", "nosuch"], "digits, mnist, fashion.*'nosuch'"),
    "granularity": (["train", "--granularity", "diagonal"], "row, column, channel, filter, scalar.*'diagonal'"),
    "threshold -1": (["train", "--threshold", "-1"], "threshold must be.*-1"),
    "threshold nan": (["train", "--threshold", "nan"], "threshold must be.*nan"),
    "threshold inf": (["train", "--threshold", "1e400"], "threshold must be.*inf"),
    "epochs 0": (["train", "--epochs", "0"], "epochs must be.*0"),
    "epochs 1.5": (["train", "--epochs", "1.5"], "--epochs.*1.5"),
    "batch x": (["train", "--batch", "x"], "--batch.*'x'"), "batch 0": (["train", "--batch", "0"], "batch must be.*0"),
    "lr": (["train", "--lr", "-0.1"], "lr must be.*-0.1"), "seed": (["train", "--seed", "-1"], "seed must be.*-1"),
    "rounding": (["train", "--rounding", "up"], "floor, nearest, ceil, trunc, stochastic.*'up'"),
    "recipe": (["train", "--recipe", "thesus"], "recipe must be one of usual, thesis.*'thesus'. Did you mean 'thesis'"),
    "input": (["train", "--input", "percent"], "raw, unit.*'percent'"),
    "data-dir": (["train", "--data-dir", "x"], "digits have no data_dir"),
    "an option without its value": (["train", "--out"], "--out"),
    "a near miss of a command": (["tarin"], "Did you mean 'train'"),
    "a near miss of an option": (["train", "--treshold", "1"], "Did you mean '--threshold'"),
    "weights of no name": (["train", "--weights", "lsd"], "affine.*lsq.*'lsd'.*Did you mean 'lsq'"),
    "a flag of no name": (["train", "--weights", "lsq", "bit=3"], "bits, signed.*got bit. Did you mean 'bits'"),
    "a flag without value": (["train", "--weights", "lsq", "bits"], "flag=value.*'bits'"),
    "a flag before its method": (["train", "--weights", "bits=3"], "name of a method must come first.*bits=3"),
    "bits of a wrong kind": (["train", "--weights", "lsq", "bits=four"], "LSQ: bits must be.*'four'"),
    "a flag twice": (["train", "--weights", "lsq", "bits=3", "bits=4"], "once.*bits twice"),
    "another method's flag": (["train", "--weights", "lsq", "--threshold", "1e-9"],
                              "threshold is no flag of the method lsq.*threshold 1e-09.*bits, signed"),
    "another method's gate": (["train", "--weights", "pact", "--no-gate"], "gate is no flag of the method pact"),
    "another method's layers": (["train", "--weights", "lsq", "--layer-threshold", "dense1=1"], "the method nested"),
    "said twice": (["train", "--weights", "nested", "lam=1e-9", "--threshold", "1e-8"], "threshold must be said once"),
    "no method and a flag": (["train", "--weights", "none", "--granularity", "row"], "without a method.*granularity"),
    "nothing quantized": (["train", "--weights", "none"], "full precision everywhere"),
    "nothing but inputs": (["train", "--weights", "none", "--inputs", "lsq"], "full precision everywhere"),
    "all sites float": (["train", *(f"--own=dense{n}.{kind}=none" for n in (1, 2) for kind in ("weight", "bias"))],
                        "full precision everywhere"),
    "own without method": (["train", "--own", "dense1.weight"], "--own takes a site and its method.*'dense1.weight'"),
    "own site": (["train", "--own", "dense1.wieght=lsq"], "dense1.weight.*got dense1.wieght. Did you mean"),
    "own twice": (["train", "--own", "dense1.weight=lsq", "--own", "dense1.weight=none"], "dense1.weight twice"),
    "layer number": (["train", "--layer-threshold", "dense1"], "--layer-threshold takes a layer and a number"),
    "quantize": (["train", "--quantize", "everything"], "recipe, all, inner.*'everything'"),
    "a grid of no name": (["sweep", "thesis-mnits"], "thesis-mnist.*'thesis-mnits'.*Did you mean 'thesis-mnist'"),
    "resume with out": (["train", "--resume", "x", "--out", "y"], "--out"),
    "resume with from": (["train", "--resume", "x", "--from", "y"], "got --from"),
    "resume with quick": (["train", "--resume", "x", "--quick"], "got --quick"),
    "resume with data-dir": (["train", "--resume", "x", "--data-dir", "y"], "got --data-dir"),
    "report of nothing": (["report"], "RUN"), "check of something": (["check", "x"], "x")}


@pytest.mark.parametrize(("arguments", "match"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_give_status_2_one_line_and_no_folder(arguments, match, capsys, tmp_path):
    status, out, err = call(capsys, *arguments)
    assert (status, out, len(err)) == (2, "" if "--data-dir" not in arguments else out, 1)
    assert re.search(match, err[0])
    assert err[0].startswith("minilq")
    assert list(tmp_path.iterdir()) == []


METHODS = {
    "lsq": ["--weights", "lsq", "bits=3", "granularity=filter", "--inputs", "lsq", "bits=4", "signed=false"],
    "own": ["--weights", "none", "--own", "dense1.weight=lsq,bits=8", "--own", "dense2.bias=nested,lam=1e-9"],
    "nested": ["--weights", "nested", "lam=1e-9", "positivity=exp", "--no-gate", "--quantize", "all"],
    "affine": ["--weights", "affine", "bits=4", "symmetric=true", "--inputs", "pact", "bits=4"],
    "penalty": ["--weights", "lsq", "bits=4", "--penalty", "squared_deviation", "--rate", "1e-3"],
    "scaled": ["--weights", "scaled", "rounding=nearest", "scale_rule=chain_rule(lsq)", "qmin=-4", "qmax=3",
               "--granularity", "scalar"],
    "stochastic": ["--weights", "nested", "--rounding", "stochastic"]}


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_any_method_trains_reports_and_is_told_in_the_table(options, capsys, tmp_path):
    status, out, err = call(capsys, *TASTE, *options, "--out", "a")
    assert (status, err) == (0, [])
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    assert result["unique_integers"] >= 2
    assert call(capsys, "report", "a")[0] == 0
    words = [word for word in options if "=" in word and "," not in word and not word.startswith("lam")]
    assert all(word in out for word in words)


def test_a_finished_run_that_is_resumed_says_so(finished, capsys):
    status, out, _ = call(capsys, "train", "--resume", finished)
    assert status == 0
    assert "is finished; nothing is left to train" in out


def test_a_folder_that_already_holds_a_run_is_left_alone(finished, capsys):
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    status, _, err = call(capsys, *TASTE, "--out", finished)
    assert (status, len(err)) == (2, 1)
    assert "already holds a run" in err[0]
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("below", ["", "run", "a/b"])
def test_a_folder_below_a_regular_file_is_a_wrong_argument(below, capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    status, _, err = call(capsys, *TASTE, "--out", tmp_path / "file" / below)
    assert (status, len(err)) == (2, 1)
    assert "--out must be a folder" in err[0]
    assert (tmp_path / "file").read_text() == "mine"


# ---- what works


def test_a_learning_rate_of_0_is_said_to_teach_nothing(capsys, monkeypatch):
    monkeypatch.setattr(run, "start", lambda *_: pytest.fail("enough"))
    with pytest.raises(pytest.fail.Exception):
        cli.main([*TASTE, "--lr", "0", "--out", "a"])
    assert "a learning rate of 0: nothing will be learned" in capsys.readouterr().out


def test_the_version(capsys):
    assert call(capsys, "--version") == (0, f"minilq {minilq.__version__}\n", [])


@pytest.mark.parametrize("command", [[], ["train"], ["report"], ["check"], ["methods"]])
def test_help_names_every_option(command, capsys):
    status, out, err = call(capsys, *command, "--help")
    assert (status, err) == (0, [])
    options = {"train": ("--data", "--data-dir", "--granularity", "--threshold", "--rounding", "--epochs", "--batch",
                         "--lr", "--seed", "--input", "--from", "--quick", "--out", "--resume", "--weights",
                         "--inputs", "--own", "--quantize", "--no-gate", "--penalty"), "report": ("RUN", "--verbose"),
               "methods": ("--help",)}
    for option in options.get(command[0] if command else "", ("--help",)):
        assert option in out
    if not command:
        assert all(name in out for name in ("train", "report", "check", "methods"))


def test_every_option_says_what_holds_without_it():
    commands = next(action.choices for action in cli.parser()._actions if action.dest == "command")
    assert sorted(commands) == sorted(cli.COMMANDS)
    silent = [(name, action.option_strings) for name, command in commands.items() for action in command._actions
              if action.option_strings and action.dest != "help" and not action.help.endswith(")")]
    assert silent == []


def test_a_run_leaves_every_file_and_done(finished):
    assert {path.name for path in finished.iterdir()} == {"config.json", "env.json", "history.csv", "result.json",
                                                          "float.npz", "quantized.npz", "DONE"}
    assert set(json.loads((finished / "result.json").read_text())) >= KEYS


def test_done_is_written_last(monkeypatch, capsys, tmp_path):
    def fails(folder):
        assert (folder / "result.json").exists()
        raise minilq.DataError("figures", "no room")

    monkeypatch.setattr("minilq.report.figures.draw", fails)
    assert call(capsys, *TASTE, "--out", "a")[::2] == (1, ["minilq: figures: no room"])
    assert not (tmp_path / "a" / "DONE").exists()
    monkeypatch.setattr("minilq.report.figures.draw", lambda folder: [])
    assert call(capsys, "train", "--resume", "a")[0] == 0
    assert (tmp_path / "a" / "DONE").exists()


def test_two_runs_without_out_get_folders_of_their_own_and_a_table(capsys, tmp_path):
    for number in (1, 2):
        status, out, err = call(capsys, *TASTE)
        assert (status, err) == (0, [])
        assert out.splitlines()[1] == f"writing to {os.path.join('runs', f'digits-{number}')}"
        assert f"quantized: {RunConfig().describe()}.\n" in out
        assert "stand-in.svg" in out
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["digits-1", "digits-2"]
    a, b = (load_checkpoint(tmp_path / "runs" / f"digits-{n}" / "quantized.npz")[0] for n in (1, 2))
    assert {k: v.tobytes() for k, v in a.items()} == {k: v.tobytes() for k, v in b.items()}


def test_options_reach_the_settings_of_the_run(capsys, tmp_path):
    assert call(capsys, "train", "--quick", "--epochs", "1", "--granularity", "column", "--threshold", "1e-3",
                "--rounding", "nearest", "--batch", "50", "--lr", "0.01", "--seed", "7", "--input", "unit",
                "--out", "a")[0] == 0
    settings = json.loads((tmp_path / "a" / "config.json").read_text())
    assert settings == {"data": "digits", "recipe": "usual", "data_dir": None, "model": "mnist_mlp",
                        "granularity": "column", "threshold": 1e-3, "layer_thresholds": {}, "quantize": "recipe",
                        "rounding": "nearest", "epochs": 1, "batch": 50, "lr": 0.01, "seed": 7,
                        "input": "unit", "augment": "none",
                        "limit": None, "holdout": None, "gate": True, "penalty": None,
                        "rate": None, "layer_rates": {}, "image_size": None, "skip_damaged": False,
                        "start_from": None, "teacher": None, "quick": True, "weights": {"method": "nested"},
                        "inputs": None, "own": {}, "adam": "keras"}
    arrays, _ = load_checkpoint(tmp_path / "a" / "quantized.npz")
    assert arrays["model/dense1.weight.scale"].shape == (1, 128)
    assert arrays["optimizer/steps"] == 4                    # 200 images in batches of 50


@pytest.mark.parametrize("file", ["", "float.npz"])
def test_from_a_run_folder_or_a_file(file, finished, capsys, tmp_path):
    assert call(capsys, *TASTE, "--from", finished / file, "--out", "b")[0] == 0
    before, after = (json.loads((folder / "result.json").read_text()) for folder in (finished, tmp_path / "b"))
    assert after["baseline_loss"] == before["baseline_loss"]
    assert after["loss"] < before["loss"]                    # it had a start


@pytest.mark.parametrize("damage", [
    lambda folder: (folder / "float.npz").write_bytes((folder / "float.npz").read_bytes()[:-100]),
    lambda folder: (folder / "float.npz").unlink(), shutil.rmtree], ids=["cut", "no file", "no folder"])
def test_from_something_damaged_or_missing_is_one_line_and_leaves_nothing(damage, finished, capsys, tmp_path):
    damage(finished)
    status, _, err = call(capsys, *TASTE, "--from", finished, "--out", "b")
    assert (status, len(err)) == (1, 1)
    assert str(finished) in err[0]
    assert not (tmp_path / "b").exists()


# ---- failures


def failing_command(capsys, *arguments):
    status, _, err = call(capsys, *arguments)
    assert status == 1
    line, = err
    assert line.startswith("minilq: ")
    return line


@pytest.mark.parametrize("command", [("report",), ("train", "--resume")])
def test_a_folder_that_is_no_run_fails_in_one_line(command, capsys, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("nosuch", "file", "empty"):
        line = failing_command(capsys, *command, tmp_path / name)
        assert "config.json" in line or "a run folder was expected" in line or (
            (command[0], name) == ("report", "file") and "model file" in line)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    assert list((tmp_path / "empty").iterdir()) == []


NONSENSE = {"empty": b"", "bytes": b"\xff\xfe\x00", "text": b"hello\nworld\n", "object": b"{}", "brackets": b"[[[["}


@pytest.mark.parametrize(("file", "content"), [            # a checkpoint is read when some figures are drawn already
    pytest.param(file, content, id=f"{name}-{file}",
                 marks=pytest.mark.deep if file == "quantized.npz" and name != "empty" else ())
    for name, content in NONSENSE.items() for file in ("config.json", "history.csv", "result.json", "quantized.npz")])
def test_the_report_of_a_damaged_run_fails_in_one_line(file, content, finished, capsys, monkeypatch):
    monkeypatch.undo()                                       # with the figures, which read what is damaged
    (finished / file).write_bytes(content)
    assert file in failing_command(capsys, "report", finished)


@pytest.mark.parametrize("file", ["config.json", "history.csv"])
def test_the_report_of_a_run_without_its_files_fails_in_one_line(file, finished, capsys, monkeypatch):
    monkeypatch.undo()
    (finished / file).unlink()
    assert file in failing_command(capsys, "report", finished)


def test_the_report_prints_the_table_again_without_training(finished, capsys, monkeypatch):
    monkeypatch.setattr(run, "carry_on", lambda *_: pytest.fail("trained"))
    status, out, err = call(capsys, "report", finished)
    assert (status, err) == (0, [])
    assert "float, rounded to nearest" in out
    assert "stand-in.svg" in out


def test_a_diverging_run_fails_in_one_line_that_names_the_batch(capsys, monkeypatch):
    # Only the message: without kernels, NumPy would also warn of the overflow.
    def diverges(*_, **options):
        raise minilq.NonFiniteError("training", "the loss must stay finite", got="nan in epoch 1, batch 2")

    monkeypatch.setattr("minilq.train.loop.Trainer.run", diverges)
    assert "epoch 1, batch 2" in failing_command(capsys, *TASTE, "--out", "a")


# ---- Ctrl-C outside of the training loop


def test_ctrl_c_while_drawing_says_how_to_go_on(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("minilq.report.figures.draw", lambda folder: signal.raise_signal(signal.SIGINT))
    status, out, err = call(capsys, *TASTE, "--out", "a")
    assert (status, err) == (130, [])
    assert out.splitlines()[-1].endswith("minilq train --resume a")
    assert not (tmp_path / "a" / "DONE").exists()


def test_ctrl_c_before_anything_is_written_just_ends(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "data_for", lambda *_: signal.raise_signal(signal.SIGINT))
    assert call(capsys, *TASTE, "--out", "a")[::2] == (130, ["minilq: interrupted"])
    assert not (tmp_path / "a").exists()


# ---- as a program


def program(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT)


def test_python_m_minilq_runs_and_returns_the_status():
    good, bad = program("-m", "minilq", "--version"), program("-m", "minilq", "report", "nosuch")
    assert (good.returncode, good.stdout, good.stderr) == (0, f"minilq {minilq.__version__}\n", "")
    assert (bad.returncode, bad.stdout, len(bad.stderr.splitlines())) == (1, "", 1)
    assert "Traceback" not in bad.stderr


def test_help_needs_neither_numba_nor_matplotlib():
    code = "import sys; from minilq import cli; cli.parser(); print({'numba', 'matplotlib'} & set(sys.modules))"
    assert program("-c", code).stdout == "set()\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end differently there")
def test_a_reader_that_has_had_enough_is_no_traceback():
    process = subprocess.Popen([sys.executable, "-m", "minilq", "check"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    process.stdout.close()
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == 1


@pytest.mark.deep
def test_check_finds_every_derivative_right():
    done = program("-m", "minilq", "check")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "FAILED" not in done.stdout
    assert re.match(r"(\d+) checks, 0 failed", lines[-1])[1] == str(len(lines) - 2)
    for name in ("matmul", "softmax_cross_entropy", "fake_quantize straight_through chain_rule", "threshold"):
        assert any(line.startswith(name) and " ok" in line for line in lines)


FEW = """
import sys
from minilq import cli, selfcheck
from minilq.autodiff.primitive import PRIMITIVES

selfcheck.PRIMITIVES = {name: PRIMITIVES[name] for name in ("matmul", "relu")}
selfcheck.SCALE_RULES, selfcheck.CHECKED_RULES, selfcheck.QUANTIZERS = ["threshold"], {}, {}
"""
CHECK = "sys.exit(cli.main(['check']))"


def test_check_has_a_line_for_each_and_counts_them():
    done = program("-c", FEW + CHECK)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "FAILED" not in done.stdout
    assert re.match(r"(\d+) checks, 0 failed", lines[-1])[1] == str(len(lines) - 2)
    for name in ("matmul", "relu", "threshold"):
        assert any(line.startswith(name) and " ok" in line for line in lines)


def test_check_fails_when_a_primitive_of_minilqs_own_has_no_check():
    done = program("-c", FEW + "PRIMITIVES['relu'].at = None\n" + CHECK)
    assert (done.returncode, done.stderr) == (1, "")
    failed = [line for line in done.stdout.splitlines() if "FAILED" in line]
    assert len(failed) == 1
    assert re.match(r"relu .*FAILED registered without sample points", failed[0])
    assert "1 failed" in done.stdout.splitlines()[-1]
