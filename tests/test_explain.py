"""What the experiments taught: every finding on a reduced setting, its text, its figure, and `minilq explain`."""

import io
import os
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache

import matplotlib as mpl
import numpy as np
import pytest

from minilq import cli
from minilq.data import load
from minilq.experiments import findings
from minilq.experiments.build import built, methods_for
from minilq.experiments.config import RunConfig
from minilq.experiments.findings import FINDINGS, divide, finding_named, gate, growth_nested
from minilq.experiments.findings.finding import Check, Finding, listed, number, percent, verdict
from minilq.experiments.findings.growth import Followed, Growth, as_predicted
from minilq.experiments.findings.training import WEIGHT, train
from minilq.nn import quantize
from minilq.report import findings as drawn
from minilq.report.figures import STYLE
from minilq.train.metrics import INPUTS
from tests.commands import call

REDUCED = {
    "lambda-epsilon": {"epochs": 8}, "growth-nested": {"epochs": 14, "thresholds": (1e-12,)},
    "growth-penalties": {"epochs": 12, "frozen_epochs": 4}, "equivalence": {"epochs": 12},
    "gate": {"epochs": 6, "thresholds": (1e-10, 3e-9), "seeds": 1},
    "floor-nearest": {"epochs": 6, "thresholds": (1e-8,), "seeds": 1}, "inputs": {"epochs": 10},
    "difference": {"epochs": 14}, "divide": {"scales": 2000},
    "rivals": {"epochs": 1}, "surrogates": {"epochs": 1, "places": 16, "draws": 4},
    "integer-functions": {}}

# Long enough for a text and a figure, on a twelfth of the images.
GLIMPSES = REDUCED | {"lambda-epsilon": {"epochs": 4}, "equivalence": {"epochs": 3}, "inputs": {"epochs": 3},
                      "growth-penalties": {"epochs": 6, "frozen_epochs": 2}, "difference": {"epochs": 3},
                      "rivals": {"epochs": 1, "seeds": 2}, "surrogates": {"epochs": 1, "places": 6, "draws": 2}}
AS_REDUCED = ["growth-nested", "divide", "integer-functions"]
LONG = ["growth-nested"]
"""Its law holds only after thousands of steps."""

# What a reduced setting cannot show: the thesis' freeze is longer than this training.
TOO_SHORT = {"growth-penalties": ["The freeze with β₂ = 0.999 is as long as Adam's memory says"]}


@cache
def measured(name):
    return FINDINGS[name].measure(7, **REDUCED[name])


@cache
def glimpsed(name):
    if name in AS_REDUCED:
        return measured(name)
    few = load("digits").head(640)
    with pytest.MonkeyPatch.context() as patch:
        for module in vars(findings).values():
            if hasattr(module, "load"):
                patch.setattr(module, "load", lambda name: few)
        return FINDINGS[name].measure(7, **GLIMPSES[name])


every_finding = pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.deep) if name in LONG else name for name in REDUCED])


def test_every_finding_is_listed_once_and_has_a_figure():
    assert list(FINDINGS) == list(REDUCED) == list(drawn.FIGURES)
    assert all(name == finding.name and finding.line and finding.source for name, finding in FINDINGS.items())


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name in AS_REDUCED and name not in LONG else pytest.mark.deep) for name in REDUCED])
def test_the_claim_shows_on_a_reduced_setting(name):
    result = measured(name)
    checks, text = result.checks(), drawn.told(FINDINGS[name], result)
    assert [claim for claim, check in checks.items() if not check.holds] == TOO_SHORT.get(name, [])
    assert len(checks) > len(TOO_SHORT.get(name, []))
    assert "nan" not in text
    assert ("Verdict: the claim holds.\n" in text) == (name not in TOO_SHORT)


# ---- the text


