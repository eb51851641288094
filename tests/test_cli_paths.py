"""report, sizes, export and evaluate take a run's folder, a sweep's, a point's, or a file alike."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from minilq import cli
from minilq.errors import UnwritableError
from minilq.experiments import run
from minilq.experiments.grid import points_of
from minilq.experiments.sweep import read_points, run_sweep
from tests.commands import call

COMMANDS = ("report", "sizes", "export", "evaluate")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, the file of its network, and a sweep of three points."""
    folder = tmp_path_factory.mktemp("paths")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "QUICK_IMAGES", 200)
        patch.setattr("minilq.report.figures.draw", lambda folder: [folder / "figures" / "stand-in.svg"])
        assert cli.main(["train", "--quick", "--epochs", "1", "--input", "unit", "--out", str(folder / "run")]) == 0
        assert cli.main(["export", str(folder / "run"), "--out", str(folder / "model.mlq")]) == 0
        points = points_of([{"nested": [1e-9, 1e-7], "input": "unit", "epochs": 1}], {"quick": True})
        with ThreadPoolExecutor(1) as pool:
            assert run_sweep("a grid", points, folder / "sweep", pool, lambda text: None) == {}
    return folder


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "QUICK_IMAGES", 200)
    monkeypatch.setattr("minilq.experiments.point._data", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("minilq.report.figures.draw", lambda folder: [folder / "figures" / "stand-in.svg"])
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "made"))


NESTED = "sweep/points/nested-row-1e-07-floor-unit-scratch-42"


@pytest.mark.parametrize("path", ["run", "model.mlq", NESTED])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_a_file_and_a_point_are_taken_alike(command, path, there, capsys):
    status, out, err = call(capsys, command, path, *(("--out", "new.mlq") if command == "export" else ()))
    assert (status, err) == (0, [])
    assert [line for line in out.splitlines() if len(line) > 80 and path not in line] == []
    want = {"report": "times smaller", "sizes": "Shannon", "export": "new.mlq: ", "evaluate": "as in the run"}
    assert want[command] in out


@pytest.mark.parametrize("command", COMMANDS)
def test_of_a_sweep_the_points_are_listed_with_the_command_for_one(command, there, capsys):
    status, out, err = call(capsys, command, "sweep")
    assert (status, err) == (0 if command == "report" else 2, [])
    listed = [line for line in out.splitlines() if line.startswith("nested")]
    wanted = [p for p in read_points(run.Path("sweep")) if p["scheme"] == "nested"]
    assert [line.split()[0] for line in listed] == [p["name"] for p in wanted]
    for line, point in zip(listed, wanted, strict=True):
        assert f"{100 * point['accuracy']:.2f} %" in line
        assert f"{point['unique_integers']:,}" in line
    last = out.splitlines()[-1]
    assert last == f"minilq {command} sweep/points/{wanted[0]['name']}"
    more = ("--out", "x.mlq") if command == "export" else ()
    assert call(capsys, *last.split()[1:], *more)[0] == 0


def test_the_table_of_a_point_stands_beside_its_float_network(there, capsys):
    floats, _, quantized = read_points(run.Path("sweep"))
    out = call(capsys, "report", NESTED)[1]
    rows = [line.split() for line in out.splitlines() if line.startswith(("float ", "quantized "))]
    assert rows[0][:3] == ["float", f"{100 * floats['accuracy']:.2f}", "%"]
    assert rows[1][:4] == ["quantized", f"{100 * quantized['accuracy']:.2f}", "%", f"{quantized['unique_integers']:,}"]
    out = call(capsys, "report", "sweep/points/float-unit-42")[1]
    assert "quantized" not in out


@pytest.mark.parametrize("command", ["sizes", "export", "evaluate"])
def test_a_float_point_has_no_integers_and_that_is_said(command, there, capsys):
    status, _, err = call(capsys, command, "sweep/points/float-unit-42")
    assert (status, len(err)) == (1, 1)
    assert "a quantized network was expected" in err[0]


def test_a_file_is_exported_again_to_the_same_integers(there, capsys):
    for source, out in (("run", "a.npz"), ("model.mlq", "b.npz")):
        assert call(capsys, "export", source, "--format", "npz", "--out", out)[0] == 0
    assert run.Path("a.npz").read_bytes() == run.Path("b.npz").read_bytes()
    status, out, _ = call(capsys, "export", "model.mlq", "--coder", "packed", "--out", "packed.mlq")
    assert status == 0
    assert "as in the run" in call(capsys, "evaluate", "packed.mlq")[1]
    assert call(capsys, "export", "model.mlq", "--format", "npz")[1].startswith("model.npz: ")
    status, _, err = call(capsys, "export", "model.mlq")
    assert (status, len(err)) == (2, 1)
    assert "must name another file" in err[0]


def test_a_report_that_cannot_be_written_prints_its_table_and_says_what_it_could_not(there, capsys, monkeypatch):
    def read_only(folder):
        raise UnwritableError(str(folder / "figures"), "must be writable", got="Read-only file system")

    monkeypatch.setattr("minilq.report.figures.draw", read_only)
    status, out, err = call(capsys, "report", "run")
    assert (status, len(err)) == (1, 1)
    assert "float, rounded to nearest" in out
    assert "figures could not be written" in err[0]
    assert "Read-only file system" in err[0]


def test_the_report_of_a_run_without_a_result_says_so(there, capsys):
    run.Path("run/result.json").unlink()
    status, out, _ = call(capsys, "report", "run")
    assert status == 0
    assert "run has no result yet" in out


@pytest.mark.parametrize("change", [{"bytes_entropy": 0}, {"bits": "four"}, {"integer_type": 8}, {"scales": None}])
def test_a_damaged_result_of_a_point_is_one_line(change, there, capsys):
    path = run.Path(NESTED) / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    status, _, err = call(capsys, "report", NESTED)
    assert (status, len(err)) == (1, 1)
    assert "result.json" in err[0]


def test_what_is_neither_is_one_line(there, capsys):
    run.Path("empty").mkdir()
    for command in COMMANDS:
        for path in ("empty", "nosuch", "run/config.json"):
            status, _, err = call(capsys, command, path)
            assert (status, len(err)) == (1, 1)
            assert path in err[0]


def test_without_a_command_the_help_is_printed_in_groups_with_three_examples(capsys):
    status, out, err = call(capsys)
    assert (status, err) == (0, [])
    assert max(map(len, out.splitlines())) <= 80
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and not line.startswith("  -")]
    assert sorted(set(listed) - {"minilq"}) == sorted(cli.COMMANDS)
    assert listed.count("minilq") == 3
    assert call(capsys, "--help")[1] == out
