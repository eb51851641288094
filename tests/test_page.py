"""The page of a sweep: what it holds, that it stays the same, and what it says of sweeps that are not whole."""

import csv
import io
import json
import math
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from minilq.errors import DataError
from minilq.experiments.agreement import PUBLISHED_FOR, compare
from minilq.experiments.pareto import COSTS, pool
from minilq.experiments.rivals import rivals
from minilq.experiments.sweep import read_points
from minilq.experiments.thesis import PUBLISHED
from minilq.report import page as page_module
from minilq.report.page import write_page
from minilq.report.page_csv import points_csv
from minilq.report.page_fronts import switched_fronts
from minilq.report.page_summary import missing, summary
from minilq.report.sweep_data import read_sweep_data
from minilq.report.sweep_figures import curve_drawings
from minilq.report.sweep_style import lowest_shown
from tests.sweep_folder import FEW, point_of, rounded_of, thesis_points, write_sweep

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags that open and close in order, the ids, the text of every cell with its attributes, and the loose text.

    tables      name -> rows of cells; a cell's "fold" is the summary of the details that it is in
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.refs, self.text = [], [], [], ""
        self.tables, self.attributes, self.elements, self.folds = {}, [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.attributes += list(attrs.items())
        self.elements.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.refs += re.findall(r"#([\w-]+)", " ".join(v or "" for k, v in attrs.items() if k in ("href", "clip-path")))
        if attrs.get("role") == "region":
            self.rows = self.tables.setdefault(attrs["aria-label"].removeprefix("table: "), [])
            assert self.rows == []
        if tag == "details":
            self.folds.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append({"tag": tag, "text": "", "fold": self.folds[-1] if self.folds else "", **attrs})
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "details":
            self.folds.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "summary":
            self.folds[-1] += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1]["text"] += data
        elif self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def columns(self, table):
        """Of a table, the cells by the text of the head."""
        head, *rows = self.tables[table]
        return {cell["text"]: [row[place] for row in rows] for place, cell in enumerate(head)}


def page_of(folder):
    return Page(write_page(folder).read_text(encoding="utf-8"))


def table_of_points(page):
    return page.columns("points")


def everything(folder):
    """Trained points, then the rounded float network."""
    points = read_points(folder)
    return [*points, *rivals(points)]


@pytest.fixture
def undrawn(monkeypatch):
    """Pages whose figures are empty: drawing takes nearly all of their time."""
    monkeypatch.setattr("minilq.report.page.svg_of", lambda figure, name: '<svg width="1pt"></svg>')


