"""Sweeps: grids, points in folders of their own, executors, interruptions, failures."""

import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minilq
from minilq import cli, files
from minilq.experiments import point, processes, sweep
from minilq.experiments.claim import claimed
from minilq.experiments.command import command
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.grid import points_of
from minilq.experiments.grids import blocks_of
from minilq.experiments.result import read_result
from minilq.experiments.run import Stopped, trained
from minilq.nn import coded_in
from minilq.report.page import write_page
from minilq.train.history import read_history
from tests.commands import Serial

pytestmark = pytest.mark.usefixtures("few_roundings")

SMALL = {"limit": 200, "batch": 50, "epochs": 2}
BLOCK = {"nested": [1e-3, 1e-2], "difference": [1e-2], "start": ["scratch", "post"], **SMALL}


def swept(folder, blocks=(BLOCK,), executor=None, log=lambda text: None):
    points = points_of(blocks, {})
    return sweep.run_sweep("a grid", points, folder, executor or Serial(), log)


def contents(folder):
    """Everything that a sweep leaves but for the seconds."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "history.csv":
            files[path.relative_to(folder)] = [{k: v for k, v in row.items() if k != "seconds"}
                                               for row in read_history(path)]
        elif path.suffix == ".npz":
            files[path.relative_to(folder)] = {k: v.tobytes() for k, v in np.load(path).items()}
        elif path.is_file():
            files[path.relative_to(folder)] = path.read_bytes()
    return files


# ---- grids


def test_a_block_is_multiplied_out():
    points = points_of([{"nested": [1e-10, 1e-9], "maxbin": [1e-8], "granularity": ["row", "scalar"], "seed": [1, 2],
                         "rounding": "nearest", "input": ["raw", "unit"], "start": ["scratch", "post"]}], {"epochs": 3})
    assert len(points) == 2 * 2 + 3 * 2 * 2 * 2 * 2
    assert len({p.name for p in points}) == len(points)
    assert [p.network for p in points[:4]] == ["float"] * 4
    assert [p.start is None for p in points] == sorted((p.start is None for p in points), reverse=True)
    assert {p.config.epochs for p in points} == {3}
    one = next(p for p in points if p.name == "maxbin-scalar-1e-08-nearest-unit-post-2")
    assert (one.scheme, one.strength, one.start) == ("maxbin", 1e-8, "float-unit-2")
    assert one.config == RunConfig(recipe="thesis", penalty="maxbin", rate=1e-8, granularity="scalar",
                                   rounding="nearest", seed=2, input="unit", epochs=3)


def test_the_thesis_grids():
    points = points_of(blocks_of("thesis-mnist"), {"data": "mnist"})
    learned = [p for p in points if p.network == "quantized" and p.strength > 0]
    assert sum(p.scheme == "nested" for p in learned) == 3 * 5 * 2
    assert sum(p.scheme != "nested" for p in learned) == 3 * 3 * 9 * 2
    assert {p.config.epochs for p in points} == {20}
    thesis, good = (p.config for p in points if p.network == "float")
    assert thesis == RunConfig(data="mnist", recipe="thesis")
    assert good == RunConfig(data="mnist", recipe="thesis", input="unit", lr=1e-3, adam="torch", batch=128)
    assert good in [p.config for p in points_of(blocks_of("best-mnist"), {"data": "mnist"})]
    assert len(points_of(blocks_of("thesis-mnist", quick=True), {"quick": True})) < len(points)
    channels = points_of(blocks_of("thesis-cifar10"), {"data": "cifar10"})
    assert {p.config.granularity for p in channels if p.network == "quantized"} == {
        "row", "column", "scalar", "channel"}


def test_ungated_is_the_rule_without_its_gate():
    (_, ungated) = points_of([{"ungated": [1e-9]}], {})
    assert ungated.config.gate is False
    assert ungated.config.threshold == 1e-9
    (_, nested) = points_of([{"nested": [1e-9]}], {})
    assert nested.config.gate is True


def test_a_grid_has_the_thesis_recipe_unless_it_names_another():
    float_network, nested = points_of([{"nested": [1e-9], "recipe": "usual", "seed": 3}], {})
    assert float_network.config == RunConfig(seed=3)
    assert nested.config == RunConfig(seed=3, threshold=1e-9)
    assert nested.name == "nested-scalar-1e-09-floor-unit-scratch-3"
    both = points_of([{"nested": [1e-9], "recipe": ["usual", "thesis"]}], {})
    assert [p.name for p in both if p.network == "quantized"] == [
        "nested-scalar-1e-09-floor-unit-scratch-42-recipe-usual", "nested-row-1e-09-floor-raw-scratch-42-recipe-thesis"]


def test_settings_of_quantizers_may_stand_in_a_block():
    baseline, one = points_of([{"squared_deviation": [1e-4], "rounding": "nearest", "threshold": 1e-10,
                                "layer_rates": {"dense2": 1e-5}}], {})
    assert (one.config.threshold, one.config.layer_rates, one.strength) == (1e-10, {"dense2": 1e-5}, 1e-4)
    assert baseline.config == RunConfig(recipe="thesis")


def test_every_list_is_an_axis_choices_of_methods_too():
    block = {"weights": {"method": "lsq", "bits": [2, 3, 4]}, "seed": [1, 2],
             "inputs": [None, {"method": "lsq", "bits": 4, "signed": False}]}
    points = points_of([block], {"epochs": 3})
    quantized = [p for p in points if p.network == "quantized"]
    assert [p.name for p in points[:2]] == ["float-raw-1", "float-raw-2"]
    assert len(points) == 2 + 3 * 2 * 2 == len({p.name for p in points})
    assert {(p.scheme, p.strength) for p in quantized} == {("lsq", bits) for bits in (2, 3, 4)}
    one = next(p for p in points if p.name == "lsq-bits3-raw-scratch-2-inputs-lsq-bits4-signedfalse")
    assert one.config == RunConfig(recipe="thesis", weights={"method": "lsq", "bits": 3}, epochs=3, seed=2,
                                   inputs={"method": "lsq", "bits": 4, "signed": False})
    assert one.variant == "inputs lsq bits=4 signed=false"
    assert sum(p.name.endswith("-inputs-none") for p in points) == 6
    several = points_of([{"weights": [{"method": "pact", "bits": [2, 4]}, {"method": "nested", "lam": [1e-9, 1e-8]}],
                          "lr": [1e-3, 1e-4], "start": ["scratch", "post"]}], {})
    assert len(several) == 2 + 2 * 4 * 2
    assert {p.config.lr for p in several if p.network == "float"} == {1e-3, 1e-4}
    post = next(p for p in several if p.name == "nested-row-1e-09-floor-raw-post-42-lr-0.001")
    assert (post.start, post.config.threshold, post.scheme) == ("float-raw-42-lr-0.001", 1e-9, "nested")


@pytest.mark.deep
def test_a_whole_grid_of_methods_is_swept_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("minilq.report.page.svg_of", lambda figure, name: '<svg width="1pt"></svg>')
    blocks = [{"weights": [{"method": "lsq", "bits": [2, 4], "granularity": "filter"}, {"method": "affine", "bits": 3}],
               "inputs": [None, {"method": "pact", "bits": 4}], **SMALL}, {"nested": [1e-3], **SMALL}]
    assert swept(tmp_path, blocks) == {}
    points = sweep.read_points(tmp_path)
    assert len(points) == 1 + 3 * 2 + 1
    own = {p["scheme"]: p for p in points if "pact" in p.get("variant", "")}
    assert (own["lsq"]["granularity"], own["lsq"]["rounding"], own["lsq"]["strength"]) == ("filter", "own", 4)
    assert own["affine"]["bits"] <= 3
    assert all(shlex.split(p["command"])[2:5] == ["--recipe", "thesis", "--weights"] for p in own.values())
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert "lsq, bits = 4" in page
    assert "inputs pact bits=4" in page
    assert {path.stem for path in (tmp_path / "figures").glob("curves-lsq*")} == {
        "curves-lsq-raw-own-inputs-none-scratch", "curves-lsq-raw-own-inputs-pact-bits-4-scratch"}
    assert 'data-value="4">4<' in page


def test_layers_and_sites_that_are_not_there_are_found_before_anything_is_trained(tmp_path):
    for own in ({"layer_thresholds": {"dense3": 1e-9}}, {"own": {"dense3.weight": None}}):
        with pytest.raises(minilq.ConfigError, match=r"must be one of .*got dense3"):
            swept(tmp_path, [{"nested": [1e-3], **own, **SMALL}])
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("blocks", "message"), [
    ([{"weights": {"method": "lsq"}, "nested": [1e-9]}], "schemes or weights; got weights and nested"),
    ([{"weights": {"method": "lsq", "bits": []}}], "bits of weights must hold at least one value"),
    ([{"weights": {"method": "lsq", "bit": [2]}}], "got bit. Did you mean 'bits'"),
    ([{"weights": "lsq"}], "weights must be a method with flags"),
    ([{"weights": {"method": "pact"}, "granularity": "row"}], "granularity is no flag of the method pact"),
    ([{"weights": {"method": "lsq"}, "quantise": "all"}], "got quantise. Did you mean 'quantize'"),
    ([{"nested": [None]}], "threshold must be a number >= 0; got None"),
    ([{"nested": [1e-9], "seed": [None]}], "seed must be a whole number, at least 0; got None"),
    ([{"nested": [1e-9], "start": [["scratch"]]}], "start must hold scratch or post"),
    ([{"nested": [1e-9], "input": [["raw"]]}], "input must be one of raw, unit"),
    ([{"nested": {"a": 1}}], "must be a number >= 0"),
    ([{"nested": [1e-9], "epochs": {}}], "epochs must be a whole number"),
    ([{"nested": [1e-9], "layer_thresholds": 3}], "layer_thresholds must be a dict"),
    ([{"nestd": [1e-9]}], "a grid holds schemes .* got nestd"),
    ([{"nested": []}], "nested must hold at least one value"),
    ([{"nested": [1e-9], "start": ["later"]}], "start must hold scratch or post; got 'later'"),
    ([{"nested": ["x"]}], "threshold must be a number >= 0"),
    ([{"nested": [1e-9], "granularity": ["rows"]}], "granularity must be one of"),
    ([{"nested": [1e-9], "epochs": 2}, {"nested": [1e-9], "epochs": 3}], "one name but different settings; got float"),
    ([{"nested": [1e-9], "gate": False}], "got gate"),
    ([{"weights": {"method": "lsq", "bits": [2] * 1000, "granularity": ["row"] * 1000}}], "at most 20,000 points"),
    ([{"nested": [10**400]}], "threshold must be a number >= 0; got 10000"),
    ([{"nested": [1e-9], "seed": 2**128}], r"seed must be less than 2\^128"),
    ([{"nested": [1e-9], "epochs": 2**63}], r"epochs must be less than 2\^63"),
    ([{"nested": [1e-9], "layer_thresholds": {"dense1=": 1}}], "layer_thresholds must be a dict of names of layers"),
    ([{"nested": [1e-9], "own": {"": None}}], "own must be a dict of names of sites"),
])
def test_bad_grids(blocks, message):
    with pytest.raises(minilq.ConfigError, match=message):
        points_of(blocks, {})


def test_lists_that_multiply_to_too_many_points_are_refused(monkeypatch):
    monkeypatch.setattr("minilq.experiments.grid.MOST_POINTS", 20)
    with pytest.raises(minilq.ConfigError, match="the grid must give at most 20 points; got more"):
        points_of([{"nested": [1e-9], "seed": list(range(100)), "epochs": list(range(1, 10**6))}], {})


def test_the_name_of_a_point_is_one_that_file_systems_take():
    own = {f"residual1.body.conv2d{i}.weight": {"method": "lsq", "bits": i} for i in range(2, 12)}
    block = {"weights": {"method": "lsq"}, "own": [own, {**own, "dense1.bias": None}]}
    names = [point.name for point in points_of([block], {})]
    assert len(set(names)) == len(names) == 3
    assert all(len(name.encode()) <= 150 for name in names)
    assert names[0] == "float-raw-42"


def test_grids_in_files(tmp_path):
    file = tmp_path / "grid.json"
    for text, message in (("[]", "list of them"), ("3", "got int"), ("{", "a grid in JSON"),
                          ('{"nested": [1e-9], "nested": [1e-8]}', "the key 'nested' twice"), ("[1]", "list of them"),
                          ('{"nested": ' + "[" * 900 + "]" * 900 + "}", "lists or objects in more than 10 others")):
        file.write_text(text)
        with pytest.raises(minilq.DataError, match=message):
            blocks_of(str(file))
    file.write_text(json.dumps(BLOCK))
    assert blocks_of(str(file)) == [BLOCK]
    file.write_text("\ufeff" + json.dumps(BLOCK), encoding="utf-8")         # as some editors write it
    assert blocks_of(str(file)) == [BLOCK]
    with pytest.raises(minilq.ConfigError, match="must be one of thesis-mnist, thesis-cifar10"):
        blocks_of("thesis-mnits")


# ---- runs


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished sweep of seven points, and the lines that it printed."""
    folder, lines = tmp_path_factory.mktemp("sweep"), []
    assert swept(folder, log=lines.append) == {}
    return folder, lines


