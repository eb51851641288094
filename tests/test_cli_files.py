"""A network as a file from the command line: sizes, export, load, evaluate, and what a wrong argument or file gives."""

import io
import json
import os
import re
import shutil

import numpy as np
import pytest

from minilq import cli
from minilq.experiments import run
from minilq.experiments.config import RunConfig
from minilq.experiments.run import trained
from minilq.experiments.stored import config_of, network_at
from minilq.nn import coded_in
from minilq.store.modelfile import contents, load
from minilq.store.npz import from_npz
from minilq.store.safetensors import from_safetensors
from tests.commands import call

TASTE = ("train", "--quick", "--epochs", "2", "--granularity", "row", "--threshold", "1e-7")


@pytest.fixture(autouse=True)
def few_images(monkeypatch, tmp_path):
    """200 images, and a working folder of the test's own."""
    monkeypatch.setattr(run, "QUICK_IMAGES", 200)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "QUICK_IMAGES", 200)
        patch.setattr("minilq.report.figures.draw", lambda folder: [])
        assert cli.main([*TASTE, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def finished(run_once, tmp_path):
    return shutil.copytree(run_once, tmp_path / "run")


def accuracy_of(folder):
    return json.loads((folder / "result.json").read_text())["accuracy"]


@pytest.mark.parametrize("coder", ["packed", "huffman", "range", "context", "smallest"])
def test_an_exported_run_evaluates_to_its_accuracy(capsys, finished, coder):
    status, out, err = call(capsys, "export", finished, "--coder", coder)
    file = finished / "model.mlq"
    assert (status, err) == (0, [])
    assert out == f"{file}: {file.stat().st_size:,} bytes\n"
    assert file.read_bytes() == contents(trained(finished, "quantized"), coder, load(file).facts)
    status, out, err = call(capsys, "evaluate", file)
    assert (status, err) == (0, [])
    assert out.startswith(f"digits: accuracy {100 * accuracy_of(finished):.2f} %")
    assert "as in the run" in out


def test_load_shows_what_is_in_a_file(capsys, finished):
    call(capsys, "export", finished)
    status, out, err = call(capsys, "load", finished / "model.mlq")
    assert (status, err) == (0, [])
    assert "flatten1, dense1, relu1, dense2" in out
    line = next(line for line in out.splitlines() if line.startswith("dense1.weight"))
    codes = coded_in(trained(finished, "quantized"))["dense1.weight"].codes
    assert line.split()[1:] == ["784", "x", "128", "784", "scales", str(len(np.unique(codes))),
                                f"{codes.min()}..{codes.max()}", str(int(np.ceil(np.log2(np.ptp(codes) + 1))))]
    assert 'input: "unit"' in out
    assert "nested lam=1e-07: dense1.weight, dense2.weight" in out
    assert "not in the file: the latents" in out


def test_sizes_of_a_run_and_of_its_file_are_one_table(capsys, finished):
    call(capsys, "export", finished)
    status, of_run, err = call(capsys, "sizes", finished)
    assert (status, err) == (0, [])
    assert (finished / "figures" / "sizes.svg").read_text().startswith("<?xml")
    status, of_file, err = call(capsys, "sizes", finished / "model.mlq", "--out", "new/figure.svg")
    assert (status, err) == (0, [])
    assert of_file.split("\n\nfigure")[0] == of_run.split("\n\nfigure")[0]
    assert of_file.endswith("figure: new/figure.svg\n")
    last = next(line for line in of_file.splitlines() if line.startswith("file "))
    assert last.split()[-2] == f"{(finished / 'model.mlq').stat().st_size:,}"


@pytest.mark.parametrize(("kind", "read"), [("npz", from_npz), ("safetensors", from_safetensors)])
def test_arrays_for_other_programs(capsys, finished, kind, read):
    assert call(capsys, "export", finished, "--format", kind, "--out", f"x.{kind}")[0] == 0
    coded, floats = read(finished.parent / f"x.{kind}")
    assert floats == {}
    for name, wanted in coded_in(trained(finished, "quantized")).items():
        np.testing.assert_array_equal(coded[name].codes, wanted.codes)
        np.testing.assert_array_equal(coded[name].grid.scale, wanted.grid.scale)


def test_onnx_takes_images_of_any_number(capsys, finished):
    onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
    assert call(capsys, "export", finished, "--format", "onnx")[0] == 0
    shape = onnx.load(finished / "model.onnx").graph.input[0].type.tensor_type.shape
    assert [d.dim_param or d.dim_value for d in shape.dim] == ["N", 28, 28]


def test_other_data_and_fewer_images(capsys, finished):
    call(capsys, "export", finished)
    status, out, _ = call(capsys, "evaluate", finished / "model.mlq", "--limit", "80")
    assert status == 0
    assert "run" not in out
    assert call(capsys, "evaluate", finished / "model.mlq", "--data", "cifar10", "--data-dir", "x")[0] == 2


def test_what_a_file_leaves_out_is_the_thesis_whatever_is_usual(finished):
    stored = network_at(finished)
    assert stored.facts["input"] == RunConfig().input == "unit"
    for facts in ({"data": "digits"}, {}):
        assert config_of(stored._replace(facts=facts), {"data": "digits"}).input == "raw"


def test_a_changed_network_does_not_pass_for_its_run(capsys, finished):
    model, facts = trained(finished, "quantized"), {"data": "digits", "quick": True, "accuracy": 0.125}
    (finished / "other.mlq").write_bytes(contents(model, "range", facts))
    assert "; the run had 12.50 %" in call(capsys, "evaluate", finished / "other.mlq")[1]


def test_facts_of_somebody_else_are_shown_escaped_and_cut(capsys, finished):
    facts = {"\x1b[2J\u202e": "\x1b[2J", "long": "a" * 5000, "b" * 5000: 1}
    (finished / "odd.mlq").write_bytes(contents(trained(finished, "quantized"), "range", facts))
    status, out, err = call(capsys, "load", finished / "odd.mlq")
    assert (status, err) == (0, [])
    assert all(line.isprintable() for line in out.splitlines())
    assert "\\x1b[2J\\u202e: " in out
    assert max(map(len, out.splitlines())) < 500


@pytest.mark.parametrize("facts", [{"data": "nothing"}, {"data": "digits", "limit": "many"}, {"data": ["digits"]},
                                   *({"data": "digits", "accuracy": odd} for odd in ("high", [1], 10**400, True, 2.0))])
def test_facts_that_make_no_sense_are_damage(capsys, finished, facts):
    (finished / "odd.mlq").write_bytes(contents(trained(finished, "quantized"), "range", facts))
    status, out, err = call(capsys, "evaluate", finished / "odd.mlq")
    assert (status, out, len(err)) == (1, "", 1)
    assert "facts of the model file" in err[0]


def test_a_network_that_needs_too_much_memory_is_one_line(capsys, finished, monkeypatch):
    def too_much(*arguments):
        raise MemoryError("Unable to allocate 7 TiB")

    call(capsys, "export", finished)
    monkeypatch.setattr("minilq.experiments.stored.evaluate", too_much)
    status, out, err = call(capsys, "evaluate", finished / "model.mlq")
    assert (status, out, err) == (1, "", ["minilq: not enough memory: Unable to allocate 7 TiB"])


def test_output_that_cannot_be_written_is_one_line(capsys, finished, monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    call(capsys, "export", finished)
    monkeypatch.setattr("sys.stdout", Full())
    assert cli.main(["load", str(finished / "model.mlq")]) == 1
    assert capsys.readouterr().err == "minilq: standard output: must be writable; got No space left on device\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_device_or_a_pipe_is_not_replaced(capsys, finished, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    status, out, err = call(capsys, "export", finished, "--out", tmp_path / "pipe")
    assert (status, out, len(err)) == (1, "", 1)
    assert "plain file" in err[0]
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_that_names_no_data_asks_for_them(capsys, finished):
    (finished / "bare.mlq").write_bytes(contents(trained(finished, "quantized")))
    status, _, err = call(capsys, "evaluate", finished / "bare.mlq")
    assert (status, len(err)) == (2, 1)
    assert "--data" in err[0]
    told = ("--data", "digits", "--input", "unit", "--limit", "80")
    assert call(capsys, "evaluate", finished / "bare.mlq", *told)[0] == 0


@pytest.mark.parametrize("command", ["load", "evaluate", "sizes", "export", "report"])
@pytest.mark.parametrize("make", [
    lambda path: None, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"not a model file at all"),
    lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path)],
    ids=["nothing", "empty", "text", "folder", "device", "loop"])
def test_no_model_file_is_one_line(capsys, tmp_path, command, make):
    path = tmp_path / "x.mlq"
    make(path)
    status, out, err = call(capsys, command, path)
    assert (status in (1, 2), out, len(err)) == (True, "", 1)
    assert "x.mlq" in err[0]


def test_wrong_arguments_are_one_line(capsys, finished, tmp_path):
    for arguments, word in ((("--format", "pt"), "safetensors"), (("--coder", "zip"), "huffman"),
                            (("--format", "npz", "--coder", "range"), "mlq"), (("--out", tmp_path), "folder")):
        status, out, err = call(capsys, "export", finished, *arguments)
        assert (status, out, len(err)) == (2, "", 1)
        assert word in err[0]
    assert call(capsys, "export", tmp_path / "nowhere")[0] == 1
    assert not (finished / "model.mlq").exists()


def test_a_full_or_forbidden_place_leaves_the_old_file(capsys, finished, monkeypatch):
    call(capsys, "export", finished)
    before = (finished / "model.mlq").read_bytes()

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    status, _, err = call(capsys, "export", finished, "--coder", "packed")
    assert (status, len(err)) == (1, 1)
    assert "No space left" in err[0]
    assert (finished / "model.mlq").read_bytes() == before
    assert not list(finished.glob(".*.part"))


def test_on_integers_alone_nearly_everything_is_the_same(capsys, finished):
    call(capsys, "export", finished)
    status, out, err = call(capsys, "evaluate", finished / "model.mlq", "--integer")
    assert (status, err) == (0, [])
    trained_, twin, whole = (float(re.search(rf"^{name}.* ([\d.]+) %$", out, re.MULTILINE)[1])
                             for name in ("as trained", "its twin", "on integers alone"))
    assert trained_ == pytest.approx(100 * accuracy_of(finished), abs=0.01)
    assert max(abs(whole - trained_), abs(twin - trained_)) < 5              # of 50 images
    same = float(re.search(r"predict the same for ([\d.]+) %", " ".join(out.split()))[1])
    assert same >= 98
    assert abs(whole - twin) <= 100 - same
    rows = [line.split() for line in out.splitlines() if line.startswith("dense")]
    assert [row[0] for row in rows] == ["dense1", "dense2"]
    assert all(int(row[1]) <= 1 for row in rows)