SOME = [point for point in thesis_points() if point["scheme"] in ("float", "nested", "maxbin")
        and point.get("strength", 1e-10) in (0.0, 1e-10, 1e-9) and point.get("granularity", "row") != "column"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a tenth of the thesis' sweep with two failures; its page is written."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    write_sweep(folder, SOME, {"nested-row-1": "loss <b>is</b> nan & bad", "b": "disk"}, ["c", "d<e"])
    write_page(folder)
    return folder


@pytest.fixture(scope="module")
def page(whole):
    return Page((whole / "index.html").read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_holds_every_command(whole, page):
    columns = table_of_points(page)
    points = {p["name"]: p for p in everything(whole)}
    assert {c["text"] for c in columns["point"]} == set(points)
    assert len(points) == len(SOME) + 8 == 27
    for name, command in zip(columns["point"], columns["command"], strict=True):
        assert command["text"] == points[name["text"]]["command"]
        assert command["text"].startswith("minilq train")
    assert (whole / "index.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_nothing_clashes_and_everything_that_is_referred_to_is_there(page):
    assert len(page.ids) == len(set(page.ids)) > 100
    assert set(page.refs) <= set(page.ids)


def test_the_page_needs_nothing_but_itself_and_tells_no_place_or_time(whole, page):
    text = (whole / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//\w+\.|@import|<link|src=", text)
    for name, value in page.attributes:
        if name in ("href", "xlink:href"):
            assert value.startswith("#") or value == "points.csv"
    assert str(whole) not in text
    assert not re.search(r"/(tmp|home|root|work|Users)\b|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d", text)
    assert len(text) < 3_000_000


@pytest.mark.deep
def test_the_same_points_give_the_same_bytes_in_any_order_of_completion(tmp_path):
    points = [point_of(scheme, seed=seed) for scheme in ("float", "nested") for seed in (1, 2)]
    one = write_sweep(tmp_path / "one", points, {"a": "loss", "b": "disk"}, ["c", "d<e"])
    two = write_sweep(tmp_path / "else" / "where", points[::-1], {"b": "disk", "a": "loss"}, ["d<e", "c"])
    write_page(one)
    write_page(two)
    files = [sorted(p.relative_to(folder) for p in (folder / "figures").iterdir()) for folder in (one, two)]
    assert files[0] == files[1]
    for file in [*files[0], "index.html", "points.csv"]:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def test_failures_are_named_and_what_files_hold_is_escaped(page):
    for text in ("2 failed", "nested-row-1", "loss <b>is</b> nan & bad", "disk", "2 points have not been run", "d<e",
                 f"{len(SOME)} of {len(SOME) + 4} finished, 2 failed, 2 not run", "mnist_mlp", "60,000"):
        assert text in page.text


def test_every_column_can_be_sorted_by_its_values(whole, page):
    columns = table_of_points(page)
    for head in ("accuracy %", "strength", "unique integers", "packed (kB)", "seed", "loss"):
        values = [cell["data-value"] for cell in columns[head]]
        numbers = [float(value) for value in values if value != ""]
        assert len(numbers) >= len(SOME) - 1
    assert all("data-value" in cell for table in page.tables.values() for row in table for cell in row
               if cell["tag"] == "td")
    by_name = {p["name"]: p for p in everything(whole)}
    for name, accuracy in zip(columns["point"], columns["accuracy %"], strict=True):
        assert float(accuracy["data-value"]) == 100 * by_name[name["text"]]["accuracy"]
    assert ("class", "sortable") in page.attributes
    assert ("scope", "col") in page.attributes


def rows_of(folder):
    return list(csv.DictReader((folder / "points.csv").read_text(encoding="utf-8").splitlines()))


def test_the_table_as_a_file_holds_every_number(whole):
    rows = rows_of(whole)
    points = {p["name"]: p for p in everything(whole)}
    assert {row["name"] for row in rows} == set(points)
    for row in rows:
        for name in ("accuracy", "strength", "bytes_packed", "unique_integers"):
            assert row[name] == str(points[row["name"]].get(name, ""))
        assert row["command"] == points[row["name"]]["command"]


def test_the_front_in_the_table_is_that_of_the_figures(whole):
    rows = rows_of(whole)
    panel = [r for r in rows if (r["granularity"], r["start"]) == ("row", "post")]
    best = [r for r in panel if "bits" in r["front"].split()]
    assert best
    for row in panel:
        beaten = any(int(b["bits"]) <= int(row["bits"]) and float(b["accuracy"]) >= float(row["accuracy"])
                     and b is not row for b in best)
        assert beaten != (row in best)


def test_figures_are_files_too_and_can_be_read_alone(whole):
    names = {path.stem for path in (whole / "figures").iterdir()}
    assert {f"pareto-{cost.replace('_', '-')}" for cost in COSTS} < names
    assert {"curves-nested-raw-floor-scratch", "curves-maxbin-raw-floor-post", "scales-maxbin-raw-floor"} < names
    for path in (whole / "figures").iterdir():
        root = ET.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.get("width").removesuffix("pt")) > 500


# The front, with its switch.


def test_one_cost_is_shown_and_a_switch_of_radio_buttons_shows_the_others(page):
    radios = [attrs for tag, attrs in page.elements if tag == "input"]
    assert [radio["id"] for radio in radios] == ["cost-bytes-packed", "cost-bytes-entropy", "cost-unique-integers",
                                                 "cost-range", "cost-bits"]
    assert {(radio["type"], radio["name"]) for radio in radios} == {("radio", "cost")}
    assert ["checked" in radio for radio in radios] == [True, False, False, False, False]
    labels = [attrs["for"] for tag, attrs in page.elements if tag == "label"]
    assert labels == [radio["id"] for radio in radios]
    assert sum(attrs.get("class") == "panel" for _, attrs in page.elements) == len(COSTS)


@pytest.mark.parametrize("cost", COSTS)
def test_the_table_of_a_front_holds_what_nothing_beats_and_the_baseline(whole, page, cost):
    points = [{**p, "range": p["integer_max"] - p["integer_min"] + 1} for p in everything(whole)
              if p["scheme"] != "float"]
    lowest = lowest_shown([p["accuracy"] for p in points if p["scheme"] != "rounded"])
    unbeaten = [p for p in points if p["accuracy"] >= lowest and not any(
        q["accuracy"] >= p["accuracy"] and q[cost] <= p[cost] and (q["accuracy"], q[cost]) != (p["accuracy"], p[cost])
        for q in points)]
    columns = page.columns(f"front of {cost}")
    *commands, of_float = [cell["text"] for cell in columns["command"]]
    assert any(p["scheme"] == "rounded" for p in unbeaten) or cost != "bytes_entropy"
    assert columns["network"][-1]["text"] == "float baseline"
    assert of_float == "minilq train --data mnist --recipe thesis"
    accuracies = [float(cell["data-value"]) for cell in columns["accuracy %"][:-1]]
    assert [accuracy / 100 for accuracy in accuracies] == pytest.approx(
        sorted((point["accuracy"] for point in unbeaten), reverse=True))
    size = cost if cost == "bytes_entropy" else "bytes_packed"
    for accuracy, command, words, smaller in zip(accuracies, commands, columns["network"], columns["times smaller"],
                                                 strict=False):
        point, *_ = (p for p in unbeaten if p["accuracy"] == pytest.approx(accuracy / 100, rel=1e-12)
                     and p["command"] == command)
        assert words["text"].startswith("float, rounded to nearest") == (point["scheme"] == "rounded")
        assert float(smaller["data-value"]) == point["bytes_float32"] / point[size]


def test_the_summary_says_which_points_are_better_than_rounding(tmp_path):
    def trained(strength, accuracy, size):
        return {**point_of("nested", strength=strength), "accuracy": accuracy, "bytes_entropy": size}

    def said(*points):
        return Page(summary(read_sweep_data(write_sweep(tmp_path / str(len(list(tmp_path.iterdir()))),
                                                        [baseline, *points])))).text

    baseline = {**point_of("float"), "accuracy": 0.97}
    _, one, two, *_ = (p for p in rounded_of(baseline) if p["granularity"] == "network")
    as_good = trained(1e-11, two["accuracy"], two["bytes_entropy"])
    better = trained(1e-9, two["accuracy"] + 0.004, two["bytes_entropy"])
    smaller = trained(1e-10, two["accuracy"], two["bytes_entropy"] - 1)
    worse = trained(1e-12, one["accuracy"], two["bytes_entropy"] - 1)
    assert "the float network, 97.00 %, rounded to nearest and entropy-coded, is as small and as accurate as 2 of 2 " \
        "quantized networks." in said(as_good, worse)
    text = said(as_good, worse, smaller)
    assert "as small and as accurate as 2 of 3 quantized" in text
    size, accuracy = (two["bytes_entropy"] - 1) / 1000, f"{100 * two['accuracy']:.2f} %"
    assert f"The other has {size:.1f} kB; furthest above it is nested, λ = 1e-10, row, from scratch, {accuracy} with " \
        f"{size:.1f} kB, where rounding gives {100 * one['accuracy']:.2f} %." in text
    assert f"have {size:.1f} to {two['bytes_entropy'] / 1000:.1f} kB" in said(as_good, worse, smaller, better)
    tiny = trained(1e-8, 0.93, 1000)
    assert "1.0 kB, where no rounding was measured that is as small." in said(as_good, tiny)


def test_of_several_float_networks_the_better_one_is_the_rival(tmp_path):
    points = [{**point_of("float", input=name), "accuracy": a} for name, a in (("raw", 0.95), ("unit", 0.97))]
    sweep = read_sweep_data(write_sweep(tmp_path / "s", [*points, point_of("nested")]))
    assert {point["input"] for point in sweep.rounded} == {"unit"}
    assert "the best of 2 float networks (float-unit-42), 97.00 %, rounded to nearest" in summary(sweep)


def test_without_a_rounded_network_of_the_same_parameters_the_page_says_so(tmp_path):
    words = "There is no line for the float network merely rounded"
    for name, changes in (("other", {"parameters": 100_000}), ("same", {})):
        sweep = read_sweep_data(write_sweep(tmp_path / name, [point_of("float"), {**point_of("nested"), **changes}]))
        assert (words in missing(sweep)) == (sweep.rounded == []) == ("rounded" not in summary(sweep)) == bool(changes)
    without_biases = {**point_of("nested"), "parameters": point_of("nested")["parameters"] - 138}
    assert read_sweep_data(write_sweep(tmp_path / "few", [point_of("float"), without_biases])).rounded
    (tmp_path / "same" / "points" / point_of("float")["name"] / "rounded.json").unlink()
    sweep = read_sweep_data(tmp_path / "same")
    assert sweep.rounded == []
    assert words in missing(sweep)


def test_the_summary_counts_what_is_as_good_as_floats_and_names_the_smallest_of_it(tmp_path):
    points = [{**point_of("float"), "accuracy": 0.95},
              {**point_of("nested", strength=1e-11), "accuracy": 0.951, "bytes_packed": 80_000},
              {**point_of("maxbin", "scalar", 1e-9, "post"), "accuracy": 0.945, "bytes_packed": 40_708},
              {**point_of("nested", strength=1e-9), "accuracy": 0.943, "bytes_packed": 20_000}]
    text = Page(summary(read_sweep_data(write_sweep(tmp_path / "s", points)))).text
    assert "2 of 3 quantized networks lose less than 0.61 points, more than chance, against the float baseline’s " \
        "95.00 %" in text
    assert "The smallest of these: MaxBin, γ = 1e-9, scalar, post-training, 94.50 % with " in text
    assert "40.7 kB packed (10.0 times smaller than float32)" in text
    assert "The most accurate: nested, λ = 1e-11, row, from scratch, 95.10 %" in text


def test_the_summary_says_when_nothing_is_as_good_as_floats(tmp_path):
    points = [{**point_of("float"), "accuracy": 0.95}, {**point_of("nested"), "accuracy": 0.9}]
    text = summary(read_sweep_data(write_sweep(tmp_path / "s", points)))
    assert "All lose 0.74 points, more than chance, or more against the float baseline’s 95.00 %." in text


def test_points_of_other_inputs_are_told_apart_in_the_front(tmp_path):
    points = [point_of("nested", strength=s, input=i) for s in (1e-10, 1e-9) for i in ("raw", "unit")]
    sweep = read_sweep_data(write_sweep(tmp_path / "s", points))
    networks = Page(switched_fronts(sweep, dict.fromkeys(COSTS, ""))).columns("front of bits")["network"]
    assert all("raw input, floor" in cell["text"] or "unit input, floor" in cell["text"] for cell in networks)


def test_the_page_follows_the_system_at_night_and_keeps_its_width():
    css = (Path(page_module.__file__).parent / "page.css").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in css
    assert "color-scheme: light dark" in css
    for region in (".scroll", ".wide"):
        assert re.search(rf"^\{region} {{ overflow(-x)?: auto", css, re.MULTILINE)


def test_what_scrolls_is_reached_by_the_keyboard_and_has_a_name(whole):
    scrolling = re.findall(r'<div class="(?:scroll|wide)"[^>]*>', (whole / "index.html").read_text(encoding="utf-8"))
    assert {re.sub(r'label="[^"]+"', "label", tag) for tag in scrolling} == {
        '<div class="scroll" tabindex="0" role="region" aria-label>',
        '<div class="wide" tabindex="0" role="group" aria-label>'}


# Published beside measured.


def published_rows(page):
    rows = []
    for name, (head, *body) in page.tables.items():
        if name.startswith("published"):
            rows += [{"fold": row[0]["fold"], **{h["text"]: c["text"] for h, c in zip(head, row, strict=True)}}
                     for row in body]
    return rows


def test_published_numbers_have_verdicts_and_say_how_they_were_found(undrawn, tmp_path):
    points = [point_of("float"), {**point_of("nested", "row", 1e-10), "accuracy": 0.9611, "unique_integers": 20,
                                  "integer_min": -10, "integer_max": 9, "bytes_int8_zip": 46_800},
              {**point_of("nested", "row", 1e-9), "accuracy": 0.80, "unique_integers": 9, "integer_min": -5,
               "integer_max": 4, "bytes_int8_zip": 40_000}]
    page = page_of(write_sweep(tmp_path / "s", points))
    rows = {(r["source"], r["scheme"], r["granularity"], r["strength"], r["start"]): r for r in published_rows(page)}
    assert rows["reproduced", "nested", "row", "1e-10", "scratch"]["verdict"] == "agrees"
    wrong = rows["reproduced", "nested", "row", "1e-9", "scratch"]
    assert (wrong["verdict"], wrong["why"]) == ("does not agree", "accuracy, zip")
    absent = rows["reproduced", "inverse", "row", "1e-9", "scratch"]
    assert (absent["verdict"], absent["why"]) == ("n/a", "not run")
    assert all(("that do not apply" in row["fold"]) == (row["verdict"] == "n/a") for row in rows.values())
    assert rows["thesis", "nested", "row", "1e-10", "scratch (not stated)"]["verdict"] == "agrees"
    assert len(rows) >= sum(p.data == "mnist" for p in PUBLISHED)
    for words in ("two standard errors", "20 %", "rounds to the printed figure"):
        assert words in page.text


@pytest.mark.parametrize("data", ["digits", "fashion"])
def test_numbers_for_other_data_are_for_orientation_only(undrawn, tmp_path, data):
    points = [point_of("float", data=data), point_of("nested", "row", 1e-10, data=data)]
    folder = write_sweep(tmp_path / "s", points)
    rewrite(folder / "sweep.json", data=data)
    page = page_of(folder)
    assert "For orientation only" in page.text
    rows = published_rows(page)
    assert {r["verdict"] for r in rows} == {"n/a"}
    assert any("for orientation: published for mnist" in r["why"] for r in rows)
    assert {r["fold"] for r in rows} == {f"{len(rows)} published rows"}
    assert PUBLISHED_FOR[data] == "mnist"


def test_runs_with_other_settings_have_no_verdict(tmp_path):
    for change in ({"epochs": 5}, {"limit": 100}, {"lr": 1e-3}, {"quantize": "all"}):
        folder = write_sweep(tmp_path / str(change), [point_of("nested", "row", 1e-10)])
        rewrite(next(folder.glob("points/*/config.json")), **change)
        comparison, = (c for c in compare(pool(read_points(folder)), "mnist")
                       if c.published.source == "reproduced" and c.measured)
        assert comparison.verdict == "n/a"
        assert f"other settings: {next(iter(change))}" in comparison.reason


@pytest.mark.parametrize("change", [{"rounding": "nearest"}, {"input": "unit"}])
def test_points_of_other_input_or_rounding_are_not_the_published_ones(change):
    assert not any(c.measured for c in compare(pool([point_of("nested", "row", 1e-10, **change)]), "mnist"))


# Sweeps that are not whole.


@pytest.mark.parametrize(("points", "said", "drawn"), [
    ([], "No quantized network is finished yet", 0),
    ([point_of("float")], "No quantized network is finished yet", 0),
    ([point_of("nested")], "No float baseline is finished", 7),
    ([point_of("nested", strength=0.0)], "One seed for each point", 7),
    pytest.param(FEW, "One seed for each point", 11, marks=pytest.mark.deep),
    pytest.param([point_of("nested", rounding=r, input=i) for r in ("floor", "nearest") for i in ("raw", "unit")],
                 "raw input · unit input", 13, marks=pytest.mark.deep),
], ids=["none", "baseline", "one", "lambda 0", "few", "variants"])
def test_a_partial_sweep_has_a_page_that_says_what_is_missing(tmp_path, points, said, drawn, request):
    if points == [point_of("nested")]:           # nothing of it is drawn otherwise than of the others
        request.getfixturevalue("undrawn")
    folder = write_sweep(tmp_path / "s", points, {"z": "no"}, ["x", "y"])
    page = page_of(folder)
    for words in (said, "1 failed", "2 points have not been run", f"{len(points)} of {len(points) + 3} finished"):
        assert words in page.text
    assert len(list((folder / "figures").iterdir())) == drawn
    assert len(rows_of(folder)) == len(everything(folder))
    if points:
        assert len(page.tables["points"]) == len(everything(folder)) + 1


def test_with_several_seeds_nothing_is_said_of_one(tmp_path):
    points = [point_of(scheme, seed=seed) for scheme in ("float", "nested") for seed in (1, 2)]
    assert missing(read_sweep_data(write_sweep(tmp_path / "s", points))) == ""


def rewrite(path, **change):
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")


@pytest.mark.parametrize("change", [
    {"scheme": "unknown"}, {"granularity": "diagonal"}, {"accuracy": "good"}, {"accuracy": math.nan}, {"bits": None},
    {"seed": True}, {"start": ["post"]}, {"name": "another"}, {"sqnr": math.inf}, {"loss": None}, {"input": "../x"},
    {"accuracy": 1.5}, {"bits": 1e300}, {"bytes_packed": 0}, {"unique_integers": -1}, {"strength": -1e-9},
    {"loss": 10**400}, {"loss": 1e200}])
def test_a_damaged_result_is_named(tmp_path, change):
    folder = write_sweep(tmp_path / "s", [point_of("nested")])
    path = next(folder.glob("points/*/result.json"))
    rewrite(path, **change)
    with pytest.raises(DataError, match=r"result\.json.*was expected.*" + next(iter(change))) as caught:
        write_page(folder)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["unique_integers", "model", "loss", "bytes_entropy"])
def test_a_result_with_a_number_missing_is_named(tmp_path, key):
    folder = write_sweep(tmp_path / "s", [point_of("nested")])
    path = next(folder.glob("points/*/result.json"))
    kept = {k: v for k, v in json.loads(path.read_text(encoding="utf-8")).items() if k != key}
    path.write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(DataError, match=rf"result\.json.*no {key}"):
        write_page(folder)


@pytest.mark.parametrize(("file", "content"), [
    ("result.json", "{"), ("history.csv", "network,epoch\nquantized"), ("config.json", "[]"), ("history.csv", None),
    ("history.csv", "network,epoch,loss,accuracy,validation_loss,validation_accuracy\nquantized,1,1e300,1,1,1\n")])
def test_a_damaged_file_is_named(tmp_path, file, content):
    folder = write_sweep(tmp_path / "s", [point_of("nested")])
    path = next(folder.glob(f"points/*/{file}"))
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(str(path))):
        write_page(folder)


def test_the_page_cannot_be_hijacked_by_what_a_file_holds(tmp_path):
    folder = write_sweep(tmp_path / "s", [point_of("float")], {"a\"><script>": "</pre><script>alert(1)</script>"},
                         grid="<i>&'\"")
    text = write_page(folder).read_text(encoding="utf-8")
    assert text.count("<script>") == 1
    assert "<i>" not in text


def test_what_a_grid_tells_apart_is_shown_as_it_is_whatever_it_is(tmp_path):
    variant = "inputs $\\foo$ \x1b[2J\ud800\u202e =cmd|'/c calc'!A1 <script>" + "x" * 300
    folder = write_sweep(tmp_path / "s", [{**point_of("nested"), "variant": variant}])
    page = page_of(folder)
    seen = variant.replace("\x1b", r"\x1b").replace("\ud800", r"\ud800").replace("\u202e", r"\u202e")
    assert seen in [cell["text"] for cell in table_of_points(page)["variant"]]
    for path in (folder / "figures").iterdir():
        assert len(path.name) < 150
        ET.parse(path)


def test_variants_whose_names_are_alike_have_files_of_their_own(tmp_path):
    points = [{**point_of("nested", strength=s), "variant": v} for s, v in ((1e-10, "a b"), (1e-9, "a-b"))]
    names = [drawing.name for drawing in curve_drawings(read_sweep_data(write_sweep(tmp_path / "s", points)))]
    assert len(set(names)) == 2


@pytest.mark.parametrize("begins", "=+-@\t\r＝")
def test_a_cell_of_the_table_is_never_a_formula(tmp_path, begins):
    text = f"{begins}HYPERLINK(1)"
    folder = write_sweep(tmp_path / "s", [{**point_of("nested"), "variant": text, text: text, "integer_min": -12}])
    row, = csv.DictReader(io.StringIO(points_csv(read_sweep_data(folder)), newline=""))
    told = [cell for cell in (*row, *row.values()) if "HYPERLINK" in cell]
    assert len(told) == 3
    assert {cell[0] for cell in told} <= {"'", "\\"}
    assert row["integer_min"] == "-12"


def test_where_the_data_lie_is_left_out_of_commands(undrawn, tmp_path):
    folder = write_sweep(tmp_path / "s", [point_of("nested", strength=1e-9)])
    rewrite(next(folder.glob("points/*/config.json")), data_dir="/some where/data")
    assert "some where" in read_points(folder)[0]["command"]
    command, = table_of_points(page_of(folder))["command"]
    assert command["text"] == "minilq train --data mnist --recipe thesis --threshold 1e-09"
    assert "some where" not in (folder / "index.html").read_text(encoding="utf-8") + (
        folder / "points.csv").read_text(encoding="utf-8")


def test_where_a_grid_lies_is_left_out_too(tmp_path):
    folder = write_sweep(tmp_path / "s", [point_of("float")], grid="/some where/my grid.json")
    assert "<h1>Sweep my grid.json on mnist</h1>" in write_page(folder).read_text(encoding="utf-8")


def test_losses_that_are_no_numbers_are_shown_and_drawn(tmp_path):
    points = [{**point_of("nested", strength=s), "loss": loss} for s, loss in
              ((1e-10, math.inf), (1e-9, math.nan), (1e-8, 2.0))]
    columns = table_of_points(page_of(write_sweep(tmp_path / "s", points)))
    assert [c["text"] for c in columns["loss"]] == ["inf", "nan", "2"]
    assert [c["data-value"] for c in columns["loss"]] == ["Infinity", "", "2.0"]


def test_an_empty_grid_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"sweep\.json"):
        write_page(tmp_path)


def test_the_page_is_written_anew_over_an_old_one(undrawn, tmp_path):
    points = [point_of("nested", seed=1), point_of("nested", seed=2)]
    folder = write_sweep(tmp_path / "s", points)
    write_page(folder)
    shutil.rmtree(folder / "points" / points[1]["name"])
    assert "1 point has not been run" in write_page(folder).read_text(encoding="utf-8")