def test_points_and_lines(done):
    folder, lines = done
    points = sweep.read_points(folder)
    assert len(points) == len(lines) == 7
    assert [p["name"] for p in points] == sweep.read_sweep(folder)["points"]
    assert lines[-1].startswith("[  7/7]")
    assert lines[-1].endswith(tuple(p["name"] for p in points))
    assert max(map(len, lines)) <= 80
    for p in points:
        assert p["folder"] == folder / "points" / p["name"]
        assert (p["steps"], p["train_images"], p["parameters"]) == (8, 200, 101770)
        if p["scheme"] != "float":
            assert p["integer_min"] <= p["integer_max"]
            assert p["bytes_entropy"] < p["bytes_packed"] < p["bytes_float32"]
    rows = read_history(points[-1]["folder"] / "history.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["validation_accuracy"] == points[-1]["accuracy"]
    assert rows[-1]["penalty/difference"] > 0
    assert len(coded_in(trained(points[-1]["folder"], "quantized"))) == 4


def test_another_executor_gives_the_same(done, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        assert swept(tmp_path, executor=pool) == {}
    assert contents(tmp_path) == contents(done[0])


def test_a_command_gives_the_numbers_of_its_point(done, no_figures, monkeypatch, capsys):
    folder, _ = done
    monkeypatch.chdir(folder)
    for p in sweep.read_points(folder):
        if p["scheme"] == "float":
            continue
        out = f"again-{p['name']}"
        assert cli.main([*shlex.split(p["command"])[1:], "--out", out]) == 0
        result = read_result(folder / out)
        same = [k for k in p if k in result and k != "bytes_float32_zip"]      # there of the baseline, here its own
        assert {k: p[k] for k in same} == {k: result[k] for k in same}
        assert "bytes_entropy" in same
    capsys.readouterr()


@pytest.mark.parametrize("config", [
    RunConfig(data="mnist", layer_thresholds={"dense2": 1e-9}), RunConfig(quick=True, holdout=100),
    RunConfig(recipe="thesis", input="unit"),
    RunConfig(penalty="difference", rate=1e-7, layer_rates={"dense1": 0.5}, gate=False, seed=1, input="unit"),
    RunConfig(data="cifar10", granularity="channel", epochs=3, penalty="maxbin", rate=0.0, threshold=1e-12)])
def test_commands_have_every_setting(config, monkeypatch, tmp_path):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minilq.experiments.run.start", lambda config, *_: seen.append(config) or {})
    monkeypatch.setattr("minilq.cli.training.show_table", lambda folder, verbose: None)
    monkeypatch.setattr("minilq.cli.training.show_figures", lambda folder: None)
    monkeypatch.setattr("minilq.files.write_text", lambda path, text: None)
    cli.main(shlex.split(command(config))[1:])
    assert seen == [config]


def test_what_is_done_is_not_done_again(done, monkeypatch):
    folder, _ = done
    monkeypatch.setattr(sweep, "run_point", lambda *args: pytest.fail("run again"))
    lines = []
    assert swept(folder, log=lines.append) == {}
    assert lines == ["7 of 7 points are done already"]


def test_what_somebody_left_who_was_killed_after_the_last_file_of_a_point_is_cleared(done, tmp_path):
    folder = shutil.copytree(done[0], tmp_path / "sweep")
    left, held = sorted((folder / "points").iterdir())[:2]
    (left / ".lock").write_text("process 1 on nowhere")
    (left / ".result.json.part").write_text("{")
    with claimed(held):                                  # by somebody who is about to leave
        assert swept(folder) == {}
        assert (held / ".lock").exists()
    assert not [path for path in folder.rglob(".*")]


def test_what_cannot_be_cleared_stops_no_sweep(done, tmp_path, monkeypatch):
    folder = shutil.copytree(done[0], tmp_path / "sweep")
    left = next((folder / "points").iterdir())
    (left / ".lock").write_text("somebody else's")

    @contextlib.contextmanager
    def refused(*args, **options):
        raise minilq.errors.UnwritableError(str(left), "must be writable")
        yield

    monkeypatch.setattr(sweep, "claimed", refused)
    assert swept(folder) == {}


def test_a_stopped_point_goes_on_to_the_same_bits(done, tmp_path):
    (points,) = [[p for p in points_of([BLOCK], {}) if p.start is None and p.network == "quantized"][:1]]
    batches = iter(range(100))
    point.stop_when(lambda: next(batches) == 6)          # in the second epoch
    try:
        assert point.run_point(points[0], tmp_path / "points") is None
    finally:
        point.stop_when(lambda: False)
    own = tmp_path / "points" / points[0].name
    assert not (own / "DONE").exists()
    assert (own / "quantized.npz").exists()
    point.stop_when(lambda: True)
    try:
        with pytest.raises(Stopped):
            swept(tmp_path)
    finally:
        point.stop_when(lambda: False)
    assert swept(tmp_path) == {}
    assert contents(tmp_path) == contents(tmp_path) | {k: v for k, v in contents(done[0]).items()
                                                       if not str(k).startswith("again")}


@pytest.mark.parametrize("file", [pytest.param("history.csv", marks=pytest.mark.deep), "result.json",
                                  pytest.param("DONE", marks=pytest.mark.deep)])
def test_killed_at_its_very_end_a_point_goes_on(file, done, tmp_path, monkeypatch):
    real = point.write_text

    def killed(path, text):
        if path.name == file:
            raise KeyboardInterrupt
        real(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(point, "write_text", killed)
        patch.setattr("minilq.train.history.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            swept(tmp_path)
    assert swept(tmp_path) == {}
    assert contents(tmp_path) == {k: v for k, v in contents(done[0]).items() if not str(k).startswith("again")}


def test_a_point_that_breaks_in_an_unforeseen_way_does_not_stop_the_others(tmp_path, monkeypatch):
    real = point.trainer_for

    def broken(network, config, *rest):
        if config.penalty:
            raise KeyError("unforeseen")
        return real(network, config, *rest)

    monkeypatch.setattr(point, "trainer_for", broken)
    failed = swept(tmp_path, [{"difference": [1e-3], "nested": [1e-3], **SMALL}])
    assert failed == {"difference-row-0.001-floor-raw-scratch-42": "KeyError: 'unforeseen'"}


def test_missing_data_are_found_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["sweep", "--data", "mnist", "--data-dir", str(tmp_path), "--out", str(out)]) == 1
    assert "were expected in" in capsys.readouterr().err
    assert not out.exists()


def test_a_failed_point_is_reported_and_tried_again(tmp_path):
    lines = []
    blocks = [{"nested": [1e-3], "difference": [1e38], **SMALL}]
    with np.errstate(over="ignore", invalid="ignore"):
        failed = swept(tmp_path, blocks, log=lines.append)
    (name,) = failed
    assert name.startswith("difference")
    assert "finite" in failed[name]
    assert any("FAILED" in line and name in line for line in lines)
    assert sweep.read_failures(tmp_path) == failed
    assert len(sweep.read_points(tmp_path)) == 2
    with np.errstate(over="ignore", invalid="ignore"):
        assert swept(tmp_path, blocks) == failed


def test_what_starts_from_a_failed_point_fails_with_it(tmp_path):
    with np.errstate(over="ignore", invalid="ignore"):
        failed = swept(tmp_path, [{"nested": [1e-3], "start": ["post"], "lr": 1e30, **SMALL}])
    assert failed["nested-row-0.001-floor-raw-post-42"] == "it starts from float-raw-42, which failed"


def test_a_point_that_never_trained_may_be_corrected(tmp_path):
    """Its settings were found wrong only after they had been written."""
    blocks = [{"nested": [1e-3], **SMALL}]
    one = points_of(blocks, {})[1]
    assert swept(tmp_path, blocks) == {}
    own = tmp_path / "points" / one.name
    for file in ("quantized.npz", "DONE", "result.json"):
        (own / file).unlink()
    corrected = [{"nested": [1e-3], "layer_thresholds": {"dense2": 1e-4}, **SMALL}]
    assert points_of(corrected, {})[1].name == one.name
    assert swept(tmp_path, corrected) == {}
    assert read_config(own / "config.json").layer_thresholds == {"dense2": 1e-4}
    with pytest.raises(minilq.ConfigError, match=r"other settings; got layer_thresholds"):
        swept(tmp_path, blocks)


@pytest.mark.parametrize("file", ["index.html", "points.csv", "figures/a.svg", "points/mine"])
def test_files_of_something_else_are_never_overwritten(file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine")
    with pytest.raises(minilq.ConfigError, match="must hold nothing that a sweep would overwrite"):
        swept(tmp_path)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


@pytest.mark.parametrize("text", ["mine", "[]", '{"points": 3}'])
def test_a_file_that_is_no_sweeps_is_never_overwritten(text, tmp_path):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(minilq.DataError, match=r"sweep\.json.*Delete it, if it is a sweep's"):
        swept(tmp_path)
    assert (tmp_path / "sweep.json").read_text() == text


def test_a_sweep_goes_on_without_its_list(done, tmp_path):
    shutil.copytree(done[0] / "points", tmp_path / "points")
    shutil.copy(done[0] / "sweep.json", tmp_path / "index.html")
    assert swept(tmp_path) == {}
    assert (tmp_path / "sweep.json").read_bytes() == (done[0] / "sweep.json").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="locks of files are of POSIX systems")
def test_two_sweeps_at_once_share_the_points(done, tmp_path, monkeypatch):
    """Both in this process, by turns: whenever one comes to a point, the other is asked to do the next one first."""
    monkeypatch.setattr(sweep, "SECONDS_BETWEEN_LOOKS", 0.02)
    mine, others = [], []

    def both(name):
        lines = mine if name == "mine" else others
        assert swept(tmp_path, executor=ThreadPoolExecutor(1), log=lines.append) == {}

    threads = [threading.Thread(target=both, args=(name,)) for name in ("mine", "others")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(tmp_path) == {k: v for k, v in contents(done[0]).items() if not str(k).startswith("again")}
    assert any(f"sharing the points with process {os.getpid()}" in line for line in (*mine, *others))
    for lines in (mine, others):
        assert any(line.startswith("[  7/7]") for line in lines)


def test_a_point_that_another_process_has_is_waited_for(done, tmp_path, monkeypatch):
    """Killed, and stopped while waiting."""
    monkeypatch.setattr(sweep, "SECONDS_BETWEEN_LOOKS", 0.02)
    looks, held = [], contextlib.ExitStack()
    shutil.copy(done[0] / "sweep.json", tmp_path)
    held.enter_context(claimed(tmp_path / "points" / "float-raw-42"))

    def log(text):
        raise AssertionError(text)

    def stop():
        looks.append(1)
        return len(looks) > 3

    point.stop_when(stop)
    try:
        with pytest.raises(Stopped):
            swept(tmp_path, log=log)
    finally:
        point.stop_when(lambda: False)
    threading.Timer(0.1, held.close).start()
    assert swept(tmp_path) == {}
    assert contents(tmp_path) == {k: v for k, v in contents(done[0]).items() if not str(k).startswith("again")}


@pytest.mark.parametrize("file", ["float.npz", pytest.param("DONE", marks=pytest.mark.deep)])
def test_a_write_that_fails_at_the_end_of_a_point_leaves_the_same_in_the_end(file, done, tmp_path, monkeypatch):
    """The checkpoint is written once more, smaller, when all is measured; then comes DONE."""
    real, writes = files.write_bytes, []

    def failing(path, content):
        if path.parent.name == "float-raw-42" and path.name == file:
            writes.append(path)
            if len(writes) == (2 if file == "float.npz" else 1):
                raise minilq.errors.UnwritableError(str(path), "must be writable")
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("minilq.train.checkpoint.write_bytes", failing)
        patch.setattr(files, "write_bytes", failing)
        with pytest.raises(minilq.errors.UnwritableError):
            swept(tmp_path)
    assert (tmp_path / "points" / "float-raw-42" / "result.json").exists()
    assert swept(tmp_path) == {}
    assert contents(tmp_path) == {k: v for k, v in contents(done[0]).items() if not str(k).startswith("again")}


def test_other_settings_in_the_same_folder_are_refused(done):
    with pytest.raises(minilq.ConfigError, match=r"other settings; got epochs 2, not 3"):
        swept(done[0], [{**BLOCK, "epochs": 3}])


def test_damaged_files_are_named(done, tmp_path):
    swept(tmp_path, [{"nested": [1e-3], **SMALL}])
    result = tmp_path / "points" / "float-raw-42" / "result.json"
    result.write_text("[")
    with pytest.raises(minilq.DataError, match=r"float-raw-42.result\.json"):
        sweep.read_points(tmp_path)
    (tmp_path / "sweep.json").write_text('{"points": ["../x"]}')
    with pytest.raises(minilq.DataError, match=r"sweep\.json"):
        sweep.read_sweep(tmp_path)


# ---- the disk, processes, the command line


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "\ud800", "\x1b[2J", "\u202e", "x" * 300, "a\0b", "é" * 200])
def test_names_that_no_folder_of_a_point_has_are_damage(name, tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps({"points": ["float-raw-42", name]}))
    with pytest.raises(minilq.DataError, match=r"sweep\.json: the names of a sweep's points were expected"):
        sweep.read_sweep(tmp_path)


def test_a_full_disk_ends_the_sweep(tmp_path, monkeypatch):
    full = tmp_path / "full"
    swept(full, [{"nested": [1e-3], **SMALL}])

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("minilq.files.os.fsync", no_space)
    with pytest.raises(minilq.DataError, match=r"No space left on device.*free some space"):
        swept(tmp_path / "fresh")
    calls = []
    run = point.run_point
    monkeypatch.setattr(sweep, "run_point", lambda *args: calls.append(args) or run(*args))
    monkeypatch.setattr("minilq.experiments.claim.write_text", Path.write_text)
    with pytest.raises(minilq.DataError, match="must be writable"):
        swept(full, [{"nested": [1e-3, 1e-2], **SMALL}])
    assert len(calls) == 1


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["sweep", "--quick", "--out", str(tmp_path / "file" / "sweep")]) == 2
    assert "--out must be a folder" in capsys.readouterr().err


def test_a_dead_process_is_replaced(tmp_path, monkeypatch):
    attempts = []

    class Fragile(Serial):
        def __init__(self, *args):
            attempts.append(self)

        def submit(self, *args):
            if len(attempts) < 2:
                raise BrokenExecutor
            return super().submit(*args)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Fragile)
    points = points_of([BLOCK], {})
    lines = []
    assert processes.sweep_in_processes("a grid", points, tmp_path, 1, lines.append) == {}
    assert "attempt 1 of 3" in lines[0]
    attempts[:] = []
    monkeypatch.setattr(Fragile, "submit", lambda *args: (_ for _ in ()).throw(BrokenExecutor))
    assert processes.sweep_in_processes("a grid", points_of([{"nested": [0.5], **SMALL}], {}), tmp_path, 1,
                                        lines.append) == dict.fromkeys(
        ("float-raw-42", "nested-row-0.5-floor-raw-scratch-42"), "the process that ran it died")


