"""minilq methods: every class that is registered, told by itself and by what it does; one, with its curves."""

import runpy
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from minilq import cli
from minilq.autodiff.parameter import Parameter
from minilq.quantize import Coded, Quantizer, Table, pretend
from minilq.quantize.coded import narrowed
from minilq.quantize.method import plain
from minilq.quantize.methods import LSQ, PACT, QUANTIZERS, Nested
from minilq.report.curves import curves_of, shown, sketch
from minilq.report.methods import WIDTH, described, methods, one_method


@pytest.fixture
def own():
    """A method of one's own, which is forgotten afterwards."""
    @dataclass(frozen=True)
    class Ends(Quantizer):
        """Two levels, the larger and the smaller half.

        Source      a notebook of
                    mine
        """

        share: float = 0.5

        def start(self, x):
            return {"levels": Parameter([x.min(), x.max()], dtype=x.dtype), "seen": np.zeros(1)}

        def __call__(self, x, held, training=False):
            return pretend(x, self.coded(x, held).values)

        def coded(self, x, held):
            return Coded(narrowed((plain(x) > 0).astype(float)), Table(held["levels"].array))

    yield Ends
    del QUANTIZERS["ends"]


def test_every_method_is_listed_in_lines_that_fit(capsys):
    assert cli.main(["methods"]) == 0
    out = capsys.readouterr().out
    head, rule, *lines = out.splitlines()
    assert head.split() == ["method", "learns", "remembers", "grid", "gradients"]
    assert set(rule) == {"-"}
    assert max(map(len, out.splitlines())) <= WIDTH
    for name in QUANTIZERS:
        assert any(line.startswith(f"{name} ") for line in lines)
        assert name in lines
    assert "signed=true" in out


def test_what_is_said_of_the_methods_is_so():
    lsq, nested, affine = (described(QUANTIZERS[name]) for name in ("lsq", "nested", "affine"))
    assert (lsq.learns, lsq.remembers, lsq.grid, lsq.gradients) == ("scale", "-", "even", "lsq: surrogate")
    assert "Esser et al. 2020" in lsq.source
    assert lsq.flags.startswith("bits=8 signed=true granularity=scalar")
    assert nested.gradients == "fake_quantize: surrogate, s heuristic"
    assert (affine.learns, affine.grid) == ("-", "even, zero")


def test_a_method_of_ones_own_is_listed_too(own):
    one = described(own)
    assert (one.name, one.line) == ("ends", "Two levels, the larger and the smaller half.")
    assert (one.learns, one.remembers, one.grid, one.gradients) == ("levels", "seen", "table", "pretend: defined")
    assert (one.flags, one.source) == ("share=0.5", "a notebook of mine")
    assert "\nends  " in methods()


def test_a_method_that_is_half_done_is_listed_with_question_marks():
    @dataclass(frozen=True)
    class HalfDone(Quantizer):
        bits: int

    try:
        one = described(HalfDone)
        assert (one.learns, one.flags, one.line) == ("?", "bits=?", "-") or one.flags == "bits=?"
        assert "half-done" in methods()
    finally:
        del QUANTIZERS["half-done"]


# ---- one method


OWN = sorted(name for name, method in QUANTIZERS.items() if method.__module__.startswith("minilq."))


@pytest.mark.parametrize("name", OWN)
def test_one_method_is_its_formulas_and_both_curves(name, capsys):
    assert cli.main(["methods", name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: ")
    assert ">>>" not in out
    assert out.count("*") > 100
    assert f"\ny, as {name}" in out
    assert "\nwhat x is sent where y is sent 1:\n" in out


def test_forward_and_pretended_derivative_are_told_by_cases():
    text, curves = one_method(LSQ(), set())
    assert "y = s round(clip(x / s, low, high))" in text
    assert "lsq, surrogate: " in text
    assert "Derivative  kind: surrogate. dx = g [in range]" in text
    assert curves.title == "lsq bits=3"
    assert "fake_quantize, surrogate, s heuristic: " in one_method(Nested(), set())[0]


def test_the_curves_are_those_of_the_method():
    curves = curves_of(PACT(bits=2, alpha=2.0))
    want = 2 / 3 * np.rint(np.clip(curves.x, 0, 2) * 3 / 2)
    np.testing.assert_allclose(curves.y, want, atol=1e-12)
    np.testing.assert_array_equal(curves.gradient, (curves.x > 0) & (curves.x < 2))


def test_what_begins_without_rounding_is_shown_with_some():
    curves = curves_of(shown(Nested(), set()))
    np.testing.assert_array_equal(curves.y, 0.5 * np.floor(curves.x / 0.5))


def test_flags_that_are_said_are_kept():
    assert shown(LSQ(bits=8), {"bits"}).bits == 8
    assert shown(LSQ(bits=8), set()).bits == 3
    assert shown(PACT(), {"gradient"}).bits == 3


def test_a_sketch_has_the_curve_and_its_axes():
    x = np.linspace(-2, 2, 400)
    lines = sketch(x, np.abs(x), width=41, height=9).splitlines()
    left, right = ([find(line) for line in lines[:9]] for find in (lambda line: line.index("*"), len))
    assert left == sorted(left)
    assert (left[0], right[0]) == (8, 8 + 41)
    assert left[8] < 8 + 20 < lines[8].rindex("*")
    assert lines[0].startswith("      2 *")
    assert lines[8].startswith("      0 ---")
    assert lines[9].split() == ["-2", "2"]
    flat = sketch(x, np.zeros(400), width=41, height=3).splitlines()
    assert flat[2] == "      0 " + "*" * 41


def test_curves_as_a_figure(capsys, tmp_path):
    path = tmp_path / "new" / "lsq.svg"
    assert cli.main(["methods", "lsq", "bits=2", "--out", str(path)]) == 0
    assert capsys.readouterr().out.endswith(f"figure: {path}\n")
    assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    first = path.read_bytes()
    assert cli.main(["methods", "lsq", "bits=2", "--out", str(path)]) == 0
    assert path.read_bytes() == first


@pytest.mark.parametrize(("words", "match"), [
    (["lsqq"], "Did you mean 'lsq'"), (["lsq", "bit=2"], "Did you mean 'bits'"), (["lsq", "bits=0"], "bits must be"),
    (["lsq", "bits"], "flag=value")])
def test_a_method_that_is_not_there_is_one_line(words, match, capsys):
    assert cli.main(["methods", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert match in err


def test_a_method_of_ones_own_that_is_half_done_has_formulas_alone():
    @dataclass(frozen=True)
    class Begun(Quantizer):
        """y = what I do not know yet."""

    try:
        text, curves = one_method(Begun(), set())
        assert curves is None
        assert text.startswith("begun: y = what I do not know yet.\n\nIt cannot be drawn")
    finally:
        del QUANTIZERS["begun"]


def test_the_list_in_the_docs_is_what_the_classes_say():
    docs = Path(__file__).parents[1] / "docs"
    text = runpy.run_path(str(docs / "list_methods.py"))["text"]()
    assert text == (docs / "methods.md").read_text(encoding="utf-8"), "Run python docs/list_methods.py"
    assert all(f"\n## {name}\n" in text for name in QUANTIZERS)
