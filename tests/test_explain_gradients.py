"""Findings about pretended derivatives: what they measure, and what a wrong derivative makes of their verdict."""

from dataclasses import replace

import numpy as np
import pytest

from minilq.data import load
from minilq.experiments.findings import rivals
from minilq.experiments.findings.rival_flags import Rivals
from minilq.experiments.findings.rival_flags import rivals as found
from minilq.quantize import Surrogate
from minilq.quantize.methods import BNN, BWN, LAQ, LSQ, PACT, TWN, DoReFa
from minilq.quantize.methods.bounds import MASKS
from minilq.quantize.methods.bwn import GRADIENTS
from minilq.quantize.methods.lsq import COUNTS
from minilq.quantize.surrogate import SURROGATES


@pytest.fixture(scope="module")
def digits():
    return load("digits").head(400)


@pytest.fixture(scope="module")
def flags():
    return {one.name: one for one in found()}


def test_rivals_are_the_flags_that_change_nothing_but_gradients(flags):
    assert {name: set(one.values) for name, one in flags.items()} == {
        "lsq mask": set(MASKS), "lsq count": set(COUNTS), "lsq-plus mask": set(MASKS), "lsq-plus count": set(COUNTS),
        "affine mask": set(MASKS), "bnn surrogate": set(SURROGATES), "bwn gradient": set(GRADIENTS),
        "dorefa gradient": {"through", "stopped"}, "pact gradient": {"paper", "consistent"}}
    assert [name for name, one in flags.items() if one.on_inputs()] == ["bnn surrogate", "pact gradient"]
    assert flags["bwn gradient"].values[0] == BWN().gradient             # the usual one first


def test_a_method_of_which_a_flag_is_a_rival_is_found_by_itself(monkeypatch):
    """Another value in `variants` is another rival; nothing lists them."""
    monkeypatch.setattr(PACT, "variants", ({},))
    assert "pact gradient" not in [one.name for one in found()]


@pytest.mark.parametrize(("base", "flag", "values"), [
    (TWN(granularity="filter"), "rule", ("mean", "best")), (LAQ(), "levels", ("linear", "log"))])
def test_what_changes_the_numbers_is_no_rival(base, flag, values, flags):
    assert getattr(base, flag) in values
    assert f"{base.name} {flag}" not in flags


def test_gradients_of_a_trained_network_with_either_rival(digits, flags):
    one = flags["dorefa gradient"]
    model, right = rivals.train(one, "through", digits, 0, 1)
    assert 0 < right < 1
    images, labels = digits.train_images[:50], digits.train_labels[:50]
    (y, g), (z, h) = (rivals.gradients(model, DoReFa(2, gradient), images, labels) for gradient in one.values)
    np.testing.assert_array_equal(y, z)
    assert model.sites()["dense1.weight"].method == one.method("through")    # it is as it was
    largest = np.unravel_index(np.abs(model.sites()["dense1.weight"].latent.array).argmax(), g["w"].shape)
    apart = g["w"] != h["w"]
    assert apart[largest]                                    # M = |t_j| receives something there alone
    assert np.count_nonzero(apart) == 1
    cosine, difference = rivals.compared(g["w"], h["w"])
    assert cosine == pytest.approx(np.corrcoef(g["w"].ravel(), h["w"].ravel())[0, 1], abs=0.02)
    assert difference == pytest.approx(abs(g["w"][largest] - h["w"][largest]) / np.linalg.norm(g["w"]), rel=1e-6)


def test_cosine_and_difference():
    g = np.array([[3.0, 4.0]])
    assert rivals.compared(g, 2 * g) == (pytest.approx(1), 0.5)
    assert rivals.compared(g, -g) == (pytest.approx(-1), 2)
    cosine, apart = rivals.compared(g, 0 * g)
    assert np.isnan(cosine)
    assert apart == 1
    assert rivals.compared(0 * g, 0 * g)[1] == 0


def pair(gaps, cosine=0.9, **changed):
    return replace(rivals.Pair("a", "b", "w", cosine, 0.5, True, gaps), **changed)


def test_what_seeds_can_tell_apart():
    assert pair([0.01, 0.012, 0.011]).told
    assert not pair([0.01, -0.012, 0.011]).told
    assert not pair([0.01, 0.02]).told                       # two seeds are too few: 12.7 standard errors
    assert not pair([0.0, 0.0]).told
    assert pair([0.01, 0.03, 0.02]).error == pytest.approx(0.01 / 3**0.5)


def measured(*pairs):
    return rivals.Measured([], {"x y": list(pairs)}, {"x y": {"a": [0.5, 0.5]}}, 1)


@pytest.mark.parametrize(("changed", "part"), [
    ({"same": False}, "same numbers"), ({"cosine": -0.1}, "same side"),
    ({"gaps": [0.05, 0.05, 0.05]}, "most of the other"),
    ({"gaps": [0.05, 0.09, 0.01], "cosine": 1.0}, "the same to Adam")])
def test_the_verdict_is_of_the_numbers(changed, part):
    hidden, silent = [0.01, -0.012, 0.011], pair([0.2, 0.21, 0.22], float("nan"), apart=1.0)
    good = [pair(hidden), pair(hidden, cosine=1.0), silent]
    assert all(check.holds for check in measured(*good).checks().values())
    bad = replace(good[0], **changed)
    assert [claim for claim, check in measured(bad, *good[1:]).checks().items() if not check.holds] == [
        claim for claim in measured(*good).checks() if part in claim]
    deaf = replace(silent, gaps=hidden)
    assert [check.holds for check in measured(*good[:2], deaf).checks().values()].count(False) == 1


def test_a_curve_with_a_wrong_sign_turns_the_verdict(digits, monkeypatch):
    right = SURROGATES["triangle"]
    one = Rivals(BNN("clipped"), "surrogate", ("clipped", "triangle"))
    model, _ = rivals.train(one, "clipped", digits, 0, 1)

    def verdict():
        (only,) = rivals.pairs(one, model, digits, {"clipped": [0.5, 0.6], "triangle": [0.6, 0.5]})
        return {claim: check.holds for claim, check in measured(only, pair([0.1, -0.1], 1.0)).checks().items()}

    assert all(verdict().values())
    monkeypatch.setitem(SURROGATES, "triangle", Surrogate("triangle", right.curve, lambda *u: -right.slope(*u)))
    assert [claim for claim, holds in verdict().items() if not holds] == [
        claim for claim in verdict() if "every cosine is above 0" in claim]


def test_lsq_scales_are_compared_too(digits, flags):
    one = flags["lsq count"]
    model, _ = rivals.train(one, one.values[0], digits, 0, 1)
    (only, *_) = rivals.pairs(one, model, digits, {value: [0.5, 0.6] for value in one.values})
    assert (only.of, only.same) == ("scale", True)
    assert only.of_size_alone                                # the factor 1 / sqrt(N high) is one number
    assert isinstance(one.base, LSQ)