NUMBERS = {
    "lambda-epsilon": lambda r: [number(c.end) for c in [*r.alike, r.other, r.slow]] + [f"{r.slow.integers:,}"],
    "growth-nested": lambda r: [f"{q:.2f}" for run in r.runs.values() for q in (run.grown, *run.quantiles())],
    "growth-penalties": lambda r: [f"{max(r.thesis.memory):,.0f} ε", number(r.held), number(r.free), *(
        "never, of" if run.begin is None else f"{run.grown:.2f}-fold" for run in r.runs.values())],
    "equivalence": lambda r: [percent(n.equal) for n in [*r.matched, *r.same, r.seed]] + [percent(r.inverse.accuracy)],
    "gate": lambda r: [percent(r.total.branches.zero_gradient / r.total.branches.voted), f"{100 * r.gain:+.1f} points",
                       *(f"{percent(a)} {k}" for p in r.pairs for a, k in zip(p.accuracy, p.integers, strict=True))],
    "floor-nearest": lambda r: [percent(r.float_accuracy), *(percent(r.shown(m)) for m in r.accuracy),
                                *(f"{e.mean():+.2f} s" for e in r.errors.values())],
    "inputs": lambda r: list(map(percent, r.floats.values())) + [
        f"{name} {percent(p.accuracy)} {p.integers.unique}" for own in r.points.values() for name, p in own.items()],
    "difference": lambda r: [f"{end:.2f}" for end in r.pull[-1]] + [f"{r.stopped.rms:.3f}", f"{r.before.rms:.3f}"]
    + [number(s.mean_size) for s in r.shrunk] + [percent(r.absolute_minimum), f"{r.free.integers} integers"],
    "divide": lambda r: [percent(r.divided.mean()), percent(r.multiplied.mean()), percent(r.nearest)],
    "rivals": lambda r: [f"{p.one}, {p.other} {p.of}" for p in r.all] + [f"{100 * p.gap:+.1f} ± {100 * p.error:.1f}"
                                                                       for p in r.all],
    "surrogates": lambda r: [f"{name} {r.agreement(slopes)[0]:.3f}" for name, slopes in r.noisy.items() if slopes.any()]
    + [f"{b.measured.mean():+.4f}" for b in r.bias.values()],
    "integer-functions": lambda r: [f"{error:.4f}" for errors in r.largest.values() for error in errors]}


@every_finding
def test_the_text_has_setting_tables_verdict_and_source_in_eighty_columns(name):
    finding, result = FINDINGS[name], glimpsed(name)
    text = drawn.told(finding, result)
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    parts = result.setting(), "---", "Verdict: the claim ", f"Source: {finding.source}"
    places = [words.index(part) for part in parts]
    assert places == sorted(places)
    assert [n for n in NUMBERS[name](result) if n not in words] == []
    checks = result.checks()
    assert words.count(" holds: ") == sum(check.holds for check in checks.values())
    assert words.count("DOES NOT HOLD: ") == sum(not check.holds for check in checks.values())
    assert [part for part, check in checks.items() if f"{part} ({check.numbers})" not in words] == []


def test_a_run_that_does_not_show_the_claim_says_so():
    result = measured("divide")
    text = drawn.told(FINDINGS["divide"], replace(result, multiplied=result.divided, nearest=0.25))
    assert "Verdict: the claim holds in 1 of 3 parts." in text
    assert "DOES NOT HOLD: The reciprocal errs about twice as often, or more (1.0 times as" in text
    assert "DOES NOT HOLD: Nearest has no such trouble (in 25.0 % of the cases)" in text
    yes, no = Check(True, "1"), Check(False, "2")
    assert [verdict(c) for c in ({"a": yes}, {"a": no})] == ["holds", "does not hold"]


def test_a_law_whose_time_never_came_is_neither_shown_nor_hidden():
    run = Followed(None, [0, 10], [0.0, 5.0], [1e-5, 1e-4], [float("nan")] * 2, np.empty(0), 1.0, 784)
    result = growth_nested.GrowthNested({1e-10: run})
    assert not as_predicted(run)
    text = " ".join(drawn.told(FINDINGS["growth-nested"], result).split())
    assert "λ = 1e-10 never, of 20 - - -" in text
    assert "DOES NOT HOLD: Rows grow by the law at λ = 1e-10 (the law's time never came in 20 steps)" in text


def test_words_and_numbers():
    assert listed(["a"]) == "a"
    assert [number(x) for x in (1e-10, 1e-4, 0.0, 12345.6, 250.0)] == ["1e-10", "1e-4", "0", "12346", "250"]


# ---- the measurements


