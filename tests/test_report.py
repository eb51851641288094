"""Figures and the table: what they show, asked of the artists and the lines, never of pixels."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import minilq
from minilq.errors import DataError
from minilq.experiments import run
from minilq.experiments.config import RunConfig
from minilq.nn import codes_in
from minilq.report import plots
from minilq.report.figures import STYLE, draw, in_style, margins
from minilq.report.table import HEAD, REST, comparison
from minilq.train.history import read_history, write_history


def rows(epochs=5, networks=("float", "quantized")):
    """A history with numbers that can be told apart."""
    made = []
    for n, network in enumerate(networks):
        for e in range(1, epochs + 1):
            row = {"network": network, "epoch": e, "loss": n + 1 / e, "accuracy": 0.1 * n + 0.05 * e,
                   "validation_loss": n + 2 / e, "validation_accuracy": 0.1 * n + 0.06 * e}
            if network == "quantized":
                for k, name in enumerate(("a.weight", "a.bias")):
                    row |= {f"scale/{name}/{part}": (k + 1) * f * e for part, f in
                            (("min", 0.01), ("median", 0.02), ("max", 0.03))}
            made.append(row)
    return made


def axes():
    return Figure().subplots()


def curve(ax, label):
    line, = (line for line in ax.get_lines() if line.get_label() == label)
    return line


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize(("quantity", "factor", "label"), [
    ("loss", 1, "cross-entropy (nats)"), ("accuracy", 100, "accuracy (%)")])
def test_learning_curves_show_both_networks_on_both_parts_of_the_data(quantity, factor, label):
    ax = plots.learning_curves(rows(), quantity, axes())
    assert legend(ax) == ["float baseline", "float baseline, training", "quantized", "quantized, training"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", label)
    for network, name in plots.LABELS.items():
        own = [row for row in rows() if row["network"] == network]
        for suffix, column in (("", f"validation_{quantity}"), (", training", quantity)):
            line = curve(ax, name + suffix)
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
            np.testing.assert_allclose(line.get_ydata(), [factor * row[column] for row in own])
        assert curve(ax, name).get_color() == curve(ax, name + ", training").get_color()
        assert curve(ax, name).get_linewidth() > curve(ax, name + ", training").get_linewidth()
    assert curve(ax, "quantized").get_linestyle() != curve(ax, "float baseline").get_linestyle()
    assert curve(ax, "quantized").get_color() != curve(ax, "float baseline").get_color()


def test_a_network_without_rows_is_left_out_and_keeps_the_others_colour():
    ax = plots.learning_curves(rows(networks=("quantized",)), "loss", axes())
    assert legend(ax) == ["quantized", "quantized, training"]
    assert curve(ax, "quantized").get_color() == "C1"


def test_a_single_epoch_can_be_seen():
    assert curve(plots.learning_curves(rows(epochs=1), "loss", axes()), "quantized").get_marker() == "o"
    assert curve(plots.learning_curves(rows(epochs=2), "loss", axes()), "quantized").get_marker() == ""


def test_the_zoom_keeps_every_late_accuracy_and_cuts_the_first_epochs():
    history = rows(epochs=40)
    for row in history:
        row["validation_accuracy"] = 0.1 if row["epoch"] <= 2 else 0.9
    low, high = plots.zoom_accuracy(history, plots.learning_curves(history, "accuracy", axes())).get_ylim()
    assert 50 < low < 90
    assert high > 100


def test_what_methods_of_inputs_learn_is_drawn_from_when_they_have_it():
    made = [dict(row) for row in rows()]
    for row in made:
        if row["network"] == "quantized" and row["epoch"] > 2:           # as calibration in the second stage has it
            row |= {f"{name}/dense1.input/{part}": value for name, value in (("alpha", 3.0), ("offset", -0.5))
                    for part in ("min", "median", "max")}
    ax = plots.scale_trajectories(made, axes())
    assert legend(ax) == ["a.weight", "a.bias", "alpha of dense1.input", "offset of dense1.input"]
    assert ax.get_yscale() == "symlog"
    np.testing.assert_array_equal(curve(ax, "alpha of dense1.input").get_xdata(), [3, 4, 5])


@pytest.mark.parametrize(("low", "high", "labels"), [
    (0.05, 20000, ["0.1", "1", "10", "100", "1000", "10000"]), (0.015, 0.13, ["0.02", "0.03", "0.04", "0.06", "0.1"]),
    (3e-7, 2e-5, ["1e-06", "1e-05"])])
def test_numbers_at_logarithmic_axes_are_written_out(low, high, labels):
    ax = axes()
    ax.set_yscale("log")
    plots.plain_numbers(ax.yaxis)
    ax.set_ylim(low, high)
    ax.figure.draw_without_rendering()
    shown = [*ax.yaxis.get_majorticklabels(), *ax.yaxis.get_minorticklabels()]
    assert sorted({text.get_text() for text in shown if text.get_text() and low <= float(text.get_text()) <= high},
                  key=float) == labels


@pytest.mark.deep
def test_a_run_without_scales_has_no_figure_of_them(folder, monkeypatch):
    made = [{k: v for k, v in row.items() if not k.startswith("scale/")} for row in rows()]
    assert plots.followed(made) == {}
    write_history(folder / "history.csv", made)
    assert [path.name for path in draw(folder)] == ["learning.svg", "integers.svg"]


def test_scales_show_the_median_and_a_band_for_each_parameter():
    ax = plots.scale_trajectories(rows(), axes())
    assert legend(ax) == ["a.weight", "a.bias"]
    assert (ax.get_yscale(), ax.get_xlabel()) == ("log", "epoch")
    assert "scale" in ax.get_ylabel()
    for k, (name, band) in enumerate(zip(("a.weight", "a.bias"), ax.collections, strict=True), start=1):
        np.testing.assert_allclose(curve(ax, name).get_ydata(), [k * 0.02 * e for e in range(1, 6)])
        corners = band.get_paths()[0].vertices
        assert corners[:, 1].min() == pytest.approx(k * 0.01)
        assert corners[:, 1].max() == pytest.approx(k * 0.03 * 5)
    assert curve(ax, "a.weight").get_marker() != curve(ax, "a.bias").get_marker()


def bars(ax):
    return {p.get_x() + p.get_width() / 2: p.get_height() for p in ax.patches}


def test_a_few_integers_get_a_bar_each():
    codes = np.array([[-2, -2, 0], [1, 1, 1]], np.int8)
    ax = plots.integer_histogram(codes, "dense1.bias", axes())
    assert {round(x): h for x, h in bars(ax).items()} == {-2: 2, 0: 1, 1: 3}
    assert ax.get_title() == "dense1.bias: 3 integers, -2..1"
    assert {-2, -1, 0, 1} <= set(ax.get_xticks()) == set(np.rint(ax.get_xticks()))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("integer code", "count", "log")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64])
def test_the_whole_range_of_int8_is_counted_and_does_not_wrap(dtype):
    codes = np.repeat(np.arange(-128, 128), 3).astype(dtype).reshape(-1, 2)
    ax = plots.integer_histogram(codes, "w", axes())
    assert ax.get_title() == "w: 256 integers, -128..127"
    assert sum(bars(ax).values()) == codes.size
    heights = [p.get_height() for p in ax.patches if p.get_height()]
    assert set(heights) == {6}                               # each bar counts as many integers: no comb
    assert min(p.get_x() for p in ax.patches) == -128.5
    assert max(p.get_x() + p.get_width() for p in ax.patches) == 127.5


def test_many_integers_share_bars_of_a_whole_number_of_them():
    codes = np.random.default_rng(0).integers(-5000, 5000, 3000)
    ax = plots.integer_histogram(codes, "w", axes())
    assert sum(bars(ax).values()) == 3000
    assert 100 <= len(ax.patches) <= 200
    for p in ax.patches:
        inside = np.count_nonzero((codes > p.get_x()) & (codes < p.get_x() + p.get_width()))
        assert p.get_height() == inside
    assert max(bars(ax).values()) < ax.get_ylim()[1]         # a bar holds more than any single integer does


def test_every_parameter_gets_its_own_axes():
    made = Figure().subplots(1, 2)
    plots.all_histograms({"a": np.array([1]), "b": np.array([2, 3])}, made)
    assert [ax.get_title() for ax in made] == ["a: 1 integers, 1..1", "b: 2 integers, 2..3"]
    with pytest.raises(ValueError, match="zip"):
        plots.all_histograms({"a": np.array([1])}, made)


# ---- a run folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "QUICK_IMAGES", 200)
        run.start(RunConfig(quick=True, epochs=2, input="unit"), folder, lambda text: None)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize("columns", [2, 4])
def test_names_and_numbers_stay_inside_the_figure_and_out_of_each_other(columns):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    width, height = 4.5 * columns, 5.5
    with in_style({"figure.constrained_layout.use": False}):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(2, columns, gridspec_kw=margins(width, height, 2, columns, above=0.3)).flat
        codes = np.repeat(np.arange(-30, 25), 2000)
        for ax in axes:
            plots.integer_histogram(codes, "residual3.shortcut.conv2d1.weight", ax)
        FigureCanvasAgg(figure).draw()
        boxes = [ax.get_tightbbox() for ax in axes]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_figures_are_svg_and_the_same_bytes_when_drawn_again(folder, monkeypatch):
    paths = draw(folder)
    assert [path.name for path in paths] == ["learning.svg", "scales.svg", "integers.svg"]
    first = [path.read_bytes() for path in paths]
    for content in first:
        assert ET.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
    mpl.rcParams["lines.linewidth"] = 9                      # of the caller; the style of the run comes after it
    seen = {}
    original = plots.all_histograms
    monkeypatch.setattr(plots, "all_histograms", lambda codes, axes: (seen.update(codes), original(codes, axes)))
    try:
        assert [path.read_bytes() for path in draw(folder)] == first
        assert mpl.rcParams["lines.linewidth"] == 9
    finally:
        mpl.rcParams["lines.linewidth"] = mpl.rcParamsDefault["lines.linewidth"]
    assert sorted(path.name for path in (folder / "figures").iterdir()) == sorted(p.name for p in paths)
    want = codes_in(run.trained(folder, "quantized"))        # the integers figure shows those of the saved network
    assert list(seen) == ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"]
    for name, codes in want.items():
        np.testing.assert_array_equal(seen[name], codes)


def test_figures_change_with_the_history(folder):
    (folder / "quantized.npz").unlink()                      # the slow figure
    before = draw(folder)[0].read_bytes()
    history = (folder / "history.csv").read_text().splitlines()
    (folder / "history.csv").write_text("\n".join(history[:-1]) + "\n")
    assert draw(folder)[0].read_bytes() != before


def test_a_run_that_has_only_its_baseline_has_only_learning_curves(folder):
    lines = (folder / "history.csv").read_text().splitlines()
    (folder / "history.csv").write_text("\n".join(lines[:3]) + "\n")
    (folder / "quantized.npz").unlink()
    assert {row["network"] for row in read_history(folder / "history.csv")} == {"float"}
    assert [path.name for path in draw(folder)] == ["learning.svg"]


@pytest.mark.deep
def test_figures_are_drawn_whatever_backend_the_environment_names(monkeypatch):
    code = ("import io; from minilq.report.figures import in_style\n"
            "with in_style():\n"
            "    from matplotlib.figure import Figure\n"
            "    Figure().savefig(io.BytesIO(), format='svg')\n"
            "print('drawn')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(Path(minilq.__file__).parents[1]), "MPLBACKEND": "foo"})
    assert (done.stdout, done.stderr) == ("drawn\n", "")


def test_the_style_is_one_that_matplotlib_knows_without_a_warning():
    with mpl.rc_context(fname=STYLE):
        assert mpl.rcParams["svg.hashsalt"] == "minilq"


def test_damaged_checkpoints_are_refused_by_the_figures(folder):
    (folder / "quantized.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"quantized\.npz"):
        draw(folder)
    shutil.copy(folder / "float.npz", folder / "quantized.npz")
    with pytest.raises(DataError, match="another model"):
        draw(folder)


# ---- the table


def result(**changes):
    own = {"accuracy": 0.9876, "loss": 0.5, "unique_integers": 13, "integer_min": -7, "integer_max": 5, "bits": 4,
           "integer_type": "int8", "bytes_int8_zip": 20_000, "bytes_packed": 50_000, "bytes_entropy": 40_000,
           "bytes_lzma": 45_000}
    return {**own, "baseline_accuracy": 0.5, "baseline_loss": 1.25, "parameters": 101_770, "scales": 914,
            "bytes_float32": 400_000, "bytes_float32_zip": 300_000, "seconds_each": {"float": 1.5, "quantized": 2.25},
            "rounded": {**own, "accuracy": 0.25, "bytes_entropy": 64_000}, **changes}


def cell(line, title):
    """The cells of a line after its title."""
    assert line.startswith(title)
    return line[len(title):].split()


def test_the_table_has_three_networks_and_one_size_of_each():
    text = comparison(result(), "nested, row")
    lines = text.splitlines()
    assert lines[0].split() == " ".join(HEAD).split()
    assert set(lines[1]) == {"-"}
    assert cell(lines[2], "float") == ["50.00", "%", "-", "32", "400.0", "1.0"]
    assert cell(lines[3], "quantized") == ["98.76", "%", "13", "4", "40.0", "10.0"]
    assert cell(lines[4], "float, rounded to nearest") == ["25.00", "%", "13", "4", "64.0", "6.2"]
    assert len({len(line) for line in lines[:5]}) == 1       # aligned
    assert lines[6] == "quantized: nested, row."
    words = " ".join(text.split())
    assert "kB of 101,770 parameters, entropy-coded, with 914 scales" in words
    assert "times smaller than the same parameters in float32, 400.0 kB." in words
    assert "*" not in text


@pytest.mark.parametrize(("changes", "said"), [
    ({}, None), ({"granularity": "network"}, "one scale for all; the most accurate, none is as good."),
    ({"granularity": "row", "accuracy": 0.9876}, "a scale for each row; the smallest that is as accurate.")])
def test_the_table_says_how_the_float_network_was_rounded_if_the_run_does(changes, said):
    text = " ".join(comparison(result(rounded={**result()["rounded"], **changes}), "nested, row").split())
    assert ("rounded: " in text) == (said is not None)
    assert said is None or f"rounded: without training, {said} kB of" in text


def test_the_rest_of_what_was_measured_is_a_second_table():
    short, text = (comparison(result(), "nested, row", verbose) for verbose in (False, True))
    assert text.startswith(f"{short}\n\n")
    lines = text[len(short):].split("\n\n")[1].splitlines()
    assert lines[0].split() == list(REST)
    assert cell(lines[2], "float") == ["1.250", "-", "300.0", "-", "-", "1.5"]
    assert cell(lines[3], "quantized") == ["0.500", "-7..5", "20.0", "50.0", "45.0", "2.2"]
    assert cell(lines[4], "float, rounded to nearest") == ["0.500", "-7..5", "20.0", "50.0", "45.0", "-"]


def test_no_line_of_the_table_is_longer_than_eighty():
    large = {"bytes_float32": 987_654_321, "unique_integers": 1_234_567, "integer_min": -123_456,
             "integer_max": 123_456, "parameters": 246_913_580, "integer_type": "int32"}
    text = comparison(result(**large), "lsq bits=4 granularity=filter, inputs lsq bits=4 signed=false, " * 3, True)
    assert max(map(len, text.splitlines())) <= 80


def test_codes_beyond_int8_are_marked_and_explained():
    assert "*" not in comparison(result(integer_type="int16"), "nested")
    text = comparison(result(integer_type="int16"), "nested", verbose=True)
    marked, = (line for line in text.splitlines()[10:] if "*" in line and not line.startswith("*"))
    assert marked.startswith("quantized")
    assert text.splitlines()[-1] == "*: these codes do not fit into int8; zipped as int16."


def test_the_table_of_a_run_says_what_its_result_file_says(folder):
    saved = json.loads((folder / "result.json").read_text())
    lines = comparison(run.read_result(folder), "quantized", verbose=True).splitlines()
    for line, r in ((lines[3], saved), (lines[4], saved["rounded"])):
        assert f"{100 * r['accuracy']:.2f} %" in line
        assert f"{r['unique_integers']:,}" in line
        assert f"{r['bytes_entropy'] / 1000:,.1f}" in line
    assert any(f"{saved['integer_min']}..{saved['integer_max']}" in line for line in lines)
