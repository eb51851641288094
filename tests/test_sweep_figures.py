"""The figures of a sweep, asked of their artists, and the lean SVG that they become."""

import io
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from minilq.experiments.grid import SCHEMES
from minilq.experiments.pareto import front, pool
from minilq.report import sweep_curves, sweep_plots, sweep_style
from minilq.report.figures import STYLE
from minilq.report.svg import TITLE, drawn, inline, svg_of
from tests.sweep_folder import FEW, history_of, point_of, rounded_of, thesis_points


@pytest.fixture(autouse=True)
def styled():
    with mpl.rc_context(fname=STYLE):
        yield


def markers(ax):
    return {str(line.get_gid()): line for line in ax.get_lines() if str(line.get_gid()).startswith(TITLE)}


def test_every_scheme_of_a_grid_has_a_look_of_its_own():
    assert set(sweep_style.SCHEMES) == set(SCHEMES)
    looks = sweep_style.SCHEMES.values()
    assert len({look.colour for look in looks}) == len({look.marker for look in looks}) == len(SCHEMES)
    pooled = pool([point_of(scheme, "row", 1e-10) for scheme in SCHEMES])
    ax, = sweep_plots.pareto(pooled, [], "bits").get_axes()
    assert {line.get_marker() for line in markers(ax).values()} == {look.marker for look in looks}


@pytest.mark.parametrize("cost", ["bytes_entropy", "bits"])
def test_the_rounded_float_network_is_a_dotted_line_in_every_panel_as_far_as_the_points_go(cost):
    pooled = pool([point_of("nested", granularity, s) for granularity in ("row", "scalar") for s in (1e-11, 1e-10)])
    rounded = pool([{**point_of("float"), "scheme": "rounded", "strength": one["reach"], **one}
                    for one in rounded_of(point_of("float"), (2, 4, 8, 16, 32, 64, 128, 256))])
    unit = sweep_style.COSTS[cost].unit
    figure = sweep_plots.pareto(pooled, [], cost, rounded)
    costs = [point[cost] / unit for point in pooled]
    for ax in figure.get_axes():
        line, = (line for line in ax.get_lines() if line.get_linestyle() == ":")
        best = [point for point in front(rounded, cost) if min(costs) / 1.3 <= point[cost] / unit <= 1.3 * max(costs)]
        assert len(rounded) > len(best) > 1
        assert list(line.get_xdata()) == [point[cost] / unit for point in best]
        assert list(line.get_ydata()) == [100 * point["accuracy"] for point in best]
        assert sum("rounded to nearest, " in text for text in markers(ax)) == len(best)
    assert "float, rounded to nearest" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_pareto_panel_shows_every_point_once_with_front_and_baseline():
    pooled = pool(thesis_points())
    own = [p for p in pooled if p["scheme"] != "float"]
    baseline, = (p for p in pooled if p["scheme"] == "float")
    figure = sweep_plots.pareto(own, [baseline], "unique_integers")
    axes = figure.get_axes()
    assert [ax.get_title() for ax in axes] == ["row", "column", "scalar"]
    assert sum(len(markers(ax)) for ax in axes) == len(own)
    cut = 100 * sweep_style.lowest_shown([p["accuracy"] for p in own])
    for ax in axes:
        points = [p for p in own if p["granularity"] == ax.get_title()]
        below = [p for p in points if 100 * p["accuracy"] < cut]
        assert f"{len(below)} below {cut:.1f} %" in [t.get_text() for t in ax.texts]
        assert sum(line.get_marker() == "v" for line in markers(ax).values()) == len(below) > 0
        assert any(line.get_linestyle() == "--" and list(line.get_ydata()) == [100 * baseline["accuracy"]] * 2
                   for line in ax.get_lines())
        assert ax.get_ylim()[0] < cut < 100 * max(p["accuracy"] for p in points) < ax.get_ylim()[1]
        assert ax.get_xscale() == "log"
        for point in points:
            if point in below:
                continue
            line, = (line for text, line in markers(ax).items() if text == TITLE + sweep_plots.title_of(
                point, "unique_integers"))
            assert (line.get_xdata()[0], line.get_ydata()[0]) == (point["unique_integers"], 100 * point["accuracy"])
            assert line.get_marker() == sweep_style.SCHEMES[point["scheme"]].marker
            assert (line.get_markerfacecolor() == "white") == (point["start"] == "post")
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"nested", "MaxBin", "Inverse", "Difference", "float baseline", "dominated", "below the axis"} <= labels


def test_points_of_the_front_are_larger_and_the_line_runs_through_them():
    points = pool([{**point_of("nested", "row", 10.0**-e), "accuracy": a, "bytes_packed": b} for e, a, b in
                   ((10, 0.95, 1000), (11, 0.96, 2000), (12, 0.94, 3000))])
    ax, = sweep_plots.pareto(points, [], "bytes_packed").get_axes()
    sizes = {line.get_xdata()[0]: line.get_markersize() for line in markers(ax).values()}
    assert sizes[1.0] == sizes[2.0] > sizes[3.0]
    line, = (line for line in ax.get_lines() if len(line.get_xdata()) == 2)
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1.0, 2.0], [95.0, 96.0])
    assert line.get_drawstyle() == "steps-post"


def test_seeds_are_error_bars():
    pooled = [p for p in pool(thesis_points((1, 2, 3))) if p["scheme"] != "float"]
    ax = sweep_plots.pareto(pooled, [], "range").get_axes()[0]
    bars = [c for c in ax.collections if len(c.get_segments()) == sum(p["granularity"] == "row" for p in pooled)]
    assert len(bars) == 2
    one = next(p for p in pooled if p["granularity"] == "row")
    lengths = [abs(s[1] - s[0]).max() for s in bars[1].get_segments()]
    assert min(abs(x - 200 * one["deviation"]["accuracy"]) for x in lengths) < 1e-9


