"""minilq methods: every class that is registered, told by itself and by what it does."""

from dataclasses import dataclass

import numpy as np
import pytest

from minilq import cli
from minilq.autodiff.parameter import Parameter
from minilq.quantize import Coded, Quantizer, Table, pretend
from minilq.quantize.coded import narrowed
from minilq.quantize.method import plain
from minilq.quantize.methods import QUANTIZERS
from minilq.report.methods import WIDTH, described, methods


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
