"""The league: its grid, settings that quantized networks alone have, and whether integers run what was trained."""

import csv
import json
import re
import shutil
from dataclasses import replace

import pytest

from minilq.errors import ConfigError, DataError
from minilq.experiments import sweep
from minilq.experiments.grid import points_of
from minilq.experiments.grids import GRIDS, blocks_of
from minilq.experiments.league import LEFT_OUT
from minilq.experiments.runs_on_integers import INTEGERS, read_integers
from minilq.quantize.methods import QUANTIZERS
from minilq.report.page import write_page
from minilq.report.page_fronts import switched_fronts
from minilq.report.page_league import rows_of
from minilq.report.page_published import published
from minilq.report.sweep_crowd import crowd, looks
from minilq.report.sweep_data import read_sweep_data
from minilq.report.sweep_style import COSTS
from tests.commands import Serial
from tests.test_page import Page

SMALL = {"recipe": "usual", "limit": 100, "batch": 50, "epochs": 1, "integers": True}
BLOCKS = [{**SMALL, "weights": [{"method": "lsq", "bits": [2, 4]}, {"method": "exponential"}],
           "start": ["scratch", "post"]},
          {**SMALL, "weights": [{"method": "lsq", "bits": 2}], "own": {"dense1.input": None},
           "inputs": [{"method": "lsq", "bits": 2, "signed": False}]},
          {**SMALL, "weights": [{"method": "lsq", "bits": 2}], "start": ["post"], "then": {"lr": 1e-4}},
          {**SMALL, "epochs": [2]}]


def swept(folder):
    assert sweep.run_sweep("league", points_of(BLOCKS, {}), folder, Serial(), lambda text: None) == {}
    return folder


@pytest.fixture(scope="module")
def league(tmp_path_factory):
    """The folder of a tiny league."""
    return swept(tmp_path_factory.mktemp("league") / "sweep")


@pytest.mark.parametrize("grid", ["league", "league-mnist"])
@pytest.mark.parametrize("quick", [False, True])
def test_every_method_is_in_the_league_or_named_with_a_reason(grid, quick):
    points = points_of(blocks_of(grid, quick), {})
    there = {choice["method"] for point in points for choice in (point.config.weights, point.config.inputs)
             if point.network == "quantized" and choice}
    own = {name for name, kind in QUANTIZERS.items() if kind.__module__.startswith("minilq.")}
    assert there | set(LEFT_OUT) == own
    assert not there & set(LEFT_OUT)
    assert all(point.integers for point in points)
    assert {point.config.data for point in points} == {"mnist" if grid == "league-mnist" else "digits"}


def test_all_have_one_budget_but_those_with_the_recipe_of_a_paper():
    points = points_of(GRIDS["league-mnist"], {})
    budget = ("epochs", "batch", "lr", "adam", "recipe")
    same = [p for p in points if all(getattr(p.config, name) == getattr(points[0].config, name) for name in budget)]
    others = [p for p in points if p not in same]
    longer = [p for p in others if p.network == "float"]      # what starts from a float network is trained twice
    assert {p.config.epochs for p in longer} == {2 * points[0].config.epochs}
    assert {p.config.seed for p in longer} == {p.config.seed for p in same}
    assert all(any(word in p.variant for word in ("recipe", "lr")) for p in others if p not in longer)
    assert not any("recipe" in p.variant or "lr" in p.variant for p in same)
    assert {p.start is None for p in same if p.network == "quantized"} == {True, False}


def test_a_command_that_says_how_long_has_one_float_network():
    assert {p.config.epochs for p in points_of(GRIDS["league"], {"epochs": 3})} == {3}