def test_the_same_seed_gives_the_same_numbers():
    first, again, other = (FINDINGS["growth-nested"].measure(seed, epochs=1, thresholds=(1e-10,)).runs[1e-10].observed
                           for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("forgets", "begin"), [(5, 20), (25, 30)], ids=["corrections past", "v forgotten"])
def test_a_law_is_followed_from_the_step_on_at_which_it_can_hold(forgets, begin):
    """Scales set by hand to s^2 = s_b^2 + 2 (lr/epsilon) d t end at 1 of the law, others at what they are off."""
    d, start = 1e-9, 1e-3
    model, generators = built(RunConfig(recipe="thesis", seed=0))
    quantize(model, methods_for(RunConfig(recipe="thesis", seed=0), model, generators))
    growth = Growth(2, lambda model: np.full(784, d), beta2=0.875)       # corrections are past after 16 steps
    adam = growth.optimizer([site.scale for site in model.sites().values() if site.scale is not None])

    def set_scales(step, factor=1.0):
        scale = model.sites()[WEIGHT].scale.array
        scale[...] = factor * np.sqrt(start**2 + 2 * 1000 * d * max(step - begin, 0))

    for step in range(50):
        v = np.full_like(adam.state()["0/v"], (1e-6 if step < forgets else 1e-9) ** 2)
        adam.load_state({**adam.state(), "0/v": v})
        set_scales(step)
        growth(step, model)
    set_scales(50, 1.1)
    run = growth.finish(model)
    assert (run.begin, run.steps) == (begin, [0, 10, 20, 30, 40])
    np.testing.assert_allclose(run.memory, [10 if step < forgets else 0.01 for step in run.steps], rtol=1e-5)
    followed = run.steps.index(begin)
    assert np.isnan(run.predicted[:followed]).all()
    np.testing.assert_allclose(run.predicted[followed:], run.observed[followed:], rtol=1e-6)
    np.testing.assert_allclose(run.ratio, 1.1, rtol=1e-6)
    assert run.grown == pytest.approx(1.1 * np.sqrt(1 + 2 * 1000 * d * (50 - begin) / start**2))
    assert not as_predicted(run)                             # a tenth is too far off


def test_votes_are_sorted_by_what_silences_them():
    data = load("digits")
    trained = train(RunConfig(recipe="thesis", threshold=1e-9, epochs=1), data.head(2000))
    x, labels, lam = INPUTS["raw"](data.train_images[:16]), data.train_labels[:16], 1e-9
    votes = gate.votes_in(trained.model, x, labels, lam)
    for v in votes.values():
        assert v.pixel + v.relu + v.saturated + v.other == v.branches.voted
    weight = votes[WEIGHT]
    dead = np.count_nonzero((x == 0).all(axis=0))
    assert weight.pixel == 128 * dead > 0
    W, b = (trained.model.sites()[f"dense1.{name}"]().array for name in ("weight", "bias"))
    active = x.reshape(16, 784) @ W + b > 0
    on = x.reshape(16, 784) != 0
    unreached = on.any(axis=0)[:, None] & ~(on[:, :, None] & active[:, None, :]).any(axis=0)
    assert weight.relu == np.count_nonzero(unreached) > 0
    assert votes["dense2.bias"].pixel == votes["dense2.bias"].relu == 0


def test_division_is_compared_on_exact_multiples_of_float32_scales():
    result = divide.measure(0, scales=50)
    assert result.codes[0] == -128
    assert result.codes[-1] == 127
    s = np.random.default_rng(0).uniform(0.001, 1, (50, 1)).astype(np.float32)
    for k in (-77, 1, 3, 64, 127):
        P = np.float32(k) * s[:, 0]
        at = list(result.codes).index(k)
        assert result.divided[at] == np.mean(np.floor(P / s[:, 0]) == k - 1)
        assert result.multiplied[at] == np.mean(np.floor(P * (1 / s[:, 0])) == k - 1)


# ---- the figures


@every_finding
def test_figures_are_drawn_without_a_warning_and_name_their_axes(name):
    with mpl.rc_context(fname=STYLE):
        figure = drawn.figure_of(name, glimpsed(name))
        figure.savefig(io.BytesIO(), format="svg")
    assert figure.axes
    for ax in figure.axes:
        assert ax.get_xlabel() or ax.get_shared_x_axes().get_siblings(ax) != [ax]
        assert ax.get_ylabel() or len(ax.get_yticklabels()) > 3
        assert ax.has_data()
    assert any(ax.get_legend() is not None for ax in figure.axes)


