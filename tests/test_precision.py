"""Khoram & Li: budgets that are never exceeded, bits that are never too many, and a network within its limit."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minilq
from minilq import Dense, ReLU, Sequential, Tensor, softmax_cross_entropy
from minilq.coding.sizes import entropy_coded
from minilq.errors import ConfigError, NonFiniteError
from minilq.nn import coded_in
from minilq.post import adaptive, spent_by, water_filling
from minilq.quantize.methods import FewestBits
from minilq.quantize.methods.fewest_bits import LEAST, exactly, fewest_bits, shortest
from minilq.store.modelfile import load, save

gradients = hnp.arrays(np.float64, st.integers(1, 30), elements=st.one_of(
    st.just(0.0), st.floats(1e-9, 10), st.floats(-10, -1e-9), st.sampled_from([1.0, -1.0])))
sizes = st.floats(1e-6, 10)


@given(g=gradients, budget=sizes, cap=sizes)
def test_the_budget_is_spent_and_never_exceeded(g, budget, cap):
    tau = water_filling(g, budget, cap)
    spent = np.sum(np.abs(g) * tau)
    assert (tau > 0).all()
    assert (tau <= cap).all()
    assert spent <= budget
    below = tau < cap
    if below.any():
        assert spent == pytest.approx(budget, rel=1e-9)
        np.testing.assert_allclose(np.abs(g[below]) * tau[below], (np.abs(g) * tau).max(), rtol=1e-9)
    for other in (np.full(g.shape, min(cap, budget / max(np.abs(g).sum(), 1e-300))),
                  np.minimum(cap, budget / g.size / np.maximum(np.abs(g), 1e-300))):      # within the budget too
        assert -np.log2(tau).sum() <= -np.log2(other).sum() + 1e-6


def test_water_filling_by_hand():
    np.testing.assert_allclose(water_filling(np.array([1.0, 2.0, 0.1]), 0.3, 0.5), [0.125, 0.0625, 0.5], rtol=1e-9)
    np.testing.assert_allclose(water_filling(np.array([1.0, -2.0]), 0.1, 1.0), [0.05, 0.025], rtol=1e-9)
    g = np.array([0.3, -4.0, 2.0])
    np.testing.assert_allclose(water_filling(g, 0.1, 9.0), 2 * water_filling(g, 0.05, 9.0), rtol=1e-9)    # a bit each
    assert water_filling(np.zeros((2, 3)), 0.1, 0.5).tolist() == [[0.5] * 3] * 2
    assert water_filling(np.ones(3), 9.0, 0.5).tolist() == [0.5] * 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(NonFiniteError, match="gradient must be finite; got 1 that are not"):
        water_filling(np.array([value, 1.0]), 0.1, 1.0)
    with pytest.raises(NonFiniteError, match="values must be finite"):
        spent_by([np.array([value])])


def test_it_is_reckoned_in_float64():
    g = np.abs(np.random.default_rng(0).standard_normal(20000)).astype(np.float32)
    tau = water_filling(g, 0.1, 1e-3)
    assert tau.dtype == np.float64
    assert 0.1 * (1 - 1e-9) <= np.sum(g.astype(np.float64) * tau) <= 0.1


@given(w=st.floats(-30, 30), exponent=st.floats(-30, 0))
def test_as_few_bits_as_there_can_be(w, exponent):
    tau = 2.0**exponent
    (y,), (N,) = shortest(np.array([w]), np.array([tau]))
    assert abs(y - w) < tau
    assert max(0, np.floor(-np.log2(tau))) >= N
    for fewer in range(N):
        assert abs(np.rint(w * 2**fewer) / 2**fewer - w) >= tau
    again = np.array([y])
    assert fewest_bits(again, np.full(1, max(exactly(again), LEAST))).tolist() == [y]


def test_a_linear_loss_grows_by_less_than_its_budget():
    rng = np.random.default_rng(1)
    w, g = rng.standard_normal(200), rng.standard_normal(200)
    y = shortest(w, water_filling(g, 0.05, 1.0))[0]
    assert 0 < abs(g @ (y - w)) <= 0.05


def trained():
    """A network that tells three clouds of points apart, its loss, and the loss as a number."""
    rng = np.random.default_rng(0)
    labels = np.arange(150) % 3
    points = (rng.standard_normal((150, 4)) * 0.5 + 2 * np.eye(3, 4)[labels]).astype(np.float32)
    model = Sequential(Dense(4, 8, rng), ReLU(), Dense(8, 3, rng))
    adam = minilq.Adam(model.parameters().values(), lr=0.02)

    def loss_of():
        return softmax_cross_entropy(model(Tensor(points)), labels)

    for _ in range(60):
        adam.zero_grad()
        loss_of().backward()
        adam.step()
    return model, loss_of


def test_no_gradient_is_touched():
    model, loss_of = trained()
    before = {name: p.grad.copy() for name, p in model.parameters().items()}
    adaptive(model, loss_of, loss_of().item() + 0.02, rounds=1)
    for name, g in before.items():
        np.testing.assert_array_equal(model.parameters()[name].grad, g)


def test_a_network_stays_within_its_limit_and_is_counted_whole(tmp_path):
    model, loss_of = trained()
    first = {name: site.latent.numpy().copy() for name, site in model.sites().items() if site.latent is not None}
    limit, rounds = loss_of().item() + 0.02, []
    spent = adaptive(model, loss_of, limit, log=rounds.append)
    assert loss_of().item() <= limit
    assert all(one.loss <= limit for one in rounds if one.taken)
    taken = [one.bits for one in rounds if one.taken]
    assert taken == sorted(taken, reverse=True)
    assert len({one.cap for one in rounds}) > 2
    assert max(one.budgets for one in rounds if one.taken) > 1           # signs cancel
    assert spent.fraction == taken[-1] < 4 * 75                          # of 75 parameters
    latents = [site.latent.numpy() for site in model.sites().values() if site.latent is not None]
    assert spent == spent_by(latents)
    assert spent.total == spent.fraction + spent.whole + spent.signs + spent.widths
    assert all(site.method is None or isinstance(site.method, FewestBits) for site in model.sites().values())
    coded = coded_in(model)
    for name, one in coded.items():
        np.testing.assert_array_equal(one.values, model.sites()[name].latent.numpy())
        assert (one.values != first[name]).any()
    save(tmp_path / "a.mlq", model)
    for name, one in coded_in(load(tmp_path / "a.mlq").network).items():
        np.testing.assert_array_equal(one.values, coded[name].values)
    assert entropy_coded(coded) < 4 * 75


def test_an_interruption_leaves_the_best_network_so_far():
    model, loss_of = trained()
    limit, rounds = loss_of().item() + 0.002, []

    def interrupted(one):
        rounds.append(one)
        if len(rounds) > 1 and not one.taken:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adaptive(model, loss_of, limit, log=interrupted)
    assert loss_of().item() == [one.loss for one in rounds if one.taken][-1] != rounds[-1].loss


def test_what_a_network_takes_by_hand():
    spent = spent_by([np.array([0.5, 0.0, 0.0, 0.0]), np.array([-2.25])])
    assert (spent.fraction, spent.whole, spent.signs) == (1 + 2, 2, 2)
    assert spent.widths == np.ceil(4 * (0.25 * 2 + 0.75 * np.log2(4 / 3)))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: water_filling(np.ones(2), 0.0, 1.0), "budget must be a number > 0; got 0.0"),
    (lambda: FewestBits(0.0), "tolerance must be a number in"),
    (lambda: fewest_bits(np.ones(2), np.zeros(1)), "at least 2.-40"),
    (lambda: adaptive(*trained(), 0.0), "above the loss"),
    (lambda: adaptive(*trained(), "0.1"), "limit must be a number"),
    (lambda: adaptive(Sequential(ReLU()), lambda: Tensor(0.0), 1.0), "there must be a weight"),
])
def test_errors(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