def test_what_comes_then_is_of_quantized_networks_alone_and_is_told():
    block = {"weights": [{"method": "lsq", "bits": 2}], "start": ["post"], "then": {"lr": 1e-4, "epochs": 7}}
    floats, tuned = points_of([block], {"epochs": 3})
    assert (floats.config.lr, tuned.config.lr) == (1e-4, 1e-4)            # the thesis' recipe has this rate
    floats, tuned = points_of([{**block, "recipe": "usual"}], {})
    assert (floats.config.lr, floats.config.epochs) == (1e-3, 20)
    assert (tuned.config.lr, tuned.config.epochs, tuned.start) == (1e-4, 7, "float-unit-42")
    assert (tuned.name, tuned.variant) == ("lsq-bits2-unit-post-42-lr-0.0001-epochs-7", "lr 0.0001, epochs 7")
    assert points_of([block], {"epochs": 3})[1].config.epochs == 3        # the command line goes before


@pytest.mark.parametrize("change", [{"then": {"nothing": 1}}, {"then": 3}, {"integers": "yes"}, {"then": {"seed": 1}}])
def test_what_makes_no_sense_in_a_block_is_named(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        points_of([{"weights": [{"method": "lsq"}], **change}], {})


def test_integers_run_what_they_can_and_say_why_not_what_they_cannot(league):
    points = {p["name"]: p for p in sweep.read_points(league)}
    found = {name: read_integers(p["folder"]) for name, p in points.items()}
    assert found["float-unit-42"].same > 0.9             # with 8 bits
    runs = found["lsq-bits4-unit-scratch-42"]
    assert (runs.images, runs.why) == (25, "")
    assert runs.same > 0.9
    assert min(runs.microseconds, runs.of_floats) > 0
    assert all(one.same > 0.9 or one.why for one in found.values())


@pytest.mark.parametrize("text", ["{", "[]", '{"same": 1}', '{"why": 3}',
                                  '{"same": "x", "images": 1, "microseconds": 1, "of_floats": 1}'])
def test_damaged_integers_are_named(tmp_path, text):
    (tmp_path / INTEGERS).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"integers\.json"):
        read_integers(tmp_path)


def test_a_league_that_was_killed_comes_to_the_same(league, tmp_path):
    """Of one point nothing is left but its checkpoint and its folder, of another nothing."""
    again = tmp_path / "sweep"
    shutil.copytree(league, again)
    half, gone = (again / "points" / name for name in ("lsq-bits4-unit-scratch-42", "exponential-unit-post-42"))
    (half / "DONE").unlink()
    shutil.rmtree(gone)
    swept(again)
    for one in sorted((league / "points").glob("*/result.json")):
        other = again / one.relative_to(league)
        assert json.loads(one.read_text(encoding="utf-8")) == json.loads(other.read_text(encoding="utf-8"))
    pages = [re.sub(r'<td class="number time".*?</td>', "", page_text(folder)) for folder in (league, again)]
    assert pages[0] == pages[1]


def page_text(folder):
    return write_page(folder).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Drawing takes nearly all of a page's time."""
    monkeypatch.setattr("minilq.report.page.svg_of", lambda figure, name: '<svg width="1pt"></svg>')
    monkeypatch.setattr("minilq.report.page.curve_drawings", lambda sweep: [])
    monkeypatch.setattr("minilq.report.page.pareto_drawings", lambda sweep: [])


def test_float_networks_of_two_lengths_are_told_apart(league):
    data = read_sweep_data(league)
    front = switched_fronts(data, dict.fromkeys(COSTS, ""))
    assert front.count(">float baseline<") == front.count(">float baseline, epochs 2<") > 0
    best = max(data.baselines, key=lambda point: point["accuracy"])
    assert {point["members"][0]["of"] for point in data.rounded} == {best["members"][0]["name"]}


def test_a_league_says_nothing_of_what_was_published_of_other_settings(league):
    data = read_sweep_data(league)
    assert "For orientation only" in published(data)             # of the digits
    assert published(replace(data, data="mnist")) == ""