def test_the_axis_holds_the_error_bars_and_the_number_of_a_baseline_below_it():
    pooled = pool([{**point_of(scheme, seed=seed, **options), "accuracy": accuracy} for scheme, options, accuracies in (
        ("float", {}, (0.2, 0.21)), ("nested", {}, (0.8, 0.9)), ("nested", {"strength": 1e-9}, (0.1, 0.1)))
        for seed, accuracy in enumerate(accuracies)])
    figure = sweep_plots.pareto(pooled[1:], pooled[:1], "bits")
    ax, = figure.get_axes()
    assert ax.get_ylim()[1] > 100 * (0.85 + pooled[1]["deviation"]["accuracy"])
    assert [text.get_text() for text in ax.texts] == ["1 below 70.0 %", "float baseline: 20.5 %"]
    assert "float baseline" not in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(("accuracies", "cut"), [([0.9, 0.95], None), ([0.1, 0.95], 0.87),
                                                     ([0.1, 0.7, 0.5], 0.4), ([0.1, 0.11], None)])
def test_collapsed_points_are_cut_off_and_only_they(accuracies, cut):
    assert sweep_style.lowest_shown(accuracies) == (None if cut is None else pytest.approx(cut))


def test_curves_show_each_strength_and_the_baseline():
    points = thesis_points()
    curves = {p["name"]: sweep_curves.curve_of(history_of(p)) for p in points}
    pooled = pool(points)
    own = [p for p in pooled if p["scheme"] == "maxbin" and p["start"] == "scratch"]
    baselines = [p for p in pooled if p["scheme"] == "float"]
    figure = sweep_curves.learning_curves(own, baselines, curves)
    top = figure.get_axes()[0]
    point = next(p for p in own if p["granularity"] == "row" and p["strength"] == 1e-10)
    wanted = [100 * r["validation_accuracy"] for r in history_of(point["members"][0])]
    assert any(list(line.get_ydata()) == pytest.approx(wanted) for line in top.get_lines())
    assert len(top.get_lines()) == 9 + 1
    dashed = [line for line in top.get_lines() if line.get_linestyle() == "--"]
    assert len(dashed[0].get_xdata()) == 20
    assert re.match(r"\d ends? below", top.texts[0].get_text())
    assert figure.get_axes()[3].get_yscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [*(f"1e-{e}" for e in range(12, 3, -1)), "float baseline"]
    assert len({line.get_marker() for line in top.get_lines() if line.get_linestyle() == "-"}) == 9


def test_scales_have_a_row_for_each_start_and_follow_the_history():
    points = [p for p in thesis_points((1, 2)) if p["scheme"] == "nested"]
    curves = {p["name"]: sweep_curves.curve_of(history_of(p)) for p in points}
    axes = sweep_curves.scale_trajectories(pool(points), curves).get_axes()
    assert [ax.get_title() for ax in axes] == [f"{g}, {s}" for s in ("from scratch", "post-training")
                                               for g in ("row", "column", "scalar")]
    wanted = [sum(h) / 2 for h in zip(*(curves[p["name"]].scale for p in points if (
        p["granularity"], p["strength"], p["start"]) == ("row", 1e-9, "post")), strict=True)]
    assert any(list(line.get_ydata()) == pytest.approx(wanted) for line in axes[3].get_lines())


def test_a_curve_leaves_biases_out_and_a_float_network_has_no_scales():
    assert sweep_curves.curve_of(history_of(point_of("float"))).scale == []
    curve = sweep_curves.curve_of(history_of(point_of("nested")))
    row = history_of(point_of("nested"))[3]
    assert curve.scale[3] == pytest.approx((row["scale/dense1.weight/median"] + row["scale/dense2.weight/median"]) / 2)


# Lean SVG.


def test_an_svg_keeps_its_picture_and_its_titles_and_ids_of_its_own():
    figure = sweep_plots.pareto(pool(FEW)[1:], pool(FEW)[:1], "unique_integers")
    one, two = svg_of(figure, "one"), svg_of(figure, "two")
    assert one.replace("one-", "two-") == two
    root = ET.fromstring(one)
    assert root.get("viewBox").split()[:2] == ["0", "0"]
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert any(text.startswith("nested, λ = 1e-10, from scratch: ") for text in titles)
    assert len(titles) == 4
    uses = [e for e in root.iter("{http://www.w3.org/2000/svg}use")]
    assert len(uses) > 10
    ids = {e.get("id") for e in root.iter() if e.get("id")}
    assert {e.get("{http://www.w3.org/1999/xlink}href")[1:] for e in uses} <= ids
    page = inline(one, "a label &amp; more")
    assert page.startswith('<svg role="img" aria-label="a label &amp; more" style="max-width: ')
    assert "xmlns" not in page
    assert "xlink" not in page


@pytest.mark.parametrize("strength", [0.0, 1e-12, 1e-4, 2.5e-7])
def test_strengths_are_written_shortly_and_mean_the_same(strength):
    assert float(sweep_style.number(strength)) == pytest.approx(strength)
    assert len(sweep_style.number(strength)) <= 6


def test_a_figure_is_drawn_once_to_the_bytes_of_savefig():
    saved, both = io.BytesIO(), [Figure(figsize=(3, 2)) for _ in range(2)]
    for figure in both:
        figure.subplots().plot([1, 20, 3], label="a line")
        figure.legend()
    both[0].savefig(saved, format="svg", metadata={"Date": None})
    assert drawn(both[1]) == saved.getvalue()
