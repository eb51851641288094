"""Findings about pretended derivatives: what they measure, and what a wrong derivative makes of their verdict."""

from dataclasses import replace

import numpy as np
import pytest

from minilq.autodiff.parameter import Parameter
from minilq.autodiff.tensor import Tensor
from minilq.data import load
from minilq.experiments.findings import rivals, surrogate_bias, surrogates
from minilq.experiments.findings.rival_flags import Rivals
from minilq.experiments.findings.rival_flags import rivals as found
from minilq.ops import softmax_cross_entropy
from minilq.quantize import Scaled, Surrogate, frozen
from minilq.quantize.methods import BNN, BWN, LAQ, LSQ, PACT, TWN, DoReFa
from minilq.quantize.methods.bounds import MASKS
from minilq.quantize.methods.bwn import GRADIENTS
from minilq.quantize.methods.lsq import COUNTS
from minilq.quantize.surrogate import SURROGATES
from minilq.train.metrics import INPUTS


@pytest.fixture(scope="module")
def digits():
    return load("digits").head(400)


@pytest.fixture(scope="module")
def flags():
    return {one.name: one for one in found()}


def test_rivals_are_the_flags_that_change_nothing_but_gradients(flags):
    assert {name: set(one.values) for name, one in flags.items()} == {
        "lsq mask": set(MASKS), "lsq count": set(COUNTS), "lsq-plus mask": set(MASKS), "lsq-plus count": set(COUNTS),
        "affine mask": set(MASKS), "deep-compression gradient": {"sum", "mean"}, "bnn surrogate": set(SURROGATES),
        "bwn gradient": set(GRADIENTS), "dorefa gradient": {"through", "stopped"},
        "pact gradient": {"paper", "consistent"}, "polino gradient": {"identity", "exact", "code"},
        "polino-points gradient": {"identity", "exact", "code"}}
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


# ---- surrogates


@pytest.fixture(scope="module")
def along(digits):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surrogates, "load", lambda name: digits)
        return surrogates.measure(1, epochs=1, places=4, draws=1)


@pytest.mark.parametrize("name", SURROGATES)
def test_the_bias_is_its_closed_form(name):
    bias = surrogate_bias.of_sign(name)
    np.testing.assert_allclose(bias.true, surrogate_bias.B, atol=1e-12)
    np.testing.assert_allclose(bias.measured, bias.closed, atol=1e-6)
    assert bias.error == np.abs(bias.measured - bias.closed).max()


def test_closed_forms_written_by_hand():
    x = surrogate_bias.of_sign("clipped").x
    a, b = surrogate_bias.A, surrogate_bias.B
    for name, want in (("straight_through", a * x), ("zero", 0 * x - b),
                       ("clipped", (a * x - b * np.abs(x)) / 2), ("hard_tanh", (a * x - b * np.abs(x)) / 2)):
        np.testing.assert_allclose(surrogate_bias.of_sign(name).closed, want, atol=1e-15)


@pytest.mark.parametrize("step", [0.5, 0.125, 3.0])
def test_straight_through_on_a_grid_is_off_by_a_s_f_minus_a_half(step):
    bias = surrogate_bias.of_grid(step)
    f = bias.x / step - np.floor(bias.x / step)
    np.testing.assert_allclose(bias.measured, surrogate_bias.A * step * (f - 0.5), atol=1e-10)
    np.testing.assert_allclose(bias.true, (2.5 * surrogate_bias.A * step + surrogate_bias.B), rtol=1e-10)
    assert abs(bias.measured.mean()) < 1e-10


def test_a_slope_that_is_not_of_its_curve_turns_the_verdict(along, monkeypatch):
    right = SURROGATES["arctan"]
    wrong = Surrogate("arctan", right.curve, lambda *u: 1.01 * right.slope(*u))
    monkeypatch.setitem(SURROGATES, "arctan", wrong)
    checks = replace(along, bias={**along.bias, "arctan": surrogate_bias.of_sign("arctan")}).checks()
    assert along.checks()["The bias of each for a quadratic is its closed form"].holds
    assert not checks["The bias of each for a quadratic is its closed form"].holds


def test_the_verdict_on_the_line_is_of_the_numbers(along):
    exact = np.interp(along.t, (along.t[1:] + along.t[:-1]) / 2, along.slope)
    slopes = {"a": exact, "b": 2 * exact, "none": 0 * exact}
    good = replace(along, noisy=slopes, bare=slopes)
    assert [check.holds for check in good.checks().values()] == [True] * 5
    for bad, part in ((replace(good, still=good.true + 1e-9), "does not move"),
                      (replace(good, noisy={**slopes, "a": -exact}), "its direction"),
                      (replace(good, noisy={"a": exact, "b": 1.1 * exact}), "its length"),
                      (replace(good, grids={0.5: replace(good.grids[0.5], closed=good.grids[0.5].closed + 1e-3)}),
                       "on a grid")):
        assert [claim for claim, check in bad.checks().items() if not check.holds] == [
            claim for claim in bad.checks() if part in claim]


def test_what_is_reported_along_a_line_is_the_gradient_of_the_tape(digits):
    """With a method in the weight's place, the latent's gradient times d."""
    model, start, end = surrogates.trained(digits, 3, 1)
    s, d = 0.05, end - start
    w = (start + 0.3 * d).astype(np.float32).astype(np.float64)
    loss, slopes = surrogates.look(model, digits, w, s, d)
    weight = model.sites()["dense1.weight"]
    images, labels = digits.train_images[:surrogates.IMAGES], digits.train_labels[:surrogates.IMAGES]
    for name in ("clipped", "swish_sign", "zero"):
        weight.latent.array[...] = w
        weight.latent.changed_in_place()
        weight.method = Scaled("sign", name, "scalar", frozen())
        weight.held = {"scale": Parameter(np.array([s], np.float32))}
        weight.latent.grad = None
        again = softmax_cross_entropy(model(Tensor(INPUTS["unit"](images))), labels)
        again.backward()
        weight.method = None
        assert again.item() == pytest.approx(loss, rel=1e-5)
        assert slopes[name] == pytest.approx((weight.latent.grad * d).sum(), rel=1e-3, abs=1e-6)


def test_the_next_change_of_sign():
    w, d = np.array([1.0, -1.0, 2.0, 0.5]), np.array([-2.0, 0.1, 1.0, 0.0])
    assert surrogates.before_a_change(w, d) == 0.5
    assert surrogates.before_a_change(w[2:], d[2:]) == 1