def test_a_row_for_each_method_with_its_recipes_beside_each_other(league):
    text = page_text(league)
    page = Page(text)
    rows = {(row[0]["text"], row[1]["text"]): {
        head["text"]: cell["text"] for head, cell in zip(page.tables["method by method"][0], row, strict=True)}
        for row in page.tables["method by method"][1:]}
    assert set(rows) == {("lsq bits=2", ""), ("lsq bits=4", ""), ("exponential", ""),
                         ("lsq bits=2", "lsq bits=2 signed=false")}
    two, both = rows["lsq bits=2", ""], rows["lsq bits=2", "lsq bits=2 signed=false"]
    points = {p["name"]: p for p in sweep.read_points(league)}
    for head, name in (("from scratch %", "lsq-bits2-unit-scratch-42"),
                       ("from the float network %", "lsq-bits2-unit-post-42"),
                       ("recipe of its own %", "lsq-bits2-unit-post-42-lr-0.0001")):
        assert two[head] == f"{100 * points[name]['accuracy']:.2f}"
    assert two["which recipe"] == "lr 0.0001"
    assert two["learns"] == "scale"
    assert both["from the float network %"] == both["recipe of its own %"] == ""
    assert two["command"].startswith("minilq train --weights lsq bits=2")
    assert float(two["on integers, same class %"]) > 90
    assert float(two["the codes alone (kB)"]) < float(two["entropy-coded (kB)"])
    assert set(LEFT_OUT) == {name for name in LEFT_OUT if f"<strong>{name}</strong>" in text}
    assert {f"method-{name}" for name in ("lsq", "exponential")} <= set(page.ids)
    assert set(page.refs) <= set(page.ids)
    assert "Forward" in text


def test_the_table_of_methods_is_a_file_too(league):
    page = Page(page_text(league))
    rows = list(csv.DictReader((league / "methods.csv").read_text(encoding="utf-8").splitlines()))
    head, *shown = page.tables["method by method"]
    assert [(row["weights"], row["inputs"]) for row in rows] == [(row[0]["text"], row[1]["text"]) for row in shown]
    columns = [cell["text"] for cell in head]
    for row, cells in zip(rows, shown, strict=True):
        for start, name in (("scratch", "from scratch %"), ("post", "from the float network %")):
            assert (row[start] and f"{100 * float(row[start]):.2f}") == cells[columns.index(name)]["text"]
        assert f"{int(row['bytes']) / 1000:.1f}" in cells[columns.index("entropy-coded (kB)")]["text"]
        assert row["command"] == cells[columns.index("command")]["text"]
    points = read_sweep_data(league)
    for row, point in zip(rows, rows_of(points), strict=True):
        rivals = [one["accuracy"] for one in points.rounded if one["bytes_entropy"] <= point.best["bytes_entropy"]]
        assert float(row["rounded"] or 0) == pytest.approx(max(rivals, default=0), abs=1e-5)


def test_sizes_count_what_a_method_leaves_in_floats(league):
    data = {point["name"]: point for point in read_sweep_data(league).points}
    there = {point["name"]: point for point in sweep.read_points(league)}
    left = there["float-unit-42"]["parameters"] - there["lsq-bits2-unit-scratch-42"]["parameters"]
    assert left == 128 + 10
    for size in ("bytes_packed", "bytes_entropy", "bytes_float32"):
        assert data["lsq-bits2-unit-scratch-42"][size] - there["lsq-bits2-unit-scratch-42"][size] == 4 * left


def test_many_methods_share_a_panel_and_none_looks_like_another(league):
    data = read_sweep_data(league)
    assert len(set(looks([{"scheme": f"m{i}"} for i in range(60)]).values())) == 60
    for cost in ("bytes_entropy", "bits"):
        ax, = crowd(data.quantized, data.baselines, cost, data.rounded).axes
        titles = [line.get_gid() for line in ax.lines if (line.get_gid() or "").startswith("title: ")]
        assert sum("rounded" not in title for title in titles) == len(data.quantized)