def test_saved_figures_are_svg_and_the_same_bytes_again(tmp_path):
    paths = [drawn.save("divide", measured("divide"), tmp_path / folder) for folder in ("a", "b/c")]
    assert paths[1] == tmp_path / "b" / "c" / "divide.svg"
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"


# ---- the command


@pytest.fixture
def quick(monkeypatch):
    """Two findings, which measure what they are told."""
    asked = []

    def made(name):
        def measure(seed):
            asked.append((name, seed))
            return divide.measure(seed, scales=100)
        return replace(FINDINGS["divide"], name=name, measure=measure)

    monkeypatch.setattr(findings, "FINDINGS", {name: made(name) for name in ("divide", "gate")})
    monkeypatch.setitem(drawn.FIGURES, "gate", drawn.FIGURES["divide"])
    return asked


def test_explain_prints_claim_tables_verdict_and_where_its_figure_is(capsys, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(capsys, "explain", "divide", "--seed", 5)
    assert (status, err, quick) == (0, [], [("divide", 5)])
    finding = FINDINGS["divide"]
    assert f"Claim: {finding.claim} " in " ".join(out.split())
    assert drawn.told(finding, divide.measure(5, scales=100)) in out
    assert "figure: runs/explain/divide.svg" in out.replace(os.sep, "/")
    assert (tmp_path / "runs" / "explain" / "divide.svg").exists()
    assert max(map(len, out.splitlines())) <= 80


def test_explain_all_goes_through_all_of_them(capsys, quick, tmp_path):
    status, out, err = call(capsys, "explain", "all", "--out", tmp_path / "figures")
    assert (status, err, quick) == (0, [], [("divide", 42), ("gate", 42)])
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["divide.svg", "gate.svg"]
    assert out.count("Verdict: the claim holds.") == 2


def test_explain_without_a_name_lists_them_in_a_line_each(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(capsys, "explain")
    assert (status, err) == (0, [])
    assert [line.split()[0] for line in out.splitlines()] == list(FINDINGS)
    assert max(map(len, out.splitlines())) <= 100
    assert not list(tmp_path.iterdir())


def test_explain_prints_formulas_where_there_are_no_greek_letters(monkeypatch):
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert cli.main(["explain"]) == 0
    plain.flush()
    assert b"the law of the nested layer: s^2 = s0^2 + 2 (lr/epsilon) lambda f M t" in plain.buffer.getvalue()


def test_explain_errors_are_one_line(capsys, tmp_path, quick):
    status, _, err = call(capsys, "explain", "gravity", "--out", tmp_path / "a")
    assert status == 2
    assert err == ["minilq: explain: a finding must be one of divide, gate, or all; got 'gravity'"]
    status, _, err = call(capsys, "explain", "divide", "--seed", -1, "--out", tmp_path / "a")
    assert (status, len(err)) == (2, 1)
    assert "--seed" in err[0]
    assert call(capsys, "explain", "divide", "--seed", "x")[0] == 2
    (tmp_path / "file").write_text("")
    status, _, err = call(capsys, "explain", "divide", "--out", tmp_path / "file" / "figures")
    assert (status, len(err)) == (1, 1)
    assert "must be writable" in err[0]
    assert not (tmp_path / "a").exists()
    assert not quick                                         # all of it is found out before anything is measured
    with pytest.raises(findings.ConfigError, match="gravity"):
        finding_named("gravity")


def test_ctrl_c_ends_explain_without_a_traceback(capsys, monkeypatch, tmp_path):
    def stopped(seed):
        raise KeyboardInterrupt

    finding = replace(FINDINGS["divide"], measure=stopped)
    monkeypatch.setattr(findings, "FINDINGS", {"divide": finding})
    status, _, err = call(capsys, "explain", "divide", "--out", tmp_path)
    assert (status, err) == (130, ["minilq: interrupted"])
    assert isinstance(finding, Finding)
    assert not list(tmp_path.iterdir())