def test_jobs_must_be_positive(tmp_path):
    with pytest.raises(minilq.ConfigError, match="jobs must be at least 1"):
        processes.sweep_in_processes("a grid", [], tmp_path, 0, print)


def sweep_command(out, grid_file):
    return [sys.executable, "-m", "minilq", "sweep", str(grid_file), "--jobs", "2", "--out", str(out)]


@pytest.fixture
def grid_file(tmp_path):
    file = tmp_path / "grid.json"
    file.write_text(json.dumps({"nested": [1e-3, 1e-2], "start": ["scratch", "post"], "limit": 400, "epochs": 12}))
    return file


def until(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.deep
def test_killed_or_interrupted_and_started_again_it_gives_the_same_page(tmp_path, grid_file):
    whole = subprocess.run(sweep_command(tmp_path / "a", grid_file), capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    for name, how, status in (("b", signal.SIGKILL, -signal.SIGKILL), ("c", signal.SIGINT, 130)):
        out = tmp_path / name
        process = subprocess.Popen(sweep_command(out, grid_file), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        until(lambda out=out: list(out.glob("points/*/DONE")), process)
        process.send_signal(how)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == status
        assert ("Go on with the same command" in printed) == (how == signal.SIGINT)
        assert len(list(out.glob("points/*/DONE"))) < 5
        again = subprocess.run(sweep_command(out, grid_file), capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert "done already" in again.stdout
        for file in ("index.html", "points.csv"):
            assert (out / file).read_bytes() == (tmp_path / "a" / file).read_bytes()
        ours = {k: v for k, v in contents(out).items() if str(k).startswith("points")}
        assert ours == {k: v for k, v in contents(tmp_path / "a").items() if str(k).startswith("points")}


@pytest.mark.deep
def test_processes_end_with_the_one_that_began_them(tmp_path, grid_file):
    process = subprocess.Popen(sweep_command(tmp_path / "a", grid_file), stdout=subprocess.PIPE, text=True)
    until(lambda: list((tmp_path / "a").glob("points/*/config.json")), process)
    group = [int(line) for line in subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True,
                                                  check=False).stdout.split()]
    process.kill()
    process.communicate()
    end = time.monotonic() + 30
    while any(alive(pid) for pid in group):
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_environment_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processes, "ProcessPoolExecutor", lambda *args: Serial())
    processes.sweep_in_processes("a grid", points_of([{"nested": [1e-3], **SMALL}], {}), tmp_path, 1, lambda text: None)
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in os.environ
